//! The contents of a lane: caches, overrides in force, builds in progress, and retired instances.

use super::cache::{Cache, Entry, InstanceInfo, InstanceRef};
use super::flight::{Flight, Flights};
use super::handover::Handover;
use super::overrides::{NEVER, Override, with_dependents};
use super::retired::{Dropping, Retired, name_of};
use super::view::{EntryView, InstanceState};
use crate::error::Error;
use crate::event::Why;
use crate::locator::service::{Key, Lifetime, Service};
use crate::sys::{clock, sorted};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread::{self, ThreadId};

/// The outcome of a build.
pub(crate) type BuildOutcome = Result<InstanceRef, Error>;

/// A build in progress.
pub(crate) type BuildFlight = Flight<BuildOutcome>;

pub(crate) struct LaneState {
    /// Whether the lane belongs to one worker and passes from test to test.
    pub(super) is_worker_lane: bool,
    /// Incremented by each change that makes the threads' caches stale.
    pub(crate) epoch: u64,
    pub(crate) caches: HashMap<u64, Cache>,
    /// Oldest first.
    pub(crate) overrides: Vec<Override>,
    /// Instances that are set aside because an override changes a service that they are built from.
    pub(crate) set_aside: Vec<(Key, Entry)>,
    pub(crate) flights: Flights<Key, BuildOutcome>,
    pub(super) dropping: Vec<Dropping>,
    /// Instances that no cache holds while other references exist.
    pub(super) retired: Vec<Retired>,
    /// The services that a panic spoiled whose instances are already gone.
    spoiled: HashSet<Key>,
    /// The last execution that used the lane.
    pub(super) execution: u64,
    /// The thread that resets services for the next test.
    pub(super) handover_thread: Option<ThreadId>,
    pub(super) closed: bool,
}

impl LaneState {
    pub(super) fn new(is_worker_lane: bool) -> Self {
        Self {
            is_worker_lane,
            epoch: 0,
            caches: HashMap::new(),
            overrides: Vec::new(),
            set_aside: Vec::new(),
            flights: Flights::new(),
            dropping: Vec::new(),
            retired: Vec::new(),
            spoiled: HashSet::new(),
            execution: 0,
            handover_thread: None,
            closed: false,
        }
    }

    /// Returns the service if it is here: as a fake, from a cache, or evicted and still in use.
    pub(super) fn find(&mut self, key: &Key, execution: u64, tick: u64) -> Option<InstanceRef> {
        let epoch = self.epoch;
        if let Some(fake) = self.overrides.iter_mut().rev().find(|fake| fake.key == *key) {
            return Some(fake.hand_out(execution, epoch, tick));
        }
        if self.caches.get(&key.locator)?.entry(key).is_none() {
            self.reinstate(key, tick);
        }
        let entry = self.caches.get_mut(&key.locator)?.peek(key)?;
        Some(entry.hand_out(execution, epoch, tick))
    }

    /// Returns the data of all instances that are cached, set aside, or retired and may return.
    pub(super) fn infos_mut(&mut self) -> Vec<&mut InstanceInfo> {
        let mut infos = Vec::new();
        for cache in self.caches.values_mut() {
            for (_, entry) in cache.entries_mut() {
                infos.push(&mut entry.info);
            }
        }
        for (_, entry) in &mut self.set_aside {
            infos.push(&mut entry.info);
        }
        for retired in &mut self.retired {
            infos.push(&mut retired.info);
        }
        infos
    }

    // --- overrides

    /// Returns the overrides in force for any of these keys.
    pub(super) fn fakes(&self, keys: &HashSet<Key>) -> HashSet<u64> {
        if self.overrides.is_empty() {
            return HashSet::new();
        }
        let mut fakes = HashSet::new();
        for key in keys {
            if let Some(newest) = self.overrides.iter().rev().find(|fake| fake.key == *key) {
                fakes.insert(newest.id);
            }
        }
        fakes
    }

    /// Adds to a new instance the services that its parts received while it was being built.
    pub(super) fn complete(&self, info: &mut InstanceInfo) {
        let known = Arc::clone(&info.from);
        for key in &*known {
            let cache = self.caches.get(&key.locator);
            if let Some(part) = cache.and_then(|cache| cache.entry(key))
                && info.parts.contains(&part.number())
                && !part.info.from.is_subset(&info.from)
            {
                Arc::make_mut(&mut info.from).extend(part.info.from.iter().cloned());
            }
        }
    }

