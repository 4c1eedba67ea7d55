//! What a cache looks like from outside at one moment, as plain data for diagnostics.

use super::Lane;
use super::cache::{About, Cache};
use super::state::State as Contents;
use crate::locator::registry::{Key, Scope};
use crate::resource::{Access, Resource};

/// One worker's cache of one locator.
#[derive(Clone, Debug)]
pub(crate) struct CacheView {
    pub(crate) locator: String,
    /// The worker's ID; `all workers` for what was declared as shared, and `all workers, isolation off` for the rest where
    /// `COFFERDAM_ISOLATION=off` is set.
    pub(crate) worker: String,
    pub(crate) capacity: Option<usize>,
    pub(crate) epoch: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) builds: u64,
    pub(crate) evictions: u64,
    pub(crate) entries: Vec<EntryView>,
}

/// One instance in a cache.
#[derive(Clone, Debug)]
pub(crate) struct EntryView {
    pub(crate) service: String,
    pub(crate) type_name: &'static str,
    /// The same number in two caches is the same instance.
    pub(crate) instance: u64,
    pub(crate) shared: bool,
    pub(crate) state: State,
    /// Microseconds since 1970.
    pub(crate) built_at: u64,
    pub(crate) used_at: u64,
    pub(crate) build_micros: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    /// References besides the cache's own.
    pub(crate) holders: usize,
    pub(crate) asked: Vec<String>,
    pub(crate) claims: Vec<(Resource, Access, Vec<String>)>,
    /// The factory's source place.
    pub(crate) place: String,
    /// Epoch in which it was built.
    pub(crate) epoch: u64,
}

/// Whether `get` would hand it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Cached,
    /// A fake put in the place of a service.
    Override,
    /// Set aside while an override is in force.
    Hidden,
    /// Let go of by the cache, still held by somebody.
    Forgotten,
}

impl Lane {
    /// What lies here now, of one locator or of all.
    pub(crate) fn views(&self, only: Option<u64>) -> Vec<CacheView> {
        let mut state = self.lock();
        let dead = state.take_dead();
        let caches = state
            .caches
            .iter()
            .filter(|(locator, _)| only.is_none_or(|only| only == **locator));
        let views = caches
            .map(|(locator, cache)| {
                let mut entries = state.entries_of(*locator);
                entries.sort_by_key(|entry| (entry.built_at, entry.instance));
                CacheView {
                    locator: cache.locator.to_string(),
                    worker: self.name.clone(),
                    capacity: cache.capacity,
                    epoch: state.epoch,
                    hits: cache.gone_hits + entries.iter().map(|entry| entry.hits).sum::<u64>(),
                    misses: cache.misses,
                    builds: cache.builds,
                    evictions: cache.evictions,
                    entries,
                }
            })
            .collect();
        drop(state);
        drop(dead);
        views
    }
}

impl Contents {
    fn entries_of(&self, locator: u64) -> Vec<EntryView> {
        let is_of = |key: &Key| key.locator == locator;
        let cached = self.caches.get(&locator).into_iter().flat_map(Cache::entries);
        let hidden = self.hidden.iter().filter(|(key, _)| is_of(key));
        let fakes = self.layers.iter().filter(|layer| is_of(&layer.key));
        let held = cached
            .map(|(_, entry)| (entry, State::Cached))
            .chain(hidden.map(|(_, entry)| (entry, State::Hidden)))
            .chain(fakes.map(|layer| (&layer.entry, State::Override)))
            .map(|(entry, state)| EntryView::new(&entry.about, state, entry.instance.holders()));
        let forgotten = self.forgotten.iter().filter(|gone| is_of(&gone.key));
        let forgotten = forgotten.map(|gone| {
            let holders = gone.about.number.holders();
            EntryView::new(&gone.about, State::Forgotten, holders)
        });
        held.chain(forgotten).collect()
    }
}

impl EntryView {
    fn new(about: &About, state: State, holders: usize) -> Self {
        let service = &about.service;
        let claims = about.claims.iter();
        Self {
            service: service.label(),
            type_name: service.type_name,
            instance: about.number.get(),
            shared: service.scope == Scope::Shared,
            state,
            built_at: about.built_at,
            used_at: about.used_at,
            build_micros: about.build_micros,
            hits: about.all_hits(),
            misses: about.misses,
            holders,
            asked: about.asked.clone(),
            claims: claims
                .map(|claim| (claim.resource.clone(), claim.access, claim.guards.clone()))
                .collect(),
            place: service.place.to_string(),
            epoch: about.epoch,
        }
    }
}
