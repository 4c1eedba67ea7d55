//! Observation of unmodified test suites, from the start of the processes to graded conflicts.
//!
//! `observation` runs the steps in order. `launch` starts the processes through cofferdam's runner; `log` parses their logs,
//! checks that none is missing, and attributes records to tests; `interpret` turns records into accesses to resources and
//! passes these to the conflict detection. `causes` merges conflicts that have one cause, `observed_tests` adds packages,
//! runners and source lines to them, and `confirm` reruns their tests to grade them.
//!
//! `format` and `layout` are files of the observer, which writes what `log` reads.

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
#[path = "../../observer/site_table.rs"]
mod site_table;
mod static_users;
mod statics;
mod suite_programs;
mod test_process;
mod timed_programs;

/// Reads a log as after an observation.
#[cfg(fuzzing)]
pub(crate) fn read_log(bytes: &[u8]) {
    let mut log = vec![0; format::HEADER];
    log[..8].copy_from_slice(&format::MAGIC.to_ne_bytes());
    log[format::header::VERSION * 8..format::header::VERSION * 8 + 8]
        .copy_from_slice(&format::VERSION.to_ne_bytes());
    log[format::header::CURSOR * 8..format::header::CURSOR * 8 + 8].copy_from_slice(&u64::MAX.to_ne_bytes());
    log.extend(bytes);
    for record in log::Log::new(log).iter().flat_map(log::Log::records) {
        let _ = (record.words(), record.number(), record.pause());
    }
    let _ = log::Log::new(bytes.to_vec()).map(|log| log.records().count());
}

/// Reads bytes as a test program, as a table of statics and as a kept listing.
#[cfg(fuzzing)]
pub(crate) use statics::read_any as read_program;

pub(crate) use interruption::Interruption;
pub(crate) use leftovers::FileSnapshot;
pub(crate) use observation::{ListedAccess, ObservationResult, ObservedCommand};
pub(crate) use scene_runner::SceneRunner;
pub(crate) use suite_programs::{DOCTEST, SuitePrograms};
pub(crate) use timed_programs::EarlierPrograms;
