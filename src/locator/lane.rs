//! All that one worker has, behind one mutex. No factory, `Drop` or `reset` ever runs under it.

use super::cache::{About, Cache, Entry, Uses};
use super::flight::{Flight, Role};
use super::instance::Instance;
use super::leaving::Leaving;
use super::passing::Pass;
use super::registry::{Key, Service};
use super::state::State;
use crate::error::Error;
use crate::event::Why;
use crate::sys::clock::{self, Deadline};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// One worker's services, of all locators and statics.
pub(crate) struct Lane {
    pub(crate) name: String,
    /// Whether it is one worker's, handed from test to test.
    passes: bool,
    hot: Hot,
    state: Mutex<State>,
    /// Something finished that others may wait for.
    pub(super) changed: Condvar,
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
    /// Where this thread marks later uses; `None` for what the cache does not hold.
    pub(crate) uses: Option<Arc<Uses>>,
    /// Whether this life had it before.
    pub(crate) is_known: bool,
}

/// What a look for a service came to.
pub(crate) enum Look {
    Found(Given),
    Build(Arc<Flight<Result<Given, Error>>>, u64),
    Wait(Arc<Flight<Result<Given, Error>>>),
    /// The lane passes to another test, and this comes first.
    Pass(Pass),
}

impl Lane {
    pub(crate) fn new(name: String, passes: bool) -> Self {
        Self {
            name,
            passes,
            hot: Hot::default(),
            state: Mutex::new(State::new()),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was handed out in an earlier epoch is not handed out again.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.hot.epoch.load(Ordering::Acquire)
    }

    pub(crate) fn next_epoch(&self, state: &mut State) {
        self.hot.epoch.fetch_add(1, Ordering::Release);
        state.flights.leave(|_| true);
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
            if self.passes
                && let Some(pass) = state.pass_to(life, own_thread)
            {
                if !pass.leaving.is_empty() {
                    self.next_epoch(&mut state);
                }
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
        let epoch = self.epoch();
        if let Some(given) = state.find(key, life, epoch, self.tick()) {
            return Ok(Look::Found(given));
        }
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

    /// Takes a new instance in, unless its epoch is over, and returns what has to go for it.
    pub(crate) fn admit(&self, key: &Key, instance: Instance, mut about: About) -> (Given, Vec<Leaving>) {
        let mut state = self.lock();
        let mut given = Given {
            instance: instance.clone(),
            number: about.number.get(),
            epoch: about.epoch,
            from: Arc::clone(&about.from),
            uses: None,
            is_known: false,
        };
        if about.epoch != self.epoch() || state.closed {
            return (given, Vec::new());
        }
        about.fakes = state.fakes(&about.from);
        about.used_by = about.life;
        about.misses = 1;
        given.uses = Some(about.reader());
        let tick = self.tick();
        let Some(cache) = state.caches.get_mut(&key.locator) else {
            return (given, Vec::new());
        };
        cache.builds += 1;
        cache.put(key.clone(), Entry { instance, about }, tick);
        let evicted = cache.evict(key);
        (given, state.leave(evicted, Why::Evicted))
    }

    /// The build is over for those who would still join it.
    pub(crate) fn end_flight(&self, key: &Key, flight: &Arc<Flight<Result<Given, Error>>>) {
        self.lock().flights.end(key, flight);
    }

    /// Gives up all of one locator, and opens a new epoch. With `for_good` its overrides and counts go too.
    pub(crate) fn clear(&self, locator: u64, for_good: bool) -> Vec<Leaving> {
        let mut state = self.lock();
        let mut all = state
            .caches
            .get_mut(&locator)
            .map(|cache| cache.take_all(|_| true))
            .unwrap_or_default();
        all.extend(state.hidden.extract_if(.., |(key, _)| key.locator == locator));
        if for_good {
            let fakes = state.layers.extract_if(.., |layer| layer.key.locator == locator);
            all.extend(fakes.map(|layer| (layer.key, layer.entry)));
        }
        let leaving = state.leave(all, if for_good { Why::Locator } else { Why::Cleared });
        if for_good {
            state.caches.remove(&locator);
        }
        self.next_epoch(&mut state);
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
                .flat_map(|cache| cache.take_all(|_| true)),
        );
        state.leave(all, Why::Exit)
    }
}
