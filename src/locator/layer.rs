//! Fakes in the place of services, and the services set aside for them.

use super::cache::{About, Entry};
use super::instance::Instance;
use super::lane::Lane;
use super::leaving::Leaving;
use super::registry::Key;
use super::state::State;
use crate::event::Why;
use crate::sys::clock;
use std::collections::BTreeSet;

/// A fake in the place of a service, for one test.
pub(crate) struct Layer {
    pub(crate) id: u64,
    pub(crate) key: Key,
    pub(crate) life: u64,
    pub(crate) entry: Entry,
}

impl Lane {
    /// Whether a fake stands in the place of the service.
    pub(crate) fn has_override(&self, key: &Key) -> bool {
        self.lock().layers.iter().any(|layer| layer.key == *key)
    }

    /// Puts a fake in the place of a service; returns its number and what has to go for it.
    pub(crate) fn add_layer(&self, key: Key, life: u64, fake: Instance, about: About) -> (u64, Vec<Leaving>) {
        let mut state = self.lock();
        let id = clock::unique();
        state.layers.push(Layer {
            id,
            key,
            life,
            entry: Entry {
                instance: fake,
                about,
            },
        });
        self.next_epoch(&mut state);
        (id, state.settle())
    }

    /// Ends an override, if the end of its test has not done so.
    pub(crate) fn remove_layer(&self, id: u64) -> Vec<Leaving> {
        let mut state = self.lock();
        let Some(index) = state.layers.iter().position(|layer| layer.id == id) else {
            return Vec::new();
        };
        let layer = state.layers.remove(index);
        self.next_epoch(&mut state);
        let mut leaving = state.leave(vec![(layer.key, layer.entry)], Why::Overridden);
        leaving.extend(state.settle());
        leaving
    }
}

impl State {
    /// The overrides in force for any of these keys.
    pub(crate) fn fakes(&self, keys: &BTreeSet<Key>) -> BTreeSet<u64> {
        keys.iter()
            .filter_map(|key| self.layers.iter().rev().find(|layer| layer.key == *key))
            .map(|layer| layer.id)
            .collect()
    }

    /// Sets aside, brings back or gives up services after the overrides changed.
    pub(crate) fn settle(&mut self) -> Vec<Leaving> {
        let mut loose = std::mem::take(&mut self.hidden);
        for cache in self.caches.values_mut() {
            loose.extend(cache.take_all(|_| true));
        }
        // Oldest first, so that their order of use survives where nobody has used them since.
        loose.sort_by_key(|(_, entry)| (entry.about.last_tick(), entry.about.order));
        let mut dead = Vec::new();
        for (key, entry) in loose {
            let is_current = self.fakes(&entry.about.from) == entry.about.fakes;
            let is_dead = entry
                .about
                .fakes
                .iter()
                .any(|fake| !self.layers.iter().any(|layer| layer.id == *fake));
            match self.caches.get_mut(&key.locator) {
                Some(cache) if is_current && !cache.has(&key) => {
                    let tick = entry.about.last_tick();
                    cache.put(key, entry, tick);
                }
                _ if is_dead || is_current => dead.push((key, entry)),
                _ => self.hidden.push((key, entry)),
            }
        }
        self.leave(dead, Why::Overridden)
    }
}
