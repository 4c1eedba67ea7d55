//! A lane passes from one test to the next: what lived for the first one goes, what can be reset is.

use super::Lane;
use super::cache::{About, Cache};
use super::retired::{self, Leaving};
use super::state::State;
use crate::event::Why;
use crate::exit;
use crate::locator::instance::Instance;
use crate::locator::registry::{Key, Scope, Service};
use crate::locator::resolve::let_go;
use crate::sys::stderr;
use crate::worker::Worker;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::ThreadId;

/// What a test hands to the next one in its lane.
pub(crate) struct Pass {
    /// To be reset, in the order they were built.
    reset: Vec<Key>,
    /// Left over from work that outlived its test.
    leaving: Vec<Leaving>,
}

/// Makes a lane ready for its next test: what is left over goes, what can be reset is.
pub(crate) fn hand_over(lane: &Lane, pass: Pass) {
    let _passed = Passed(lane);
    let_go(lane, pass.leaving);
    for key in pass.reset {
        let Some((service, instance)) = lane.to_reset(&key) else {
            // It went with something that it was built from.
            continue;
        };
        let Some(reset) = &service.reset else { continue };
        let words = || reset(&instance).err().map(|error| error.to_string());
        let trouble = match catch_unwind(AssertUnwindSafe(words)) {
            Ok(trouble) => trouble,
            Err(panic) => Some(exit::last_words(panic)),
        };
        let panicked = retired::drop_it(instance);
        if let Some(trouble) = trouble.or(panicked) {
            let of = format!("{} of {}", service.label(), lane.name);
            stderr::line(&format!("{of} could not be reset and is built anew: {trouble}"));
            let_go(lane, lane.give_up(&key));
        }
    }
}

/// Whatever happens, the next test is not to wait for ever.
struct Passed<'a>(&'a Lane);

impl Drop for Passed<'_> {
    fn drop(&mut self) {
        self.0.passed();
    }
}

impl Lane {
    fn to_reset(&self, key: &Key) -> Option<(Arc<Service>, Instance)> {
        let mut state = self.lock();
        let entry = state.caches.get_mut(&key.locator)?.peek(key)?;
        Some((Arc::clone(&entry.about.service), entry.instance.clone()))
    }

    /// Gives up one service whose reset failed, and all that is built from it.
    fn give_up(&self, failed: &Key) -> Vec<Leaving> {
        let mut state = self.lock();
        let mut gone = Vec::new();
        for cache in state.caches.values_mut() {
            gone.extend(cache.take_all(|key, entry| key == failed || entry.about.from.contains(failed)));
        }
        state.flights.leave(|_| true);
        self.next_epoch(&mut state);
        state.leave(gone, Why::Reset)
    }

    /// What comes before anything else that a test does here, if it has not been done.
    pub(crate) fn arrive(&self, worker: &Worker) {
        let pass = self.pass_to(&mut self.lock(), worker.life());
        if let Some(pass) = pass {
            hand_over(self, pass);
        }
    }

    /// The resets are done.
    fn passed(&self) {
        self.lock().passing = None;
        self.changed.notify_all();
    }

    /// What has to be done before `life` is handed anything, if it is the first thing that this life wants.
    pub(crate) fn pass_to(&self, state: &mut State, life: u64) -> Option<Pass> {
        if !state.passes {
            return None;
        }
        let pass = state.pass_to(life, std::thread::current().id())?;
        if !pass.leaving.is_empty() {
            self.next_epoch(state);
        }
        Some(pass)
    }
}

impl State {
    /// What comes first when the lane passes to another test; the caller does it by [`hand_over`].
    fn pass_to(&mut self, life: u64, own_thread: ThreadId) -> Option<Pass> {
        if life <= self.life || self.passing.is_some() {
            return None;
        }
        self.life = life;
        let leaving = self.end_test(|other| other != life);
        // Nobody resets what is not here.
        self.stay_away(|about| about.service.reset.is_some());
        // After that: an override that ends brings services back.
        let mut reset: Vec<_> = self
            .caches
            .values()
            .flat_map(Cache::entries)
            .filter(|(_, entry)| entry.about.service.reset.is_some())
            .map(|(key, entry)| (entry.about.order, key.clone()))
            .collect();
        // What was built first may be what the later ones are built from.
        reset.sort_by_key(|(order, ..)| *order);
        let reset: Vec<_> = reset.into_iter().map(|(_, key)| key).collect();
        if reset.is_empty() && leaving.is_empty() {
            return None;
        }
        self.passing = Some(own_thread);
        Some(Pass { reset, leaving })
    }

    /// Gives up the instances that a panic left in an unknown state, all that they are built from, and all that is built
    /// from any of these.
    fn end_spoiled(&mut self) -> Vec<Leaving> {
        let mut spoiled = std::mem::take(&mut self.spoiled);
        for about in self.abouts_mut() {
            spoiled.extend(about.take_spoiled());
        }
        if spoiled.is_empty() || !self.passes {
            return Vec::new();
        }
        let is_it = |about: &About| spoiled.contains(&about.service.key) || !about.from.is_disjoint(&spoiled);
        let mut gone = Vec::new();
        for cache in self.caches.values_mut() {
            gone.extend(cache.take_all(|_, entry| is_it(&entry.about)));
        }
        gone.extend(self.hidden.extract_if(.., |(_, entry)| is_it(&entry.about)));
        self.stay_away(is_it);
        self.flights.leave(|_| true);
        self.leave(gone, Why::Panicked)
    }

    /// Gives up what lives for one test only, its overrides, and what a panic spoiled.
    pub(crate) fn end_test(&mut self, is_over: impl Fn(u64) -> bool) -> Vec<Leaving> {
        let fakes: Vec<_> = self.layers.extract_if(.., |layer| is_over(layer.life)).collect();
        let mut leaving = if fakes.is_empty() {
            Vec::new()
        } else {
            self.settle()
        };
        // After that: an override that ends brings services back.
        let mut over: Vec<_> = fakes.into_iter().map(|layer| (layer.key, layer.entry)).collect();
        let is_it = |about: &About| about.service.scope == Scope::Test && is_over(about.life);
        for cache in self.caches.values_mut() {
            over.extend(cache.take_all(|_, entry| is_it(&entry.about)));
        }
        over.extend(self.hidden.extract_if(.., |(_, entry)| is_it(&entry.about)));
        self.stay_away(is_it);
        leaving.extend(self.leave(over, Why::TestOver));
        leaving.extend(self.end_spoiled());
        leaving.sort_by_key(|leaving| std::cmp::Reverse(leaving.entry.about.order));
        leaving
    }
}
