//! Letting go: what a lane gives up is dropped outside its lock, and what somebody still holds is kept track of.

use super::Lane;
use super::cache::{About, Entry};
use super::state::State;
use crate::event::{Event, Why};
use crate::exit;
use crate::journal;
use crate::locator::instance::Instance;
use crate::locator::registry::{Key, Service};
use crate::sys::{clock, stderr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, Thread, ThreadId};

/// An instance that is on its way out; whoever asks for its successor waits.
pub(crate) struct Dropping {
    key: Key,
    thread: Thread,
}

/// Let go of, and held by somebody still.
pub(crate) struct Forgotten {
    pub(crate) key: Key,
    pub(crate) about: About,
    why: Why,
    /// How often its cache had been cleared by then.
    clears: u64,
}

/// An entry that the lane gave up; dropping it is [`Lane::let_go`]'s.
pub(crate) struct Leaving {
    ticket: u64,
    pub(crate) key: Key,
    pub(crate) entry: Entry,
    why: Why,
    clears: u64,
}

/// Drops an instance, with no lock held, and returns what its `Drop` panicked with.
pub(crate) fn drop_it(instance: Instance) -> Option<String> {
    catch_unwind(AssertUnwindSafe(|| drop(instance)))
        .err()
        .map(exit::last_words)
}

/// What people know a thread by.
pub(crate) fn name_of(thread: &Thread) -> String {
    thread
        .name()
        .map_or_else(|| format!("{:?}", thread.id()), |name| format!("thread {name:?}"))
}

/// An instance that its cache let go of, to be told of when it is known who holds it still.
pub(crate) struct Gone {
    service: Arc<Service>,
    worker: String,
    number: u64,
    why: Why,
    hits: u64,
}

impl Lane {
    /// Drops what was given up, outside every lock, and keeps track of what somebody still holds.
    ///
    /// Newest first, a service goes before what holds it: who is left holding it is known when all of them are gone,
    /// and then is the time to [tell](Self::tell).
    #[must_use]
    pub(crate) fn let_go(&self, leaving: Vec<Leaving>) -> Vec<Gone> {
        let mut told = Vec::new();
        let mut dead = Vec::new();
        for Leaving {
            ticket,
            key,
            entry,
            why,
            clears,
        } in leaving
        {
            let Entry { instance, mut about } = entry;
            if let Some(message) = drop_it(instance) {
                let label = about.service.label();
                stderr::line(&format!(
                    "{label} of {} panicked in its drop: {message}",
                    about.worker
                ));
            }
            told.push(Gone {
                service: Arc::clone(&about.service),
                worker: about.worker.clone(),
                number: about.number.get(),
                why,
                hits: about.untold_hits(),
            });
            let mut state = self.lock();
            state.dropping.remove(&ticket);
            let is_held = !about.is_fake && about.number.holders() > 0;
            let mut forgotten = Forgotten {
                key,
                about,
                why,
                clears,
            };
            if is_held {
                state.forgotten.push(forgotten);
            } else {
                state.count_out(&mut forgotten);
                dead.push(forgotten);
            }
            drop(state);
            self.changed.notify_all();
        }
        // The dead ones would keep their memory. Their factories may die with them, which is the user's code too.
        dead.extend(self.lock().take_dead());
        drop(dead);
        told
    }

    /// Tells what was let go of, and how many hold it still.
    pub(crate) fn tell(&self, gone: Vec<Gone>) {
        if !journal::is_on() {
            return;
        }
        for Gone {
            service,
            worker,
            number,
            why,
            hits,
        } in gone
        {
            let holders = self.lock().holders_of_forgotten(number);
            journal::write(&worker, || Event::Dropped {
                locator: service.locator.to_string(),
                service: service.label(),
                instance: number,
                why,
                holders: holders as u64,
                hits,
            });
        }
    }
}

impl State {
    /// Marks entries as being dropped, newest first; [`Lane::let_go`] does it, outside the lock.
    pub(crate) fn leave(&mut self, entries: Vec<(Key, Entry)>, why: Why) -> Vec<Leaving> {
        let thread = thread::current();
        let mut leaving: Vec<_> = entries
            .into_iter()
            .map(|(key, mut entry)| {
                self.spoiled.extend(entry.about.take_spoiled());
                let ticket = clock::unique();
                let clears = self.clears_of(&key);
                let dropping = Dropping {
                    key: key.clone(),
                    thread: thread.clone(),
                };
                self.dropping.insert(ticket, dropping);
                Leaving {
                    ticket,
                    key,
                    entry,
                    why,
                    clears,
                }
            })
            .collect();
        leaving.sort_by_key(|leaving| std::cmp::Reverse(leaving.entry.about.order));
        leaving
    }

