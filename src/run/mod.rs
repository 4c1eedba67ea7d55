//! The run of this process, and its directories.

mod file_name;
mod folders;
mod identify;
mod inherited;
#[cfg(feature = "fixtures")]
pub(crate) mod left_fixtures;
#[cfg(feature = "fixtures")]
pub(crate) mod log_end;
#[cfg(feature = "fixtures")]
pub(crate) mod stored_command;
pub(crate) mod sweep;
pub(crate) mod teardown;

pub(crate) use file_name::{escaped, file_name, name_of_space, unique_file_name};
pub use folders::base_dir;
pub use folders::{is_target, private_dir};
pub(crate) use folders::{lane_file, run_dir, worker_dir};
#[cfg(feature = "fixtures")]
pub(crate) use identify::Env;
pub(crate) use identify::{Facts, Run, Runner, nextest};
#[cfg(test)]
pub(crate) use identify::{run_of, tests::facts as facts_for_tests};
pub(crate) use inherited::{Inherited, inherited, recorded_as};
#[cfg(all(feature = "macros", unix, not(miri)))]
pub(crate) use inherited::{InheritedLock, VARIABLE, depth};

use crate::sys::process::PidSpace;
use crate::sys::{env, process};
use once_cell::sync::OnceCell;
use std::path::{Path, PathBuf};

/// The directory of a process that began a run.
static BEGUN: OnceCell<PathBuf> = OnceCell::new();

/// Makes this process a runner: the fixtures that it starts end with it, in whatever way it ends. `dir` is its working
/// directory, from which the [base directory](base_dir) follows.
///
/// For programs that run test suites. Without effect after the first use of a fixture.
pub fn begin_run(dir: &Path) {
    BEGUN.get_or_init(|| dir.to_owned());
}

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
    RUN.get_or_init(|| match (BEGUN.get(), inherited()) {
        // Other processes may have the same variables, and ending the run would end it for them, too.
        (Some(_), _) => identify::own_run(facts()),
        (None, Some(inherited)) => inherited.run.clone(),
        (None, None) => identify::run_of(facts()),
    })
}

/// Returns the session that records this run; `None` while recording is off.
pub(crate) fn session() -> Option<String> {
    env::var("COFFERDAM_RECORD")
}
