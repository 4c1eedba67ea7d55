//! Distinguishes a reader-writer lock from no lock, for two tests of which one reads the resource before it changes it.
//!
//! A reader-writer lock lets both read at the same time. If both pause at a read, a change comes after both pauses with such a
//! lock and without. So one test is held at its first use while the other continues without a pause: without a lock it reaches
//! its change during the hold.

use super::grade::{
    IN_STD, NOT_BOTH, NOT_CHANGED, NOT_HELD, RunEvidence, TOO_FAR, WAITING_RUNS, Wait, margin,
};
use super::pauses::{HeldTest, LONGEST_PAUSE, Pauses};
use super::timelines::Timeline;

/// The times of the two tests' uses without pauses, in microseconds since each began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// The first use by the held test.
    pub(super) held: u64,
    /// The first change by the other test.
    pub(super) change: u64,
}

/// Returns pauses that hold the test `held` from before the other's change until after it; `None` if that takes too long. Each
/// further attempt leaves a wider margin, because the speed of the machine varies.
pub(super) fn pauses(held: usize, times: Times, attempt: u32) -> Option<Pauses> {
    let room = 20_000_u64 << attempt.min(WAITING_RUNS);
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

/// Evaluates such a run. `change` is the time of the other's first change without pauses, as in [`Times`].
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
    // The held test pauses inside of std's lock around all variables. If the other waits for that lock between its read and
    // its change, no lock of the tests separates them.
    if other
        .change_waited_for_std
        .is_some_and(|since| (*from..*to).contains(&since))
    {
        return Overlapped;
    }
    // `change` is without pauses, so those of this run are added.
    let expected = began + change + seen.paused;
    let is_held_then = *from <= expected && expected + margin(change) <= *to;
    match seen.at.checked_sub(*to) {
        Some(gap) if is_held_then => Waited(Wait { first: 0, gap }),
        _ => Inconclusive(TOO_FAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: usize = 0;

    /// The guard of a test: for its reads and its change, only for the change, or none.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Guard {
        None,
        ReadersAndWriters,
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
        let waited = RunEvidence::Waited(Wait { first: 0, gap: 50 });
        for (guards, evidence) in [
            ([Guard::ReadersAndWriters; 2], waited),
            ([Guard::ReadersAndWriters, Guard::ChangeOnly], waited),
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
    fn a_test_that_is_late_or_delayed_or_absent_shows_no_guard() {
        let times = Times { held: 0, change: 100 };
        let pauses = pauses(HELD, times, 0).unwrap();
        let guards = [Guard::ReadersAndWriters; 2];
        let [held, other] = run([0, 0], 0, guards, pauses);
        // Slower than in its solo run, for a reason of its own.
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
        // A change that comes as late as the longest pause is out of reach.
        let far = Times {
            held: 0,
            change: 1000 * LONGEST_PAUSE,
        };
        assert_eq!(super::pauses(HELD, far, 0), None);
    }
}
