//! Waiting for other processes' transactions.
//!
//! SQLite's own waiting sleeps for longer and longer, up to 100 ms, while transactions here take well below one: who
//! has slept longest is the least likely to get in, and starves beside busy writers. This one goes on looking.

use super::{clock, session_lease};
use rusqlite::Connection;
use std::time::Duration;

/// How long others are waited for.
pub(super) const LONGEST: Duration = Duration::from_secs(5);

/// Lets the connection wait for others, from now on.
pub(super) fn for_others(conn: &mut Connection, wait: Duration) -> rusqlite::Result<()> {
    let mut begun = clock::instant();
    let again = move |tries: i32| {
        if tries == 0 {
            begun = clock::instant();
        } else if begun.elapsed() >= wait {
            return false;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "SQLite's locks cannot be waited for in the kernel"
        )]
        std::thread::sleep(pause(tries, session_lease::own_pid()));
        true
    };
    conn.busy_handler(Some(again))
}

/// How long to sleep before looking again: 0.1 to 1 ms, and after so many tries 1 to 5 ms. Two processes that began
/// together do not stay together.
fn pause(tries: i32, pid: u32) -> Duration {
    let mixed = pid.wrapping_mul(0x9e37_79b9) ^ tries.unsigned_abs().wrapping_mul(0x85eb_ca6b);
    let shortest = if tries < 500 { 100 } else { 1_000 };
    Duration::from_micros(shortest + u64::from(mixed >> 16) * 4 * shortest / u64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_short_and_of_two_processes_seldom_the_same() {
        let of = |pid| (0..1_000).map(move |tries| pause(tries, pid));
        assert!(of(4711).all(|pause| pause <= Duration::from_millis(5)));
        assert!(of(1).zip(of(2)).filter(|(one, two)| one == two).count() < 10);
    }
}
