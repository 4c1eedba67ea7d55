//! The leases of lanes within a process: each test gets the smallest free number and returns it at its end.
//!
//! Measured with real suites: with T test threads, at most T numbers are used. Two cases need care: work that outlives its
//! test keeps the number reserved until it is done, and a number must be free in the run's other processes too
//! (`may_have`, which takes a kernel lock outside tests).

use crate::sys::sync::{Condvar, Mutex, lock, lock_when};
use std::sync::Arc;
use std::time::Duration;

/// The leased numbers of one process.
#[derive(Debug)]
pub(crate) struct Slots {
    taken: Mutex<Vec<bool>>,
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self {
            taken: Mutex::new(Vec::new()),
        }
    }

    /// Leases the smallest number that is free in this process and that `may_have` grants.
    pub(crate) fn lease(self: &Arc<Self>, mut may_have: impl FnMut(usize) -> bool) -> Lease {
        let mut taken = lock(&self.taken);
        let mut slot = 0;
        while taken.get(slot).copied().unwrap_or(false) || !may_have(slot) {
            slot += 1;
        }
        if taken.len() <= slot {
            taken.resize(slot + 1, false);
        }
        taken[slot] = true;
        Lease {
            back: Some((Arc::clone(self), slot)),
            state: Mutex::new(LeaseState::default()),
            quiet: Condvar::new(),
        }
    }

    fn return_slot(&self, slot: usize) {
        lock(&self.taken)[slot] = false;
    }
}

#[derive(Debug, Default)]
struct LeaseState {
    children: usize,
    is_over: bool,
}

/// The lease of a lane, from a test's first use until the test and all work that it started are done.
#[derive(Debug)]
pub(crate) struct Lease {
    /// The place to return the number to; `None` for a lane that is fixed for the process.
    back: Option<(Arc<Slots>, usize)>,
    state: Mutex<LeaseState>,
    quiet: Condvar,
}

impl Lease {
    /// The lease of a lane that is fixed for the process: a runner's slot, or one named by a variable.
    pub(crate) fn fixed() -> Self {
        Self {
            back: None,
            state: Mutex::new(LeaseState::default()),
            quiet: Condvar::new(),
        }
    }

    /// Returns the number, if one was leased.
    pub(crate) fn slot(&self) -> Option<usize> {
        self.back.as_ref().map(|(_, slot)| *slot)
    }

    /// Adds a child. Returns `false` if the lane may already belong to another test.
    #[must_use]
    pub(crate) fn join(&self) -> bool {
        let mut state = lock(&self.state);
        if state.is_over && state.children == 0 && self.back.is_some() {
            return false;
        }
        state.children += 1;
        true
    }

    /// Removes a child. The last child of a test that has ended returns the number.
    pub(crate) fn leave(&self) {
        let mut state = lock(&self.state);
        state.children -= 1;
        if state.children == 0 {
            self.quiet.notify_all();
            self.return_if_done(&state);
        }
    }

    /// Ends the test: waits for its children for at most `limit`, returns the number if none is left, and returns the count
    /// of those that are left. The number stays reserved until they have ended.
    pub(crate) fn end(&self, limit: Duration, before_giving_back: impl FnOnce()) -> usize {
        drop(lock_when(&self.state, &self.quiet, limit, |state| {
            state.children == 0
        }));
        // The test's services end while the lane still belongs to the test.
        before_giving_back();
        let mut state = lock(&self.state);
        state.is_over = true;
        self.return_if_done(&state);
        state.children
    }

