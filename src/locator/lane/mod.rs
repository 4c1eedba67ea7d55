//! The instances of one worker, behind one mutex. No factory, `Drop` or `reset` ever runs under it.
//!
//! Only this file takes the lock; the other files of the directory are data and functions on data.

pub(crate) mod all;
pub(crate) mod cache;
pub(crate) mod flight;
mod handover;
mod overrides;
pub(crate) mod retired;
mod state;
pub(crate) mod thread_cache;
pub(crate) mod view;

use crate::error::Error;
use crate::event::{Event, Why};
use crate::journal;
use crate::locator::instance::Instance;
use crate::locator::service::{Key, Service};
use crate::sys::clock::{self, Deadline};
use crate::sys::stderr;
#[cfg(feature = "tokio")]
use crate::worker::runtime::RuntimeRef;
use cache::{Cache, Entry, InstanceInfo, InstanceRef};
use flight::Role;
use handover::Handover;
use overrides::Override;
use retired::{DropReport, Retired};
pub(crate) use state::BuildFlight;
use state::LaneState;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use view::CacheView;

/// One worker's services, of all locators and statics.
pub(crate) struct Lane {
    pub(crate) name: String,
    hot: Hot,
    state: Mutex<LaneState>,
    /// Notified when a drop or a handover has ended.
    changed: Condvar,
}

/// The data of the fast path, on a cache line of its own.
#[repr(align(128))]
#[derive(Default)]
struct Hot {
    epoch: AtomicU64,
    clock: AtomicU64,
}

/// The outcome of a lookup in a lane.
pub(crate) enum Lookup {
    Found(InstanceRef),
    /// The caller has to build, in this epoch.
    Build(Arc<BuildFlight>, u64),
    Wait(Arc<BuildFlight>),
}

