//! Observation of unmodified test suites, from the start of the processes to graded conflicts.
//!
//! `launch` starts the processes through `runner` and collects their logs, and `account` checks that none is missing. `log`
//! parses the logs, `who` attributes records to tests, and `uses` and `meaning` turn records into accesses to resources.
//! `causes` merges conflicts that have one cause, `found` turns them into findings, and `confirm` reruns their tests to grade
//! them.

mod account;
mod alone;
mod backtraces;
mod causes;
mod chain;
pub(crate) mod confirm;
mod folders;
#[path = "../../observer/format.rs"]
#[expect(dead_code, reason = "the other half is the observer's")]
mod format;
pub(crate) mod found;
mod given;
mod group;
mod guards;
pub(crate) mod launch;
#[path = "../../observer/account_layout.rs"]
#[expect(dead_code, reason = "the other half is the observer's")]
mod layout;
mod listed;
mod log;
mod meaning;
mod notes;
mod own;
mod paths;
mod places;
mod ports;
mod reading;
pub(crate) mod runner;
mod session;
mod settled;
mod uses;
mod who;

pub(crate) use session::Session;
