//! A failure that was reproduced: by which tests, in which scene, how often, and through what.

use super::SharedUse;
use crate::rates::FailureRate;
use crate::scene::{Scene, StaticPause, TestId};
use cofferdam::Resource;
use serde::{Deserialize, Serialize};

/// A failure that can be reproduced once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reproduction {
    pub(crate) class: ReproducedClass,
    pub(crate) test: TestId,
    /// The tests beside or after which it fails; of a brittle test, after which it passes.
    pub(crate) culprits: Vec<TestId>,
    /// What the test shares with them. If it is more than one resource, each of them may be the cause.
    pub(crate) uses: Vec<SharedUse>,
    /// The scene in which it fails.
    pub(crate) scene: Scene,
    /// The pauses in that scene.
    pub(crate) paused: Option<PausedAt>,
    /// The failures in the scene; of a brittle test, after its culprits.
    pub(crate) with: FailureRate,
    /// The failures alone.
    pub(crate) without: FailureRate,
}

/// The way in which the other tests matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ReproducedClass {
    /// The test fails beside them.
    Race,
    /// The test fails after them.
    Victim,
    /// The test fails unless they ran before it.
    Brittle,
}

impl ReproducedClass {
    /// The name in reports.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Race => "race",
            Self::Victim => "victim",
            Self::Brittle => "brittle",
        }
    }
}

/// The pauses of tests where they use these resources, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PausedAt {
    #[serde(with = "super::resource_json::list")]
    pub(crate) resources: Vec<Resource>,
    /// After the first use of each thread.
    pub(crate) first: u64,
    /// After each of the others.
    pub(crate) others: u64,
    /// The only use with a pause, if the resource is a static.
    pub(crate) within: Option<StaticPause>,
}

impl Reproduction {
    /// Returns whether it is a race that this resource may cause.
    pub(crate) fn is_race_on(&self, resource: &Resource) -> bool {
        self.class == ReproducedClass::Race && self.may_come_from(resource)
    }

    pub(crate) fn may_come_from(&self, resource: &Resource) -> bool {
        self.uses.iter().any(|shared| shared.resource == *resource)
    }
}
