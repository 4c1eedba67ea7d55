//! Time: microseconds since 1970 for records that other processes read, and deadlines for waiting.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970. A clock set back makes times go back with it; nothing here relies on their order.
pub(crate) fn micros() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as u64)
}

/// The monotonic clock.
pub(crate) fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    Instant::now()
}

/// A point in time until which something may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(wait: Duration) -> Self {
        let start = now();
        // An overflow asks for longer than the machine will run: a century is as good.
        Self(
            start
                .checked_add(wait)
                .unwrap_or(start + Duration::from_secs(3_155_760_000)),
        )
    }

    /// What is left, or nothing once it has passed.
    pub(crate) fn left(self) -> Option<Duration> {
        let left = self.0.saturating_duration_since(now());
        (!left.is_zero()).then_some(left)
    }
}

/// Lets time pass. For what tells nobody when it is ready: a server that opens its port.
pub(crate) fn pause(time: Duration) {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    std::thread::sleep(time);
}

/// A number that no other call in this process returns; 0 is never one of them.
pub(crate) fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
