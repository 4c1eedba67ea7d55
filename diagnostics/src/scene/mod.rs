//! A scene: some tests and the conditions under which they run, and what came of it.

use std::collections::{BTreeMap, BTreeSet};

/// A test of a suite: the program it is in, and its name there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TestId {
    pub(crate) binary: String,
    pub(crate) name: String,
}

/// How the tests of a scene run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrangement {
    /// One after the other, in the scene's order; consecutive tests of one program share a process where the runner's do.
    InOrder,
    /// At one time, with as many threads as the runner uses.
    Parallel,
    /// Each in a process of its own, one after the other.
    Alone,
}

/// Some tests and the conditions under which they run; what `rerun` reproduces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scene {
    pub(crate) tests: Vec<TestId>,
    pub(crate) arrangement: Arrangement,
    /// The number of busy threads beside the tests.
    pub(crate) load: u32,
    /// Two copies run at one time. A test failed if it failed in either.
    pub(crate) twice: bool,
}

/// The result of a test in a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// No result: not reached, broken off, or contradictory.
    Unknown,
}

/// The results of a scene.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SceneResult {
    pub(crate) outcomes: BTreeMap<TestId, Outcome>,
    /// Failed tests whose failure is that of a poisoned lock.
    pub(crate) poisoned: BTreeSet<TestId>,
    /// The reason why the scene is void: the order could not be enforced, or it could not be started.
    pub(crate) void: Option<String>,
}
