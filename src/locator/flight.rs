//! A build that is going on: one builds, the others wait for what it comes to.

use crate::sys::clock::Deadline;
use crate::sys::sync::{Condvar, Mutex, lock, wait};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// One build of one key. Whoever started it lands it, whatever happens.
pub(crate) struct Flight<V> {
    /// The build's number in the wait graph.
    pub(crate) build: u64,
    outcome: Mutex<Option<V>>,
    landed: Condvar,
}

impl<V: Clone> Flight<V> {
    fn new(build: u64) -> Self {
        Self {
            build,
            outcome: Mutex::new(None),
            landed: Condvar::new(),
        }
    }

    /// Tells everyone who waits, now or later.
    pub(crate) fn land(&self, outcome: V) {
        *lock(&self.outcome) = Some(outcome);
        self.landed.notify_all();
    }

    /// Waits for the outcome; `None` when the deadline passes first.
    pub(crate) fn outcome(&self, deadline: Deadline) -> Option<V> {
        let mut outcome = lock(&self.outcome);
        loop {
            if let Some(outcome) = &*outcome {
                return Some(outcome.clone());
            }
            outcome = wait(&self.landed, outcome, deadline.left()?);
        }
    }
}

/// The builds that are going on for one worker.
pub(crate) struct Flights<K, V> {
    aloft: HashMap<K, Arc<Flight<V>>>,
}

/// What to do about a key that is not there yet.
pub(crate) enum Role<V> {
    /// Nobody builds it: do, and land it.
    Build(Arc<Flight<V>>),
    /// Somebody does.
    Wait(Arc<Flight<V>>),
}

impl<K: Eq + Hash + Clone, V: Clone> Flights<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            aloft: HashMap::new(),
        }
    }

    /// Joins the build of `key`, or begins it as number `build`.
    pub(crate) fn join(&mut self, key: &K, build: u64) -> Role<V> {
        if let Some(flight) = self.aloft.get(key) {
            return Role::Wait(Arc::clone(flight));
        }
        let flight = Arc::new(Flight::new(build));
        self.aloft.insert(key.clone(), Arc::clone(&flight));
        Role::Build(flight)
    }

    /// Whether this build of `key` is still the one to join.
    pub(crate) fn is_aloft(&self, key: &K, flight: &Arc<Flight<V>>) -> bool {
        self.aloft
            .get(key)
            .is_some_and(|aloft| Arc::ptr_eq(aloft, flight))
    }

    /// The build is over; nobody joins it any more.
    pub(crate) fn end(&mut self, key: &K, flight: &Arc<Flight<V>>) {
        if self.is_aloft(key, flight) {
            self.aloft.remove(key);
        }
    }

    /// Nobody joins these any more, and what they build is handed to none but those who have joined.
    pub(crate) fn leave(&mut self, is_left: impl Fn(&K) -> bool) {
        self.aloft.retain(|key, _| !is_left(key));
    }
}
