//! Which run this is, and where its folders are.
//!
//! `run` decides from facts alone, `name` makes file names out of any text, `folders` makes folders,
//! `sweep` knows which of them are nobody's any more, `order` is a command that a fixture left for its end.

mod file_name;
mod folders;
mod identify;
pub(crate) mod sweep;
pub(crate) mod teardown;

pub(crate) use file_name::{file_name, file_name_among, of_space, written_out};
pub use folders::base_dir;
pub use folders::private_dir;
pub(crate) use folders::{lane_file, run_dir, worker_dir};
pub(crate) use identify::{Facts, Run, Runner, nextest};
#[cfg(test)]
pub(crate) use identify::{run_of, tests::facts as facts_for_tests};

use crate::sys::process::PidSpace;
use crate::sys::{env, process};
use once_cell::sync::OnceCell;

/// This process's facts, gathered at the first call.
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

/// The run this process belongs to.
pub(crate) fn run() -> &'static Run {
    static RUN: OnceCell<Run> = OnceCell::new();
    RUN.get_or_init(|| identify::run_of(facts()))
}

/// The session that wants to be told what happens; `None` when nothing is recorded.
pub(crate) fn session() -> Option<String> {
    env::var("COFFERDAM_RECORD")
}