    /// Applies a change of the overrides. Builds that began before it go to their current waiters only.
    pub(super) fn apply_overrides(&mut self) -> Vec<Retired> {
        self.flights.detach(&|_| true);
        self.sort_instances()
    }

    /// Records that the build `build` received a service by its proxy after it had ended: its instance, and all that are
    /// built from it, are now built from that service too. Returns `None` if that changes nothing else.
    pub(super) fn add_part(&mut self, build: u64, key: &Key, part: &InstanceRef) -> Option<()> {
        let mut set_aside = HashSet::new();
        for (_, entry) in &self.set_aside {
            set_aside.insert(entry.number());
        }
        let mut all = self.infos_mut();
        let user = all.iter_mut().find(|info| info.build == build)?;
        user.parts.push(part.number);
        let first = HashSet::from([user.number.get()]);
        let affected = with_dependents(first, &all);
        for info in all {
            let number = info.number.get();
            if !affected.contains(&number) {
                continue;
            }
            // It was set aside for one fake and now contains another: no set of overrides fits it.
            if set_aside.contains(&number) && !part.fakes.is_subset(&info.fakes) {
                info.fakes.insert(NEVER);
            }
            let from = Arc::make_mut(&mut info.from);
            from.extend(part.from.iter().cloned());
            from.insert(key.clone());
            info.fakes.extend(&part.fakes);
        }
        let matters = !self.overrides.is_empty() || !part.fakes.is_empty();
        matters.then_some(())
    }

    /// Sets instances aside, returns them to their caches or retires them, as the overrides in force require.
    pub(super) fn sort_instances(&mut self) -> Vec<Retired> {
        let mut loose = std::mem::take(&mut self.set_aside);
        for cache in self.caches.values_mut() {
            cache.take_all(&mut loose, &|_, _| true);
        }
        let is_current = |entry: &Entry| self.fakes(&entry.info.from) == entry.info.fakes;
        // Where several fit, the oldest returns; instances built from another one are retired with it.
        sort(&mut loose, |info| (0, info.order));
        let mut taken = HashSet::new();
        let mut others = HashSet::new();
        let mut all = Vec::new();
        for (key, entry) in &mut loose {
            if is_current(entry) && !taken.insert(key.clone()) {
                others.insert(entry.number());
            }
            all.push(&mut entry.info);
        }
        let superfluous = with_dependents(others, &all);
        // Last used last, so that the order of use survives.
        sort(&mut loose, |info| (info.last_tick(), info.order));
        let mut dead = Vec::new();
        for (key, entry) in loose {
            let is_in_force = |id: &u64| self.overrides.iter().any(|fake| fake.id == *id);
            let is_dead = !entry.info.fakes.iter().all(is_in_force);
            let is_current = self.fakes(&entry.info.from) == entry.info.fakes;
            match self.caches.get_mut(&key.locator) {
                _ if is_dead || superfluous.contains(&entry.number()) => dead.push((key, entry)),
                _ if !is_current => self.set_aside.push((key, entry)),
                Some(cache) => {
                    let tick = entry.info.last_tick();
                    cache.put(key, entry, tick);
                }
                None => dead.push((key, entry)),
            }
        }
        self.retire(dead, Why::Overridden)
    }

    // --- retired instances

    /// Retires entries and returns them, newest first. [`Lane::dispose`](super::Lane::dispose) drops them outside the lock.
    pub(super) fn retire(&mut self, mut entries: Vec<(Key, Entry)>, why: Why) -> Vec<Retired> {
        let thread = thread::current();
        let mut retired = Vec::new();
        sort(&mut entries, |info| (0, info.order));
        while let Some((key, Entry { instance, mut info })) = entries.pop() {
            info.take_spoiled(&mut self.spoiled);
            let ticket = clock::unique();
            self.dropping.push(Dropping {
                ticket,
                key: key.clone(),
                thread: thread.clone(),
            });
            retired.push(Retired {
                clears: self.clears_of(&key),
                instance: Some(instance),
                key,
                info,
                why,
                ticket,
            });
        }
        retired
    }

    /// Returns a description of the drop in progress on another thread that blocks the key, if there is one.
    pub(super) fn is_being_dropped(&self, key: &Key, own_thread: ThreadId) -> Option<String> {
        self.dropping
            .iter()
            .find(|dropping| dropping.key == *key && dropping.thread.id() != own_thread)
            .map(|dropping| format!("{} is still dropping its predecessor", name_of(&dropping.thread)))
    }

