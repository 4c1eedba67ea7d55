//! A scene: some tests, their arrangement, and what else the machine does meanwhile.
//!
//! Every claim about a failing test is a claim about scenes: in this one it fails, in that one it passes. `words` writes a
//! scene as the options of `rerun`, so that it can be repeated by hand.

mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
pub(crate) use words::rerun_words;

/// A test of a suite: the program it is in, and its name there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TestId {
    pub(crate) binary: String,
    pub(crate) name: String,
}

impl fmt::Display for TestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.binary, self.name)
    }
}

/// How the tests of a scene run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Arrangement {
    /// One after the other, in the scene's order; consecutive tests of one program share a process where the runner's do.
    InOrder,
    /// At one time, with as many threads as the runner uses.
    Parallel,
    /// Each in a process of its own, one after the other.
    Alone,
}

/// Some tests and the conditions under which they run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scene {
    pub(crate) tests: Vec<TestId>,
    pub(crate) arrangement: Arrangement,
    /// The number of busy threads beside the tests.
    pub(crate) load: u32,
    /// Two copies run at one time.
    pub(crate) twice: bool,
}

/// The outcome of a test in a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// There is no result: the test was not reached, its process broke off, or its results contradict each other.
    Unknown,
}

/// The outcomes of a scene.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SceneResult {
    pub(crate) outcomes: BTreeMap<TestId, Outcome>,
    /// The failed tests whose failure is that of a poisoned lock.
    pub(crate) poisoned: BTreeSet<TestId>,
    /// The reason the scene proves nothing, such as an order that could not be enforced.
    pub(crate) void: Option<String>,
}
