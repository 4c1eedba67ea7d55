//! The outcome of a test, as far as the library learns it.

use std::sync::atomic::{AtomicU8, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// No handle was dropped by a panic, and no attribute saw the end of the body.
    Unknown,
    /// A handle was dropped by a panic, which the test may have caught or expected.
    Panicked,
    /// An attribute saw the body return an error.
    Failed,
    /// An attribute saw the body return without an error.
    Passed,
}

const ALL: [Outcome; 4] = [
    Outcome::Unknown,
    Outcome::Panicked,
    Outcome::Failed,
    Outcome::Passed,
];

/// The place where the threads of a test note its outcome.
#[derive(Debug, Default)]
pub(super) struct KnownOutcome(AtomicU8);

impl KnownOutcome {
    pub(super) fn get(&self) -> Outcome {
        let known = usize::from(self.0.load(Ordering::Relaxed));
        ALL.get(known).copied().unwrap_or(Outcome::Unknown)
    }

    /// Notes an outcome. A panic does not replace what an attribute saw.
    pub(super) fn set(&self, outcome: Outcome) {
        let (unknown, new) = (Outcome::Unknown as u8, outcome as u8);
        if outcome == Outcome::Panicked {
            let _ = self
                .0
                .compare_exchange(unknown, new, Ordering::Relaxed, Ordering::Relaxed);
        } else {
            self.0.store(new, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_knows_better_than_a_handle() {
        let outcome = KnownOutcome::default();
        assert_eq!(outcome.get(), Outcome::Unknown);
        for (noted, known) in [
            (Outcome::Panicked, Outcome::Panicked),
            (Outcome::Passed, Outcome::Passed),
            (Outcome::Panicked, Outcome::Passed),
            (Outcome::Failed, Outcome::Failed),
            (Outcome::Panicked, Outcome::Failed),
        ] {
            outcome.set(noted);
            assert_eq!(outcome.get(), known);
        }
    }
}
