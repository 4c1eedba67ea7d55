//! The clock of the ledger.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Returns the current time in microseconds since 1970.
pub fn now() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the ledger reads the clock here")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// Returns the time of the monotonic clock.
pub(super) fn instant() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "the ledger reads the monotonic clock here"
    )]
    Instant::now()
}
