//! The state of a cache at one moment, as plain data for diagnostics.

use super::cache::{Cache, InstanceInfo};
use crate::locator::service::Lifetime;
use crate::resource::{Access, Resource};

/// One worker's cache of one locator.
#[derive(Clone, Debug)]
pub(crate) struct CacheView {
    pub(crate) locator: String,
    /// The worker's ID; `all workers` for shared services, and `all workers, isolation off` for the others with
    /// `COFFERDAM_ISOLATION=off`.
    pub(crate) worker: String,
    pub(crate) capacity: Option<usize>,
    pub(crate) epoch: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) builds: u64,
    pub(crate) evictions: u64,
    pub(crate) entries: Vec<EntryView>,
}

impl CacheView {
    pub(super) fn new(worker: &str, epoch: u64, cache: &Cache, entries: Vec<EntryView>) -> Self {
        Self {
            locator: cache.locator.to_string(),
            worker: worker.to_owned(),
            capacity: cache.capacity,
            epoch,
            hits: cache.past_hits + entries.iter().map(|entry| entry.hits).sum::<u64>(),
            misses: cache.misses,
            builds: cache.builds,
            evictions: cache.evictions,
            entries,
        }
    }
}

/// One instance.
#[derive(Clone, Debug)]
pub(crate) struct EntryView {
    pub(crate) service: String,
    pub(crate) type_name: &'static str,
    /// The same number in two caches is the same instance.
    pub(crate) instance: u64,
    pub(crate) shared: bool,
    pub(crate) state: InstanceState,
    /// Microseconds since 1970.
    pub(crate) built_at: u64,
    pub(crate) used_at: u64,
    pub(crate) build_micros: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    /// The number of references besides the cache's own.
    pub(crate) holders: usize,
    pub(crate) asked: Vec<String>,
    pub(crate) claims: Vec<(Resource, Access, Vec<String>)>,
    /// The source line of the factory.
    pub(crate) place: String,
    /// The epoch in which it was built.
    pub(crate) epoch: u64,
}

/// The state of an instance, which decides whether `get` returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InstanceState {
    Cached,
    /// A fake in place of a service.
    Override,
    /// Set aside while an override is in force.
    SetAside,
    /// Given up by the cache and still held elsewhere.
    Retired,
}

impl EntryView {
    pub(super) fn new(info: &InstanceInfo, state: InstanceState, holders: usize) -> Self {
        let service = &info.service;
        let claims = info.claims.iter();
        Self {
            service: service.label(),
            type_name: service.type_name,
            instance: info.number.get(),
            shared: service.lifetime == Lifetime::Shared,
            state,
            built_at: info.built_at,
            used_at: info.used_at,
            build_micros: info.build_micros,
            hits: info.all_hits(),
            misses: info.misses,
            holders,
            asked: info.asked.clone(),
            claims: claims
                .map(|claim| (claim.resource.clone(), claim.access, claim.guards.clone()))
                .collect(),
            place: service.place.to_string(),
            epoch: info.epoch,
        }
    }
}
