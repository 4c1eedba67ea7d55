//! Builds in progress: one thread builds, the others wait for the outcome.

use crate::sys::clock::Deadline;
use crate::sys::sync::{Condvar, Mutex, lock, wait};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::task::Waker;
#[cfg(any(feature = "tokio", all(test, loom)))]
use std::task::{Context, Poll};

/// One build of one key. The thread that starts it must land it, whatever the outcome.
pub(crate) struct Flight<V> {
    /// The build's number in the wait graph.
    pub(crate) build: u64,
    outcome: Mutex<Outcome<V>>,
    landed: Condvar,
}

struct Outcome<V> {
    value: Option<V>,
    /// The tasks that wait for it.
    wakers: Vec<Waker>,
}

impl<V: Clone> Flight<V> {
    fn new(build: u64) -> Self {
        Self {
            build,
            outcome: Mutex::new(Outcome {
                value: None,
                wakers: Vec::new(),
            }),
            landed: Condvar::new(),
        }
    }

    /// Publishes the outcome to all current and later waiters.
    pub(crate) fn land(&self, outcome: V) {
        let wakers = {
            let mut landing = lock(&self.outcome);
            landing.value = Some(outcome);
            std::mem::take(&mut landing.wakers)
        };
        self.landed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Polls for the outcome, without blocking the thread.
    #[cfg(any(feature = "tokio", all(test, loom)))]
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<V> {
        let mut outcome = lock(&self.outcome);
        if let Some(value) = &outcome.value {
            return Poll::Ready(value.clone());
        }
        if !outcome
            .wakers
            .iter()
            .any(|waker| waker.will_wake(context.waker()))
        {
            outcome.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Waits for the outcome; `None` when the deadline passes first.
    pub(crate) fn outcome(&self, deadline: Deadline) -> Option<V> {
        let mut outcome = lock(&self.outcome);
        loop {
            if let Some(value) = &outcome.value {
                return Some(value.clone());
            }
            outcome = wait(&self.landed, outcome, deadline.left()?);
        }
    }
}

/// The builds in progress of one worker.
pub(crate) struct Flights<K, V> {
    in_flight: HashMap<K, Arc<Flight<V>>>,
}

/// The role of a thread that requests a missing key.
pub(crate) enum Role<V> {
    /// It builds the service and lands the flight.
    Build(Arc<Flight<V>>),
    /// It waits for the thread that builds.
    Wait(Arc<Flight<V>>),
}

impl<K: Eq + Hash + Clone, V: Clone> Flights<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            in_flight: HashMap::new(),
        }
    }

    /// Joins the build of `key`, or begins it with the number `build`.
    pub(crate) fn join(&mut self, key: &K, build: u64) -> Role<V> {
        if let Some(flight) = self.in_flight.get(key) {
            return Role::Wait(Arc::clone(flight));
        }
        let flight = Arc::new(Flight::new(build));
        self.in_flight.insert(key.clone(), Arc::clone(&flight));
        Role::Build(flight)
    }

    /// Returns whether later requests for `key` still join this build.
    pub(crate) fn is_in_flight(&self, key: &K, flight: &Arc<Flight<V>>) -> bool {
        self.in_flight
            .get(key)
            .is_some_and(|known| Arc::ptr_eq(known, flight))
    }

    /// Ends a build: later requests no longer join it.
    pub(crate) fn end(&mut self, key: &K, flight: &Arc<Flight<V>>) {
        if self.is_in_flight(key, flight) {
            self.in_flight.remove(key);
        }
    }

    /// Stops new callers from joining these builds; only current waiters receive the result.
    pub(crate) fn detach(&mut self, is_detached: &dyn Fn(&K) -> bool) {
        self.in_flight.retain(|key, _| !is_detached(key));
    }
}

/// All schedules of threads that request one service: `RUSTFLAGS="--cfg loom" cargo test --lib --release loom`.
#[cfg(all(test, loom))]
mod loom_model {
    use super::*;
    use ::loom::model;
    use ::loom::sync::atomic::{AtomicUsize, Ordering};
    use ::loom::thread;
    use std::time::Duration;

    /// A lane with one service, assembled as in `lane/mod.rs` and `resolve.rs`.
    struct Model {
        state: Mutex<ModelState>,
        builds: AtomicUsize,
        /// The number of builds that fail first.
        failing: usize,
    }

    struct ModelState {
        cached: Option<Built>,
        flights: Flights<(), Result<Built, ()>>,
        epoch: usize,
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Built {
        build: usize,
        epoch: usize,
    }

    impl Model {
        fn new(failing: usize) -> Arc<Self> {
            let state = ModelState {
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
                    if state.flights.is_in_flight(&(), &flight) {
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
            state.flights.detach(&|()| true);
        }
    }

    fn start<R: 'static>(
        lane: &Arc<Model>,
        work: impl FnOnce(&Model) -> R + 'static,
    ) -> thread::JoinHandle<R> {
        let lane = Arc::clone(lane);
        thread::spawn(move || work(&lane))
    }

    #[test]
    fn one_service_is_built_once_for_all_threads() {
        model(|| {
            let lane = Model::new(0);
            let others = [start(&lane, Model::get), start(&lane, Model::get)];
            let own = lane.get();
            for other in others {
                assert_eq!(other.join().unwrap(), own);
            }
            assert_eq!(lane.builds.load(Ordering::SeqCst), 1);
        });
    }

    #[test]
    fn a_task_that_waits_is_woken_or_finds_the_outcome() {
        struct Flag(AtomicUsize);
        impl std::task::Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        model(|| {
            let flight = Arc::new(Flight::new(1));
            let builder = {
                let flight = Arc::clone(&flight);
                thread::spawn(move || flight.land(7))
            };
            let flag = Arc::new(Flag(AtomicUsize::new(0)));
            let waker = Waker::from(Arc::clone(&flag));
            let context = Context::from_waker(&waker);
            let first = flight.poll(&context);
            builder.join().unwrap();
            assert!(first == Poll::Ready(7) || flag.0.load(Ordering::SeqCst) == 1);
            assert_eq!(flight.poll(&context), Poll::Ready(7));
        });
    }

    #[test]
    fn all_waiters_get_the_error_of_a_failed_build_and_the_next_call_tries_again() {
        model(|| {
            let lane = Model::new(1);
            let other = start(&lane, Model::get);
            let both = [lane.get(), other.join().unwrap()];
            let failed = both.iter().filter(|outcome| outcome.is_err()).count();
            let builds = lane.builds.load(Ordering::SeqCst);
            // Either both waited together, or one came later and tried again.
            assert_eq!((failed, builds), if failed == 2 { (2, 1) } else { (1, 2) });
            assert!(lane.get().is_ok());
            assert_eq!(lane.builds.load(Ordering::SeqCst), 2);
        });
    }

    #[test]
    fn a_build_that_began_before_a_clear_is_not_handed_out_after_it() {
        model(|| {
            let lane = Model::new(0);
            let builds = start(&lane, Model::get);
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
