//! Isolated tests: the functions that `#[isolated]` calls in place of a test's body.
//!
//! Only the attribute calls them. The test process runs its own program again for the one test, and passes on what the child
//! reports. Exit codes and libtest's lines are never the result, because they say nothing about a `#[should_panic]` test.

#[cfg(all(unix, not(miri)))]
mod body;
#[cfg(all(unix, not(miri)))]
mod child_process;
#[cfg(not(all(unix, not(miri))))]
mod elsewhere;
#[cfg(all(unix, not(miri)))]
mod output;
#[cfg(all(unix, not(miri)))]
mod parent;
#[cfg(all(unix, not(miri)))]
mod process_error;
#[cfg(all(unix, not(miri)))]
mod report;

#[cfg(not(all(unix, not(miri))))]
use elsewhere as body;
#[cfg(not(all(unix, not(miri))))]
pub use elsewhere::Parent;
#[cfg(all(unix, not(miri)))]
pub use parent::Parent;

use crate::run;
use crate::worker::{mark_failed, mark_passed};
use std::process::{ExitCode, Termination};

/// The message where no process is started.
#[cfg(any(test, not(all(unix, not(miri)))))]
const UNIX_ONLY: &str = "#[isolated] starts processes on Unix only: use cargo nextest, under which each test has a process, and \
                         no argument but `crate`";

/// The part of this process in an isolated test.
pub enum Role {
    /// It runs the test's body.
    Test(Test),
    /// It starts the process that runs the test's body.
    Parent(Parent),
}

/// The process that runs the test's body.
pub struct Test {
    /// Whether another process waits for its report.
    is_child: bool,
}

impl Test {
    /// Runs the body. A returned error is reported on standard error, as libtest does it.
    pub fn run<T: Termination>(self, body: impl FnOnce() -> T) -> ExitCode {
        let test = || {
            let code = body().report();
            if code == ExitCode::SUCCESS {
                mark_passed();
            } else {
                mark_failed();
            }
            code
        };
        if self.is_child { body::run(test) } else { test() }
    }
}

/// Decides what this process does for the test with this path, the crate's name included. `panics`: whether the test should
/// panic. `has_settings`: whether arguments change the process, so that one that has begun is not enough.
#[track_caller]
pub fn begin(path: &'static str, panics: bool, has_settings: bool) -> Role {
    let test = path.split_once("::").map_or(path, |(_, test)| test);
    let is_child = run::inherited().is_some_and(|inherited| inherited.test == test);
    let has_process = || run::nextest(run::facts()).is_some_and(|nextest| nextest.is_the_test);
    if is_child || (!has_settings && has_process()) {
        return Role::Test(Test { is_child });
    }
    Role::Parent(Parent::new(test, panics))
}
