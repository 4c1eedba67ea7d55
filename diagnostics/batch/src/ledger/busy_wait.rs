//! Waits for the transactions of other processes.
//!
//! The busy handler of SQLite sleeps longer each time, up to 100 ms, while transactions here take well under one. A
//! process that has slept longest is then the least likely to get the lock, and starves beside busy writers. This handler
//! keeps its pauses short.

use super::timestamps;
use crate::processes::own_pid;
use rusqlite::Connection;
use std::time::Duration;

/// The longest wait for other writers.
pub(super) const LONGEST: Duration = Duration::from_secs(5);

/// Makes the connection wait for other processes from now on.
pub(super) fn install(conn: &mut Connection, wait: Duration) -> rusqlite::Result<()> {
    let mut began = timestamps::instant();
    let retry = move |tries: i32| {
        if tries == 0 {
            began = timestamps::instant();
        } else if began.elapsed() >= wait {
            return false;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "SQLite's locks cannot be waited for in the kernel"
        )]
        std::thread::sleep(pause(tries, own_pid()));
        true
    };
    conn.busy_handler(Some(retry))
}

/// Returns the time until the next try: 0.1 to 1 ms, and 1 to 5 ms after many tries. It differs between processes, so
/// that two that began together do not stay in step.
fn pause(tries: i32, pid: u32) -> Duration {
    let mixed = pid.wrapping_mul(0x9e37_79b9) ^ tries.unsigned_abs().wrapping_mul(0x85eb_ca6b);
    let shortest = if tries < 500 { 100 } else { 1_000 };
    Duration::from_micros(shortest + u64::from(mixed >> 16) * 4 * shortest / u64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_short_and_differ_between_processes() {
        let of = |pid| (0..1_000).map(move |tries| pause(tries, pid));
        assert!(of(4711).all(|pause| pause <= Duration::from_millis(5)));
        assert!(of(1).zip(of(2)).filter(|(one, two)| one == two).count() < 10);
    }
}
