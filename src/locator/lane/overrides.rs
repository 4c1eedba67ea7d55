//! Fakes in the place of services, and the services set aside for them.

use super::cache::{About, Cache, Entry};
use super::retired::Leaving;
use super::state::State;
use super::{Given, Lane};
use crate::event::Why;
use crate::locator::instance::Instance;
use crate::locator::registry::Key;
use crate::sys::clock;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// An override that is never in force; what is numbered begins with 1.
const NOBODYS: u64 = 0;

/// A fake in the place of a service, for one test.
pub(crate) struct Layer {
    pub(crate) id: u64,
    pub(crate) key: Key,
    pub(crate) life: u64,
    pub(crate) entry: Entry,
}

impl Layer {
    pub(crate) fn give(&mut self, life: u64, epoch: u64, tick: u64) -> Given {
        Given {
            fakes: BTreeSet::from([self.id]),
            ..self.entry.give(life, epoch, tick)
        }
    }
}

impl Lane {
    /// The fake that stands in the place of a service which lies in another lane.
    pub(crate) fn fake(&self, key: &Key, life: u64) -> Option<Given> {
        let tick = self.tick();
        let mut state = self.lock();
        let epoch = state.epoch;
        let mut layers = state.layers.iter_mut().rev();
        let layer = layers.find(|layer| layer.key == *key && layer.life == life)?;
        Some(layer.give(life, epoch, tick))
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
        let Some(holder) = state.abouts_mut().find(|about| about.build == holder) else {
            return Vec::new();
        };
        holder.parts.push(given.number);
        let first = BTreeSet::from([holder.number.get()]);
        let all: Vec<_> = state.abouts_mut().map(|about| &*about).collect();
        let affected = with_all_built_from(first, &all);
        let aside: BTreeSet<_> = state.hidden.iter().map(|(_, entry)| entry.number()).collect();
        for about in state.abouts_mut() {
            let number = about.number.get();
            if !affected.contains(&number) {
                continue;
            }
            // Set aside, and now with a fake in it all the same: there is no setting that it fits.
            if aside.contains(&number) && !given.fakes.is_subset(&about.fakes) {
                about.fakes.insert(NOBODYS);
            }
            let from = Arc::make_mut(&mut about.from);
            from.extend(given.from.iter().chain([key]).cloned());
            about.fakes.extend(&given.fakes);
        }
        if state.layers.is_empty() && given.fakes.is_empty() {
            return Vec::new();
        }
        // It may be a fake's now, or what a fake has to hide.
        self.next_epoch(&mut state);
        state.sort_out()
    }
}

impl State {
    /// What is known of all that is cached, set aside, or held by somebody still and may come back.
    pub(crate) fn abouts_mut(&mut self) -> impl Iterator<Item = &mut About> {
        let cached = self.caches.values_mut().flat_map(Cache::entries_mut);
        let hidden = self.hidden.iter_mut().map(|(_, entry)| entry);
        let forgotten = self.forgotten.iter_mut().map(|gone| &mut gone.about);
        let held = cached.map(|(_, entry)| entry).chain(hidden);
        held.map(|entry| &mut entry.about).chain(forgotten)
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

    /// A new instance may be built from one that was handed something later, while the new one was being built.
    pub(crate) fn complete(&self, about: &mut About) {
        let entries = about
            .from
            .iter()
            .filter_map(|key| self.caches.get(&key.locator)?.entry(key));
        let parts = entries.filter(|entry| about.parts.contains(&entry.about.number.get()));
        let late: Vec<_> = parts
            .flat_map(|part| part.about.from.difference(&about.from))
            .cloned()
            .collect();
        if !late.is_empty() {
            Arc::make_mut(&mut about.from).extend(late);
        }
    }

    /// After the overrides changed: what is being built from what was in force before goes to those who wait for
    /// it, and no further.
    pub(crate) fn settle(&mut self) -> Vec<Leaving> {
        self.flights.leave(|_| true);
        self.sort_out()
    }

    /// Sets services aside, brings them back or gives them up, as the overrides in force want it.
    fn sort_out(&mut self) -> Vec<Leaving> {
        let mut loose = std::mem::take(&mut self.hidden);
        for cache in self.caches.values_mut() {
            loose.extend(cache.take_all(|_, _| true));
        }
        let is_current = |entry: &Entry| self.fakes(&entry.about.from) == entry.about.fakes;
        // Where several would do, the first is there again; what is built from another goes with that.
        loose.sort_by_key(|(_, entry)| entry.about.order);
        let mut taken = HashSet::new();
        let others = loose
            .iter()
            .filter(|(key, entry)| is_current(entry) && !taken.insert(key))
            .map(|(_, entry)| entry.number())
            .collect();
        let all: Vec<_> = loose.iter().map(|(_, entry)| &entry.about).collect();
        let superfluous = with_all_built_from(others, &all);
        // Last used last, so that the order of use survives.
        loose.sort_by_key(|(_, entry)| (entry.about.last_tick(), entry.about.order));
        let mut dead = Vec::new();
        for (key, entry) in loose {
            let mut fakes = entry.about.fakes.iter();
            let is_dead = fakes.any(|fake| !self.layers.iter().any(|layer| layer.id == *fake));
            let is_current = self.fakes(&entry.about.from) == entry.about.fakes;
            match self.caches.get_mut(&key.locator) {
                _ if is_dead || superfluous.contains(&entry.number()) => dead.push((key, entry)),
                _ if !is_current => self.hidden.push((key, entry)),
                Some(cache) => {
                    let tick = entry.about.last_tick();
                    cache.put(key, entry, tick);
                }
                None => dead.push((key, entry)),
            }
        }
        self.leave(dead, Why::Overridden)
    }
}

impl Entry {
    fn number(&self) -> u64 {
        self.about.number.get()
    }
}

/// These, by number, and all that is built from any of them, at any depth.
fn with_all_built_from(mut these: BTreeSet<u64>, among: &[&About]) -> BTreeSet<u64> {
    loop {
        let known = these.len();
        for about in among {
            if about.parts.iter().any(|part| these.contains(part)) {
                these.insert(about.number.get());
            }
        }
        if these.len() == known {
            return these;
        }
    }
}
