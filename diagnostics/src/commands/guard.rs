//! `guard`: stops the jobs of a killed session. Only `run` starts it.

use crate::cli::GuardArgs;
use cofferdam_batch::executor::job_guard::watch;
use std::time::Duration;

/// Returns the number of processes that it stopped.
pub(crate) fn guard(args: &GuardArgs) -> usize {
    watch(&args.session, &args.temp, Duration::from_millis(args.grace_ms))
}
