//! Verdicts: a test that fails sometimes, its class, and the tests that make it fail.

use crate::rates::FailureRate;
use crate::scene::{Scene, TestId};

/// The way in which a test is unstable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Passes alone, fails after the culprits.
    Victim,
    /// Fails alone, passes after the culprits, which set the state that it needs.
    Brittle,
    /// Passes alone and in both serial orders, fails beside the culprits.
    Race,
    /// Sometimes fails alone, with the machine idle.
    Own,
    /// Fails only while the cores are busy.
    Load,
    /// Passed at first, and failed in every run after an earlier one.
    Leftover,
    /// Fails only while a second copy runs.
    TwoRuns,
    /// Fails only because the culprits failed before it.
    Cascade,
    /// Failed in every run.
    Failing,
    /// None of these could be shown.
    Unexplained {
        /// The results that were seen, in words.
        why: String,
    },
}

impl Class {
    /// Returns a sentence that describes the behavior of such a test.
    pub(crate) fn about(&self) -> &'static str {
        match self {
            Self::Victim => "A test passes alone and fails after another one",
            Self::Brittle => "A test fails alone and passes after another one",
            Self::Race => "A test passes alone and fails beside another one",
            Self::Own => "A test sometimes fails, even alone",
            Self::Load => "A test fails while the processors are busy",
            Self::Leftover => "A test fails when it runs again",
            Self::TwoRuns => "A test fails while a second run of the suite goes on",
            Self::Cascade => "A test fails because another one failed before it",
            Self::Failing => "A test fails in every run",
            Self::Unexplained { .. } => "A test fails sometimes, and no cause was found",
        }
    }

    /// The name in reports.
    pub(crate) fn id(&self) -> &'static str {
        match self {
            Self::Victim => "victim",
            Self::Brittle => "brittle",
            Self::Race => "race",
            Self::Own => "own",
            Self::Load => "load",
            Self::Leftover => "leftover",
            Self::TwoRuns => "two-runs",
            Self::Cascade => "cascade",
            Self::Failing => "failing",
            Self::Unexplained { .. } => "unexplained",
        }
    }
}

/// The class of a test, and its evidence.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) test: TestId,
    pub(crate) class: Class,
    /// A minimal set of tests after or beside which it fails; of a brittle test, after which it passes. None for classes
    /// without other tests. Where only all tests can run at the same time, those that share a resource with it.
    pub(crate) culprits: Vec<TestId>,
    /// The failures with the culprits, the load or the second copy; of a cascade, while the culprit failed; of a leftover, since
    /// the first failure; of a failing or unexplained test, in all regimes.
    pub(crate) with: FailureRate,
    /// The failures without them: alone; of a cascade also while the culprit passed; of a leftover, before the first failure.
    pub(crate) without: FailureRate,
    /// The smallest known scene in which it fails.
    pub(crate) scene: Scene,
    /// The number of scenes that were run for this verdict: after the regimes and the first ten runs of the test alone.
    pub(crate) reruns: u32,
    /// The evidence in words of a race that was shown only with pauses where the tests use what they share.
    pub(crate) paused: Option<String>,
}

impl Verdict {
    /// Returns whether no class of the test could be shown.
    pub(crate) fn is_unexplained(&self) -> bool {
        matches!(self.class, Class::Unexplained { .. })
    }
}

/// Groups verdicts of the same cause: the same class and the same culprits, if it has any. Groups keep the order of their
/// first verdicts.
pub(crate) fn grouped(verdicts: &[Verdict]) -> Vec<Vec<&Verdict>> {
    let mut groups: Vec<Vec<&Verdict>> = Vec::new();
    for verdict in verdicts {
        let group = groups.iter_mut().find(|group| {
            let first = group[0];
            !verdict.culprits.is_empty() && first.class == verdict.class && first.culprits == verdict.culprits
        });
        match group {
            Some(group) => group.push(verdict),
            None => groups.push(vec![verdict]),
        }
    }
    groups
}
