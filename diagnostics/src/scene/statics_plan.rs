//! The plan for a test program's statics during a scene, and the observed uses.

use super::TestId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A static of the user's code. Identifies the same one in each process of a build.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct StaticId {
    /// The path without a hash: `shop::CACHE`.
    pub(crate) name: String,
    /// The file and line of its declaration: `/w/src/lib.rs:7`.
    pub(crate) line: String,
}

impl StaticId {
    /// Returns the name as the source declares it: `lazy_static!` hides its static in a method.
    pub(crate) fn shown(&self) -> &str {
        let hidden = self.name.strip_prefix('<');
        hidden
            .and_then(|rest| rest.strip_suffix(" as core::ops::deref::Deref>::deref::__stability::LAZY"))
            .unwrap_or(&self.name)
    }
}

/// The plan for statics while the tests of a scene run. The default does nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StaticsPlan {
    /// Records the uses of statics and, if the tests run one after the other, the statics whose bytes changed between a test's
    /// start and end.
    pub(crate) observes: bool,
    /// Statics whose bytes from before the first test are put back before the last test of a scene in order. The scene is void
    /// if that is impossible for one of them. Each process puts back only its own.
    pub(crate) put_back: BTreeSet<StaticId>,
    /// A pause of one test of a parallel scene at one of its uses of a static, in which another test begins.
    pub(crate) pause: Option<StaticPause>,
}

/// A pause of a test at one of its uses of a static.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StaticPause {
    /// Without a line, it stands for each static of this name.
    pub(crate) at: StaticId,
    pub(crate) held: TestId,
    /// The number of its uses before that one. A method of an atomic may count as two if it is not a single instruction.
    pub(crate) skipped: u32,
    /// The test that begins in the pause, or once the other has ended without a pause.
    pub(crate) late: TestId,
    /// The number of the late test's uses before the one at which it waits for the end of the other; `None` if it does not wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) late_skipped: Option<u32>,
    /// The length of a pause in milliseconds, unless the other test ends or pauses earlier.
    pub(crate) most_millis: u32,
}

/// How a test used a static.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StaticUse {
    /// Set if the test wrote to it or added to it, or if its bytes had changed by the test's end.
    pub(crate) changed: bool,
}

/// The observed uses of statics in a scene.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SeenStatics {
    /// The statics that each test used.
    pub(crate) uses: BTreeMap<TestId, BTreeMap<StaticId, StaticUse>>,
    /// Set if the pauses of the plan were made.
    pub(crate) paused: bool,
    /// Set if a test had not run by the end of the other's pause: it waits for the other, or takes longer.
    pub(crate) has_overlapped: bool,
    /// The types of the statics, without a path.
    pub(crate) types: BTreeMap<StaticId, String>,
    /// Statics that are too large to be put back.
    pub(crate) too_large: BTreeSet<StaticId>,
    /// The reason they were not observed in some process.
    pub(crate) unobserved: Option<String>,
}

impl SeenStatics {
    /// Adds the observations of another process of the scene.
    pub(crate) fn merge(&mut self, other: Self) {
        for (test, uses) in other.uses {
            let known = self.uses.entry(test).or_default();
            for (id, one) in uses {
                known.entry(id).or_default().changed |= one.changed;
            }
        }
        self.paused |= other.paused;
        self.has_overlapped |= other.has_overlapped;
        self.types.extend(other.types);
        self.too_large.extend(other.too_large);
        self.unobserved = self.unobserved.take().or(other.unobserved);
    }
}
