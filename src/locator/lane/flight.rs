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

/// Every schedule of threads that want one service: `RUSTFLAGS="--cfg loom" cargo test --lib --release loom`.
#[cfg(all(test, loom))]
mod loom_model {
    use super::*;
    use ::loom::model;
    use ::loom::sync::atomic::{AtomicUsize, Ordering};
    use ::loom::thread;
    use std::time::Duration;

    /// A lane with one service, as `lane.rs` and `resolve.rs` put it together.
    struct Lane {
        state: Mutex<State>,
        builds: AtomicUsize,
        /// How many of the first builds fail.
        failing: usize,
    }

    struct State {
        cached: Option<Built>,
        flights: Flights<(), Result<Built, ()>>,
        epoch: usize,
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Built {
        build: usize,
        epoch: usize,
    }

    impl Lane {
        fn new(failing: usize) -> Arc<Self> {
            let state = State {
                cached: None,
                flights: Flights::new(),
                epoch: 0,
            };
            Arc::new(Self {
                state: Mutex::new(state),
                builds: AtomicUsize::new(0),
                failing,
            })
        }

        fn get(&self) -> Result<Built, ()> {
            let mut state = lock(&self.state);
            if let Some(built) = state.cached {
                return Ok(built);
            }
            let epoch = state.epoch;
            let role = state.flights.join(&(), 0);
            drop(state);
            match role {
                Role::Wait(flight) => {
                    let never = Deadline::after(Duration::from_secs(100_000));
                    flight.outcome(never).expect("it lands")
                }
                Role::Build(flight) => {
                    let build = self.builds.fetch_add(1, Ordering::SeqCst);
                    let outcome = if build < self.failing {
                        Err(())
                    } else {
                        Ok(Built { build, epoch })
                    };
                    let mut state = lock(&self.state);
                    if state.flights.is_aloft(&(), &flight) {
                        state.cached = outcome.ok();
                    }
                    state.flights.end(&(), &flight);
                    drop(state);
                    flight.land(outcome);
                    outcome
                }
            }
        }

        fn clear(&self) {
            let mut state = lock(&self.state);
            state.cached = None;
            state.epoch += 1;
            state.flights.leave(|()| true);
        }
    }

    fn start<R: 'static>(lane: &Arc<Lane>, work: impl FnOnce(&Lane) -> R + 'static) -> thread::JoinHandle<R> {
        let lane = Arc::clone(lane);
        thread::spawn(move || work(&lane))
    }

    #[test]
    fn threads_that_want_one_service_have_it_built_once() {
        model(|| {
            let lane = Lane::new(0);
            let others = [start(&lane, Lane::get), start(&lane, Lane::get)];
            let own = lane.get();
            for other in others {
                assert_eq!(other.join().unwrap(), own);
            }
            assert_eq!(lane.builds.load(Ordering::SeqCst), 1);
        });
    }

    #[test]
    fn who_waits_for_a_build_that_fails_is_told_and_the_next_call_tries_again() {
        model(|| {
            let lane = Lane::new(1);
            let other = start(&lane, Lane::get);
            let both = [lane.get(), other.join().unwrap()];
            let failed = both.iter().filter(|outcome| outcome.is_err()).count();
            let builds = lane.builds.load(Ordering::SeqCst);
            // Either they waited together, or one came later and tried again.
            assert_eq!((failed, builds), if failed == 2 { (2, 1) } else { (1, 2) });
            assert!(lane.get().is_ok());
            assert_eq!(lane.builds.load(Ordering::SeqCst), 2);
        });
    }

    #[test]
    fn what_was_begun_before_a_clear_is_not_handed_out_after_it() {
        model(|| {
            let lane = Lane::new(0);
            let builds = start(&lane, Lane::get);
            let clears = start(&lane, |lane| {
                lane.clear();
                lane.get()
            });
            let (before, after) = (builds.join().unwrap().unwrap(), clears.join().unwrap().unwrap());
            assert_eq!(after.epoch, 1);
            assert_eq!(lane.get(), Ok(after), "one instance in an epoch");
            assert!(before.epoch == 0 || before == after);
        });
    }
}
