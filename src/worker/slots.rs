//! Lanes leased within a process: the smallest free number at a test's first touch, given back at its end.
//!
//! Measured with real suites: with T test threads at most T numbers are ever used. Two things could break that,
//! both decided here: work that outlives its test keeps the number out of circulation until it is done, and a
//! number must be free in other processes of the run too (`may_have`, in life a kernel lock).

use crate::sys::clock::Deadline;
use crate::sys::sync::{Condvar, Mutex, lock, wait};
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
        let mut use_ = lock(&self.use_);
        let deadline = Deadline::after(limit);
        while use_.children > 0 {
            let Some(left) = deadline.left() else { break };
            use_ = wait(&self.quiet, use_, left);
        }
        drop(use_);
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