    /// Whether an earlier instance is still in its `Drop`, on another thread, and who does it.
    pub(crate) fn is_being_dropped(&self, key: &Key, own_thread: ThreadId) -> Option<String> {
        self.dropping
            .values()
            .find(|dropping| dropping.key == *key && dropping.thread.id() != own_thread)
            .map(|dropping| format!("{} still drops its predecessor", name_of(&dropping.thread)))
    }

    /// At most one instance is handed out at a time, so an evicted one that is still held comes back.
    pub(crate) fn reinstate(&mut self, key: &Key, tick: u64) {
        let clears = self.clears_of(key);
        let may_come_back = |gone: &Forgotten| {
            gone.key == *key
                && gone.why == Why::Evicted
                && gone.clears == clears
                && self.fakes(&gone.about.from) == gone.about.fakes
        };
        let Some(index) = self.forgotten.iter().position(may_come_back) else {
            return;
        };
        if let (Some(instance), Some(cache)) = (
            self.forgotten[index].about.number.upgrade(),
            self.caches.get_mut(&key.locator),
        ) {
            let Forgotten { key, about, .. } = self.forgotten.swap_remove(index);
            cache.put(key, Entry { instance, about }, tick);
        }
    }

    /// A test is over: evicted ones that were good for it alone come back no more, whoever holds them.
    pub(crate) fn stay_away(&mut self, was_for_it: impl Fn(&About) -> bool) {
        let of_it = self.forgotten.iter_mut().filter(|gone| was_for_it(&gone.about));
        of_it.for_each(|gone| gone.why = Why::TestOver);
    }

    /// What a build came to that was overtaken by a clear: nobody else is handed it, whoever holds it is known.
    pub(crate) fn keep_track(&mut self, key: &Key, about: About) {
        self.forgotten.push(Forgotten {
            key: key.clone(),
            about,
            why: Why::Cleared,
            clears: self.clears_of(key),
        });
    }

    fn holders_of_forgotten(&self, number: u64) -> usize {
        let gone = self
            .forgotten
            .iter()
            .find(|gone| gone.about.number.get() == number);
        gone.map_or(0, |gone| gone.about.number.holders())
    }

    fn clears_of(&self, key: &Key) -> u64 {
        self.caches.get(&key.locator).map_or(0, |cache| cache.clears)
    }

    /// Those that nobody holds any more, to be dropped outside the lock.
    pub(crate) fn take_dead(&mut self) -> Vec<Forgotten> {
        let mut dead: Vec<_> = self
            .forgotten
            .extract_if(.., |forgotten| forgotten.about.number.holders() == 0)
            .collect();
        for forgotten in &mut dead {
            self.count_out(forgotten);
        }
        dead
    }

    /// Its cache remembers its uses, and the lane what a panic spoiled with it.
    fn count_out(&mut self, gone: &mut Forgotten) {
        self.spoiled.extend(gone.about.take_spoiled());
        if let Some(cache) = self.caches.get_mut(&gone.key.locator) {
            cache.gone_hits += gone.about.all_hits();
        }
    }
}

/// In a process of its own: instances are held on purpose beyond a clear, and that is not to be recorded.
#[cfg(test)]
#[cfg(all(unix, not(any(miri, loom))))]
mod tests {
    use super::*;
    use crate::locator::lane::all;
    use crate::locator::registry::Scope;
    use crate::locator::{LazyProxy, ServiceLocator, resolve};
    use crate::sys::role::{play, plays, role};
    use crate::worker::Worker;

    const PATH: &str = "locator::lane::retired::tests::role_caught";

    #[test]
    fn what_is_caught_between_its_eviction_and_its_drop_is_still_the_one() {
        let base = tempfile::tempdir().unwrap();
        play(role(PATH, "caught").env("COFFERDAM_DIR", base.path()))
            .end()
            .passed();
    }

    struct Base(u32);
    struct Top(u32);
    struct Late(LazyProxy<Base>);
    struct OfTest;
    struct Reset;

    fn locator() -> ServiceLocator {
        ServiceLocator::builder()
            .register::<Base>(|_| Ok(Arc::new(Base(0))))
            .register::<Top>(|cx| Ok(Arc::new(Top(cx.get::<Base>()?.0))))
            .register::<Late>(|cx| Ok(Arc::new(Late(cx.lazy()?))))
            .register::<OfTest>(|_| Ok(Arc::new(OfTest)))
            .per_test()
            .register::<Reset>(|_| Ok(Arc::new(Reset)))
            .reset(|_| Ok(()))
            .build()
    }

