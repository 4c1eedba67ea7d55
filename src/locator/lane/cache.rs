//! The LRU of one worker and one locator: what is built, how often it was asked for, and who goes first.
//!
//! The warm path never comes here. It leaves a mark in the entry's [`Uses`] instead, and the marks are folded into
//! the order before anything is evicted.

use crate::locator::context::ServiceClaim;
use crate::locator::instance::{Instance, Number};
use crate::locator::registry::{Key, Service};
use crate::sys::clock;
use crate::worker::Worker;
use lru::LruCache;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What one thread did with one entry; that thread alone writes it.
///
/// On a line of its own: two workers that count on one line scaled 1.00× instead of 1.97×.
#[repr(align(128))]
#[derive(Default)]
pub(crate) struct Uses {
    hits: AtomicU64,
    /// The worker's tick at the last use.
    last: AtomicU64,
}

impl Uses {
    /// One more use at `tick`. Loads and stores are enough for a single writer, and cost a tenth of an addition.
    #[inline]
    pub(crate) fn mark(&self, tick: u64) {
        self.hits
            .store(self.hits.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.last.store(tick, Ordering::Relaxed);
    }
}

/// A service as the cache holds it: the instance, and what is known about it.
pub(crate) struct Entry {
    pub(crate) instance: Instance,
    pub(crate) about: About,
}

/// What is known about an instance; it outlives the cache's hold on it.
pub(crate) struct About {
    pub(crate) service: Arc<Service>,
    pub(crate) number: Number,
    /// The later built, the higher: cleanup goes from high to low.
    pub(crate) order: u64,
    pub(crate) epoch: u64,
    /// Put in the place of a service by a test, which may hold it for as long as it likes.
    pub(crate) is_fake: bool,
    /// The life (test) it was built in.
    pub(crate) life: u64,
    /// The last life that was handed it, to record each once.
    pub(crate) used_by: u64,
    /// The worker that built it.
    pub(crate) worker: String,
    pub(crate) asked: Vec<String>,
    pub(crate) parts: Vec<u64>,
    /// The build it came from: proxies that its factory asked for know it by that.
    pub(crate) build: u64,
    /// All it is built from, at any depth.
    pub(crate) from: Arc<BTreeSet<Key>>,
    /// The overrides that were in force for any of that.
    pub(crate) fakes: BTreeSet<u64>,
    /// Whether [`take_spoiled`](Self::take_spoiled) returned its keys.
    spoiled_taken: bool,
    pub(crate) claims: Vec<ServiceClaim>,
    pub(crate) built_at: u64,
    pub(crate) used_at: u64,
    /// What its factory took by itself, without what it asked for.
    pub(crate) build_micros: u64,
    pub(crate) hits: u64,
    /// So many of all uses were told when the cache let go of it the last time.
    told_hits: u64,
    pub(crate) misses: u64,
    tick: u64,
    readers: Vec<Arc<Uses>>,
}

impl About {
    /// A new instance in an epoch; what it is built from is filled in by the build.
    pub(crate) fn new(service: &Arc<Service>, instance: &Instance, epoch: u64, worker: &Worker) -> Self {
        let now = clock::micros();
        Self {
            service: Arc::clone(service),
            number: Number::of(instance),
            order: clock::unique(),
            epoch,
            is_fake: false,
            life: worker.life(),
            used_by: 0,
            worker: worker.id().to_owned(),
            asked: Vec::new(),
            parts: Vec::new(),
            build: 0,
            from: Arc::default(),
            fakes: BTreeSet::new(),
            spoiled_taken: false,
            claims: Vec::new(),
            built_at: now,
            used_at: now,
            build_micros: 0,
            hits: 0,
            told_hits: 0,
            misses: 0,
            tick: 0,
            readers: Vec::new(),
        }
    }

    /// A place for one more thread to leave its marks.
    pub(crate) fn reader(&mut self) -> Arc<Uses> {
        self.fold();
        let uses = Arc::new(Uses::default());
        self.readers.push(Arc::clone(&uses));
        uses
    }

    /// Takes in the marks; a thread that is gone leaves none any more. Returns the last tick.
    fn fold(&mut self) -> u64 {
        let Self {
            readers, hits, tick, ..
        } = self;
        readers.retain_mut(|uses| match Arc::get_mut(uses) {
            // Nobody writes any more, and all that was written is seen.
            Some(uses) => {
                *tick = (*tick).max(*uses.last.get_mut());
                *hits += *uses.hits.get_mut();
                false
            }
            None => {
                *tick = (*tick).max(uses.last.load(Ordering::Relaxed));
                true
            }
        });
        *tick
    }

