//! Lanes leased within a process: the smallest free number at a test's first touch, given back at its end.
//!
//! Measured with real suites: with T test threads at most T numbers are ever used. Two things could break that,
//! both decided here: work that outlives its test keeps the number out of circulation until it is done, and a
//! number must be free in other processes of the run too (`may_have`, in life a kernel lock).

use crate::sys::sync::{Condvar, Mutex, lock, lock_when};
use std::sync::Arc;
use std::time::Duration;

/// The numbers of one process.
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

    /// Takes the smallest number that is free here and that `may_have` grants.
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
            use_: Mutex::new(Use::default()),
            quiet: Condvar::new(),
        }
    }

    fn give_back(&self, slot: usize) {
        lock(&self.taken)[slot] = false;
    }
}

#[derive(Debug, Default)]
struct Use {
    children: usize,
    over: bool,
}

/// One life in a lane: from a test's first touch until the test and all work it started are done.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Where the number goes afterwards; a lane that a runner or a person fixed has none to give back.
    back: Option<(Arc<Slots>, usize)>,
    use_: Mutex<Use>,
    quiet: Condvar,
}

impl Lease {
    /// A lane that is not leased here: a runner's slot, or one named by a person.
    pub(crate) fn fixed() -> Self {
        Self {
            back: None,
            use_: Mutex::new(Use::default()),
            quiet: Condvar::new(),
        }
    }

    /// The number, where one was leased.
    pub(crate) fn slot(&self) -> Option<usize> {
        self.back.as_ref().map(|(_, slot)| *slot)
    }

    /// Counts a child in; `false` once the lane may belong to another test.
    #[must_use]
    pub(crate) fn join(&self) -> bool {
        let mut use_ = lock(&self.use_);
        if use_.over && use_.children == 0 && self.back.is_some() {
            return false;
        }
        use_.children += 1;
        true
    }

    /// Counts a child out. The last one of a test that is over gives the number back.
    pub(crate) fn leave(&self) {
        let mut use_ = lock(&self.use_);
        use_.children -= 1;
        if use_.children == 0 {
            self.quiet.notify_all();
            self.give_back_if_done(&use_);
        }
    }

    /// The test is over: waits a while for its children, gives the number back if none is left, and returns how
    /// many are. The number then stays out of circulation until they are gone.
    pub(crate) fn end(&self, limit: Duration, before_giving_back: impl FnOnce()) -> usize {
        drop(lock_when(&self.use_, &self.quiet, limit, |use_| {
            use_.children == 0
        }));
        // What ends with the test ends while the lane is still this test's.
        before_giving_back();
        let mut use_ = lock(&self.use_);
        use_.over = true;
        self.give_back_if_done(&use_);
        use_.children
    }

    fn give_back_if_done(&self, use_: &Use) {
        if let (true, 0, Some((slots, slot))) = (use_.over, use_.children, &self.back) {
            slots.give_back(*slot);
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
    fn a_number_that_another_process_has_is_passed_over() {
        let slots = slots();
        assert_eq!(slots.lease(|slot| slot % 2 == 1).slot(), Some(1));
        assert_eq!(slots.lease(|slot| slot % 2 == 1).slot(), Some(3));
        assert_eq!(slots.lease(|_| true).slot(), Some(0));
    }

    #[test]
    fn the_number_is_still_the_tests_own_while_its_services_end() {
        let slots = slots();
        let lease = slots.lease(|_| true);
        lease.end(NEVER, || assert_eq!(slots.lease(|_| true).slot(), Some(1)));
        assert_eq!(slots.lease(|_| true).slot(), Some(0));
    }

    #[test]
    fn a_child_keeps_the_number_out_of_circulation_and_may_have_children_itself() {
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
        // Either may be first, and sooner or later each is.
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
    fn as_many_numbers_are_used_as_tests_run_at_once() {
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

/// Every schedule of two tests and their children: `RUSTFLAGS="--cfg loom" cargo test --lib --release loom`.
#[cfg(all(test, loom))]
mod loom_model {
    use super::*;
    use ::loom::model;
    use ::loom::sync::atomic::{AtomicUsize, Ordering};
    use ::loom::thread;

    /// Who is in each lane, as the outside sees it.
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

    /// A test that leases, works and ends, its lane its own until the end of its services.
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
            // Whoever leases from here on keeps it: a number given back twice would be free under them.
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
                        assert!(taken, "it works in a lane that is free");
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
