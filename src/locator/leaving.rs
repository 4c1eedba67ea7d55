//! Letting go: what a lane gives up is dropped outside its lock, and what somebody still holds is kept track of.

use super::cache::{About, Entry};
use super::instance::Instance;
use super::lane::Lane;
use super::registry::{Key, Service};
use super::state::State;
use crate::event::{Event, Why};
use crate::exit;
use crate::journal;
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
pub(super) fn drop_it(instance: Instance) -> Option<String> {
    catch_unwind(AssertUnwindSafe(|| drop(instance)))
        .err()
        .map(exit::last_words)
}

/// What people know a thread by.
pub(super) fn name_of(thread: &Thread) -> String {
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
            let Entry { instance, about } = entry;
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
            });
            let mut state = self.lock();
            state.dropping.remove(&ticket);
            let is_held = about.number.holders() > 0;
            let forgotten = Forgotten {
                key,
                about,
                why,
                clears,
            };
            if is_held {
                state.forgotten.push(forgotten);
            } else {
                state.count_out(&forgotten);
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
        } in gone
        {
            let holders = self.lock().holders_of_forgotten(number);
            journal::write(&worker, || Event::Dropped {
                locator: service.locator.to_string(),
                service: service.label(),
                instance: number,
                why,
                holders: holders as u64,
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
            .map(|(key, entry)| {
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
    pub(super) fn is_being_dropped(&self, key: &Key, own_thread: ThreadId) -> Option<String> {
        self.dropping
            .values()
            .find(|dropping| dropping.key == *key && dropping.thread.id() != own_thread)
            .map(|dropping| format!("{} still drops its predecessor", name_of(&dropping.thread)))
    }

    /// At most one instance is handed out at a time, so an evicted one that is still held comes back.
    pub(super) fn reinstate(&mut self, key: &Key, tick: u64) {
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

    /// What a build came to that was overtaken by a clear: nobody else is handed it, whoever holds it is known.
    pub(super) fn keep_track(&mut self, key: &Key, about: About) {
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
        let dead: Vec<_> = self
            .forgotten
            .extract_if(.., |forgotten| forgotten.about.number.holders() == 0)
            .collect();
        for forgotten in &dead {
            self.count_out(forgotten);
        }
        dead
    }

    /// Its cache remembers its uses.
    fn count_out(&mut self, gone: &Forgotten) {
        if let Some(cache) = self.caches.get_mut(&gone.key.locator) {
            cache.gone_hits += gone.about.all_hits();
        }
    }
}
