//! Pauses at a resource, long enough for two tests without a guard to overlap there.

/// The pauses of a run, in milliseconds: after a thread's first use of the resource, and after each later use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pauses {
    pub(super) first: u64,
    pub(super) others: u64,
    /// Pauses at all variables, not only at the resource. A test that pauses at a variable holds std's lock around all of
    /// them, so the other test stops at its own next variable. If both pause at each, they take turns, and one reaches the
    /// resource while the other is there.
    pub(super) everywhere: bool,
    /// The test with different pauses.
    pub(super) held: Option<HeldTest>,
    /// The position of a test that uses the resource only if another one does. If the resource is a variable, this test begins
    /// once another test pauses after setting a variable.
    pub(super) late: Option<usize>,
}

/// The pauses of one test of a run, longer than those of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct HeldTest {
    /// Its position among the tests of the run.
    pub(super) test: usize,
    pub(super) first: u64,
    pub(super) others: u64,
}

impl Pauses {
    pub(super) const USUAL: Self = Self {
        first: 80,
        others: 80,
        everywhere: false,
        held: None,
        late: None,
    };

    /// The pauses of a group. Shorter, because the pauses of tests that a guard lets in one at a time add up.
    pub(super) const OF_MANY: Self = Self {
        others: 20,
        ..Self::USUAL
    };

    pub(super) const EVERYWHERE: Self = Self {
        everywhere: true,
        ..Self::USUAL
    };

    /// Returns these pauses with a first one twice as long, so that a test that is late by chance is less often too late.
    pub(super) fn longer(self) -> Self {
        let first = (2 * self.first).min(LONGEST_PAUSE);
        Self { first, ..self }
    }

    /// Returns the first and the later pauses of the test at this position in the run.
    pub(super) fn of(self, test: usize) -> (u64, u64) {
        match self.held {
            Some(held) if held.test == test => (held.first, held.others),
            _ => (self.first, self.others),
        }
    }

    /// Returns each pause of a process that a test started, which does not know its test's position.
    pub(super) fn of_child(self) -> u64 {
        self.held.map_or(self.others, |held| held.others)
    }

    /// Returns these pauses, with the first one extended for a test that arrives `later` microseconds later, or `None` if it
    /// would exceed [`LONGEST_PAUSE`].
    pub(super) fn until_arrival(self, later: u64) -> Option<Self> {
        let first = self.first + (later + later.min(500_000)).div_ceil(1000);
        (first <= LONGEST_PAUSE).then_some(Self { first, ..self })
    }
}

/// The longest pause in milliseconds. A longer one could itself make the test fail, by a timeout.
pub(super) const LONGEST_PAUSE: u64 = 2_500;
