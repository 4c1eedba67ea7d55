//! How long tests pause at a resource, so that two without a guard between them overlap.

/// In milliseconds: the pause after a thread's first use of the resource, and after each of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pauses {
    pub(super) first: u64,
    pub(super) others: u64,
    /// At all variables, not only at the one. Who pauses at a variable holds std's lock around them, so that the other comes
    /// as far as its own next variable; where both pause at each, they take turns, and one comes to the wanted one while
    /// the other is there.
    pub(super) everywhere: bool,
    /// The test with pauses of its own.
    pub(super) held: Option<HeldTest>,
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
    };

    /// For many tests at once: where a guard lets in one at a time, their pauses add up.
    pub(super) const OF_MANY: Self = Self {
        others: 20,
        ..Self::USUAL
    };

    pub(super) const EVERYWHERE: Self = Self {
        everywhere: true,
        ..Self::USUAL
    };

    /// Returns the first pause of that test of the run, and each of its others.
    pub(super) fn of(self, test: usize) -> (u64, u64) {
        match self.held {
            Some(held) if held.test == test => (held.first, held.others),
            _ => (self.first, self.others),
        }
    }

    /// Returns each pause of a process that a test started, which does not know its test.
    pub(super) fn of_child(self) -> u64 {
        self.held.map_or(self.others, |held| held.others)
    }

    /// Returns these pauses with a first one that lasts until a test has arrived that comes so many microseconds later;
    /// `None` if that is too long.
    pub(super) fn until_arrival(self, later: u64) -> Option<Self> {
        let first = self.first + (later + later.min(500_000)).div_ceil(1000);
        (first <= LONGEST_PAUSE).then_some(Self { first, ..self })
    }
}

/// No test is made to wait longer, in milliseconds: then it would rather fail for that than for what it met.
pub(super) const LONGEST_PAUSE: u64 = 2_500;