    /// Returns an evicted instance that is still in use to its cache: at most one instance is handed out at a time.
    fn reinstate(&mut self, key: &Key, tick: u64) {
        let clears = self.clears_of(key);
        let may_return = |retired: &Retired| {
            let Service { lifetime, reset, .. } = &*retired.info.service;
            // The handover to this execution may have missed it, while the evicting thread had it.
            let is_for_one = *lifetime == Lifetime::Test || reset.is_some();
            retired.key == *key
                && retired.why == Why::Evicted
                && (!is_for_one || retired.info.fresh_for == self.execution)
                && retired.clears == clears
                && self.fakes(&retired.info.from) == retired.info.fakes
        };
        let Some(index) = self.retired.iter().position(may_return) else {
            return;
        };
        if let (Some(instance), Some(cache)) = (
            self.retired[index].info.number.upgrade(),
            self.caches.get_mut(&key.locator),
        ) {
            let Retired { key, info, .. } = self.retired.swap_remove(index);
            cache.put(key, Entry { instance, info }, tick);
        }
    }

    /// Tracks the holders of an instance whose build was overtaken by a clear. Only its current waiters receive it.
    pub(super) fn track_overtaken(&mut self, key: &Key, info: InstanceInfo) {
        self.retired.push(Retired {
            key: key.clone(),
            info,
            instance: None,
            why: Why::Cleared,
            clears: self.clears_of(key),
            ticket: 0,
        });
    }

    pub(super) fn holders_of_retired(&self, number: u64) -> usize {
        let mut retired = self.retired.iter();
        retired
            .find(|retired| retired.info.number.get() == number)
            .map_or(0, |retired| retired.info.number.holders())
    }

    fn clears_of(&self, key: &Key) -> u64 {
        self.caches.get(&key.locator).map_or(0, |cache| cache.clears)
    }

    /// Removes the retired instances that nothing holds any more. The caller drops them outside the lock, because a
    /// factory may be dropped with them.
    pub(super) fn take_dead(&mut self) -> Vec<Retired> {
        let is_dead = |retired: &mut Retired| retired.info.number.holders() == 0;
        let mut dead: Vec<_> = self.retired.extract_if(.., is_dead).collect();
        for retired in &mut dead {
            self.settle_accounts(retired);
        }
        dead
    }

    /// Adds the hits of a retired instance to its cache, and the services that it spoiled to the lane.
    pub(super) fn settle_accounts(&mut self, retired: &mut Retired) {
        retired.info.take_spoiled(&mut self.spoiled);
        if let Some(cache) = self.caches.get_mut(&retired.key.locator) {
            cache.past_hits += retired.info.all_hits();
        }
    }

    // --- the handover from test to test

    /// Begins the handover to an execution. Returns `None` if there is nothing to do before its first service.
    pub(super) fn begin_handover(&mut self, execution: u64) -> Option<Handover> {
        if !self.is_worker_lane || execution <= self.execution || self.handover_thread.is_some() {
            return None;
        }
        self.execution = execution;
        let retired = self.end_test(&|other| other != execution);
        // Collected after the end of the test, because an override that ends returns instances to their caches.
        let mut reset = Vec::new();
        for cache in self.caches.values() {
            for (key, entry) in cache.entries() {
                if entry.info.service.reset.is_some() {
                    reset.push((entry.info.order, key.clone()));
                }
            }
        }
        // Services built later may be built from those built first.
        reset.sort_unstable();
        if reset.is_empty() && retired.is_empty() {
            return None;
        }
        self.handover_thread = Some(thread::current().id());
        Some(Handover { reset, retired })
    }

    /// Retires a service whose reset failed, and all that are built from it.
    pub(super) fn retire_failed_reset(&mut self, failed: &Key) -> Vec<Retired> {
        let mut entries = Vec::new();
        for cache in self.caches.values_mut() {
            cache.take_all(&mut entries, &|key, entry| {
                key == failed || entry.info.from.contains(failed)
            });
        }
        self.flights.detach(&|_| true);
        self.retire(entries, Why::Reset)
    }

