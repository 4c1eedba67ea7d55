//! All that one worker has: its caches, the overrides in force, builds going on, and what is being dropped.
//!
//! One mutex guards it. No factory, `Drop` or `reset` ever runs under it.

use super::cache::{About, Cache, Entry, Uses};
use super::flight::{Flight, Flights, Role};
use super::instance::{Ghost, Instance};
use super::registry::{Key, Scope, Service};
use crate::error::Error;
use crate::event::Why;
use crate::sys::clock::{self, Deadline};
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

/// One worker's services, of all locators and statics.
pub(crate) struct Lane {
    pub(crate) name: String,
    /// Whether it is one worker's, handed from test to test.
    passes: bool,
    hot: Hot,
    state: Mutex<State>,
    /// Something finished that others may wait for.
    changed: Condvar,
}

/// What the warm path touches, on a line of its own.
#[repr(align(128))]
#[derive(Default)]
struct Hot {
    epoch: AtomicU64,
    clock: AtomicU64,
}

pub(crate) struct State {
    pub(crate) caches: HashMap<u64, Cache>,
    /// Overrides, oldest first.
    pub(crate) layers: Vec<Layer>,
    /// Services set aside because an override changes what they are built from.
    pub(crate) hidden: Vec<(Key, Entry)>,
    pub(crate) flights: Flights<Key, Result<Given, Error>>,
    pub(crate) dropping: Vec<Dropping>,
    /// Let go of, and held by somebody still.
    pub(crate) forgotten: Vec<Forgotten>,
    /// The last life that worked here.
    pub(crate) life: u64,
    /// The thread that resets services for the next test.
    pub(crate) passing: Option<ThreadId>,
    closed: bool,
}

/// A fake in the place of a service, for one test.
pub(crate) struct Layer {
    pub(crate) id: u64,
    pub(crate) key: Key,
    pub(crate) life: u64,
    pub(crate) entry: Entry,
}

pub(crate) struct Dropping {
    ticket: u64,
    key: Key,
    thread: ThreadId,
}