    /// Builds a service and evicts it; before it is dropped somebody takes hold of it, as other threads do by what
    /// they remember.
    fn caught<T: Send + Sync + 'static>(locator: &ServiceLocator) -> Arc<T> {
        let weak = Arc::downgrade(&locator.get::<T>().into_arc());
        let (lane, leaving) = evicted::<T>(locator);
        let caught = weak.upgrade().unwrap();
        resolve::let_go(&lane, leaving);
        caught
    }

    fn evicted<T: Send + Sync + 'static>(locator: &ServiceLocator) -> (Arc<Lane>, Vec<Leaving>) {
        let lane = all::of(Scope::Worker, &Worker::current());
        let key = &locator.find::<T>("").unwrap().key;
        let last_use = lane.lock().caches[&key.locator]
            .entry(key)
            .unwrap()
            .about
            .last_tick();
        let leaving = lane.evict(key, last_use);
        assert_eq!(leaving.len(), 1);
        (lane, leaving)
    }

    /// What a thread is handed that remembers nothing.
    fn handed<T: Send + Sync + 'static>(locator: &ServiceLocator) -> Arc<T> {
        let locator = locator.clone();
        Worker::current()
            .spawn(move || locator.get::<T>())
            .join()
            .unwrap()
            .into_arc()
    }

    #[test]
    #[ignore = "a role"]
    fn role_caught() {
        if !plays(PATH) {
            return;
        }
        is_still_the_one();
        has_each_of_its_uses_told_once();
        is_not_handed_out_after_a_clear();
        is_set_aside_for_a_fake();
        is_set_aside_for_a_fake_that_its_proxy_would_be();
        is_not_the_next_tests();
    }

    fn is_still_the_one() {
        let locator = locator();
        let top = caught::<Top>(&locator);
        assert!(Arc::ptr_eq(&handed(&locator), &top));
    }

    fn has_each_of_its_uses_told_once() {
        let locator = locator();
        drop(locator.get::<Top>());
        let top = caught::<Top>(&locator);
        handed::<Top>(&locator);
        handed::<Top>(&locator);
        drop(top);
        let (lane, leaving) = evicted::<Top>(&locator);
        let all = leaving[0].entry.about.all_hits();
        let gone = lane.let_go(leaving);
        assert!(all > 1);
        assert_eq!(gone[0].hits, all - 1, "one was told before");
    }

    fn is_not_handed_out_after_a_clear() {
        let locator = locator();
        let top = caught::<Top>(&locator);
        locator.clear_worker();
        assert!(!Arc::ptr_eq(&handed(&locator), &top));
    }

    fn is_set_aside_for_a_fake() {
        let locator = locator();
        let top = caught::<Top>(&locator);
        let fake = locator.override_with(Arc::new(Base(7)));
        assert_eq!(handed::<Top>(&locator).0, 7);
        drop(fake);
        assert!(Arc::ptr_eq(&handed(&locator), &top));
    }

    fn is_set_aside_for_a_fake_that_its_proxy_would_be() {
        let locator = locator();
        let late = caught::<Late>(&locator);
        assert_eq!(late.0.0, 0);
        assert!(Arc::ptr_eq(&handed(&locator), &late));
        let _fake = locator.override_with(Arc::new(Base(7)));
        assert_eq!(handed::<Late>(&locator).0.0, 7);
    }

    fn is_not_the_next_tests() {
        fn test<R: Send>(name: &str, work: impl FnOnce() -> R + Send) -> R {
            thread::scope(|scope| {
                let test = thread::Builder::new().name(name.to_owned());
                test.spawn_scoped(scope, work).unwrap().join().unwrap()
            })
        }
        let locator = locator();
        let get = || {
            (
                Worker::current().id().to_owned(),
                handed(&locator),
                handed(&locator),
            )
        };
        let (of_test, reset) = test("a::first", || {
            (caught::<OfTest>(&locator), caught::<Reset>(&locator))
        });
        let (lane, of_next, not_reset) = test("a::second", get);
        assert_eq!(lane, "w1", "the lane of the first one");
        assert!(!Arc::ptr_eq(&of_test, &of_next));
        assert!(!Arc::ptr_eq(&reset, &not_reset));
    }
}
