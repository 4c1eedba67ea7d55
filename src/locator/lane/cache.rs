//! The LRU cache of one worker and one locator: instances, use counts, and the order of eviction.
//!
//! The fast path of `get` does not come here. It increments the entry's [`UseCounter`] instead, and the counters are
//! merged into the order before anything is evicted.

use crate::locator::instance::{Instance, InstanceNumber};
use crate::locator::service::{Key, Service, ServiceClaim};
use crate::sys::clock;
use crate::worker::Worker;
#[cfg(feature = "tokio")]
use crate::worker::runtime::RuntimeRef;
use lru::LruCache;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The uses of one entry by one thread; only that thread writes them.
///
/// On a cache line of its own: with two counters on one line, two workers reached 1.00× the throughput of one instead
/// of 1.97×.
#[repr(align(128))]
#[derive(Default)]
pub(crate) struct UseCounter {
    hits: AtomicU64,
    /// The worker's tick at the last use.
    last: AtomicU64,
}

impl UseCounter {
    /// Counts one more use at `tick`. With a single writer, a load and a store suffice, and cost a tenth of `fetch_add`.
    #[inline]
    pub(crate) fn count(&self, tick: u64) {
        self.hits
            .store(self.hits.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.last.store(tick, Ordering::Relaxed);
    }
}

/// An instance in a cache.
pub(crate) struct Entry {
    pub(crate) instance: Instance,
    pub(crate) info: InstanceInfo,
}

impl Entry {
    /// Returns a reference to the instance for a test, and counts the use.
    pub(crate) fn hand_out(&mut self, execution: u64, epoch: u64, tick: u64) -> InstanceRef {
        let info = &mut self.info;
        info.hits += 1;
        info.used_at = clock::micros();
        info.touch(tick);
        let is_known = std::mem::replace(&mut info.used_by, execution) == execution;
        InstanceRef {
            instance: self.instance.clone(),
            number: info.number.get(),
            epoch,
            from: Arc::clone(&info.from),
            fakes: info.fakes.clone(),
            counter: Some(info.new_counter()),
            is_known,
            #[cfg(feature = "tokio")]
            runtime: info.runtime.clone(),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.info.number.get()
    }
}

/// A reference to an instance, with the data that a service built from it needs.
#[derive(Clone)]
pub(crate) struct InstanceRef {
    pub(crate) instance: Instance,
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    pub(crate) from: Arc<HashSet<Key>>,
    /// The overrides that it is or is built from.
    pub(crate) fakes: HashSet<u64>,
    /// The counter of this thread's later uses; `None` for an instance that is in no cache.
    pub(crate) counter: Option<Arc<UseCounter>>,
    /// Whether this execution has used the instance before.
    pub(crate) is_known: bool,
    #[cfg(feature = "tokio")]
    pub(crate) runtime: Option<RuntimeRef>,
}

/// The data of an instance, which outlives the cache's reference to it.
pub(crate) struct InstanceInfo {
    pub(crate) service: Arc<Service>,
    pub(crate) number: InstanceNumber,
    /// Later instances have higher numbers; cleanup goes from high to low.
    pub(crate) order: u64,
    pub(crate) epoch: u64,
    /// Whether a test put it in place of a service. The test may keep a reference for as long as it likes.
    pub(crate) is_fake: bool,
    /// The execution in which it was built.
    pub(crate) execution: u64,
    /// The lane's execution when it was built or last reset.
    pub(crate) fresh_for: u64,
    /// The last execution that used it, so that each is recorded once.
    pub(crate) used_by: u64,
    /// The worker that built it.
    pub(crate) worker: String,
    pub(crate) asked: Vec<String>,
    pub(crate) parts: Vec<u64>,
    /// The number of its build, by which the proxies that its factory created refer to it.
    pub(crate) build: u64,
    /// The services that it is built from, at any depth.
    pub(crate) from: Arc<HashSet<Key>>,
    /// The overrides that were in force for any of those.
    pub(crate) fakes: HashSet<u64>,
    /// Whether [`take_spoiled`](Self::take_spoiled) has returned its keys.
    spoiled_taken: bool,
    pub(crate) claims: Vec<ServiceClaim>,
    pub(crate) built_at: u64,
    pub(crate) used_at: u64,
    /// The time of its factory, without the time of nested builds.
    pub(crate) build_micros: u64,
    pub(crate) hits: u64,
    /// The hits that were reported when the cache last dropped its reference.
    reported_hits: u64,
    pub(crate) misses: u64,
    tick: u64,
    counters: Vec<Arc<UseCounter>>,
    /// The worker's runtime, if it was built on that.
    #[cfg(feature = "tokio")]
    pub(crate) runtime: Option<RuntimeRef>,
}

impl InstanceInfo {
    /// The data of a new instance. The build fills in the services that it is built from.
    pub(crate) fn new(service: &Arc<Service>, instance: &Instance, epoch: u64, worker: &Worker) -> Self {
        let now = clock::micros();
        Self {
            service: Arc::clone(service),
            number: InstanceNumber::of(instance),
            order: clock::unique(),
            epoch,
            is_fake: false,
            execution: worker.execution(),
            fresh_for: 0,
            used_by: 0,
            worker: worker.id().to_owned(),
            asked: Vec::new(),
            parts: Vec::new(),
            build: 0,
            from: Arc::default(),
            fakes: HashSet::new(),
            spoiled_taken: false,
            claims: Vec::new(),
            built_at: now,
            used_at: now,
            build_micros: 0,
            hits: 0,
            reported_hits: 0,
            misses: 0,
            tick: 0,
            counters: Vec::new(),
            #[cfg(feature = "tokio")]
            runtime: None,
        }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn is_of_runtime(&self, number: u64) -> bool {
        self.runtime
            .as_ref()
            .is_some_and(|runtime| runtime.number == number)
    }

    /// Returns a counter for one more thread.
    pub(crate) fn new_counter(&mut self) -> Arc<UseCounter> {
        self.merge_counters();
        let counter = Arc::new(UseCounter::default());
        self.counters.push(Arc::clone(&counter));
        counter
    }

    /// Merges the counters, removes those of threads that have ended, and returns the last tick.
    fn merge_counters(&mut self) -> u64 {
        let Self {
            counters, hits, tick, ..
        } = self;
        counters.retain_mut(|counter| match Arc::get_mut(counter) {
            // The thread has ended: nothing writes to the counter any more.
            Some(counter) => {
                *tick = (*tick).max(*counter.last.get_mut());
                *hits += *counter.hits.get_mut();
                false
            }
            None => {
                *tick = (*tick).max(counter.last.load(Ordering::Relaxed));
                true
            }
        });
        *tick
    }

    /// Adds the keys that a panic spoiled together with this instance: its own, and those of all services that it is
    /// built from. Adds them once only, so that the instances built afterwards stay.
    pub(crate) fn take_spoiled(&mut self, spoiled: &mut HashSet<Key>) {
        let is_new = !self.is_fake && !self.spoiled_taken && self.number.is_spoiled();
        if is_new {
            self.spoiled_taken = true;
            spoiled.insert(self.service.key.clone());
            spoiled.extend(self.from.iter().cloned());
        }
    }

    /// Records a use at `tick` that went through the cache.
    pub(crate) fn touch(&mut self, tick: u64) {
        self.tick = self.tick.max(tick);
    }

    /// Returns the tick of the last use.
    pub(crate) fn last_tick(&self) -> u64 {
        self.counters
            .iter()
            .map(|counter| counter.last.load(Ordering::Relaxed))
            .fold(self.tick, u64::max)
    }

    /// Returns the number of uses so far that found it built.
    pub(crate) fn all_hits(&self) -> u64 {
        let counted = self.counters.iter();
        self.hits
            + counted
                .map(|counter| counter.hits.load(Ordering::Relaxed))
                .sum::<u64>()
    }

    /// Returns the hits since the last call. An evicted instance may return to its cache and be evicted again.
    pub(crate) fn take_unreported_hits(&mut self) -> u64 {
        let all = self.all_hits();
        all - std::mem::replace(&mut self.reported_hits, all)
    }
}

/// One worker's services of one locator.
pub(crate) struct Cache {
    pub(crate) locator: Arc<str>,
    /// `None`: nothing is ever evicted.
    pub(crate) capacity: Option<usize>,
    entries: LruCache<Key, Entry>,
    /// The highest tick that is merged into the order.
    merged: u64,
    /// The number of times that the cache was cleared. An instance from before a clear is not handed out again.
    pub(crate) clears: u64,
    /// The uses of instances that are no longer here.
    pub(crate) past_hits: u64,
    pub(crate) misses: u64,
    pub(crate) builds: u64,
    pub(crate) evictions: u64,
}

impl Cache {
    pub(crate) fn new(locator: Arc<str>, capacity: Option<usize>) -> Self {
        Self {
            locator,
            capacity,
            entries: LruCache::unbounded(),
            merged: 0,
            clears: 0,
            past_hits: 0,
            misses: 0,
            builds: 0,
            evictions: 0,
        }
    }

