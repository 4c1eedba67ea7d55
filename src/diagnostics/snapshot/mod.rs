//! The state of every cache of a process at one moment, as data.

mod write;

pub use write::MARK;

use crate::error::Error;
use crate::file::write_atomic;
use crate::locator;
use crate::locator::lane::view;
use crate::resource::{Access, Resource};
use crate::sys::{clock, process};
use crate::{journal, run};
use std::path::Path;

/// The version of the snapshots that this build writes.
pub const VERSION: u64 = 1;

/// The state of every cache of one process at one moment.
///
/// It holds names, numbers and source places; never a service's value, an environment variable's or an argument.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The moment, in microseconds since 1970.
    pub taken_at: u64,
    /// The run that the process belongs to.
    pub run: String,
    /// The session that records, if any.
    pub session: Option<String>,
    /// The process.
    pub process: Process,
    /// Its caches, by locator and worker.
    pub caches: Vec<Cache>,
}

/// The process of a [`Snapshot`].
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// The process ID.
    pub pid: u32,
    /// Its start in the kernel's ticks since boot; 0 where the system does not say.
    pub started: u64,
    /// The boot of the machine it runs on; empty where the system does not say.
    pub boot: String,
    /// The program, as people call it.
    pub binary: String,
    /// Resident memory in bytes; `None` where the system does not report it.
    pub memory: Option<u64>,
}

/// One worker's cache of one locator.
#[derive(Clone, Debug, PartialEq)]
pub struct Cache {
    /// The locator's name.
    pub locator: String,
    /// The worker's ID; `all workers` for what was declared as shared, and `all workers, isolation off` for the rest where
    /// `COFFERDAM_ISOLATION=off` is set.
    pub worker: String,
    /// The maximum number of instances that it keeps without a holder; `None` for no limit.
    pub capacity: Option<u64>,
    /// Raised by each clearing and override.
    pub epoch: u64,
    /// Calls that found an instance.
    pub hits: u64,
    /// Calls that found no instance.
    pub misses: u64,
    /// Factories that returned an instance.
    pub builds: u64,
    /// Instances that were evicted because the cache was full.
    pub evictions: u64,
    /// The instances in it.
    pub entries: Vec<Entry>,
}

/// One instance in a [`Cache`].
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The service, as it was registered.
    pub service: String,
    /// The name of its type.
    pub type_name: String,
    /// The same number in two caches of one process is the same instance.
    pub instance: u64,
    /// Declared as shared by all workers.
    pub shared: bool,
    /// The state of the instance.
    pub state: EntryState,
    /// The moment at which its factory returned, in microseconds since 1970.
    pub built_at: u64,
    /// The moment of its last use, in microseconds since 1970.
    pub used_at: u64,
    /// The time that its factory took, without the services that it asked for, in microseconds.
    pub build_micros: u64,
    /// Calls it answered.
    pub hits: u64,
    /// Calls that found it missing.
    pub misses: u64,
    /// References besides the cache's own.
    pub holders: u64,
    /// The services that its factory asked for.
    pub asked: Vec<String>,
    /// Its claims.
    pub claims: Vec<Claim>,
    /// The factory's source place.
    pub place: String,
    /// The epoch in which it was built.
    pub epoch: u64,
}

/// The state of an instance in a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryState {
    /// `get` returns it.
    Cached,
    /// `get` returns it: a fake in place of a service.
    Override,
    /// `get` does not return it while an override is in force.
    Hidden,
    /// `get` does not return it: the cache dropped it, and it is still held.
    Forgotten,
}

impl EntryState {
    /// Every state, in the order of declaration.
    pub const ALL: &'static [Self] = &[Self::Cached, Self::Override, Self::Hidden, Self::Forgotten];

    /// Returns the word for the state in snapshots.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Override => "override",
            Self::Hidden => "hidden",
            Self::Forgotten => "forgotten",
        }
    }
}

/// A claim of a service in a [`Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The resource.
    pub resource: Resource,
    /// The way to use it.
    pub access: Access,
    /// The names of the locks held.
    pub guards: Vec<String>,
}

/// Returns the state of every cache of this process at this moment.
///
/// Each cache is locked in turn while it is copied, so workers that continue are seen at slightly different
/// times. Costs about as much as copying the names of all entries.
#[inline]
pub fn collect() -> Snapshot {
    let facts = run::facts();
    Snapshot {
        taken_at: clock::micros(),
        run: run::run().id.clone(),
        session: run::session(),
        process: Process {
            pid: facts.pid,
            started: facts.started,
            boot: facts.space.boot.clone(),
            binary: journal::binary(),
            memory: process::resident_memory(),
        },
        caches: locator::views(None).into_iter().map(Cache::from).collect(),
    }
}

impl Snapshot {
    /// Writes it as JSON in one step: a reader finds the old file or the new one, never a part.
    ///
    /// # Errors
    /// When the directory of `path` is missing or cannot be written to, or the disk is full. The old file stays then.
    #[inline]
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        write_atomic(path, self.to_json())
    }

    /// Returns the snapshot as one line of JSON. docs/reference/snapshot.md describes it.
    #[inline]
    pub fn to_json(&self) -> String {
        write::json(self)
    }
}

impl From<view::CacheView> for Cache {
    #[inline]
    fn from(view: view::CacheView) -> Self {
        Self {
            locator: view.locator,
            worker: view.worker,
            capacity: view.capacity.map(|capacity| capacity as u64),
            epoch: view.epoch,
            hits: view.hits,
            misses: view.misses,
            builds: view.builds,
            evictions: view.evictions,
            entries: view.entries.into_iter().map(Entry::from).collect(),
        }
    }
}

impl From<view::EntryView> for Entry {
    #[inline]
    fn from(view: view::EntryView) -> Self {
        let claims = view.claims.into_iter().map(|(resource, access, guards)| Claim {
            resource,
            access,
            guards,
        });
        Self {
            service: view.service,
            type_name: view.type_name.to_owned(),
            instance: view.instance,
            shared: view.shared,
            state: match view.state {
                view::InstanceState::Cached => EntryState::Cached,
                view::InstanceState::Override => EntryState::Override,
                view::InstanceState::SetAside => EntryState::Hidden,
                view::InstanceState::Retired => EntryState::Forgotten,
            },
            built_at: view.built_at,
            used_at: view.used_at,
            build_micros: view.build_micros,
            hits: view.hits,
            misses: view.misses,
            holders: view.holders as u64,
            asked: view.asked,
            claims: claims.collect(),
            place: view.place,
            epoch: view.epoch,
        }
    }
}
