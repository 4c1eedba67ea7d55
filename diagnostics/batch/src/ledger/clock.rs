//! The moment, as the ledger writes it down.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970.
pub fn now() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the ledger's look at the clock")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// A moment to measure from, whatever is done to the clock.
pub(super) fn instant() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the ledger's look at the steady clock")]
    Instant::now()
}
