//! Tells a lock for readers and writers from none, for two tests of which one reads before it changes.
//!
//! Such a lock lets both read at one time, and where both pause at a read, a change comes after both pauses with a lock and
//! without. So one test is held at its first use, while the other goes on without a pause: if nothing guards, it reaches its
//! change meanwhile.

use super::grade::{IN_STD, NOT_BOTH, NOT_CHANGED, NOT_HELD, RunEvidence, TOO_FAR, margin};
use super::pauses::{HeldTest, LONGEST_PAUSE, Pauses};
use super::timelines::Timeline;

/// The number of runs in which the change has to wait, and of those that may be tried for it.
pub(super) const AGREEING_RUNS: u32 = 2;
pub(super) const RUNS: u32 = 5;

/// When the two use the resource without a pause, in microseconds since each began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// The first use by the test that is held.
    pub(super) held: u64,
    /// The first change by the other.
    pub(super) change: u64,
}

/// Returns the pauses with which the test `held` stays from before the other's change until after it; `None` if that takes too
/// long. Each further attempt leaves more room, for a machine is not always equally fast.
pub(super) fn pauses(held: usize, times: Times, attempt: u32) -> Option<Pauses> {
    let room = 20_000_u64 << attempt.min(RUNS);
    let first = (times.held + room).saturating_sub(times.change);
    let change = times.change + first;
    let until = change + margin(change) + 2 * room;
    let [first, timeline] = [first, until - times.held].map(|time| time.div_ceil(1000));
    (first.max(timeline) <= LONGEST_PAUSE).then_some(Pauses {
        first,
        others: 0,
        held: Some(HeldTest {
            test: held,
            first: timeline,
            others: Pauses::USUAL.others,
        }),
        ..Pauses::USUAL
    })
}

/// Weighs what such a run shows. `change` is when the other changes the resource without a pause, as in [`Times`].
pub(super) fn weigh(held: &Timeline, other: &Timeline, change: u64) -> RunEvidence {
    use RunEvidence::{Inconclusive, Overlapped, Waited};
    if held.conflict_tests(other, 0) {
        return Overlapped;
    }
    let Some((from, to, _)) = held.uses[0].first() else {
        return Inconclusive(NOT_BOTH);
    };
    if !other.uses_resource(0) {
        return Inconclusive(NOT_BOTH);
    }
    let (Some(began), Some(seen)) = (other.began, other.change(0)) else {
        return Inconclusive(NOT_CHANGED);
    };
    if !held.paused {
        return Inconclusive(NOT_HELD);
    }
    if other.waited_for_std {
        return Inconclusive(IN_STD);
    }
    // The held test's pause is within std's lock around all variables. If the other waits for that lock between its read and
    // its change, no lock of the tests' own keeps it away.
    if other
        .change_waited_for_std
        .is_some_and(|since| (*from..*to).contains(&since))
    {
        return Overlapped;
    }
    // With the pauses that it did make.
    let expected = began + change + seen.paused;
    let is_held_then = *from <= expected && expected + margin(change) <= *to;
    if is_held_then && *to <= seen.at {
        Waited
    } else {
        Inconclusive(TOO_FAR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: usize = 0;

    /// The lock that a test takes for its reads and for its change, if any.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Guard {
        None,
        ReadersAndWriters,
        /// Only for the change.
        ChangeOnly,
    }

    /// A run in which the held test reads once, and the other reads and changes it. Times are in milliseconds.
    fn run(arrive: [u64; 2], between: u64, guards: [Guard; 2], pauses: Pauses) -> [Timeline; 2] {
        let (held, _) = pauses.of(0);
        let (first, _) = pauses.of(1);
        let read = (1000 * arrive[0], 1000 * (arrive[0] + held), false);
        let look = (1000 * arrive[1], 1000 * (arrive[1] + first), false);
        let mut change = look.1 + 1000 * between + 100;
        let locked = guards[0] == Guard::ReadersAndWriters && guards[1] != Guard::None;
        if locked && read.0 < change {
            change = change.max(read.1 + 50);
        }
        [vec![read], vec![look, (change, change, true)]].map(|uses| Timeline {
            began: Some(0),
            uses: vec![uses],
            paused: true,
            ..Timeline::default()
        })
    }

    #[test]
    fn a_change_waits_behind_a_lock_for_readers_and_writers_and_meets_the_read_without() {
        for (guards, evidence) in [
            ([Guard::ReadersAndWriters; 2], RunEvidence::Waited),
            ([Guard::ReadersAndWriters, Guard::ChangeOnly], RunEvidence::Waited),
            ([Guard::None; 2], RunEvidence::Overlapped),
            ([Guard::ReadersAndWriters, Guard::None], RunEvidence::Overlapped),
            ([Guard::None, Guard::ReadersAndWriters], RunEvidence::Overlapped),
        ] {
            for (arrive, between) in [([0, 0], 0), ([300, 0], 0), ([0, 300], 10), ([0, 0], 400)] {
                let times = Times {
                    held: 1000 * arrive[0],
                    change: 1000 * (arrive[1] + between) + 100,
                };
                let pauses = pauses(HELD, times, 0).unwrap();
                let [held, other] = run(arrive, between, guards, pauses);
                assert_eq!(
                    weigh(&held, &other, times.change),
                    evidence,
                    "{arrive:?} {between}"
                );
            }
        }
    }

    #[test]
    fn a_test_that_is_late_or_held_up_or_was_not_there_shows_no_guard() {
        let times = Times { held: 0, change: 100 };
        let pauses = pauses(HELD, times, 0).unwrap();
        let guards = [Guard::ReadersAndWriters; 2];
        let [held, other] = run([0, 0], 0, guards, pauses);
        // Slower by itself than alone.
        let [early, late] = run([0, 500], 0, guards, pauses);
        assert_eq!(weigh(&early, &late, 500_100), RunEvidence::Inconclusive(TOO_FAR));
        let [late, early] = run([500, 0], 0, guards, pauses);
        assert_eq!(weigh(&late, &early, 100), RunEvidence::Inconclusive(TOO_FAR));
        let mut waited_for_std = other.clone();
        waited_for_std.change_waited_for_std = Some(500);
        assert_eq!(weigh(&held, &waited_for_std, 100), RunEvidence::Overlapped);
        waited_for_std.waited_for_std = true;
        assert_eq!(
            weigh(&held, &waited_for_std, 100),
            RunEvidence::Inconclusive(IN_STD)
        );
        let mut unheld = held.clone();
        unheld.paused = false;
        assert_eq!(weigh(&unheld, &other, 100), RunEvidence::Inconclusive(NOT_HELD));
        let mut idle = other.clone();
        idle.uses[0].pop();
        assert_eq!(weigh(&held, &idle, 100), RunEvidence::Inconclusive(NOT_CHANGED));
        idle.uses[0].pop();
        assert_eq!(weigh(&held, &idle, 100), RunEvidence::Inconclusive(NOT_BOTH));
        // A change that takes as long as the longest pause is out of reach.
        let far = Times {
            held: 0,
            change: 1000 * LONGEST_PAUSE,
        };
        assert_eq!(super::pauses(HELD, far, 0), None);
    }
}
