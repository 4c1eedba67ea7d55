//! Letting go: what a lane gives up is dropped outside its lock, and what somebody still holds is kept track of.

use super::cache::{About, Entry};
use super::instance::Instance;
use super::lane::Lane;
use super::registry::Key;
use super::state::State;
use crate::event::Why;
use crate::exit;
use crate::sys::clock;
use std::panic::{AssertUnwindSafe, catch_unwind};
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

impl Lane {
    /// Drops what was given up, outside every lock, and keeps track of what somebody still holds. `told` hears of
    /// each, and of a panic in its `Drop`.
    pub(crate) fn let_go(&self, leaving: Vec<Leaving>, told: impl Fn(&About, Why, usize, Option<String>)) {
        let mut gone = Vec::new();
        for Leaving {
            ticket,
            key,
            entry,
            why,
            clears,
        } in leaving
        {
            let Entry { instance, about } = entry;
            let panic = drop_it(instance);
            let holders = about.number.holders();
            told(&about, why, holders, panic);
            let mut state = self.lock();
            state.dropping.remove(&ticket);
            let forgotten = Forgotten {
                key,
                about,
                why,
                clears,
            };
            if holders > 0 {
                state.forgotten.push(forgotten);
            } else {
                state.count_out(&forgotten);
                gone.push(forgotten);
            }
            drop(state);
            self.changed.notify_all();
        }
        // The dead ones would keep their memory. Their factories may die with them, which is the user's code too.
        gone.extend(self.lock().take_dead());
        drop(gone);
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