    fn return_if_done(&self, state: &LeaseState) {
        if let (true, 0, Some((slots, slot))) = (state.is_over, state.children, &self.back) {
            slots.return_slot(*slot);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicBool, Ordering};

    const NEVER: Duration = Duration::from_secs(600);
    const AT_ONCE: Duration = Duration::ZERO;

    fn slots() -> Arc<Slots> {
        Arc::new(Slots::new())
    }

    #[test]
    fn the_smallest_free_number_is_leased() {
        let slots = slots();
        let leases: Vec<_> = (0..3).map(|_| slots.lease(|_| true)).collect();
        assert_eq!(
            leases.iter().map(Lease::slot).collect::<Vec<_>>(),
            [Some(0), Some(1), Some(2)]
        );
        assert_eq!(leases[1].end(NEVER, || ()), 0);
        assert_eq!(slots.lease(|_| true).slot(), Some(1));
        assert_eq!(slots.lease(|_| true).slot(), Some(3));
    }

    #[test]
    fn a_number_that_another_process_uses_is_skipped() {
        let slots = slots();
        assert_eq!(slots.lease(|slot| slot % 2 == 1).slot(), Some(1));
        assert_eq!(slots.lease(|slot| slot % 2 == 1).slot(), Some(3));
        assert_eq!(slots.lease(|_| true).slot(), Some(0));
    }

    #[test]
    fn the_number_stays_reserved_while_the_tests_services_end() {
        let slots = slots();
        let lease = slots.lease(|_| true);
        lease.end(NEVER, || assert_eq!(slots.lease(|_| true).slot(), Some(1)));
        assert_eq!(slots.lease(|_| true).slot(), Some(0));
    }

    #[test]
    fn a_child_keeps_the_number_reserved_and_may_have_children() {
        let slots = slots();
        let lease = slots.lease(|_| true);
        assert!(lease.join());
        assert_eq!(lease.end(AT_ONCE, || ()), 1);
        assert_eq!(slots.lease(|_| true).slot(), Some(1));
        assert!(lease.join());
        lease.leave();
        assert_eq!(slots.lease(|_| true).slot(), Some(2));
        lease.leave();
        assert_eq!(slots.lease(|_| true).slot(), Some(0));
        assert!(!lease.join());
    }

    #[test]
    fn the_end_waits_for_a_child_that_is_about_to_leave() {
        // Either thread may be first; over many rounds both orders occur.
        for _ in 0..if cfg!(miri) { 20 } else { 200 } {
            let lease = slots().lease(|_| true);
            assert!(lease.join());
            let (start, is_gone) = (Barrier::new(2), AtomicBool::new(false));
            let children = std::thread::scope(|scope| {
                let end = scope.spawn(|| {
                    start.wait();
                    lease.end(NEVER, || assert!(is_gone.load(Ordering::SeqCst)))
                });
                start.wait();
                is_gone.store(true, Ordering::SeqCst);
                lease.leave();
                end.join().unwrap()
            });
            assert_eq!(children, 0);
        }
    }

    #[test]
    fn a_lane_fixed_by_a_runner_is_entered_as_long_as_the_process_lives() {
        let lease = Lease::fixed();
        assert_eq!((lease.slot(), lease.end(NEVER, || ())), (None, 0));
        assert!(lease.join());
    }

    #[test]
    fn no_more_numbers_are_used_than_tests_run_at_once() {
        let slots = slots();
        let most = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut most = 0;
                        for _ in 0..500 {
                            let lease = slots.lease(|_| true);
                            most = most.max(lease.slot().unwrap());
                            lease.end(NEVER, || ());
                        }
                        most
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).max()
        });
        assert!(most < Some(4), "{most:?}");
    }
}

/// All schedules of two tests and their children: `RUSTFLAGS="--cfg loom" cargo test --lib --release loom`.
#[cfg(all(test, loom))]
mod loom_model {
    use super::*;
    use ::loom::model;
    use ::loom::sync::atomic::{AtomicUsize, Ordering};
    use ::loom::thread;

    /// The number of tests in each lane, counted from outside.
    #[derive(Default)]
    struct Lanes([AtomicUsize; 3]);

    impl Lanes {
        fn come(&self, lane: Option<usize>) {
            self.0[lane.unwrap()].fetch_add(1, Ordering::SeqCst);
        }

