//! The contents of a lane: caches, overrides in force, builds in progress, and retired instances.

use super::cache::{Cache, Entry, InstanceInfo, InstanceRef};
use super::flight::{Flight, Flights};
use super::handover::Handover;
use super::overrides::{NEVER, Override, with_dependents};
use super::retired::{Dropping, Retired, name_of};
use super::view::{EntryView, InstanceState};
use crate::error::Error;
use crate::event::Why;
use crate::locator::service::{Key, Lifetime};
use crate::sys::clock;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
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
    /// By ticket.
    pub(super) dropping: BTreeMap<u64, Dropping>,
    /// Instances that no cache holds while other references exist.
    pub(super) retired: Vec<Retired>,
    /// The services that a panic spoiled whose instances are already gone.
    spoiled: BTreeSet<Key>,
    /// The last execution that used the lane.
    execution: u64,
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
            dropping: BTreeMap::new(),
            retired: Vec::new(),
            spoiled: BTreeSet::new(),
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
    pub(super) fn infos_mut(&mut self) -> impl Iterator<Item = &mut InstanceInfo> {
        let cached = self.caches.values_mut().flat_map(Cache::entries_mut);
        let set_aside = self.set_aside.iter_mut().map(|(_, entry)| entry);
        let retired = self.retired.iter_mut().map(|retired| &mut retired.info);
        let held = cached.map(|(_, entry)| entry).chain(set_aside);
        held.map(|entry| &mut entry.info).chain(retired)
    }

    // --- overrides

    /// Returns the overrides in force for any of these keys.
    pub(super) fn fakes(&self, keys: &BTreeSet<Key>) -> BTreeSet<u64> {
        if self.overrides.is_empty() {
            return BTreeSet::new();
        }
        let newest = |key: &Key| self.overrides.iter().rev().find(|fake| fake.key == *key);
        keys.iter().filter_map(newest).map(|fake| fake.id).collect()
    }

    /// Adds to a new instance the services that its parts received while it was being built.
    pub(super) fn complete(&self, info: &mut InstanceInfo) {
        let entries = info
            .from
            .iter()
            .filter_map(|key| self.caches.get(&key.locator)?.entry(key));
        let parts = entries.filter(|entry| info.parts.contains(&entry.number()));
        let late: Vec<_> = parts
            .flat_map(|part| part.info.from.difference(&info.from))
            .cloned()
            .collect();
        if !late.is_empty() {
            Arc::make_mut(&mut info.from).extend(late);
        }
    }

    /// Applies a change of the overrides. Builds that began before it go to their current waiters only.
    pub(super) fn apply_overrides(&mut self) -> Vec<Retired> {
        self.flights.detach(|_| true);
        self.sort_instances()
    }

    /// Records that the build `build` received a service by its proxy after it had ended: its instance, and all that are
    /// built from it, are now built from that service too. Returns `None` if that changes nothing else.
    pub(super) fn add_part(&mut self, build: u64, key: &Key, part: &InstanceRef) -> Option<()> {
        let user = self.infos_mut().find(|info| info.build == build)?;
        user.parts.push(part.number);
        let first = BTreeSet::from([user.number.get()]);
        let all: Vec<_> = self.infos_mut().map(|info| &*info).collect();
        let affected = with_dependents(first, &all);
        let set_aside: BTreeSet<_> = self.set_aside.iter().map(|(_, entry)| entry.number()).collect();
        for info in self.infos_mut() {
            let number = info.number.get();
            if !affected.contains(&number) {
                continue;
            }
            // It was set aside for one fake and now contains another: no set of overrides fits it.
            if set_aside.contains(&number) && !part.fakes.is_subset(&info.fakes) {
                info.fakes.insert(NEVER);
            }
            let from = Arc::make_mut(&mut info.from);
            from.extend(part.from.iter().chain([key]).cloned());
            info.fakes.extend(&part.fakes);
        }
        let matters = !self.overrides.is_empty() || !part.fakes.is_empty();
        matters.then_some(())
    }

    /// Sets instances aside, returns them to their caches or retires them, as the overrides in force require.
    pub(super) fn sort_instances(&mut self) -> Vec<Retired> {
        let mut loose = std::mem::take(&mut self.set_aside);
        for cache in self.caches.values_mut() {
            loose.extend(cache.take_all(|_, _| true));
        }
        let is_current = |entry: &Entry| self.fakes(&entry.info.from) == entry.info.fakes;
        // Where several fit, the oldest returns; instances built from another one are retired with it.
        loose.sort_by_key(|(_, entry)| entry.info.order);
        let mut taken = HashSet::new();
        let others = loose
            .iter()
            .filter(|(key, entry)| is_current(entry) && !taken.insert(key))
            .map(|(_, entry)| entry.number())
            .collect();
        let all: Vec<_> = loose.iter().map(|(_, entry)| &entry.info).collect();
        let superfluous = with_dependents(others, &all);
        // Last used last, so that the order of use survives.
        loose.sort_by_key(|(_, entry)| (entry.info.last_tick(), entry.info.order));
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
    pub(super) fn retire(&mut self, entries: Vec<(Key, Entry)>, why: Why) -> Vec<Retired> {
        let thread = thread::current();
        let mut retired: Vec<_> = entries
            .into_iter()
            .map(|(key, Entry { instance, mut info })| {
                self.spoiled.extend(info.take_spoiled());
                let ticket = clock::unique();
                let dropping = Dropping {
                    key: key.clone(),
                    thread: thread.clone(),
                };
                self.dropping.insert(ticket, dropping);
                Retired {
                    clears: self.clears_of(&key),
                    instance: Some(instance),
                    key,
                    info,
                    why,
                    ticket,
                }
            })
            .collect();
        retired.sort_by_key(|retired| Reverse(retired.info.order));
        retired
    }

    /// Returns a description of the drop in progress on another thread that blocks the key, if there is one.
    pub(super) fn is_being_dropped(&self, key: &Key, own_thread: ThreadId) -> Option<String> {
        self.dropping
            .values()
            .find(|dropping| dropping.key == *key && dropping.thread.id() != own_thread)
            .map(|dropping| format!("{} is still dropping its predecessor", name_of(&dropping.thread)))
    }

    /// Returns an evicted instance that is still in use to its cache: at most one instance is handed out at a time.
    fn reinstate(&mut self, key: &Key, tick: u64) {
        let clears = self.clears_of(key);
        let may_return = |retired: &Retired| {
            retired.key == *key
                && retired.why == Why::Evicted
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

    /// Prevents evicted instances that were meant for a test that has ended from returning.
    fn bar_return(&mut self, was_for_it: impl Fn(&InstanceInfo) -> bool) {
        let barred = self
            .retired
            .iter_mut()
            .filter(|retired| was_for_it(&retired.info));
        barred.for_each(|retired| retired.why = Why::TestOver);
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
        self.spoiled.extend(retired.info.take_spoiled());
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
        let retired = self.end_test(|other| other != execution);
        // An instance that is not in a cache is not reset.
        self.bar_return(|info| info.service.reset.is_some());
        // Collected after the end of the test, because an override that ends returns instances to their caches.
        let entries = self.caches.values().flat_map(Cache::entries);
        let mut reset: Vec<_> = entries
            .filter(|(_, entry)| entry.info.service.reset.is_some())
            .map(|(key, entry)| (entry.info.order, key.clone()))
            .collect();
        // Services built later may be built from those built first.
        reset.sort_by_key(|(order, ..)| *order);
        let reset: Vec<_> = reset.into_iter().map(|(_, key)| key).collect();
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
            entries.extend(cache.take_all(|key, entry| key == failed || entry.info.from.contains(failed)));
        }
        self.flights.detach(|_| true);
        self.retire(entries, Why::Reset)
    }

    /// Retires the instances that a panic left in an unknown state, all that they are built from, and all that are built
    /// from any of these.
    fn retire_spoiled(&mut self) -> Vec<Retired> {
        let mut spoiled = std::mem::take(&mut self.spoiled);
        for info in self.infos_mut() {
            spoiled.extend(info.take_spoiled());
        }
        if spoiled.is_empty() || !self.is_worker_lane {
            return Vec::new();
        }
        let is_it =
            |info: &InstanceInfo| spoiled.contains(&info.service.key) || !info.from.is_disjoint(&spoiled);
        let entries = self.take_everywhere(is_it);
        self.flights.detach(|_| true);
        self.retire(entries, Why::Panicked)
    }

    /// Retires the instances that were built on a runtime that has ended, and all that are built from any of these.
    #[cfg(feature = "tokio")]
    pub(super) fn retire_of_runtime(&mut self, runtime: u64) -> Vec<Retired> {
        let infos = self.infos_mut();
        let of_it = infos.filter(|info| info.is_of_runtime(runtime));
        let keys: BTreeSet<_> = of_it.map(|info| info.service.key.clone()).collect();
        if keys.is_empty() {
            return Vec::new();
        }
        let entries = self.take_everywhere(|info| {
            info.is_of_runtime(runtime) || info.from.iter().any(|key| keys.contains(key))
        });
        self.flights.detach(|_| true);
        self.retire(entries, Why::TestOver)
    }

    /// Retires the per-test services and overrides of the tests that `is_over` selects, and the services that a panic
    /// spoiled.
    pub(super) fn end_test(&mut self, is_over: impl Fn(u64) -> bool) -> Vec<Retired> {
        let fakes: Vec<_> = self
            .overrides
            .extract_if(.., |fake| is_over(fake.execution))
            .collect();
        let mut retired = if fakes.is_empty() {
            Vec::new()
        } else {
            self.apply_overrides()
        };
        // Afterwards, because an override that ends returns instances to their caches.
        let mut over: Vec<_> = fakes.into_iter().map(|fake| (fake.key, fake.entry)).collect();
        over.extend(
            self.take_everywhere(|info| info.service.lifetime == Lifetime::Test && is_over(info.execution)),
        );
        retired.extend(self.retire(over, Why::TestOver));
        retired.extend(self.retire_spoiled());
        retired.sort_by_key(|retired| Reverse(retired.info.order));
        retired
    }

    /// Takes the selected instances out of the caches and of those set aside, and bars evicted ones from returning.
    fn take_everywhere(&mut self, is_it: impl Fn(&InstanceInfo) -> bool) -> Vec<(Key, Entry)> {
        let mut taken = Vec::new();
        for cache in self.caches.values_mut() {
            taken.extend(cache.take_all(|_, entry| is_it(&entry.info)));
        }
        taken.extend(self.set_aside.extract_if(.., |(_, entry)| is_it(&entry.info)));
        self.bar_return(is_it);
        taken
    }

    // --- diagnostics

    /// Returns the instances of one locator, as data.
    pub(super) fn entries_of(&self, locator: u64) -> Vec<EntryView> {
        let is_of = |key: &Key| key.locator == locator;
        let cached = self.caches.get(&locator).into_iter().flat_map(Cache::entries);
        let set_aside = self.set_aside.iter().filter(|(key, _)| is_of(key));
        let fakes = self.overrides.iter().filter(|fake| is_of(&fake.key));
        let held = cached
            .map(|(_, entry)| (entry, InstanceState::Cached))
            .chain(set_aside.map(|(_, entry)| (entry, InstanceState::SetAside)))
            .chain(fakes.map(|fake| (&fake.entry, InstanceState::Override)))
            .map(|(entry, state)| EntryView::new(&entry.info, state, entry.instance.holders()));
        let retired = self.retired.iter().filter(|retired| is_of(&retired.key));
        let retired = retired.map(|retired| {
            let holders = retired.info.number.holders();
            EntryView::new(&retired.info, InstanceState::Retired, holders)
        });
        held.chain(retired).collect()
    }
}
