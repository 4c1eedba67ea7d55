//! `guard`: ends what a killed session left. Only `run` starts it.

use crate::cli::GuardArgs;
use cofferdam_batch::executor::guard::watch;
use std::time::Duration;

/// Returns how many processes it ended.
pub(crate) fn guard(args: &GuardArgs) -> usize {
    watch(&args.session, &args.temp, Duration::from_millis(args.grace_ms))
}
