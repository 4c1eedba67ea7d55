//! Time: microseconds since 1970 for records that other processes read, and deadlines.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Returns the microseconds since 1970. The clock may be set back, so nothing relies on the order of these times.
pub(crate) fn micros() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as u64)
}

/// Returns the time of the monotonic clock.
pub(crate) fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    Instant::now()
}

/// A point in time that limits a wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(wait: Duration) -> Self {
        let start = now();
        // On overflow, a century is long enough.
        Self(
            start
                .checked_add(wait)
                .unwrap_or(start + Duration::from_secs(3_155_760_000)),
        )
    }

    /// Returns the remaining time, or `None` once it has passed.
    pub(crate) fn left(self) -> Option<Duration> {
        let left = self.0.saturating_duration_since(now());
        (!left.is_zero()).then_some(left)
    }
}

/// Sleeps. Only for conditions that cannot be waited for otherwise, such as a server that opens its port.
pub(crate) fn pause(time: Duration) {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    std::thread::sleep(time);
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Returns a number that is unique in this process and never 0.
pub(crate) fn unique() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Makes the numbers of this process differ from those of its parent, and from those of the parent's other children.
pub(crate) fn continue_from(pid: u32) {
    // Readers of JSON may know 53 bits only, and a process number has at most 22.
    NEXT.fetch_max(u64::from(pid) << 30, Ordering::Relaxed);
}
