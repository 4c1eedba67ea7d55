//! Letting go: what a lane gives up is dropped outside its lock, and what somebody still holds is kept track of.

use super::cache::{About, Entry};
use super::instance::Ghost;
use super::lane::Lane;
use super::registry::Key;
use super::state::State;
use crate::event::Why;
use crate::sys::clock;
use std::thread::ThreadId;

pub(crate) struct Dropping {
    ticket: u64,
    key: Key,
    thread: ThreadId,
}

pub(crate) struct Forgotten {
    pub(crate) key: Key,
    pub(crate) ghost: Ghost,
    pub(crate) about: About,
    pub(super) why: Why,
}

/// An entry that the lane gave up; dropping it is [`Lane::let_go`]'s.
pub(crate) struct Leaving {
    ticket: u64,
    pub(crate) key: Key,
    pub(crate) entry: Entry,
    pub(crate) why: Why,
}

impl Lane {
    /// Drops what was given up, outside every lock, and keeps track of what somebody still holds. `told` hears of
    /// each, and of a panic in its `Drop`.
    pub(crate) fn let_go(&self, leaving: Vec<Leaving>, told: impl Fn(&About, Why, usize, Option<String>)) {
        for Leaving {
            ticket,
            key,
            entry,
            why,
        } in leaving
        {
            let Entry { instance, about } = entry;
            let ghost = instance.ghost();
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(instance)));
            let holders = ghost.holders();
            told(
                &about,
                why,
                holders,
                panic.err().map(|panic| crate::exit::message(&*panic)),
            );
            let mut state = self.lock();
            state.dropping.retain(|dropping| dropping.ticket != ticket);
            // The dead ones would keep their memory.
            state.forgotten.retain(|forgotten| forgotten.ghost.holders() > 0);
            if holders > 0 {
                state.forgotten.push(Forgotten {
                    key,
                    ghost,
                    about,
                    why,
                });
            }
            drop(state);
            self.changed.notify_all();
        }
    }
}

impl State {
    /// Marks entries as being dropped; [`Lane::let_go`] does it, outside the lock.
    pub(crate) fn leave(&mut self, entries: Vec<(Key, Entry)>, why: Why) -> Vec<Leaving> {
        let thread = std::thread::current().id();
        let mut leaving: Vec<_> = entries
            .into_iter()
            .map(|(key, entry)| {
                let ticket = clock::unique();
                self.dropping.push(Dropping {
                    ticket,
                    key: key.clone(),
                    thread,
                });
                if let Some(cache) = self.caches.get_mut(&key.locator) {
                    cache.gone_hits += entry.about.all_hits();
                }
                Leaving {
                    ticket,
                    key,
                    entry,
                    why,
                }
            })
            .collect();
        leaving.sort_by_key(|leaving| std::cmp::Reverse(leaving.entry.about.order));
        leaving
    }

    /// Whether an earlier instance is still in its `Drop`, on another thread, and who does it.
    pub(super) fn is_being_dropped(&self, key: &Key, own_thread: ThreadId) -> Option<String> {
        self.dropping
            .iter()
            .find(|dropping| dropping.key == *key && dropping.thread != own_thread)
            .map(|dropping| format!("its predecessor is still being dropped on {:?}", dropping.thread))
    }

    /// At most one instance is handed out in an epoch, so an evicted one that is still held comes back.
    pub(super) fn reinstate(&mut self, key: &Key, epoch: u64, tick: u64) {
        let is_it = |why: Why, about: &About| why == Why::Evicted && about.epoch == epoch;
        let Some(index) = self
            .forgotten
            .iter()
            .position(|forgotten| forgotten.key == *key && is_it(forgotten.why, &forgotten.about))
        else {
            return;
        };
        let forgotten = self.forgotten.swap_remove(index);
        if let (Some(instance), Some(cache)) = (forgotten.ghost.upgrade(), self.caches.get_mut(&key.locator))
        {
            cache.put(
                key.clone(),
                Entry {
                    instance,
                    about: forgotten.about,
                },
                tick,
            );
        }
    }
}
