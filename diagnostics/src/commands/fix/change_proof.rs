//! Evidence that a change ends a failure, or does not.

use crate::findings::Reproduction;
use crate::rates::FailureRate;
use crate::scene::TestId;
use cofferdam::Resource;

/// The result of repeating the scene in which a test failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(has_observer),
    expect(dead_code, reason = "without an observer, nothing is repeated")
)]
pub(crate) struct Proof {
    /// The test that failed; `None` if no failure was reproduced.
    pub(crate) test: Option<TestId>,
    /// The resources through which it may have failed.
    pub(crate) resources: Vec<Resource>,
    /// The failures without the changes.
    pub(crate) before: FailureRate,
    /// The failures with them.
    pub(crate) after: FailureRate,
    pub(crate) outcome: ProofOutcome,
    /// The words of `rerun` that repeat the scene, if that needs no pauses.
    pub(crate) rerun: Vec<String>,
    /// Whether the changes stay.
    pub(crate) is_kept: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(has_observer),
    expect(dead_code, reason = "without an observer, nothing is repeated")
)]
pub(crate) enum ProofOutcome {
    /// Enough runs passed that the failure would have shown.
    Fixed,
    StillFails,
    NotProven {
        /// The reason, in words.
        why: String,
    },
}

impl ProofOutcome {
    /// Returns the name in reports.
    pub(crate) fn id(&self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::StillFails => "still-fails",
            Self::NotProven { .. } => "not-proven",
        }
    }
}

#[cfg_attr(
    not(has_observer),
    expect(dead_code, reason = "without an observer, nothing is repeated")
)]
impl Proof {
    /// Returns the proof of a change that nothing proves.
    pub(super) fn without(resource: &Resource, why: &str) -> Self {
        Self {
            test: None,
            resources: vec![resource.clone()],
            before: FailureRate::default(),
            after: FailureRate::default(),
            outcome: ProofOutcome::NotProven { why: why.to_owned() },
            rerun: Vec::new(),
            is_kept: false,
        }
    }

    pub(super) fn of(reproduction: &Reproduction, after: FailureRate, outcome: ProofOutcome) -> Self {
        let uses = reproduction.uses.iter();
        Self {
            test: Some(reproduction.test.clone()),
            resources: uses.map(|shared| shared.resource.clone()).collect(),
            before: reproduction.with,
            after,
            outcome,
            rerun: Vec::new(),
            is_kept: false,
        }
    }

    /// Decides whether the changes stay: proven ones do, unproven ones with `keep_unproven`, and those that do not help never.
    pub(super) fn decided(mut self, keep_unproven: bool) -> Self {
        self.is_kept = match self.outcome {
            ProofOutcome::Fixed => true,
            ProofOutcome::NotProven { .. } => keep_unproven,
            ProofOutcome::StillFails => false,
        };
        self
    }
}
