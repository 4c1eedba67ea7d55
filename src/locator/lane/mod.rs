//! All that one worker has, behind one mutex. No factory, `Drop` or `reset` ever runs under it.

pub(crate) mod all;
pub(crate) mod cache;
pub(crate) mod flight;
pub(crate) mod handover;
mod overrides;
pub(crate) mod retired;
mod state;
pub(crate) mod thread_cache;
pub(crate) mod view;

use self::cache::{About, Cache, Entry, Uses};
use self::flight::{Flight, Role};
use self::handover::Pass;
use self::retired::Leaving;
use self::state::State;
use crate::error::Error;
use crate::event::Why;
use crate::locator::instance::Instance;
use crate::locator::registry::{Key, Service};
use crate::sys::clock::{self, Deadline};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// One worker's services, of all locators and statics.
pub(crate) struct Lane {
    pub(crate) name: String,
    hot: Hot,
    state: Mutex<State>,
    /// Something finished that others may wait for.
    pub(crate) changed: Condvar,
}

/// What the warm path touches, on a line of its own.
#[repr(align(128))]
#[derive(Default)]
struct Hot {
    epoch: AtomicU64,
    clock: AtomicU64,
}

/// An instance handed out, with what whoever builds from it has to know.
#[derive(Clone)]
pub(crate) struct Given {
    pub(crate) instance: Instance,
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    pub(crate) from: Arc<BTreeSet<Key>>,
    /// The overrides it is or holds.
    pub(crate) fakes: BTreeSet<u64>,
    /// Where this thread marks later uses; `None` for what the cache does not hold.
    pub(crate) uses: Option<Arc<Uses>>,
    /// Whether this life had it before.
    pub(crate) is_known: bool,
}

/// A build that is going on in a lane.
pub(crate) type BuildFlight = Flight<Result<Given, Error>>;

/// What a look for a service came to.
pub(crate) enum Look {
    Found(Given),
    Build(Arc<BuildFlight>, u64),
    Wait(Arc<BuildFlight>),
    /// The lane passes to another test, and this comes first.
    Pass(Pass),
}

