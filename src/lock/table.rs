//! Which locks this process holds, for which test: pure, so that every order of events can be tried.
//!
//! A kernel lock belongs to the handle that took it, and a second handle of the same test would wait for the first for
//! ever. So a test's second call is answered here: it counts up, or it is refused.

use std::sync::Arc;

/// Who asks within its test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker<T> {
    Thread(T),
    /// A task may be on any thread, and a thread may have many tasks.
    #[cfg(any(test, feature = "tokio"))]
    Task(T),
}

impl<T: Copy> Asker<T> {
    fn thread(self) -> T {
        match self {
            Self::Thread(thread) => thread,
            #[cfg(any(test, feature = "tokio"))]
            Self::Task(thread) => thread,
        }
    }
}

/// What came of asking.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing stands against it here: now ask the kernel. The number stands for the call until it is let go.
    Ask(u64),
    /// The test has it already, as strongly as it is wanted: the number counts one more.
    Again(u64),
    /// It would wait for its own test.
    Own,
}

#[derive(Debug)]
struct Entry<T, L> {
    number: u64,
    life: u64,
    key: Arc<str>,
    shared: bool,
    asker: Asker<T>,
    count: usize,
    /// `None` while the kernel is asked.
    lock: Option<L>,
}

/// The locks of this process, `L` each, taken by threads `T`.
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

    /// The test with this `life` wants the lock `key`.
    pub(super) fn ask(&mut self, life: u64, key: &Arc<str>, shared: bool, asker: Asker<T>) -> Answer {
        let own = self
            .entries
            .iter_mut()
            .filter(|entry| entry.life == life && entry.key == *key);
        for entry in own {
            let has = entry.lock.is_some();
            // Readers never wait for each other.
            let both_read = entry.shared && shared;
            let is_thread_s_own =
                matches!(entry.asker, Asker::Thread(thread) if thread == asker.thread()) && !entry.shared;
            if has && (both_read || is_thread_s_own) {
                entry.count += 1;
                return Answer::Again(entry.number);
            }
            if !both_read {
                return Answer::Own;
            }
        }
        let number = self.next;
        self.next += 1;
        self.entries.push(Entry {
            number,
            life,
            key: Arc::clone(key),
            shared,
            asker,
            count: 1,
            lock: None,
        });
        Answer::Ask(number)
    }

    /// The kernel granted it.
    pub(super) fn got(&mut self, number: u64, lock: L) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.number == number) {
            entry.lock = Some(lock);
        }
    }

    /// One that has it, or asked for it, lets go. The last gets the lock, to be dropped outside.
    pub(super) fn leave(&mut self, number: u64) -> Option<L> {
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

    const HERE: Asker<u8> = Asker::Thread(1);
    const THERE: Asker<u8> = Asker::Thread(2);
    const TASK: Asker<u8> = Asker::Task(1);

    fn granted(table: &mut Table<u8, ()>, shared: bool, asker: Asker<u8>) -> u64 {
        let Answer::Ask(number) = table.ask(1, &key("a"), shared, asker) else {
            panic!()
        };
        table.got(number, ());
        number
    }

    #[test]
    fn a_thread_may_take_its_own_lock_again_and_the_last_to_go_gives_it_back() {
        let mut table = Table::new();
        let number = granted(&mut table, false, HERE);
        assert_eq!(table.ask(1, &key("a"), false, HERE), Answer::Again(number));
        assert_eq!(table.ask(1, &key("a"), true, HERE), Answer::Again(number));
        assert_eq!(table.ask(1, &key("a"), false, TASK), Answer::Again(number));
        assert_eq!(table.leave(number), None);
        assert_eq!(table.leave(number), None);
        assert_eq!(table.leave(number), None);
        assert_eq!(table.leave(number), Some(()));
        assert_eq!(table.leave(number), None);
    }

    #[test]
    fn what_would_wait_for_its_own_test_is_refused() {
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
            assert_eq!(table.ask(1, &key("a"), wanted_shared, second), Answer::Own);
            assert!(matches!(
                table.ask(2, &key("a"), wanted_shared, second),
                Answer::Ask(_)
            ));
            assert!(matches!(
                table.ask(1, &key("b"), wanted_shared, second),
                Answer::Ask(_)
            ));
        }
    }

    #[test]
    fn readers_of_one_test_never_wait_for_each_other() {
        let mut table = Table::new();
        let number = granted(&mut table, true, HERE);
        assert_eq!(table.ask(1, &key("a"), true, THERE), Answer::Again(number));
        assert_eq!(table.ask(1, &key("a"), true, TASK), Answer::Again(number));
    }

    #[test]
    fn while_the_kernel_is_asked_for_one_thread_another_is_refused() {
        let mut table: Table<u8, ()> = Table::new();
        let Answer::Ask(number) = table.ask(1, &key("a"), false, HERE) else {
            panic!()
        };
        assert_eq!(table.ask(1, &key("a"), false, THERE), Answer::Own);
        assert_eq!(table.leave(number), None);
        assert!(matches!(table.ask(1, &key("a"), false, THERE), Answer::Ask(_)));
    }

    proptest! {
        /// Whatever is asked for and let go of in any order, a test never waits for itself, and nothing is left.
        #[test]
        fn a_test_never_waits_for_itself(
            steps in proptest::collection::vec((0_u64..2, 0_u8..3, any::<bool>(), any::<bool>(), any::<bool>()), 0..60),
        ) {
            let mut table: Table<u8, (u64, bool)> = Table::new();
            let mut taken: Vec<(u64, u64, bool)> = Vec::new();
            for (life, thread, is_task, shared, leaves) in steps {
                if leaves && !taken.is_empty() {
                    let (number, ..) = taken.remove(usize::from(thread) % taken.len());
                    let last = !taken.iter().any(|(other, ..)| *other == number);
                    prop_assert_eq!(table.leave(number).is_some(), last);
                    continue;
                }
                let asker = if is_task { Asker::Task(thread) } else { Asker::Thread(thread) };
                match table.ask(life, &key("a"), shared, asker) {
                    // A kernel lock of the same test that excludes this one would be waited for.
                    Answer::Ask(number) => {
                        let own = taken.iter().filter(|(_, other, _)| *other == life);
                        for (_, _, theirs) in own {
                            prop_assert!(*theirs && shared);
                        }
                        table.got(number, (life, shared));
                        taken.push((number, life, shared));
                    }
                    Answer::Again(number) => {
                        let first = taken.iter().find(|(other, ..)| *other == number).copied();
                        let (_, owner, theirs) = first.unwrap();
                        prop_assert_eq!(owner, life);
                        prop_assert!(shared || !theirs);
                        taken.push((number, life, theirs));
                    }
                    Answer::Own => prop_assert!(taken.iter().any(|(_, other, _)| *other == life)),
                }
            }
            for (number, ..) in taken {
                table.leave(number);
            }
            prop_assert!(table.entries.is_empty());
        }
    }
}