impl Lane {
    fn new(name: String, is_worker_lane: bool) -> Self {
        Self {
            name,
            hot: Hot::default(),
            state: Mutex::new(LaneState::new(is_worker_lane)),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the current epoch. Data that a thread has cached in an earlier epoch is stale.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.hot.epoch.load(Ordering::Acquire)
    }

    fn next_epoch(&self, state: &mut LaneState) {
        state.epoch += 1;
        self.hot.epoch.store(state.epoch, Ordering::Release);
    }

    /// Returns the next tick of the worker's logical clock, one for each use. Threads of one worker may get the same
    /// tick; the order of such uses is undefined.
    #[inline]
    pub(crate) fn tick(&self) -> u64 {
        let tick = self.hot.clock.load(Ordering::Relaxed) + 1;
        self.hot.clock.store(tick, Ordering::Relaxed);
        tick
    }

    /// Looks a service up for an execution and, if it is not here, decides which thread builds it.
    pub(crate) fn look_up(
        &self,
        service: &Arc<Service>,
        capacity: Option<usize>,
        execution: u64,
        limit: Duration,
    ) -> Result<Lookup, Error> {
        let deadline = Deadline::after(limit);
        let own_thread = std::thread::current().id();
        let key = &service.key;
        let mut state = self.lock();
        loop {
            if state.closed {
                return Err(Error::test_over());
            }
            if let Some(handover) = self.begin_handover(&mut state, execution) {
                drop(state);
                self.hand_over(handover);
                state = self.lock();
                continue;
            }
            let busy = match state.handover_thread {
                Some(thread) if thread != own_thread => {
                    Some("its services are being reset for the next test".to_owned())
                }
                _ => state.is_being_dropped(key, own_thread),
            };
            let Some(busy) = busy else { break };
            let Some(left) = deadline.left() else {
                return Err(Error::blocked(service.label(), self.name.clone(), busy, limit));
            };
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        if let Some(found) = state.find(key, execution, self.tick()) {
            return Ok(Lookup::Found(found));
        }
        let epoch = state.epoch;
        let cache = state
            .caches
            .entry(key.locator)
            .or_insert_with(|| Cache::new(Arc::clone(&service.locator), capacity));
        cache.misses += 1;
        Ok(match state.flights.join(key, clock::unique()) {
            Role::Build(flight) => Lookup::Build(flight, epoch),
            Role::Wait(flight) => Lookup::Wait(flight),
        })
    }

    /// Marks the instances that a factory used when it panicked.
    pub(crate) fn spoil(&self, numbers: &[u64]) {
        for info in self.lock().infos_mut() {
            if numbers.contains(&info.number.get()) {
                info.number.spoil();
            }
        }
    }

    /// Adds a new instance to its cache, unless its build has been detached or the lane closed meanwhile.
    pub(crate) fn admit(
        &self,
        flight: &Arc<BuildFlight>,
        key: &Key,
        instance: Instance,
        mut info: InstanceInfo,
    ) -> InstanceRef {
        let mut state = self.lock();
        state.complete(&mut info);
        let fakes = state.fakes(&info.from);
        let mut built = InstanceRef {
            instance: instance.clone(),
            number: info.number.get(),
            epoch: state.epoch,
            from: Arc::clone(&info.from),
            fakes: fakes.clone(),
            counter: None,
            is_known: false,
            #[cfg(feature = "tokio")]
            runtime: info.runtime.clone(),
        };
        info.fresh_for = state.execution;
        let is_current = state.flights.is_in_flight(key, flight) && !state.closed;
        let Some(cache) = state.caches.get_mut(&key.locator) else {
            return built;
        };
        cache.builds += 1;
        info.misses = 1;
        if !is_current {
            state.track_overtaken(key, info);
            return built;
        }
        info.fakes = fakes;
        info.used_by = info.execution;
        built.counter = Some(info.new_counter());
        cache.put(key.clone(), Entry { instance, info }, self.tick());
        built
    }

    /// Evicts entries until the capacity is met again after a build, one at a time, because a `Drop` that runs may request
    /// the next one.
    pub(crate) fn make_room(&self, just_built: &Key) {
        for (key, last_use) in self.surplus(just_built) {
            self.dispose(self.evict(&key, last_use));
        }
    }

    fn surplus(&self, just_built: &Key) -> Vec<(Key, u64)> {
        let mut state = self.lock();
        let Some(cache) = state.caches.get_mut(&just_built.locator) else {
            return Vec::new();
        };
        let surplus = cache.surplus(just_built);
        // Threads that count at the same time may set the clock back, but never behind the merged order.
        self.hot.clock.fetch_max(cache.merged_tick(), Ordering::Relaxed);
        surplus
    }

    fn evict(&self, key: &Key, last_use: u64) -> Vec<Retired> {
        let mut state = self.lock();
        let cache = state.caches.get_mut(&key.locator);
        let entry = cache.and_then(|cache| cache.evict(key, last_use));
        let evicted = entry.map(|entry| (key.clone(), entry));
        state.retire(evicted.into_iter().collect(), Why::Evicted)
    }

    /// Ends a build: later requests no longer join it.
    pub(crate) fn end_flight(&self, key: &Key, flight: &Arc<BuildFlight>) {
        self.lock().flights.end(key, flight);
    }

    /// Retires all instances of one locator and begins a new epoch. With `for_good`, its overrides and counts go too.
    pub(crate) fn clear(&self, locator: u64, for_good: bool) -> Vec<Retired> {
        let is_of = |key: &Key| key.locator == locator;
        let mut state = self.lock();
        let mut all: Vec<_> = state.set_aside.extract_if(.., |(key, _)| is_of(key)).collect();
        let cache = state.caches.get_mut(&locator);
        // Most lanes have no services of most locators, and are left alone.
        let is_known = cache.is_some();
        if let Some(cache) = cache {
            cache.clears += 1;
            cache.take_all(&mut all, &|_, _| true);
        }
        let mut retired = state.retire(all, if for_good { Why::Locator } else { Why::Cleared });
        state.flights.detach(&is_of);
        if for_good {
            let fakes: Vec<_> = state.overrides.extract_if(.., |fake| is_of(&fake.key)).collect();
            if !fakes.is_empty() {
                retired.extend(state.apply_overrides());
            }
            let mut entries = Vec::new();
            for fake in fakes {
                entries.push((fake.key, fake.entry));
            }
            retired.extend(state.retire(entries, Why::Locator));
        }
        if is_known || !retired.is_empty() {
            self.next_epoch(&mut state);
        }
        if for_good {
            state.caches.remove(&locator);
        }
        retired
    }

    /// Retires all instances at the end of the process. The lane serves no requests afterwards.
    fn close(&self) -> Vec<Retired> {
        let mut state = self.lock();
        state.closed = true;
        let mut all = std::mem::take(&mut state.set_aside);
        for fake in std::mem::take(&mut state.overrides) {
            all.push((fake.key, fake.entry));
        }
        for cache in state.caches.values_mut() {
            cache.take_all(&mut all, &|_, _| true);
        }
        state.retire(all, Why::Exit)
    }

    /// Ends a test: its per-test services, its overrides, and the services that a panic spoiled. `has_failed` says that it
    /// returned an error, after which the services that it held are unknown, so that all services it used count.
    fn end_test(&self, execution: u64, has_failed: bool) {
        let retired = {
            let mut state = self.lock();
            if has_failed {
                for info in state.infos_mut() {
                    if info.used_by == execution {
                        info.number.spoil();
                    }
                }
            }
            let retired = state.end_test(&|other| other == execution);
            if !retired.is_empty() {
                self.next_epoch(&mut state);
            }
            retired
        };
        self.dispose(retired);
    }

    /// Returns whether a service was built on this runtime of the worker.
    #[cfg(feature = "tokio")]
    fn has_services_of(&self, runtime: u64) -> bool {
        let mut state = self.lock();
        state.infos_mut().iter().any(|info| info.is_of_runtime(runtime))
    }

    /// Returns whether the execution used a service of this runtime that starts tasks after its factory, or one built from it.
    #[cfg(feature = "tokio")]
    fn starts_tasks(&self, runtime: u64, execution: u64) -> bool {
        let mut state = self.lock();
        let infos = state.infos_mut();
        // A service built from one of this runtime may have been built outside of runtimes.
        let mut used = infos.iter().filter(|info| info.used_by == execution);
        used.any(|used| {
            let declared = infos.iter().filter(|info| info.service.starts_tasks);
            let mut keys = declared
                .filter(|info| info.is_of_runtime(runtime))
                .map(|info| &info.service.key);
            keys.any(|key| *key == used.service.key || used.from.contains(key))
        })
    }

    /// Ends the services that were built on a runtime that has ended, and returns their names.
    #[cfg(feature = "tokio")]
    fn end_runtime(&self, runtime: u64) -> Vec<String> {
        let retired = {
            let mut state = self.lock();
            let retired = state.retire_of_runtime(runtime);
            if !retired.is_empty() {
                self.next_epoch(&mut state);
            }
            retired
        };
        let names = retired.iter().map(|one| one.info.service.label()).collect();
        self.dispose(retired);
        names
    }

    /// Prepares the lane for an execution, if that has not been done.
    pub(crate) fn prepare_for(&self, execution: u64) {
        let handover = self.begin_handover(&mut self.lock(), execution);
        if let Some(handover) = handover {
            self.hand_over(handover);
        }
    }

    fn begin_handover(&self, state: &mut LaneState, execution: u64) -> Option<Handover> {
        let handover = state.begin_handover(execution)?;
        if !handover.retired.is_empty() {
            self.next_epoch(state);
        }
        Some(handover)
    }

    /// Drops leftovers and resets services, so that the next test can use the lane.
    fn hand_over(&self, handover: Handover) {
        /// Ends the handover even after a panic, because the next test waits for it.
        struct Done<'a>(&'a Lane);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.lock().handover_thread = None;
                self.0.changed.notify_all();
            }
        }
        let _done = Done(self);
        self.dispose(handover.retired);
        for (_, key) in handover.reset {
            // It may have been retired with a service that it was built from.
            let Some((service, instance)) = self.begin_reset(&key) else {
                continue;
            };
            if let Some(reason) = handover::reset(&service, instance) {
                let label = service.label();
                stderr::line(&format!(
                    "{label} of {} could not be reset and is built anew: {reason}",
                    self.name
                ));
                let retired = {
                    let mut state = self.lock();
                    self.next_epoch(&mut state);
                    state.retire_failed_reset(&key)
                };
                self.dispose(retired);
            }
        }
    }

    /// Returns a cached instance that the caller resets for the lane's execution.
    fn begin_reset(&self, key: &Key) -> Option<(Arc<Service>, Instance)> {
        let mut state = self.lock();
        let execution = state.execution;
        let entry = state.caches.get_mut(&key.locator)?.peek(key)?;
        entry.info.fresh_for = execution;
        Some((Arc::clone(&entry.info.service), entry.instance.clone()))
    }

    /// Returns the override in this lane of a service that is in another lane.
    pub(crate) fn fake(&self, key: &Key, execution: u64) -> Option<InstanceRef> {
        let tick = self.tick();
        let mut state = self.lock();
        let epoch = state.epoch;
        let mut fakes = state.overrides.iter_mut().rev();
        let fake = fakes.find(|fake| fake.key == *key && fake.execution == execution)?;
        Some(fake.hand_out(execution, epoch, tick))
    }

    /// Puts a fake in place of a service and returns the number of the override.
    pub(crate) fn add_override(
        &self,
        key: Key,
        execution: u64,
        instance: Instance,
        info: InstanceInfo,
    ) -> u64 {
        let id = clock::unique();
        let retired = {
            let mut state = self.lock();
            let entry = Entry { instance, info };
            state.overrides.push(Override {
                id,
                key,
                execution,
                entry,
            });
            self.next_epoch(&mut state);
            state.apply_overrides()
        };
        self.dispose(retired);
        id
    }

    /// Ends an override, unless the end of its test has done so.
    pub(crate) fn remove_override(&self, id: u64) {
        let retired = {
            let mut state = self.lock();
            let Some(index) = state.overrides.iter().position(|fake| fake.id == id) else {
                return;
            };
            let fake = state.overrides.remove(index);
            self.next_epoch(&mut state);
            let mut retired = state.retire(vec![(fake.key, fake.entry)], Why::Overridden);
            retired.extend(state.apply_overrides());
            retired
        };
        self.dispose(retired);
    }

    /// Records that the instance of a build received a service by its proxy after the build.
    pub(crate) fn add_part(&self, build: u64, key: &Key, part: &InstanceRef) {
        let retired = {
            let mut state = self.lock();
            if state.add_part(build, key, part).is_none() {
                return;
            }
            // It may now contain a fake, or the service that a fake replaces.
            self.next_epoch(&mut state);
            state.sort_instances()
        };
        self.dispose(retired);
    }

    /// Drops retired instances and records it.
    pub(crate) fn dispose(&self, retired: Vec<Retired>) {
        self.report(self.drop_retired(retired));
    }

    /// Drops retired instances outside every lock, and tracks those that are held elsewhere.
    ///
    /// Newest first, a service is dropped before the services that it is built from, so the remaining holders are known
    /// only when all of them are dropped; then it is time to [report](Self::report).
    #[must_use]
    pub(crate) fn drop_retired(&self, retired: Vec<Retired>) -> Vec<DropReport> {
        let mut reports = Vec::new();
        let mut dead = Vec::new();
        for mut one in retired {
            #[cfg(feature = "tokio")]
            let runtime = one.info.runtime.clone();
            #[cfg(feature = "tokio")]
            let _inside = runtime.as_ref().and_then(RuntimeRef::enter);
            if let Some(message) = one.instance.take().and_then(retired::drop_instance) {
                let (label, worker) = (one.info.service.label(), &one.info.worker);
                stderr::line(&format!("{label} of {worker} panicked in its drop: {message}"));
            }
            reports.push(DropReport {
                service: Arc::clone(&one.info.service),
                worker: one.info.worker.clone(),
                number: one.info.number.get(),
                why: one.why,
                hits: one.info.take_unreported_hits(),
            });
            let mut state = self.lock();
            state.dropping.retain(|dropping| dropping.ticket != one.ticket);
            if !one.info.is_fake && one.info.number.holders() > 0 {
                state.retired.push(one);
            } else {
                state.settle_accounts(&mut one);
                dead.push(one);
            }
            drop(state);
            self.changed.notify_all();
        }
        // Outside the lock: factories, which are the user's code, may be dropped with them.
        dead.extend(self.lock().take_dead());
        drop(dead);
        reports
    }

    /// Records dropped instances with the number of their remaining holders.
    pub(crate) fn report(&self, reports: Vec<DropReport>) {
        if !journal::is_on() {
            return;
        }
        for report in reports {
            let holders = self.lock().holders_of_retired(report.number);
            journal::write(&report.worker, || Event::Dropped {
                locator: report.service.locator.to_string(),
                service: report.service.label(),
                instance: report.number,
                why: report.why,
                holders: holders as u64,
                hits: report.hits,
            });
        }
    }

    /// Returns the caches of one locator, or of all, as data.
    pub(crate) fn views(&self, only: Option<u64>) -> Vec<CacheView> {
        let mut state = self.lock();
        let dead = state.take_dead();
        let caches = state
            .caches
            .iter()
            .filter(|(locator, _)| only.is_none_or(|only| only == **locator));
        let views = caches
            .map(|(locator, cache)| {
                let entries = state.entries_of(*locator);
                CacheView::new(&self.name, state.epoch, cache, entries)
            })
            .collect();
        drop(state);
        drop(dead);
        views
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::locator::ServiceLocator;
    use crate::locator::service::Lifetime;
    use crate::worker::Worker;

    /// Two threads that count at the same time may set the clock back by as much as one of them slept in between.
    #[test]
    fn a_clock_that_was_set_back_disturbs_the_order_of_use_only_until_the_next_eviction() {
        let builder = ServiceLocator::builder().capacity(2);
        let builder = builder.register::<u8>(|_| Ok(Arc::new(0))).named("a");
        let locator = ["b", "c", "d", "e"]
            .into_iter()
            .fold(builder, |builder, name| {
                builder.register::<u8>(|_| Ok(Arc::new(0))).named(name)
            })
            .build();
        let get = |name| drop(locator.get_named::<u8>(name));
        ["a", "b", "c"].into_iter().for_each(get);
        let lane = all::of(Lifetime::Worker, &Worker::current());
        lane.hot.clock.store(0, Ordering::Relaxed);
        ["d", "c", "e"].into_iter().for_each(get);
        let views = crate::locator::views(Some(&locator));
        let mut left: Vec<_> = views[0]
            .entries
            .iter()
            .map(|entry| entry.service.as_str())
            .collect();
        left.sort_unstable();
        assert_eq!(left, [r#"u8 "c""#, r#"u8 "e""#]);
    }
}

/// In a process of its own: instances are held beyond a clear on purpose, which must not be recorded.
#[cfg(test)]
#[cfg(all(unix, not(any(miri, loom))))]
mod retired_tests {
    use super::*;
    use crate::locator::lane::all;
    use crate::locator::service::Lifetime;
    use crate::locator::{LazyProxy, ServiceLocator};
    use crate::sys::role::{play, plays, role};
    use crate::worker::Worker;

    const PATH: &str = "locator::lane::retired_tests::role_caught";

    #[test]
    fn an_instance_caught_between_its_eviction_and_its_drop_is_handed_out_again() {
        let base = tempfile::tempdir().unwrap();
        play(role(PATH, "caught").env("COFFERDAM_DIR", base.path()))
            .end()
            .passed();
    }

    struct Base(u32);
    struct Top(u32);
    struct Late(LazyProxy<Base>);
    struct OfTest;
    struct Reset;

    fn locator() -> ServiceLocator {
        ServiceLocator::builder()
            .register::<Base>(|_| Ok(Arc::new(Base(0))))
            .register::<Top>(|cx| Ok(Arc::new(Top(cx.get::<Base>()?.0))))
            .register::<Late>(|cx| Ok(Arc::new(Late(cx.lazy()?))))
            .register::<OfTest>(|_| Ok(Arc::new(OfTest)))
            .per_test()
            .register::<Reset>(|_| Ok(Arc::new(Reset)))
            .reset(|_| Ok(()))
            .build()
    }

    /// Builds a service and evicts it. Before it is dropped a reference is taken, as other threads do by their caches.
    fn caught<T: Send + Sync + 'static>(locator: &ServiceLocator) -> Arc<T> {
        let weak = Arc::downgrade(&locator.get::<T>().into_arc());
        let (lane, retired) = evicted::<T>(locator);
        let caught = weak.upgrade().unwrap();
        lane.dispose(retired);
        caught
    }

    fn evicted<T: Send + Sync + 'static>(locator: &ServiceLocator) -> (Arc<Lane>, Vec<Retired>) {
        let lane = all::of(Lifetime::Worker, &Worker::current());
        let key = &locator.find::<T>("").unwrap().service.key;
        let last_use = lane.lock().caches[&key.locator]
            .entry(key)
            .unwrap()
            .info
            .last_tick();
        let retired = lane.evict(key, last_use);
        assert_eq!(retired.len(), 1);
        (lane, retired)
    }

    /// The instance that a thread with an empty cache gets.
    fn handed<T: Send + Sync + 'static>(locator: &ServiceLocator) -> Arc<T> {
        let locator = locator.clone();
        Worker::current()
            .spawn(move || locator.get::<T>())
            .join()
            .unwrap()
            .into_arc()
    }

    #[test]
    #[ignore = "a role"]
    fn role_caught() {
        if !plays(PATH) {
            return;
        }
        is_still_the_one();
        has_each_of_its_uses_reported_once();
        is_not_handed_out_after_a_clear();
        is_set_aside_for_a_fake();
        is_set_aside_for_a_fake_that_its_proxy_would_be();
        is_not_the_next_tests();
        is_not_the_next_tests_if_it_is_dropped_during_that();
    }

    fn is_still_the_one() {
        let locator = locator();
        let top = caught::<Top>(&locator);
        assert!(Arc::ptr_eq(&handed(&locator), &top));
    }

    fn has_each_of_its_uses_reported_once() {
        let locator = locator();
        drop(locator.get::<Top>());
        let top = caught::<Top>(&locator);
        handed::<Top>(&locator);
        handed::<Top>(&locator);
        drop(top);
        let (lane, retired) = evicted::<Top>(&locator);
        let all = retired[0].info.all_hits();
        let reports = lane.drop_retired(retired);
        assert!(all > 1);
        assert_eq!(reports[0].hits, all - 1, "one was reported before");
    }

    fn is_not_handed_out_after_a_clear() {
        let locator = locator();
        let top = caught::<Top>(&locator);
        locator.clear_worker();
        assert!(!Arc::ptr_eq(&handed(&locator), &top));
    }

    fn is_set_aside_for_a_fake() {
        let locator = locator();
        let top = caught::<Top>(&locator);
        let fake = locator.override_with(Arc::new(Base(7)));
        assert_eq!(handed::<Top>(&locator).0, 7);
        drop(fake);
        assert!(Arc::ptr_eq(&handed(&locator), &top));
    }

    fn is_set_aside_for_a_fake_that_its_proxy_would_be() {
        let locator = locator();
        let late = caught::<Late>(&locator);
        assert_eq!(late.0.0, 0);
        assert!(Arc::ptr_eq(&handed(&locator), &late));
        let _fake = locator.override_with(Arc::new(Base(7)));
        assert_eq!(handed::<Late>(&locator).0.0, 7);
    }

    fn test<R: Send>(name: &str, work: impl FnOnce() -> R + Send) -> R {
        std::thread::scope(|scope| {
            let test = std::thread::Builder::new().name(name.to_owned());
            test.spawn_scoped(scope, work).unwrap().join().unwrap()
        })
    }

    fn is_not_the_next_tests() {
        let locator = locator();
        let get = || {
            (
                Worker::current().id().to_owned(),
                handed(&locator),
                handed(&locator),
            )
        };
        let (of_test, reset) = test("a::first", || {
            (caught::<OfTest>(&locator), caught::<Reset>(&locator))
        });
        let (lane, of_next, not_reset) = test("a::second", get);
        assert_eq!(lane, "w1", "the lane of the first one");
        assert!(!Arc::ptr_eq(&of_test, &of_next));
        assert!(!Arc::ptr_eq(&reset, &not_reset));
    }

    /// A helper thread of the first test drops its evicted instances only while the second one runs.
    fn is_not_the_next_tests_if_it_is_dropped_during_that() {
        fn held<T: Send + Sync + 'static>(locator: &ServiceLocator) -> (Arc<T>, Arc<Lane>, Vec<Retired>) {
            let weak = Arc::downgrade(&locator.get::<T>().into_arc());
            let (lane, retired) = evicted::<T>(locator);
            (weak.upgrade().unwrap(), lane, retired)
        }
        let locator = locator();
        let (of_test, reset) = test("b::first", || (held::<OfTest>(&locator), held::<Reset>(&locator)));
        test("b::second", || {
            handed::<Top>(&locator);
            reset.1.dispose(reset.2);
            of_test.1.dispose(of_test.2);
            assert!(!Arc::ptr_eq(&of_test.0, &handed(&locator)));
            assert!(!Arc::ptr_eq(&reset.0, &handed(&locator)));
        });
    }
}
