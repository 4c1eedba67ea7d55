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
}

impl Pauses {
    pub(super) const USUAL: Self = Self {
        first: 80,
        others: 80,
        everywhere: false,
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

    /// Returns these pauses with a first one that lasts until a test has arrived that comes so many microseconds later;
    /// `None` if that is too long.
    pub(super) fn until_arrival(self, later: u64) -> Option<Self> {
        let first = self.first + (later + later.min(500_000)).div_ceil(1000);
        (first <= LONGEST).then_some(Self { first, ..self })
    }
}

/// No test is made to wait longer, in milliseconds: then it would rather fail for that than for what it met.
pub(super) const LONGEST: u64 = 2_500;
