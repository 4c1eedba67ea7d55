//! The locks of this process, by test: a pure state machine, so that all orders of events can be tested.
//!
//! A kernel lock belongs to the handle that took it, and a second handle of the same test would wait for the first forever.
//! So a test's second request is answered here: it increments a count or is refused.

use std::sync::Arc;

/// The requester of a lock within its test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Requester<T> {
    Thread(T),
    /// A task may run on any thread, and a thread may run many tasks.
    #[cfg(any(test, feature = "tokio"))]
    Task(T),
}

impl<T: Copy> Requester<T> {
    fn thread(self) -> T {
        match self {
            Self::Thread(thread) => thread,
            #[cfg(any(test, feature = "tokio"))]
            Self::Task(thread) => thread,
        }
    }
}

/// The answer to a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing in this process excludes it: request it from the kernel. The number identifies the entry until it is released.
    AskKernel(u64),
    /// The test already holds it in a sufficient mode: the entry of that number is counted once more.
    Again(u64),
    /// It would wait for its own test.
    OwnTest,
}

#[derive(Debug)]
struct Entry<T, L> {
    number: u64,
    execution: u64,
    key: Arc<str>,
    shared: bool,
    requester: Requester<T>,
    count: usize,
    /// `None` until the kernel grants it.
    lock: Option<L>,
}

/// The locks of this process, of type `L`, taken by threads `T`.
#[derive(Debug)]
pub(super) struct Table<T, L> {
    entries: Vec<Entry<T, L>>,
    next: u64,
}

impl<T: Copy + PartialEq, L> Table<T, L> {
    pub(super) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            next: 1,
        }
    }

    /// Requests the lock `key` for a test.
    pub(super) fn request(
        &mut self,
        execution: u64,
        key: &Arc<str>,
        shared: bool,
        requester: Requester<T>,
    ) -> Answer {
        let own = self
            .entries
            .iter_mut()
            .filter(|entry| entry.execution == execution && entry.key == *key);
        for entry in own {
            let has = entry.lock.is_some();
            // Readers do not exclude each other.
            let both_read = entry.shared && shared;
            let is_own_thread = matches!(entry.requester, Requester::Thread(thread) if thread == requester.thread())
                && !entry.shared;
            if has && (both_read || is_own_thread) {
                entry.count += 1;
                return Answer::Again(entry.number);
            }
            if !both_read {
                return Answer::OwnTest;
            }
        }
        let number = self.next;
        self.next += 1;
        self.entries.push(Entry {
            number,
            execution,
            key: Arc::clone(key),
            shared,
            requester,
            count: 1,
            lock: None,
        });
        Answer::AskKernel(number)
    }

    /// Enters a lock that is held elsewhere for the test. It is never released here.
    pub(super) fn adopt(
        &mut self,
        execution: u64,
        key: Arc<str>,
        shared: bool,
        requester: Requester<T>,
        lock: L,
    ) {
        let number = self.next;
        self.next += 1;
        self.entries.push(Entry {
            number,
            execution,
            key,
            shared,
            requester,
            count: 1,
            lock: Some(lock),
        });
    }

    /// Returns the locks that a test holds, with their keys.
    #[cfg(all(feature = "macros", unix, not(miri)))]
    pub(super) fn locks_of(&self, execution: u64) -> impl Iterator<Item = (&str, &L)> {
        let own = self
            .entries
            .iter()
            .filter(move |entry| entry.execution == execution);
        own.filter_map(|entry| Some((&*entry.key, entry.lock.as_ref()?)))
    }

    /// Completes an entry that the kernel has granted.
    pub(super) fn grant(&mut self, number: u64, lock: L) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.number == number) {
            entry.lock = Some(lock);
        }
    }

    /// Releases a request or a held lock. The last release returns the lock, to be dropped by the caller.
    pub(super) fn release(&mut self, number: u64) -> Option<L> {
        let index = self.entries.iter().position(|entry| entry.number == number)?;
        self.entries[index].count -= 1;
        if self.entries[index].count > 0 {
            return None;
        }
        self.entries.swap_remove(index).lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str) -> Arc<str> {
        Arc::from(text)
    }

    const HERE: Requester<u8> = Requester::Thread(1);
    const THERE: Requester<u8> = Requester::Thread(2);
    const TASK: Requester<u8> = Requester::Task(1);

    fn granted(table: &mut Table<u8, ()>, shared: bool, requester: Requester<u8>) -> u64 {
        let Answer::AskKernel(number) = table.request(1, &key("a"), shared, requester) else {
            panic!()
        };
        table.grant(number, ());
        number
    }

    #[test]
    fn a_thread_may_take_its_own_lock_again_and_the_last_release_returns_it() {
        let mut table = Table::new();
        let number = granted(&mut table, false, HERE);
        assert_eq!(table.request(1, &key("a"), false, HERE), Answer::Again(number));
        assert_eq!(table.request(1, &key("a"), true, HERE), Answer::Again(number));
        assert_eq!(table.request(1, &key("a"), false, TASK), Answer::Again(number));
        assert_eq!(table.release(number), None);
        assert_eq!(table.release(number), None);
        assert_eq!(table.release(number), None);
        assert_eq!(table.release(number), Some(()));
        assert_eq!(table.release(number), None);
    }

    #[test]
    fn a_request_that_would_wait_for_its_own_test_is_refused() {
        for (shared, first, wanted_shared, second) in [
            (false, HERE, false, THERE),
            (false, HERE, true, THERE),
            (true, HERE, false, HERE),
            (true, HERE, false, THERE),
            (false, TASK, false, TASK),
            (false, TASK, false, HERE),
        ] {
            let mut table = Table::new();
            granted(&mut table, shared, first);
            assert_eq!(
                table.request(1, &key("a"), wanted_shared, second),
                Answer::OwnTest
            );
            assert!(matches!(
                table.request(2, &key("a"), wanted_shared, second),
                Answer::AskKernel(_)
            ));
            assert!(matches!(
                table.request(1, &key("b"), wanted_shared, second),
                Answer::AskKernel(_)
            ));
        }
    }

    #[test]
    fn readers_of_one_test_never_wait_for_each_other() {
        let mut table = Table::new();
        let number = granted(&mut table, true, HERE);
        assert_eq!(table.request(1, &key("a"), true, THERE), Answer::Again(number));
        assert_eq!(table.request(1, &key("a"), true, TASK), Answer::Again(number));
    }

    #[test]
    fn while_one_thread_waits_for_the_kernel_another_is_refused() {
        let mut table: Table<u8, ()> = Table::new();
        let Answer::AskKernel(number) = table.request(1, &key("a"), false, HERE) else {
            panic!()
        };
        assert_eq!(table.request(1, &key("a"), false, THERE), Answer::OwnTest);
        assert_eq!(table.release(number), None);
        assert!(matches!(
            table.request(1, &key("a"), false, THERE),
            Answer::AskKernel(_)
        ));
    }

    proptest! {
        /// For every order of requests and releases, a test never waits for itself, and no entry is left.
        #[test]
        fn a_test_never_waits_for_itself(
            steps in proptest::collection::vec((0_u64..2, 0_u8..3, any::<bool>(), any::<bool>(), any::<bool>()), 0..60),
        ) {
            let mut table: Table<u8, (u64, bool)> = Table::new();
            let mut taken: Vec<(u64, u64, bool)> = Vec::new();
            for (execution, thread, is_task, shared, leaves) in steps {
                if leaves && !taken.is_empty() {
                    let (number, ..) = taken.remove(usize::from(thread) % taken.len());
                    let last = !taken.iter().any(|(other, ..)| *other == number);
                    prop_assert_eq!(table.release(number).is_some(), last);
                    continue;
                }
                let requester = if is_task { Requester::Task(thread) } else { Requester::Thread(thread) };
                match table.request(execution, &key("a"), shared, requester) {
                    // The kernel would wait for a lock of the same test that excludes this one.
                    Answer::AskKernel(number) => {
                        let own = taken.iter().filter(|(_, other, _)| *other == execution);
                        for (_, _, theirs) in own {
                            prop_assert!(*theirs && shared);
                        }
                        table.grant(number, (execution, shared));
                        taken.push((number, execution, shared));
                    }
                    Answer::Again(number) => {
                        let first = taken.iter().find(|(other, ..)| *other == number).copied();
                        let (_, owner, theirs) = first.unwrap();
                        prop_assert_eq!(owner, execution);
                        prop_assert!(shared || !theirs);
                        taken.push((number, execution, theirs));
                    }
                    Answer::OwnTest => prop_assert!(taken.iter().any(|(_, other, _)| *other == execution)),
                }
            }
            for (number, ..) in taken {
                table.release(number);
            }
            prop_assert!(table.entries.is_empty());
        }
    }
}

