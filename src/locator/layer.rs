//! Fakes in the place of services, and the services set aside for them.

use super::cache::{About, Cache, Entry};
use super::instance::Instance;
use super::lane::{Given, Lane};
use super::leaving::Leaving;
use super::registry::Key;
use super::state::State;
use crate::event::Why;
use crate::sys::clock;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A fake in the place of a service, for one test.
pub(crate) struct Layer {
    pub(crate) id: u64,
    pub(crate) key: Key,
    pub(crate) life: u64,
    pub(crate) entry: Entry,
}

impl Lane {
    /// The fake that stands in the place of a service which lies in another lane.
    pub(crate) fn fake(&self, key: &Key, life: u64) -> Option<Given> {
        let tick = self.tick();
        let mut state = self.lock();
        let epoch = state.epoch;
        let mut layers = state.layers.iter_mut().rev();
        let layer = layers.find(|layer| layer.key == *key && layer.life == life)?;
        Some(layer.entry.give(life, epoch, tick))
    }

    /// Puts a fake in the place of a service; returns its number and what has to go for it.
    pub(crate) fn add_layer(&self, key: Key, life: u64, fake: Instance, about: About) -> (u64, Vec<Leaving>) {
        let mut state = self.lock();
        let id = clock::unique();
        let entry = Entry {
            instance: fake,
            about,
        };
        state.layers.push(Layer { id, key, life, entry });
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

    /// What came of the build `holder` was handed a service only now, by its proxy: from here on it is built from
    /// that too, and so is all that is built from it.
    pub(crate) fn also_from(&self, holder: u64, key: &Key, given: &Given) -> Vec<Leaving> {
        let mut state = self.lock();
        let Some(holder) = state.entries_mut().find(|(_, entry)| entry.about.build == holder) else {
            return Vec::new();
        };
        let mut affected = BTreeSet::from([holder.1.about.number.get()]);
        holder.1.about.parts.push(given.number);
        loop {
            let known = affected.len();
            for (_, entry) in state.entries_mut() {
                if entry.about.parts.iter().any(|part| affected.contains(part)) {
                    affected.insert(entry.about.number.get());
                }
            }
            if affected.len() == known {
                break;
            }
        }
        let mut all = (*given.from).clone();
        all.insert(key.clone());
        let fakes = state.fakes(&all);
        for (_, entry) in state.entries_mut() {
            if affected.contains(&entry.about.number.get()) {
                Arc::make_mut(&mut entry.about.from).extend(all.iter().cloned());
                entry.about.fakes.extend(&fakes);
            }
        }
        // What is set aside and holds a fake will never be right again.
        let is_spoilt = |about: &About| !fakes.is_empty() && affected.contains(&about.number.get());
        let hidden = &mut state.hidden;
        let spoilt: Vec<_> = hidden
            .extract_if(.., |(_, entry)| is_spoilt(&entry.about))
            .collect();
        state.leave(spoilt, Why::Overridden)
    }
}

impl State {
    /// All that is cached or set aside.
    fn entries_mut(&mut self) -> impl Iterator<Item = (&Key, &mut Entry)> {
        let hidden = self.hidden.iter_mut().map(|(key, entry)| (&*key, entry));
        self.caches
            .values_mut()
            .flat_map(Cache::entries_mut)
            .chain(hidden)
    }

    /// The overrides in force for any of these keys.
    pub(crate) fn fakes(&self, keys: &BTreeSet<Key>) -> BTreeSet<u64> {
        if self.layers.is_empty() {
            return BTreeSet::new();
        }
        keys.iter()
            .filter_map(|key| self.layers.iter().rev().find(|layer| layer.key == *key))
            .map(|layer| layer.id)
            .collect()
    }

    /// Sets aside, brings back or gives up services after the overrides changed. What is being built from what was
    /// in force before goes to those who wait for it, and no further.
    pub(crate) fn settle(&mut self) -> Vec<Leaving> {
        self.flights.leave(|_| true);
        let mut loose = std::mem::take(&mut self.hidden);
        for cache in self.caches.values_mut() {
            loose.extend(cache.take_all(|_, _| true));
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
