//! A scene: some tests, their arrangement, and what else the machine does meanwhile.
//!
//! Every claim about a failing test is a claim about scenes: in this one it fails, in that one it passes. `rerun_options` writes a
//! scene as the options of `rerun`, so that it can be repeated by hand.

mod choice;
mod rerun_options;
mod statics_plan;

pub(crate) use choice::{NotOne, choose, split_names};
pub(crate) use rerun_options::rerun_words;
use serde::{Deserialize, Serialize};
pub(crate) use statics_plan::{SeenStatics, StaticId, StaticPause, StaticsPlan};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A test of a suite: the program it is in, and its name there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub(crate) struct TestId {
    pub(crate) binary: String,
    pub(crate) name: String,
}

impl TestId {
    /// Returns whether the observer's names for a test are those of this one. Here, the name of its program may be qualified.
    pub(crate) fn is_named(&self, binary: &str, name: &str) -> bool {
        let before = self.binary.strip_suffix(binary);
        self.name == name && before.is_some_and(|before| before.is_empty() || before.ends_with("::"))
    }
}

impl fmt::Display for TestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.binary, self.name)
    }
}

impl From<TestId> for String {
    fn from(test: TestId) -> Self {
        format!("{} {}", test.binary, test.name)
    }
}

impl From<String> for TestId {
    /// Splits at the first space, for no program's name has one.
    fn from(text: String) -> Self {
        let (binary, name) = text.split_once(' ').unwrap_or(("", &text));
        Self {
            binary: binary.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// How the tests of a scene run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Arrangement {
    /// One after the other, in the scene's order; consecutive tests of one program share a process where the runner's do.
    InOrder,
    /// At one time, with as many threads as the runner uses.
    Parallel,
    /// Each in a process of its own, one after the other.
    Alone,
}

/// Some tests and the conditions under which they run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Scene {
    pub(crate) tests: Vec<TestId>,
    pub(crate) arrangement: Arrangement,
    /// The number of busy threads beside the tests.
    pub(crate) load: u32,
    /// Two copies run at the same time. A test failed if it failed in either.
    pub(crate) twice: bool,
    /// Each process begins with an empty temporary directory.
    pub(crate) empty_temp: bool,
}

impl Scene {
    /// Returns a scene of these tests under no other conditions.
    pub(crate) fn of(tests: Vec<TestId>, arrangement: Arrangement) -> Self {
        Self {
            tests,
            arrangement,
            load: 0,
            twice: false,
            empty_temp: false,
        }
    }
}

/// The outcome of a test in a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// There is no result: the test was not reached, its process broke off, or its results contradict each other.
    Unknown,
}

/// The first words of the failure of a test that did not end.
pub(crate) const HUNG: &str = "did not end within";

/// The first words of the failure of a test whose process a signal ended. The signal's number follows.
pub(crate) const BY_SIGNAL: &str = "signal ";

/// The outcomes of a scene.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SceneResult {
    pub(crate) outcomes: BTreeMap<TestId, Outcome>,
    /// What failed tests printed.
    pub(crate) failures: BTreeMap<TestId, String>,
    /// The reason the scene proves nothing, such as an order that could not be enforced.
    pub(crate) void: Option<String>,
    /// The observed uses of statics, if requested. They are not saved for a resumed hunt.
    #[serde(skip)]
    pub(crate) statics: SeenStatics,
    /// The sum of the durations of its processes. Not saved either.
    #[serde(skip)]
    pub(crate) lasted: Duration,
}

/// No further scene may run: the time budget ended, or the user interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

impl SceneResult {
    /// Notes that a test failed because it did not end within this time.
    pub(crate) fn enter_hung(&mut self, test: &TestId, limit: Duration) {
        let why = format!("{HUNG} {}", humantime::format_duration(limit));
        self.outcomes.insert(test.clone(), Outcome::Failed);
        self.failures.insert(test.clone(), why);
    }

    /// Returns the tests that failed because they did not end.
    pub(crate) fn hung(&self) -> impl Iterator<Item = &TestId> {
        let failures = self.failures.iter();
        failures.filter_map(|(test, text)| text.starts_with(HUNG).then_some(test))
    }

    /// Returns whether a test failed because another test had panicked with a lock in its hand.
    pub(crate) fn is_poisoned(&self, test: &TestId) -> bool {
        let failure = self.failures.get(test);
        self.outcome(test) == Outcome::Failed && failure.is_some_and(|text| text.contains("PoisonError"))
    }

    pub(crate) fn outcome(&self, test: &TestId) -> Outcome {
        self.outcomes.get(test).copied().unwrap_or(Outcome::Unknown)
    }

    /// Returns whether a test failed; `None` if the scene has no result for it.
    pub(crate) fn failed(&self, test: &TestId) -> Option<bool> {
        match self.outcome(test) {
            _ if self.void.is_some() => None,
            Outcome::Passed => Some(false),
            Outcome::Failed => Some(true),
            Outcome::Unknown => None,
        }
    }
}