/// All schedules of two threads of one test and another test that request one lock.
#[cfg(all(test, loom))]
mod loom_model {
    use super::*;
    use crate::sys::sync::{Mutex, lock};
    use ::loom::model;
    use ::loom::sync::atomic::{AtomicU64, Ordering};
    use ::loom::thread;

    /// The process's table, and the kernel's lock: the execution that holds it, or 0.
    struct World {
        table: Mutex<Table<u8, u64>>,
        kernel: AtomicU64,
    }

    impl World {
        /// Takes and releases the lock like `lock/mod.rs`. Returns whether the kernel granted it.
        fn lock(&self, execution: u64, thread: u8) -> Result<bool, ()> {
            let answer =
                lock(&self.table).request(execution, &Arc::from("a"), false, Requester::Thread(thread));
            let number = match answer {
                Answer::AskKernel(number) => number,
                Answer::Again(_) => panic!("no thread requests twice"),
                Answer::OwnTest => return Err(()),
            };
            let (free, now) = (Ordering::Acquire, Ordering::Relaxed);
            let is_granted = self.kernel.compare_exchange(0, execution, free, now).is_ok();
            if is_granted {
                lock(&self.table).grant(number, execution);
            }
            let last = lock(&self.table).release(number);
            assert_eq!(
                last,
                is_granted.then_some(execution),
                "a release returns what was granted"
            );
            if last.is_some() {
                assert_eq!(
                    self.kernel.load(Ordering::Relaxed),
                    execution,
                    "another test holds it"
                );
                self.kernel.store(0, Ordering::Release);
            }
            Ok(is_granted)
        }
    }

    #[test]
    fn a_lock_is_released_once_and_no_test_waits_for_itself() {
        model(|| {
            let world = Arc::new(World {
                table: Mutex::new(Table::new()),
                kernel: AtomicU64::new(0),
            });
            let others = [(1, 2), (2, 3)].map(|(execution, number)| {
                let world = Arc::clone(&world);
                thread::spawn(move || world.lock(execution, number))
            });
            let own = world.lock(1, 1);
            let [sibling, other] = others.map(|thread| thread.join().unwrap());
            assert!(
                own.is_ok() || sibling.is_ok(),
                "both were refused because of each other"
            );
            assert!(other.is_ok(), "another test was refused as the same one");
            let had = [own, sibling, other];
            assert!(had.contains(&Ok(true)), "no thread got a free lock");
            assert_eq!(world.kernel.load(Ordering::Relaxed), 0);
            assert!(lock(&world.table).entries.is_empty());
        });
    }
}
