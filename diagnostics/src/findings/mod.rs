//! The result of an observation. It holds names and places, and neither values nor arguments.
//!
//! `observation_file` stores it for other commands, `folded` replaces the parts of a name that differ in every run, `account`
//! counts the programs that were started and those that were lost, and `reproduction` has the failures that can be repeated.

mod account;
mod folded;
mod observation_file;
mod reproduction;
mod resource_json;
mod shared_statics;
mod shared_uses;
mod test_result;
mod test_time;

pub(crate) use account::{Account, Entry, UnseenProcess, binary_of};
pub(crate) use folded::{Fold, folded, has_random_part};
#[cfg(has_observer)]
pub(crate) use folded::{is_random_name, numbers};
pub(crate) use observation_file::VERSION;
#[cfg(has_observer)]
pub(crate) use reproduction::{PausedAt, ReproducedClass, Reproduction};
#[cfg(has_observer)]
pub(crate) use shared_statics::StaticUse;
pub(crate) use shared_statics::{SharedStatic, Statics};
pub(crate) use shared_uses::SharedUse;
#[cfg(has_observer)]
pub(crate) use shared_uses::shared_uses;
pub(crate) use test_result::{ReportedOutcome, TestResult};
pub(crate) use test_time::{TestEnd, TestTime};

use crate::scene::TestId;
use cofferdam_conflicts::Conflict;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The names of the suites in JUnit reports whose cases are findings, and jobs of a session. No program can have them.
pub(crate) const JUNIT_FINDINGS: &str = "cofferdam findings";
pub(crate) const JUNIT_JOBS: &str = "cofferdam jobs";

/// The counts of an observation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Coverage {
    pub(crate) tests: u64,
    /// The programs of these tests.
    pub(crate) programs: u64,
    /// The uses of files, ports and the like, each once for a test.
    pub(crate) accesses: u64,
    /// The accesses that belong to no known test.
    pub(crate) of_no_test: u64,
}

/// One observation, as `observe` keeps it for other commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Observation {
    pub(crate) version: u64,
    pub(crate) session: String,
    /// The directory where the command was started; relative places start there.
    pub(crate) dir: String,
    /// Whether pairs of tests were run again.
    pub(crate) confirmed: bool,
    /// The number of tests that were seen.
    pub(crate) tests: u64,
    /// The exit code of the command.
    pub(crate) command: u8,
    /// Whether the command failed and stops at a failure, so that other tests may not have run.
    #[serde(default)]
    pub(crate) ended_early: bool,
    /// The programs that were started, and those that were lost.
    pub(crate) account: Account,
    /// The tests that failed or did not end, without documentation tests.
    #[serde(default)]
    pub(crate) failed: Vec<TestId>,
    /// The conflicts, the most severe first.
    pub(crate) conflicts: Vec<Conflict>,
    /// The conflicts that the tests' own locks prevent.
    pub(crate) locked: Vec<Conflict>,
    /// The failures that were reproduced.
    #[serde(default)]
    pub(crate) reproductions: Vec<Reproduction>,
    /// The tests that ran, by program.
    pub(crate) ran: Vec<Program>,
    /// The statics that tests of one process share, as the newest observation of them showed; `None` if there was none.
    #[serde(default)]
    pub(crate) statics: Option<Vec<String>>,
}

/// Returns the name by which commands know a test: after its program where several of `programs` have a test of that name.
pub(crate) fn name_among(test: &TestId, programs: &[Program]) -> String {
    let has_it = |program: &&Program| program.tests.contains(&test.name);
    if programs.iter().filter(has_it).count() > 1 {
        test.to_string()
    } else {
        test.name.clone()
    }
}

/// A test program with the tests that ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    /// As in [`cofferdam_conflicts::Test`].
    pub(crate) binary: String,
    pub(crate) package: String,
    /// The names of the tests.
    pub(crate) tests: Vec<String>,
    /// The time that each passed test took, in microseconds.
    #[serde(default)]
    pub(crate) micros: BTreeMap<String, u64>,
}