pub(crate) struct Forgotten {
    pub(crate) key: Key,
    pub(crate) ghost: Ghost,
    pub(crate) about: About,
    why: Why,
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

/// What a test hands to the next one in its lane.
pub(crate) struct Pass {
    /// To be reset, in the order they were built.
    pub(crate) reset: Vec<(Key, Arc<Service>, Instance)>,
    /// Left over from work that outlived its test.
    pub(crate) leaving: Vec<Leaving>,
}

/// An entry that the lane gave up; dropping it is [`Lane::let_go`]'s.
pub(crate) struct Leaving {
    ticket: u64,
    pub(crate) key: Key,
    pub(crate) entry: Entry,
    pub(crate) why: Why,
}

impl Lane {
    pub(crate) fn new(name: String, passes: bool) -> Self {
        let state = State {
            caches: HashMap::new(),
            layers: Vec::new(),
            hidden: Vec::new(),
            flights: Flights::new(),
            dropping: Vec::new(),
            forgotten: Vec::new(),
            life: 0,
            passing: None,
            closed: false,
        };
        Self {
            name,
            passes,
            hot: Hot::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was handed out in an earlier epoch is not handed out again.
    pub(crate) fn epoch(&self) -> u64 {
        self.hot.epoch.load(Ordering::Acquire)
    }

    pub(crate) fn next_epoch(&self, state: &mut State) {
        self.hot.epoch.fetch_add(1, Ordering::Release);
        state.flights.leave(|_| true);
    }

    /// The worker's own time, one step for each use. Threads of one worker may get the same tick: the order of their
    /// uses is anyone's guess.
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

    /// Drops what was given up, outside every lock, and keeps track of what somebody still holds. `told` hears of
    /// each, and of a panic in its `Drop`.
    pub(crate) fn let_go(&self, leaving: Vec<Leaving>, told: impl Fn(&About, Why, usize, Option<String>)) {
        for Leaving {
            ticket,
            key,
            entry,
            why,
        } in leaving
        {
            let Entry { instance, about } = entry;
            let ghost = instance.ghost();
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(instance)));
            let holders = ghost.holders();
            told(
                &about,
                why,
                holders,
                panic.err().map(|panic| crate::exit::message(&*panic)),
            );
            let mut state = self.lock();
            state.dropping.retain(|dropping| dropping.ticket != ticket);
            // The dead ones would keep their memory.
            state.forgotten.retain(|forgotten| forgotten.ghost.holders() > 0);
            if holders > 0 {
                state.forgotten.push(Forgotten {
                    key,
                    ghost,
                    about,
                    why,
                });
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Whether a fake stands in the place of the service.
    pub(crate) fn has_override(&self, key: &Key) -> bool {
        self.lock().layers.iter().any(|layer| layer.key == *key)
    }

    /// Puts a fake in the place of a service; returns its number and what has to go for it.
    pub(crate) fn add_layer(&self, key: Key, life: u64, fake: Instance, about: About) -> (u64, Vec<Leaving>) {
        let mut state = self.lock();
        let id = clock::unique();
        state.layers.push(Layer {
            id,
            key,
            life,
            entry: Entry {
                instance: fake,
                about,
            },
        });
        self.next_epoch(&mut state);
        (id, state.settle())
    }

    /// Ends an override, if the end of its test has not done so.
    pub(crate) fn remove_layer(&self, id: u64) -> Vec<Leaving> {
        let mut state = self.lock();
        let Some(index) = state.layers.iter().position(|layer| layer.id == id) else {
            return Vec::new();
        };
        let layer = state.layers.remove(index);
        self.next_epoch(&mut state);
        let mut leaving = state.leave(vec![(layer.key, layer.entry)], Why::Overridden);
        leaving.extend(state.settle());
        leaving
    }

    /// Gives up one service whose reset failed.
    pub(crate) fn give_up(&self, key: &Key) -> Vec<Leaving> {
        let mut state = self.lock();
        let entry = state
            .caches
            .get_mut(&key.locator)
            .and_then(|cache| cache.take(key));
        state.leave(
            entry.map(|entry| (key.clone(), entry)).into_iter().collect(),
            Why::Reset,
        )
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

    /// The resets are done.
    pub(crate) fn passed(&self) {
        self.lock().passing = None;
        self.changed.notify_all();
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

impl State {
    /// The service if it is there: a fake, a cached one, or one that was evicted while somebody holds it.
    fn find(&mut self, key: &Key, life: u64, epoch: u64, tick: u64) -> Option<Given> {
        if let Some(layer) = self.layers.iter_mut().rev().find(|layer| layer.key == *key) {
            return Some(layer.entry.give(life, epoch, tick));
        }
        self.reinstate(key, epoch, tick);
        let entry = self.caches.get_mut(&key.locator)?.peek(key)?;
        Some(entry.give(life, epoch, tick))
    }

    /// At most one instance is handed out in an epoch, so an evicted one that is still held comes back.
    fn reinstate(&mut self, key: &Key, epoch: u64, tick: u64) {
        let is_it = |why: Why, about: &About| why == Why::Evicted && about.epoch == epoch;
        let Some(index) = self
            .forgotten
            .iter()
            .position(|forgotten| forgotten.key == *key && is_it(forgotten.why, &forgotten.about))
        else {
            return;
        };
        let forgotten = self.forgotten.swap_remove(index);
        if let (Some(instance), Some(cache)) = (forgotten.ghost.upgrade(), self.caches.get_mut(&key.locator))
        {
            cache.put(
                key.clone(),
                Entry {
                    instance,
                    about: forgotten.about,
                },
                tick,
            );
        }
    }

    /// Whether an earlier instance is still in its `Drop`, on another thread, and who does it.
    fn is_being_dropped(&self, key: &Key, own_thread: ThreadId) -> Option<String> {
        self.dropping
            .iter()
            .find(|dropping| dropping.key == *key && dropping.thread != own_thread)
            .map(|dropping| format!("its predecessor is still being dropped on {:?}", dropping.thread))
    }

    /// What comes first when the lane passes to another test; the caller does it and calls [`Lane::passed`].
    fn pass_to(&mut self, life: u64, own_thread: ThreadId) -> Option<Pass> {
        if life <= self.life || self.passing.is_some() {
            return None;
        }
        self.life = life;
        let mut reset: Vec<_> = self
            .caches
            .values()
            .flat_map(Cache::entries)
            .filter(|(_, entry)| {
                entry.about.service.reset.is_some() && entry.about.service.scope != Scope::Test
            })
            .map(|(key, entry)| {
                let about = &entry.about;
                (
                    about.order,
                    key.clone(),
                    Arc::clone(&about.service),
                    entry.instance.clone(),
                )
            })
            .collect();
        let left_over = self.end_test(|other| other != life);
        if reset.is_empty() && left_over.is_empty() {
            return None;
        }
        // What was built first may be what the later ones are built from.
        reset.sort_by_key(|(order, ..)| *order);
        self.passing = Some(own_thread);
        let reset = reset
            .into_iter()
            .map(|(_, key, service, instance)| (key, service, instance))
            .collect();
        Some(Pass {
            reset,
            leaving: left_over,
        })
    }

    /// Gives up what lives for one test only, and its overrides.
    pub(crate) fn end_test(&mut self, is_over: impl Fn(u64) -> bool) -> Vec<Leaving> {
        let is_it = |entry: &Entry| entry.about.service.scope == Scope::Test && is_over(entry.about.life);
        let mut over: Vec<_> = self
            .caches
            .values_mut()
            .flat_map(|cache| cache.take_all(is_it))
            .collect();
        let gone: Vec<_> = self.layers.extract_if(.., |layer| is_over(layer.life)).collect();
        let settled = if gone.is_empty() {
            Vec::new()
        } else {
            self.settle()
        };
        over.extend(gone.into_iter().map(|layer| (layer.key, layer.entry)));
        let mut leaving = self.leave(over, Why::TestOver);
        leaving.extend(settled);
        leaving
    }

    /// The overrides in force for any of these keys.
    pub(crate) fn fakes(&self, keys: &BTreeSet<Key>) -> BTreeSet<u64> {
        keys.iter()
            .filter_map(|key| self.layers.iter().rev().find(|layer| layer.key == *key))
            .map(|layer| layer.id)
            .collect()
    }

    /// Sets aside, brings back or gives up services after the overrides changed.
    pub(crate) fn settle(&mut self) -> Vec<Leaving> {
        let mut loose = std::mem::take(&mut self.hidden);
        for cache in self.caches.values_mut() {
            loose.extend(cache.take_all(|_| true));
        }
        // Oldest first, so that their order of use survives where nobody has used them since.
        loose.sort_by_key(|(_, entry)| (entry.about.last_tick(), entry.about.order));
        let mut dead = Vec::new();
        for (key, entry) in loose {
            let is_current = self.fakes(&entry.about.from) == entry.about.fakes;
            let is_dead = entry
                .about
                .fakes
                .iter()
                .any(|fake| !self.layers.iter().any(|layer| layer.id == *fake));
            match self.caches.get_mut(&key.locator) {
                Some(cache) if is_current && !cache.has(&key) => {
                    let tick = entry.about.last_tick();
                    cache.put(key, entry, tick);
                }
                _ if is_dead || is_current => dead.push((key, entry)),
                _ => self.hidden.push((key, entry)),
            }
        }
        self.leave(dead, Why::Overridden)
    }

    /// Marks entries as being dropped; [`Lane::let_go`] does it, outside the lock.
    pub(crate) fn leave(&mut self, entries: Vec<(Key, Entry)>, why: Why) -> Vec<Leaving> {
        let thread = std::thread::current().id();
        let mut leaving: Vec<_> = entries
            .into_iter()
            .map(|(key, entry)| {
                let ticket = clock::unique();
                self.dropping.push(Dropping {
                    ticket,
                    key: key.clone(),
                    thread,
                });
                if let Some(cache) = self.caches.get_mut(&key.locator) {
                    cache.gone_hits += entry.about.all_hits();
                }
                Leaving {
                    ticket,
                    key,
                    entry,
                    why,
                }
            })
            .collect();
        leaving.sort_by_key(|leaving| std::cmp::Reverse(leaving.entry.about.order));
        leaving
    }
}

impl Entry {
    fn give(&mut self, life: u64, epoch: u64, tick: u64) -> Given {
        let about = &mut self.about;
        about.hits += 1;
        about.used_at = clock::micros();
        about.touch(tick);
        let is_known = std::mem::replace(&mut about.used_by, life) == life;
        Given {
            instance: self.instance.clone(),
            number: about.number.get(),
            epoch,
            from: Arc::clone(&about.from),
            uses: Some(about.reader()),
            is_known,
        }
    }
}