/// Every schedule of two threads of one test and another test, all of whom want one lock.
#[cfg(all(test, loom))]
mod loom_model {
    use super::*;
    use crate::sys::sync::{Mutex, lock};
    use ::loom::model;
    use ::loom::sync::atomic::{AtomicU64, Ordering};
    use ::loom::thread;

    /// The process's table, and the kernel's lock: the life that has it, or 0.
    struct World {
        table: Mutex<Table<u8, u64>>,
        kernel: AtomicU64,
    }

    impl World {
        /// As `lock.rs` does it. Whether the lock was had.
        fn lock(&self, life: u64, thread: u8) -> Result<bool, ()> {
            let answer = lock(&self.table).ask(life, &Arc::from("a"), false, Asker::Thread(thread));
            let number = match answer {
                Answer::Ask(number) => number,
                Answer::Again(_) => panic!("no thread asks twice"),
                Answer::Own => return Err(()),
            };
            let (free, now) = (Ordering::Acquire, Ordering::Relaxed);
            let is_had = self.kernel.compare_exchange(0, life, free, now).is_ok();
            if is_had {
                lock(&self.table).got(number, life);
            }
            let last = lock(&self.table).leave(number);
            assert_eq!(
                last,
                is_had.then_some(life),
                "whoever leaves gives back what it had"
            );
            if last.is_some() {
                assert_eq!(self.kernel.load(Ordering::Relaxed), life, "another is inside");
                self.kernel.store(0, Ordering::Release);
            }
            Ok(is_had)
        }
    }

    #[test]
    fn a_lock_is_given_back_once_and_nobody_waits_for_its_own_test() {
        model(|| {
            let world = Arc::new(World {
                table: Mutex::new(Table::new()),
                kernel: AtomicU64::new(0),
            });
            let others = [(1, 2), (2, 3)].map(|(life, number)| {
                let world = Arc::clone(&world);
                thread::spawn(move || world.lock(life, number))
            });
            let own = world.lock(1, 1);
            let [sibling, other] = others.map(|thread| thread.join().unwrap());
            assert!(own.is_ok() || sibling.is_ok(), "each was refused for the other");
            assert!(other.is_ok(), "another test is nobody's own");
            let had = [own, sibling, other];
            assert!(had.contains(&Ok(true)), "a free lock was had by nobody");
            assert_eq!(world.kernel.load(Ordering::Relaxed), 0);
            assert!(lock(&world.table).entries.is_empty());
        });
    }
}