impl Lane {
    pub(crate) fn new(name: String, passes: bool) -> Self {
        Self {
            name,
            hot: Hot::default(),
            state: Mutex::new(State::new(passes)),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What threads remember of an earlier epoch they have to ask for again.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.hot.epoch.load(Ordering::Acquire)
    }

    pub(crate) fn next_epoch(&self, state: &mut State) {
        state.epoch += 1;
        self.hot.epoch.store(state.epoch, Ordering::Release);
    }

    /// The worker's own time, one step for each use. Threads of one worker may get the same tick: the order of their
    /// uses is anyone's guess.
    #[inline]
    pub(crate) fn tick(&self) -> u64 {
        let tick = self.hot.clock.load(Ordering::Relaxed) + 1;
        self.hot.clock.store(tick, Ordering::Relaxed);
        tick
    }

    /// Looks for a service for `life`; if it is not there, says who builds it.
    pub(crate) fn look(
        &self,
        service: &Arc<Service>,
        capacity: Option<usize>,
        life: u64,
        limit: std::time::Duration,
    ) -> Result<Look, Error> {
        let deadline = Deadline::after(limit);
        let own_thread = std::thread::current().id();
        let key = &service.key;
        let mut state = self.lock();
        loop {
            if state.closed {
                return Err(Error::test_over());
            }
            if let Some(pass) = self.pass_to(&mut state, life) {
                return Ok(Look::Pass(pass));
            }
            let busy = match state.passing {
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
        if let Some(given) = state.find(key, life, self.tick()) {
            return Ok(Look::Found(given));
        }
        let epoch = state.epoch;
        let cache = state
            .caches
            .entry(key.locator)
            .or_insert_with(|| Cache::new(Arc::clone(&service.locator), capacity));
        cache.misses += 1;
        Ok(match state.flights.join(key, clock::unique()) {
            Role::Build(flight) => Look::Build(flight, epoch),
            Role::Wait(flight) => Look::Wait(flight),
        })
    }

    /// Marks instances that a factory used when it panicked.
    pub(crate) fn spoil(&self, numbers: &BTreeSet<u64>) {
        let mut state = self.lock();
        let used = state
            .abouts_mut()
            .filter(|about| numbers.contains(&about.number.get()));
        used.for_each(|about| about.number.spoil());
    }

    /// Takes a new instance in, unless nobody is to be handed it any more.
    pub(crate) fn admit(
        &self,
        flight: &Arc<BuildFlight>,
        key: &Key,
        instance: Instance,
        mut about: About,
    ) -> Given {
        let mut state = self.lock();
        state.complete(&mut about);
        let fakes = state.fakes(&about.from);
        let mut given = Given {
            instance: instance.clone(),
            number: about.number.get(),
            epoch: state.epoch,
            from: Arc::clone(&about.from),
            fakes: fakes.clone(),
            uses: None,
            is_known: false,
        };
        let is_current = state.flights.is_aloft(key, flight) && !state.closed;
        let Some(cache) = state.caches.get_mut(&key.locator) else {
            return given;
        };
        cache.builds += 1;
        about.misses = 1;
        if !is_current {
            state.keep_track(key, about);
            return given;
        }
        about.fakes = fakes;
        about.used_by = about.life;
        given.uses = Some(about.reader());
        cache.put(key.clone(), Entry { instance, about }, self.tick());
        given
    }

    /// What has to go for what was just built, least recently used first.
    pub(crate) fn surplus(&self, just_built: &Key) -> Vec<(Key, u64)> {
        let mut state = self.lock();
        let Some(cache) = state.caches.get_mut(&just_built.locator) else {
            return Vec::new();
        };
        let surplus = cache.surplus(just_built);
        // Threads that count at once may set the time back; what stands in the order is past all the same.
        self.hot.clock.fetch_max(cache.folded(), Ordering::Relaxed);
        surplus
    }

    /// Gives up an entry that was surplus, unless somebody used it meanwhile.
    pub(crate) fn evict(&self, key: &Key, last_use: u64) -> Vec<Leaving> {
        let mut state = self.lock();
        let entry = state
            .caches
            .get_mut(&key.locator)
            .and_then(|cache| cache.evict(key, last_use));
        let evicted = entry.map(|entry| (key.clone(), entry));
        state.leave(evicted.into_iter().collect(), Why::Evicted)
    }

    /// The build is over for those who would still join it.
    pub(crate) fn end_flight(&self, key: &Key, flight: &Arc<BuildFlight>) {
        self.lock().flights.end(key, flight);
    }

    /// Gives up all of one locator, and opens a new epoch. With `for_good` its overrides and counts go too.
    pub(crate) fn clear(&self, locator: u64, for_good: bool) -> Vec<Leaving> {
        let is_of = |key: &Key| key.locator == locator;
        let mut state = self.lock();
        let mut all: Vec<_> = state.hidden.extract_if(.., |(key, _)| is_of(key)).collect();
        let cache = state.caches.get_mut(&locator);
        // Most lanes never heard of most locators, and need not be disturbed.
        let is_known = cache.is_some();
        if let Some(cache) = cache {
            cache.clears += 1;
            all.extend(cache.take_all(|_, _| true));
        }
        let mut leaving = state.leave(all, if for_good { Why::Locator } else { Why::Cleared });
        state.flights.leave(is_of);
        if for_good {
            let fakes: Vec<_> = state.layers.extract_if(.., |layer| is_of(&layer.key)).collect();
            if !fakes.is_empty() {
                leaving.extend(state.settle());
            }
            let fakes = fakes.into_iter().map(|layer| (layer.key, layer.entry)).collect();
            leaving.extend(state.leave(fakes, Why::Locator));
        }
        if is_known || !leaving.is_empty() {
            self.next_epoch(&mut state);
        }
        if for_good {
            state.caches.remove(&locator);
        }
        leaving
    }

    /// Gives up everything, for good: the process ends.
    pub(crate) fn close(&self) -> Vec<Leaving> {
        let mut state = self.lock();
        state.closed = true;
        let fakes = std::mem::take(&mut state.layers)
            .into_iter()
            .map(|layer| (layer.key, layer.entry));
        let mut all: Vec<_> = std::mem::take(&mut state.hidden)
            .into_iter()
            .chain(fakes)
            .collect();
        all.extend(
            state
                .caches
                .values_mut()
                .flat_map(|cache| cache.take_all(|_, _| true)),
        );
        state.leave(all, Why::Exit)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::locator::ServiceLocator;
    use crate::locator::registry::Scope;
    use crate::worker::Worker;

    /// Two threads that count at once may set the worker's time back by as much as one of them slept in between.
    #[test]
    fn a_time_that_was_set_back_spoils_the_order_of_use_no_longer_than_until_the_next_eviction() {
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
        let lane = all::of(Scope::Worker, &Worker::current());
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