    /// Returns the entry without counting a use.
    pub(crate) fn peek(&mut self, key: &Key) -> Option<&mut Entry> {
        self.entries.peek_mut(key)
    }

    pub(crate) fn entry(&self, key: &Key) -> Option<&Entry> {
        self.entries.peek(key)
    }

    /// Inserts an entry as the one used last.
    pub(crate) fn put(&mut self, key: Key, mut entry: Entry, tick: u64) {
        entry.info.tick = tick;
        self.entries.push(key, entry);
    }

    /// Moves the entries that `is_it` selects to `taken`.
    pub(crate) fn take_all(&mut self, taken: &mut Vec<(Key, Entry)>, is_it: &dyn Fn(&Key, &Entry) -> bool) {
        let mut keys = Vec::new();
        for (key, entry) in &self.entries {
            if is_it(key, entry) {
                keys.push(key.clone());
            }
        }
        for key in keys {
            if let Some(entry) = self.entries.pop_entry(&key) {
                taken.push(entry);
            }
        }
    }

    /// Returns the entries over the capacity with the ticks of their last uses, least recently used first. Instances
    /// that are in use do not count, because evicting them would free nothing. `just_built` counts although its builder
    /// still holds it.
    pub(crate) fn surplus(&mut self, just_built: &Key) -> Vec<(Key, u64)> {
        let Some(capacity) = self.capacity.filter(|capacity| self.entries.len() > *capacity) else {
            return Vec::new();
        };
        let is_free = |(key, entry): &(&Key, &Entry)| *key != just_built && entry.instance.holders() == 0;
        let free = self.entries.iter().filter(is_free).count();
        let excess = (free + 1).saturating_sub(capacity);
        if excess == 0 {
            return Vec::new();
        }
        self.merge_counters();
        let oldest = self.entries.iter().rev().filter(is_free).take(excess);
        oldest
            .map(|(key, entry)| (key.clone(), entry.info.last_tick()))
            .collect()
    }

    /// Removes an entry that was surplus, unless it was used since.
    pub(crate) fn evict(&mut self, key: &Key, last_use: u64) -> Option<Entry> {
        let entry = self.entries.peek(key)?;
        if entry.instance.holders() > 0 || entry.info.last_tick() != last_use {
            return None;
        }
        self.evictions += 1;
        self.entries.pop(key)
    }

    /// Merges the counters of all entries into the order.
    fn merge_counters(&mut self) {
        let mut used: Vec<(u64, Key)> = Vec::new();
        for (key, entry) in &mut self.entries {
            let tick = entry.info.merge_counters();
            if tick > self.merged {
                used.push((tick, key.clone()));
            }
        }
        used.sort_unstable();
        for (tick, key) in used {
            self.entries.promote(&key);
            self.merged = tick;
        }
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.iter()
    }

    pub(crate) fn entries_mut(&mut self) -> impl Iterator<Item = (&Key, &mut Entry)> {
        self.entries.iter_mut()
    }

    /// Returns the highest tick that is merged into the order.
    pub(crate) fn merged_tick(&self) -> u64 {
        self.merged
    }
}
