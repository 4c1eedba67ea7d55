//! Observation of unmodified test suites, from the start of the processes to graded conflicts.
//!
//! `launch` starts the processes through `runner` and collects their logs, and `account` checks that none is missing. `log`
//! parses the logs, `who` attributes records to tests, and `uses` and `meaning` turn records into accesses to resources.
//! `causes` merges conflicts that have one cause, `found` turns them into findings, and `confirm` reruns their tests to grade
//! them.

mod causes;
pub(crate) mod confirm;
#[path = "../../observer/log_format.rs"]
#[expect(dead_code, reason = "the other half is the observer's")]
mod format;
mod interpret;
mod interruption;
pub(crate) mod launch;
#[path = "../../observer/account_layout.rs"]
#[expect(dead_code, reason = "the other half is the observer's")]
mod layout;
mod leftovers;
mod log;
mod observation;
pub(crate) mod observed_tests;
mod scene_runner;
mod suite_programs;
mod test_process;

pub(crate) use interruption::Interruption;
pub(crate) use leftovers::FileSnapshot;
pub(crate) use log::results::{ReportedOutcome, TestResult};
pub(crate) use observation::{ObservationResult, ObservedCommand};
pub(crate) use scene_runner::SceneRunner;
pub(crate) use suite_programs::{DOCTEST, SuitePrograms};