    /// Retires the instances that a panic left in an unknown state, all that they are built from, and all that are built
    /// from any of these.
    fn retire_spoiled(&mut self) -> Vec<Retired> {
        let mut spoiled = std::mem::take(&mut self.spoiled);
        for info in self.infos_mut() {
            info.take_spoiled(&mut spoiled);
        }
        if spoiled.is_empty() || !self.is_worker_lane {
            return Vec::new();
        }
        let is_it =
            |info: &InstanceInfo| spoiled.contains(&info.service.key) || !info.from.is_disjoint(&spoiled);
        let entries = self.take_everywhere(&is_it);
        self.flights.detach(&|_| true);
        self.retire(entries, Why::Panicked)
    }

    /// Retires the instances that were built on a runtime that has ended, and all that are built from any of these.
    #[cfg(feature = "tokio")]
    pub(super) fn retire_of_runtime(&mut self, runtime: u64) -> Vec<Retired> {
        let mut keys = HashSet::new();
        for info in self.infos_mut() {
            if info.is_of_runtime(runtime) {
                keys.insert(info.service.key.clone());
            }
        }
        if keys.is_empty() {
            return Vec::new();
        }
        let is_it = |info: &InstanceInfo| info.is_of_runtime(runtime) || !info.from.is_disjoint(&keys);
        let entries = self.take_everywhere(&is_it);
        self.flights.detach(&|_| true);
        self.retire(entries, Why::TestOver)
    }

    /// Retires the per-test services and overrides of the tests that `is_over` selects, and the services that a panic
    /// spoiled.
    pub(super) fn end_test(&mut self, is_over: &dyn Fn(u64) -> bool) -> Vec<Retired> {
        let fakes: Vec<_> = self
            .overrides
            .extract_if(.., |fake| is_over(fake.execution))
            .collect();
        let mut all = Vec::new();
        if !fakes.is_empty() {
            all.extend(self.apply_overrides());
        }
        // Afterwards, because an override that ends returns instances to their caches.
        let mut over =
            self.take_everywhere(&|info| info.service.lifetime == Lifetime::Test && is_over(info.execution));
        for fake in fakes {
            over.push((fake.key, fake.entry));
        }
        all.extend(self.retire(over, Why::TestOver));
        all.extend(self.retire_spoiled());
        let mut newest_first = Vec::new();
        for retired in all {
            sorted::insert(&mut newest_first, retired, |a, b| a.info.order > b.info.order);
        }
        newest_first
    }

    /// Takes the selected instances out of the caches and of those set aside, and bars evicted ones from returning.
    fn take_everywhere(&mut self, is_it: &dyn Fn(&InstanceInfo) -> bool) -> Vec<(Key, Entry)> {
        let mut taken = Vec::new();
        for cache in self.caches.values_mut() {
            cache.take_all(&mut taken, &|_, entry| is_it(&entry.info));
        }
        taken.extend(self.set_aside.extract_if(.., |(_, entry)| is_it(&entry.info)));
        for retired in &mut self.retired {
            if is_it(&retired.info) {
                retired.why = Why::TestOver;
            }
        }
        taken
    }

    // --- diagnostics

    /// Returns the instances of one locator, as data, in the order in which they were built.
    pub(super) fn entries_of(&self, locator: u64) -> Vec<EntryView> {
        let mut views = Vec::new();
        let mut add = |key: &Key, info: &InstanceInfo, state, holders| {
            if key.locator == locator {
                let view = EntryView::new(info, state, holders);
                sorted::insert(&mut views, view, |a, b| {
                    (a.built_at, a.instance) < (b.built_at, b.instance)
                });
            }
        };
        if let Some(cache) = self.caches.get(&locator) {
            for (key, entry) in cache.entries() {
                add(key, &entry.info, InstanceState::Cached, entry.instance.holders());
            }
        }
        for (key, entry) in &self.set_aside {
            add(
                key,
                &entry.info,
                InstanceState::SetAside,
                entry.instance.holders(),
            );
        }
        for Override { key, entry, .. } in &self.overrides {
            add(
                key,
                &entry.info,
                InstanceState::Override,
                entry.instance.holders(),
            );
        }
        for Retired { key, info, .. } in &self.retired {
            add(key, info, InstanceState::Retired, info.number.holders());
        }
        views
    }
}

/// Sorts entries by numbers of their instances.
fn sort(entries: &mut [(Key, Entry)], by: fn(&InstanceInfo) -> (u64, u64)) {
    entries.sort_by_key(|(_, entry)| by(&entry.info));
}
