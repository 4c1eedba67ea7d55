//! What a cache looks like from outside at one moment, as plain data for diagnostics.

use crate::event::{Access, Resource};

/// One worker's cache of one locator.
#[derive(Clone, Debug)]
pub(crate) struct CacheView {
    pub(crate) locator: String,
    /// The worker's ID; `shared` for what was declared as shared.
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