    /// Returns the keys of what a panic spoiled with this instance: itself, and all that it is built from. It does so once,
    /// so that the instances that are built anew stay.
    pub(crate) fn take_spoiled(&mut self) -> impl Iterator<Item = Key> {
        let is_new = !self.is_fake && !self.spoiled_taken && self.number.is_spoiled();
        self.spoiled_taken |= is_new;
        let keys = is_new.then(|| self.from.iter().chain([&self.service.key]));
        keys.into_iter().flatten().cloned()
    }

    /// It was used at `tick` by whoever asked the cache itself.
    pub(crate) fn touch(&mut self, tick: u64) {
        self.tick = self.tick.max(tick);
    }

    /// The tick of the last use.
    pub(crate) fn last_tick(&self) -> u64 {
        self.readers
            .iter()
            .map(|uses| uses.last.load(Ordering::Relaxed))
            .fold(self.tick, u64::max)
    }

    /// All uses so far that found it built.
    pub(crate) fn all_hits(&self) -> u64 {
        self.hits
            + self
                .readers
                .iter()
                .map(|uses| uses.hits.load(Ordering::Relaxed))
                .sum::<u64>()
    }

    /// Those since the last time; an instance may come back after its cache let go of it, and go again.
    pub(crate) fn untold_hits(&mut self) -> u64 {
        let all = self.all_hits();
        all - std::mem::replace(&mut self.told_hits, all)
    }
}

/// One worker's services of one locator.
pub(crate) struct Cache {
    pub(crate) locator: Arc<str>,
    /// `None`: nothing is ever evicted.
    pub(crate) capacity: Option<usize>,
    entries: LruCache<Key, Entry>,
    /// The highest tick that stands in the order.
    folded: u64,
    /// How often all of it was given up; what was handed out before is not handed out again.
    pub(crate) clears: u64,
    /// Uses of what is not there any more.
    pub(crate) gone_hits: u64,
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
            folded: 0,
            clears: 0,
            gone_hits: 0,
            misses: 0,
            builds: 0,
            evictions: 0,
        }
    }

    /// The entry, without touching it.
    pub(crate) fn peek(&mut self, key: &Key) -> Option<&mut Entry> {
        self.entries.peek_mut(key)
    }

    pub(crate) fn entry(&self, key: &Key) -> Option<&Entry> {
        self.entries.peek(key)
    }

    /// Puts an entry in as the one used last.
    pub(crate) fn put(&mut self, key: Key, mut entry: Entry, tick: u64) {
        entry.about.tick = tick;
        self.entries.push(key, entry);
    }

    /// Takes an entry out, whatever its turn.
    pub(crate) fn take(&mut self, key: &Key) -> Option<Entry> {
        self.entries.pop(key)
    }

    /// Takes out all that `is_it` names, newest first.
    pub(crate) fn take_all(&mut self, is_it: impl Fn(&Key, &Entry) -> bool) -> Vec<(Key, Entry)> {
        let keys: Vec<_> = self
            .entries
            .iter()
            .filter(|(key, entry)| is_it(key, entry))
            .map(|(key, _)| key.clone())
            .collect();
        let mut taken: Vec<_> = keys
            .into_iter()
            .filter_map(|key| Some((key.clone(), self.take(&key)?)))
            .collect();
        taken.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.about.order));
        taken
    }

    /// What is over the capacity, least recently used first, each with its last use. What somebody holds does not
    /// count: dropping the cache's reference would free nothing. Whoever built `just_built` holds it still, yet it
    /// counts.
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
        self.fold();
        let oldest = self.entries.iter().rev().filter(is_free).take(excess);
        oldest
            .map(|(key, entry)| (key.clone(), entry.about.last_tick()))
            .collect()
    }

    /// Takes out an entry that was surplus, unless it was used again after that.
    pub(crate) fn evict(&mut self, key: &Key, last_use: u64) -> Option<Entry> {
        let entry = self.entries.peek(key)?;
        if entry.instance.holders() > 0 || entry.about.last_tick() != last_use {
            return None;
        }
        self.evictions += 1;
        self.take(key)
    }

    /// Brings the order up to date with the marks.
    fn fold(&mut self) {
        let mut used: Vec<(u64, Key)> = Vec::new();
        for (key, entry) in &mut self.entries {
            let tick = entry.about.fold();
            if tick > self.folded {
                used.push((tick, key.clone()));
            }
        }
        used.sort_unstable();
        for (tick, key) in used {
            self.entries.promote(&key);
            self.folded = tick;
        }
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.iter()
    }

    pub(crate) fn entries_mut(&mut self) -> impl Iterator<Item = (&Key, &mut Entry)> {
        self.entries.iter_mut()
    }

    /// The tick of the last use that stands in the order.
    pub(crate) fn folded(&self) -> u64 {
        self.folded
    }
}