        fn go(&self, lane: Option<usize>) {
            self.0[lane.unwrap()].fetch_sub(1, Ordering::SeqCst);
        }

        fn is_mine(&self, lane: Option<usize>) {
            assert_eq!(
                self.0[lane.unwrap()].load(Ordering::SeqCst),
                1,
                "two tests in {lane:?}"
            );
        }
    }

    /// A test that leases, works and ends; its lane is its own until the end of its services.
    fn test(slots: &Arc<Slots>, lanes: &Lanes) {
        let lease = slots.lease(|_| true);
        lanes.come(lease.slot());
        lanes.is_mine(lease.slot());
        let children = lease.end(Duration::ZERO, || {
            lanes.is_mine(lease.slot());
            lanes.go(lease.slot());
        });
        assert_eq!(children, 0);
    }

    #[test]
    fn no_two_tests_have_one_number() {
        model(|| {
            let (slots, lanes) = (Arc::new(Slots::new()), Arc::new(Lanes::default()));
            let other = {
                let (slots, lanes) = (Arc::clone(&slots), Arc::clone(&lanes));
                thread::spawn(move || {
                    test(&slots, &lanes);
                    test(&slots, &lanes);
                })
            };
            test(&slots, &lanes);
            test(&slots, &lanes);
            other.join().unwrap();
            assert!(lock(&slots.taken).len() <= 2, "more numbers than tests at once");
            assert!(lock(&slots.taken).iter().all(|taken| !taken), "a number was lost");
        });
    }

    #[test]
    fn a_child_that_outlives_its_test_keeps_the_number_to_itself() {
        model(|| {
            let (slots, lanes) = (Arc::new(Slots::new()), Arc::new(Lanes::default()));
            let lease = Arc::new(slots.lease(|_| true));
            lanes.come(lease.slot());
            assert!(lease.join());
            let child = {
                let (lease, lanes) = (Arc::clone(&lease), Arc::clone(&lanes));
                thread::spawn(move || {
                    lanes.is_mine(lease.slot());
                    lanes.go(lease.slot());
                    lease.leave();
                })
            };
            let next = {
                let (slots, lanes) = (Arc::clone(&slots), Arc::clone(&lanes));
                thread::spawn(move || test(&slots, &lanes))
            };
            lease.end(Duration::ZERO, || ());
            child.join().unwrap();
            next.join().unwrap();
            assert!(lock(&slots.taken).iter().all(|taken| !taken), "a number was lost");
        });
    }

    #[test]
    fn a_number_is_given_back_once_by_the_last_of_two_children() {
        model(|| {
            let slots = Arc::new(Slots::new());
            let lease = Arc::new(slots.lease(|_| true));
            assert!(lease.join() && lease.join());
            let children: Vec<_> = (0..2)
                .map(|_| {
                    let lease = Arc::clone(&lease);
                    thread::spawn(move || lease.leave())
                })
                .collect();
            lease.end(Duration::ZERO, || ());
            // These leases stay: a number that was returned twice would be leased twice.
            let next: Vec<_> = (0..2).map(|_| slots.lease(|_| true).slot()).collect();
            children.into_iter().for_each(|child| child.join().unwrap());
            assert_ne!(next[0], next[1]);
            assert!(next.iter().flatten().all(|slot| lock(&slots.taken)[*slot]));
        });
    }

    #[test]
    fn a_late_child_is_refused_or_keeps_the_lane() {
        model(|| {
            let slots = Arc::new(Slots::new());
            let lease = Arc::new(slots.lease(|_| true));
            let late = {
                let lease = Arc::clone(&lease);
                let slots = Arc::clone(&slots);
                thread::spawn(move || {
                    if lease.join() {
                        let taken = lock(&slots.taken)[0];
                        assert!(taken, "its lane is free");
                        lease.leave();
                    }
                })
            };
            lease.end(Duration::ZERO, || ());
            late.join().unwrap();
            assert!(!lock(&slots.taken)[0], "a number was lost");
        });
    }
}
