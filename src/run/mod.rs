//! The run of this process, and its directories.

mod file_name;
mod folders;
mod identify;
mod inherited;
pub(crate) mod sweep;
pub(crate) mod teardown;

pub(crate) use file_name::{escaped, file_name, name_of_space, unique_file_name};
pub use folders::base_dir;
pub use folders::private_dir;
pub(crate) use folders::{lane_file, run_dir, worker_dir};
pub(crate) use identify::{Facts, Run, Runner, nextest};
#[cfg(test)]
pub(crate) use identify::{run_of, tests::facts as facts_for_tests};
pub(crate) use inherited::{Inherited, inherited, recorded_as};
#[cfg(all(feature = "macros", unix, not(miri)))]
pub(crate) use inherited::{InheritedLock, VARIABLE, depth};

use crate::sys::process::PidSpace;
use crate::sys::{env, process};
use once_cell::sync::OnceCell;

/// Returns the facts about this process, collected at the first call.
pub(crate) fn facts() -> &'static Facts {
    static FACTS: OnceCell<Facts> = OnceCell::new();
    FACTS.get_or_init(|| Facts {
        pid: process::id(),
        started: process::started(),
        space: PidSpace::own(),
        args: process::args(),
        exe: process::exe(),
        ancestors: process::ancestors(identify::is_runner),
        env: Box::new(env::var),
    })
}

/// Returns the run of this process.
pub(crate) fn run() -> &'static Run {
    static RUN: OnceCell<Run> = OnceCell::new();
    RUN.get_or_init(|| {
        inherited().map_or_else(|| identify::run_of(facts()), |inherited| inherited.run.clone())
    })
}

/// Returns the session that records this run; `None` while recording is off.
pub(crate) fn session() -> Option<String> {
    env::var("COFFERDAM_RECORD")
}
