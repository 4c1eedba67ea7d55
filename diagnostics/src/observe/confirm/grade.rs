//! Evaluation of runs: timelines in, a grade or the pauses of the next run out.
//!
//! A use of the resource lasts as long as the pause after it. If two uses overlap, nothing separates the tests. The time
//! between two uses of one test says nothing, since it may have released a lock there. If no uses overlap, that may be chance,
//! because one test reaches the resource later than the other. So the first test is held for longer than the second takes to
//! arrive: a test that still comes afterwards seems to have waited. Once that may be chance, too, so it has to come equally long
//! afterwards in several runs with different pauses.

use super::pauses::{LONGEST_PAUSE, Pauses};
use super::timelines::{Timeline, Window};
use cofferdam_conflicts::Grade;

/// The maximum number of runs of a pair to make its uses overlap.
const TRIES: usize = 5;

/// A reason for [`Grade::Potential`]: one of the tests did not use the resource.
pub(super) const NOT_BOTH: &str = "rerun, the two did not both use it";

/// A reason for [`Grade::Potential`]: both only read it.
pub(super) const NOT_CHANGED: &str = "rerun, neither of the two changed it";

/// A reason for [`Grade::Potential`]: a run was stopped.
pub(super) const TIMED_OUT: &str = "rerun, the two did not end in time, and did not meet until then";

/// A reason for [`Grade::Potential`]: no pause within the limit makes the uses overlap.
pub(super) const TOO_FAR: &str = "rerun, the two used it too far apart to be brought together";

pub(super) const IN_STD: &str =
    "rerun, they were apart, and so are all uses of variables: std has a lock there";

/// A reason for [`Grade::Potential`]: they were apart, but not by the same time in enough runs.
const UNSTEADY: &str =
    "rerun, they were apart, which may be chance: the time between the two differed from run to run";

pub(super) const NOT_HELD: &str = "rerun, the two could not be held at it";
/// A reason for [`Grade::Potential`]: the tests could not be run.
pub(super) const NOT_STARTED: &str = "its program cannot be started again";

const BOTH_READ: &str = "rerun, both read it at the same time, and one of them changed it later";
const AMONG_OTHERS: &str = "run again among others, what kept the two apart is unknown";

/// One run of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PairRun {
    pub(super) pauses: Pauses,
    /// `None` for a test that did not use the resource.
    pub(super) windows: [Option<Window>; 2],
    /// Set if two uses overlapped, one of which was a change.
    pub(super) met: bool,
    /// Set if both read it at the same time and one of them changed it later.
    pub(super) both_read: bool,
    /// Set if one of them changed it in this run.
    pub(super) changed: bool,
    /// Set if both ended in time.
    pub(super) ended: bool,
}

impl PairRun {
    /// Summarizes a run of two tests that was held at one resource.
    pub(super) fn new(pauses: Pauses, timelines: &[Timeline], ended: bool) -> Self {
        let [a, b] = [&timelines[0], &timelines[1]];
        Self {
            pauses,
            windows: [a.window(&[0]), b.window(&[0])],
            met: a.conflict_tests(b, 0),
            both_read: a.reads_alongside(b, 0),
            changed: a.changes(0) || b.changes(0),
            ended,
        }
    }

    fn both(&self) -> Option<[Window; 2]> {
        Some([self.windows[0]?, self.windows[1]?])
    }

    fn wait(&self) -> Option<Wait> {
        let [a, b] = self.both()?;
        let (first, early, late) = if a.from <= b.from { (0, a, b) } else { (1, b, a) };
        let gap = late.from.checked_sub(early.to)?;
        Some(Wait { first, gap })
    }
}

pub(super) fn count(tries: &[PairRun]) -> u32 {
    u32::try_from(tries.len()).unwrap_or(u32::MAX)
}

/// The next step after the runs so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    RunAgain(Pauses),
    /// Hold one test where it reads while the other continues to its change.
    HoldReader,
    Graded(Grade, String),
}

/// The reason for [`Grade::Unguarded`].
pub(super) const OVERLAPPED: &str = "both used it at the same time";
pub(super) const WAITED: &str = "run again with pauses, one always waited until the other was done with it";

/// A test used the resource only after another one was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    /// The position of the test that was first in the pair.
    pub(super) first: usize,
    /// The time from the end of the last use before it, in microseconds.
    pub(super) gap: u64,
}

impl Wait {
    /// Returns whether one guard explains both waits. A guard is released at one point of a test, so the gap is always the
    /// same, however long the test pauses. A test that is late by chance leaves any gap.
    fn agrees_with(self, other: Self) -> bool {
        const SHORT: u64 = 10_000;
        let steady = 25_000 + self.gap.min(other.gap) / 4;
        self.gap.max(other.gap) <= SHORT
            || self.first == other.first && self.gap.abs_diff(other.gap) <= steady
    }
}

/// The number of runs whose waits have to agree.
const AGREEING_RUNS: usize = 3;
/// The maximum number of runs in which to look for waits that agree: of as many, three have the same test first.
pub(super) const WAITING_RUNS: u32 = 5;

/// Returns whether these waits, each of another run, show a guard.
pub(super) fn show_guard(waits: &[Wait]) -> bool {
    let agreeing = |wait: &Wait| waits.iter().filter(|other| wait.agrees_with(**other)).count();
    waits.iter().any(|wait| agreeing(wait) >= AGREEING_RUNS)
}

/// Returns the reason that these waits show no guard; `otherwise` if they are too few.
pub(super) fn why_no_guard(waits: &[Wait], otherwise: &'static str) -> &'static str {
    if waits.len() < AGREEING_RUNS {
        otherwise
    } else {
        UNSTEADY
    }
}

/// The evidence of one run about two of its tests and one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunEvidence {
    /// Their uses overlapped.
    Overlapped,
    /// The second used it only after the first was done, and came later than it does alone.
    Waited(Wait),
    /// Neither, with the reason.
    Inconclusive(&'static str),
}

/// Evaluates the run of a group for two of its tests.
///
/// `arrivals` has the time, in microseconds, that each test needs to reach the first of the group's resources when it runs
/// alone; `shared` has the resources that the two tests share.
pub(super) fn weigh(
    timelines: &[Timeline],
    arrivals: &[Option<u64>],
    [a, b]: [usize; 2],
    shared: &[usize],
    resource: usize,
) -> RunEvidence {
    use RunEvidence::{Inconclusive, Overlapped, Waited};
    let both = [&timelines[a], &timelines[b]];
    if both[0].conflict_tests(both[1], resource) {
        return Overlapped;
    }
    if both[0].reads_alongside(both[1], resource) {
        return Inconclusive(BOTH_READ);
    }
    if !both.iter().all(|timeline| timeline.uses_resource(resource)) {
        return Inconclusive(NOT_BOTH);
    }
    if !both.iter().any(|timeline| timeline.changes(resource)) {
        return Inconclusive(NOT_CHANGED);
    }
    let (Some(one), Some(two)) = (both[0].window(shared), both[1].window(shared)) else {
        return Inconclusive(NOT_BOTH);
    };
    let first = usize::from(one.from > two.from);
    let (early, late, timeline, waiting) = if first == 0 {
        (one, two, both[0], b)
    } else {
        (two, one, both[1], a)
    };
    if !early.paused {
        return Inconclusive(NOT_HELD);
    }
    if late.waited_for_std {
        return Inconclusive(IN_STD);
    }
    let expected = timelines[waiting]
        .began
        .zip(arrivals[waiting])
        .map(|(began, arrival)| began + arrival + margin(arrival));
    let Some(expected) = expected.filter(|expected| *expected <= early.to) else {
        return Inconclusive(TOO_FAR);
    };
    // Another resource of the group may have delayed it.
    if timelines[waiting].first() < Some(early.to) {
        return Inconclusive(TOO_FAR);
    }
    // A later use by the early test may be outside of the guard that delayed the late test.
    if !timeline.uses_only_within(resource, shared) {
        return Inconclusive(TOO_FAR);
    }
    // A third test that was pausing may have delayed the late one.
    let from = early.from.max(expected);
    let others = timelines
        .iter()
        .enumerate()
        .filter(|(test, _)| *test != a && *test != b);
    let mut uses = others.flat_map(|(_, timeline)| timeline.uses.iter().flatten());
    if uses.any(|(begun, ended, _)| *begun < early.to && *ended > from) {
        return Inconclusive(AMONG_OTHERS);
    }
    let others = timelines.iter().enumerate().filter(|(test, _)| *test != waiting);
    let ends = others.flat_map(|(_, timeline)| timeline.uses.iter().flatten());
    let ends = ends
        .map(|(_, ended, _)| *ended)
        .filter(|ended| *ended <= late.from);
    let gap = late.from.saturating_sub(ends.max().unwrap_or(early.to));
    Waited(Wait { first, gap })
}

/// Returns the normal variation of an arrival time, in microseconds. A test that is later than that was delayed.
pub(super) fn margin(arrival: u64) -> u64 {
    (arrival / 2).clamp(40_000, 400_000)
}

/// Decides after these runs of a pair, in which no test failed. `begin` has the pauses of the first run.
pub(super) fn judge(tries: &[PairRun], begin: Pauses) -> Decision {
    if tries.iter().any(|one| one.met) {
        return Decision::Graded(Grade::Unguarded, OVERLAPPED.to_owned());
    }
    let Some(last) = tries.last() else {
        return Decision::RunAgain(begin);
    };
    let potential = |why: &str| Decision::Graded(Grade::Potential, why.to_owned());
    if !last.ended {
        return potential(TIMED_OUT);
    }
    let Some([a, b]) = last.both() else {
        // The next run may differ: one test may create what the other looks for.
        return if tries.len() < 2 {
            Decision::RunAgain(begin)
        } else {
            potential(NOT_BOTH)
        };
    };
    if !last.changed {
        return if tries.len() < 2 {
            Decision::RunAgain(begin)
        } else {
            potential(NOT_CHANGED)
        };
    }
    if tries.iter().any(|one| one.both_read) {
        return Decision::HoldReader;
    }
    if last.pauses.everywhere {
        return potential(IN_STD);
    }
    let (early, late) = if a.from <= b.from { (a, b) } else { (b, a) };
    if !early.paused {
        return potential(NOT_HELD);
    }
    // The delays of earlier runs, in which one test or the other may have been first.
    let delay = |[a, b]: [Window; 2]| a.from.abs_diff(b.from);
    let delays = tries[..tries.len() - 1]
        .iter()
        .filter_map(PairRun::both)
        .map(delay);
    let before = delays.min();
    if before.is_some_and(|soonest| early.length() >= soonest + margin(soonest)) {
        if late.waited_for_std {
            let late = begin.late;
            return Decision::RunAgain(Pauses {
                late,
                ..Pauses::EVERYWHERE
            });
        }
        let waits: Vec<Wait> = tries.iter().filter_map(PairRun::wait).collect();
        return match tries.len() {
            _ if show_guard(&waits) => Decision::Graded(Grade::Guarded, WAITED.to_owned()),
            TRIES.. => potential(UNSTEADY),
            _ => Decision::RunAgain(last.pauses.longer()),
        };
    }
    let soonest = before.unwrap_or(u64::MAX).min(late.from - early.from);
    // Up to twice that long, because the speed of the machine varies.
    let wanted = soonest + soonest.min(500_000) + 80_000;
    let wanted = wanted.saturating_sub(early.length()).div_ceil(1000);
    let pauses = Pauses {
        first: last.pauses.first + wanted,
        ..last.pauses
    };
    if pauses.first > LONGEST_PAUSE || tries.len() >= TRIES {
        return potential(TOO_FAR);
    }
    Decision::RunAgain(pauses)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two tests with the time at which each reaches the resource, in milliseconds, and the number of its uses.
    struct Pair {
        arrive: [u64; 2],
        uses: [u64; 2],
        locked: bool,
    }

    impl Pair {
        fn new(arrive: [u64; 2], uses: [u64; 2], locked: bool) -> Self {
            Self { arrive, uses, locked }
        }

        fn run(&self, pauses: Pauses) -> PairRun {
            let length = |test: usize| 1000 * (pauses.first + (self.uses[test] - 1) * pauses.others);
            let window = |from: u64, test: usize| Window {
                from,
                to: from + length(test),
                paused: true,
                waited_for_std: false,
            };
            let mut windows = [window(1000 * self.arrive[0], 0), window(1000 * self.arrive[1], 1)];
            let second = usize::from(self.arrive[1] >= self.arrive[0]);
            if self.locked {
                let free = windows[1 - second].to + 50;
                windows[second] = window(windows[second].from.max(free), second);
            }
            let [a, b] = windows;
            PairRun {
                pauses,
                windows: windows.map(Some),
                met: a.from < b.to && b.from < a.to,
                both_read: false,
                changed: true,
                ended: true,
            }
        }

        /// Returns the grade and the number of runs that it took.
        fn graded(&self) -> (Grade, usize) {
            let mut tries = Vec::new();
            loop {
                match judge(&tries, Pauses::USUAL) {
                    Decision::RunAgain(pauses) => tries.push(self.run(pauses)),
                    Decision::HoldReader => panic!("no test reads"),
                    Decision::Graded(grade, _) => return (grade, tries.len()),
                }
            }
        }
    }

    #[test]
    fn a_lock_is_told_from_coming_late() {
        for (arrive, uses, locked, grade, tries) in [
            ([0, 0], [1, 1], false, Grade::Unguarded, 1),
            ([0, 70], [1, 1], false, Grade::Unguarded, 1),
            ([0, 0], [1, 1], true, Grade::Guarded, 3),
            ([0, 0], [8, 3], true, Grade::Guarded, 3),
            ([30, 0], [2, 1], true, Grade::Guarded, 3),
            // Without a growing pause, these would look guarded.
            ([0, 100], [1, 1], false, Grade::Unguarded, 2),
            ([900, 0], [1, 1], false, Grade::Unguarded, 2),
            ([0, 700], [1, 1], true, Grade::Guarded, 4),
            // Many uses take long even without a lock.
            ([0, 0], [40, 40], true, Grade::Guarded, 3),
            // No acceptable pause makes these overlap.
            ([0, 9000], [1, 1], false, Grade::Potential, 1),
            ([0, 9000], [1, 1], true, Grade::Potential, 1),
        ] {
            let pair = Pair::new(arrive, uses, locked);
            assert_eq!(pair.graded(), (grade, tries), "{arrive:?} {uses:?} {locked}");
        }
    }

    fn window(from: u64, to: u64) -> Option<Window> {
        Some(Window {
            from: from * 1000,
            to: to * 1000,
            paused: true,
            waited_for_std: false,
        })
    }

    fn one(first: Option<Window>, second: Option<Window>) -> PairRun {
        PairRun {
            pauses: Pauses::USUAL,
            windows: [first, second],
            met: false,
            both_read: false,
            changed: true,
            ended: true,
        }
    }

    fn grade(tries: &[PairRun]) -> Option<Grade> {
        match judge(tries, Pauses::USUAL) {
            Decision::RunAgain(_) | Decision::HoldReader => None,
            Decision::Graded(grade, _) => Some(grade),
        }
    }

    #[test]
    fn one_meeting_is_enough() {
        let apart = one(window(0, 80), window(80, 160));
        let mut met = one(window(0, 80), window(79, 160));
        met.met = true;
        assert_eq!(grade(std::slice::from_ref(&met)), Some(Grade::Unguarded));
        assert_eq!(grade(&[met, apart.clone()]), Some(Grade::Unguarded));
        assert_eq!(grade(&[apart]), None);
    }

    #[test]
    fn being_first_once_and_second_once_says_nothing_of_a_lock() {
        let ab = one(window(0, 80), window(100, 180));
        let ba = one(window(300, 380), window(0, 200));
        assert_eq!(grade(&[ab.clone(), ba.clone()]), None);
        // Three runs in one order with one gap do.
        let long = one(window(0, 200), window(220, 300));
        assert_eq!(grade(&[ab.clone(), ba.clone(), long.clone()]), None);
        assert_eq!(
            grade(&[ab.clone(), ba.clone(), long.clone(), long.clone()]),
            Some(Grade::Guarded)
        );
        // Not if std's lock explains the wait: then both are to pause at every variable.
        let mut waited_for_std = long;
        waited_for_std.windows[1].as_mut().unwrap().waited_for_std = true;
        let tries = [ab, ba, waited_for_std.clone()];
        assert_eq!(
            judge(&tries, Pauses::USUAL),
            Decision::RunAgain(Pauses::EVERYWHERE)
        );
        let mut everywhere = waited_for_std;
        everywhere.pauses = Pauses::EVERYWHERE;
        let [ab, ba, waited_for_std] = tries;
        let with = |last: &PairRun| [ab.clone(), ba.clone(), waited_for_std.clone(), last.clone()];
        assert_eq!(grade(&with(&everywhere)), Some(Grade::Potential));
        everywhere.met = true;
        assert_eq!(grade(&with(&everywhere)), Some(Grade::Unguarded));
    }

    #[test]
    fn a_lock_that_lets_in_now_one_and_now_the_other_is_seen_by_three_equal_gaps() {
        // The first visit is one pause long. The lock is kept for much longer.
        const KEPT: u64 = 820;
        for turns in 0..32_u32 {
            let mut tries = Vec::new();
            let grade = loop {
                let pauses = match judge(&tries, Pauses::USUAL) {
                    Decision::RunAgain(pauses) => pauses,
                    Decision::HoldReader => panic!("no test reads"),
                    Decision::Graded(grade, _) => break grade,
                };
                let (early, late) = (
                    window(0, pauses.first),
                    window(pauses.first + KEPT, 2 * pauses.first + KEPT),
                );
                let is_turned = turns >> tries.len() & 1 == 1;
                let [a, b] = if is_turned { [late, early] } else { [early, late] };
                tries.push(PairRun { pauses, ..one(a, b) });
            };
            assert_eq!(grade, Grade::Guarded, "{turns:b}");
            assert!(tries.len() <= TRIES, "{turns:b}");
        }
    }

    #[test]
    fn waits_of_different_lengths_are_the_reason_that_no_guard_is_seen() {
        let waits = [300_000, 700_000, 1_500_000].map(|gap| Wait { first: 0, gap });
        assert!(!show_guard(&waits));
        assert_eq!(why_no_guard(&waits, TOO_FAR), UNSTEADY);
        assert_eq!(why_no_guard(&waits[..2], TOO_FAR), TOO_FAR);
    }

    #[test]
    fn of_a_thousand_pairs_that_come_late_by_chance_at_most_one_is_called_guarded() {
        const PAIRS: u32 = 10_000;
        let mut state = 1_u64;
        // A linear congruential generator, with Knuth's constants.
        let mut random = |most: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % most
        };
        for spread in [100, 300, 600, 1_000, 2_000] {
            let mut guarded = 0;
            for _ in 0..PAIRS {
                let mut tries = Vec::new();
                while let Decision::RunAgain(pauses) = judge(&tries, Pauses::USUAL) {
                    let pair = Pair::new([random(spread), random(spread)], [1, 1], false);
                    tries.push(pair.run(pauses));
                }
                guarded += u32::from(grade(&tries) == Some(Grade::Guarded));
            }
            assert!(guarded <= PAIRS / 1_000, "{guarded} within {spread} ms");
        }
    }

    #[test]
    fn who_does_not_use_it_or_cannot_be_held_stays_potential() {
        let absent = one(window(0, 80), None);
        assert_eq!(grade(std::slice::from_ref(&absent)), None);
        assert_eq!(grade(&[absent.clone(), absent]), Some(Grade::Potential));
        let mut unheld = one(window(0, 0), window(10, 10));
        unheld.windows[0].as_mut().unwrap().paused = false;
        assert_eq!(grade(&[unheld]), Some(Grade::Potential));
        let mut unchanged = one(window(0, 80), window(100, 180));
        unchanged.changed = false;
        assert_eq!(grade(std::slice::from_ref(&unchanged)), None);
        assert_eq!(grade(&[unchanged.clone(), unchanged]), Some(Grade::Potential));
        let mut endless = one(window(0, 80), window(90, 170));
        endless.ended = false;
        assert_eq!(grade(&[endless]), Some(Grade::Potential));
    }

    #[test]
    fn it_ends() {
        // The order changes with every run, and the second test always comes just too late.
        let mut tries = Vec::new();
        while let Decision::RunAgain(pauses) = judge(&tries, Pauses::USUAL) {
            let (a, b) = (window(0, 80), window(81 + 40 * tries.len() as u64, 300));
            let windows = if tries.len() % 2 == 0 { [a, b] } else { [b, a] };
            tries.push(PairRun {
                pauses,
                windows,
                met: false,
                both_read: false,
                changed: true,
                ended: true,
            });
            assert!(tries.len() <= TRIES);
        }
    }

    /// The timelines and solo arrivals of a group at one resource. Each test has its arrival at the guard and its guard, if any.
    fn group(tests: &[(u64, Option<u32>)]) -> (Vec<Timeline>, Vec<Option<u64>>) {
        let pause = 1000 * Pauses::OF_MANY.first;
        let mut free: std::collections::HashMap<u32, u64> = std::collections::HashMap::new();
        let mut order: Vec<usize> = (0..tests.len()).collect();
        order.sort_by_key(|test| tests[*test].0);
        let mut timelines = vec![Timeline::default(); tests.len()];
        for test in order {
            let (arrival, guard) = tests[test];
            let mut from = 1000 * arrival;
            if let Some(guard) = guard {
                let free = free.entry(guard).or_default();
                from = from.max(*free + 30);
                *free = from + pause;
            }
            timelines[test] = Timeline {
                began: Some(0),
                uses: vec![vec![(from, from + pause, true)]],
                paused: true,
                ..Timeline::default()
            };
        }
        let arrivals = tests.iter().map(|(arrival, _)| Some(1000 * arrival)).collect();
        (timelines, arrivals)
    }

    /// The wait for a guard of [`group`].
    const AT_ONCE: Wait = Wait { first: 0, gap: 30 };

    fn weighed(tests: &[(u64, Option<u32>)], pair: [usize; 2]) -> RunEvidence {
        let (timelines, arrivals) = group(tests);
        weigh(&timelines, &arrivals, pair, &[0], 0)
    }

    #[test]
    fn one_run_of_a_group_behind_one_guard_shows_every_pair() {
        let tests: Vec<_> = (0..60).map(|test| (test % 7, Some(1))).collect();
        let (timelines, arrivals) = group(&tests);
        for a in 0..60 {
            for b in a + 1..60 {
                let evidence = weigh(&timelines, &arrivals, [a, b], &[0], 0);
                assert!(
                    matches!(evidence, RunEvidence::Waited(Wait { gap: 30, .. })),
                    "{a} {b}: {evidence:?}"
                );
            }
        }
    }

    #[test]
    fn a_test_of_a_group_that_takes_no_guard_meets_the_others() {
        let tests = [(0, Some(1)), (1, Some(1)), (2, None)];
        assert_eq!(weighed(&tests, [0, 2]), RunEvidence::Overlapped);
        assert_eq!(weighed(&tests, [0, 1]), RunEvidence::Inconclusive(AMONG_OTHERS));
        // A test that arrives after all others are done shows nothing.
        let tests = [(0, Some(1)), (1, Some(1)), (900, None)];
        assert_eq!(weighed(&tests, [0, 2]), RunEvidence::Inconclusive(TOO_FAR));
        assert_eq!(weighed(&tests, [0, 1]), RunEvidence::Waited(AT_ONCE));
    }

    #[test]
    fn what_another_guard_kept_away_is_not_guarded_by_this_one() {
        let tests = [(0, Some(1)), (0, Some(2)), (1, Some(2))];
        assert_eq!(weighed(&tests, [0, 1]), RunEvidence::Overlapped);
        // The third comes after the first because it waited for the second.
        assert_eq!(weighed(&tests, [0, 2]), RunEvidence::Inconclusive(AMONG_OTHERS));
    }

    #[test]
    fn two_reads_at_one_time_with_a_change_after_them_show_neither_a_meeting_nor_a_guard() {
        // The first creates the resource, both read it, and the second changes it.
        let uses = [
            vec![(0, 80_000, true), (80_000, 160_000, false)],
            vec![(85_000, 165_000, false), (165_000, 245_000, true)],
        ];
        let timelines = uses.map(|uses| Timeline {
            began: Some(0),
            uses: vec![uses],
            paused: true,
            ..Timeline::default()
        });
        let evidence = weigh(&timelines, &[Some(0), Some(0)], [0, 1], &[0], 0);
        assert_eq!(evidence, RunEvidence::Inconclusive(BOTH_READ));
        let mut both_read = one(window(0, 80), window(85, 245));
        both_read.both_read = true;
        let apart = one(window(0, 200), window(210, 300));
        for tries in [
            vec![both_read.clone()],
            vec![both_read.clone(), apart.clone()],
            vec![apart, both_read],
        ] {
            assert_eq!(judge(&tries, Pauses::USUAL), Decision::HoldReader);
        }
    }

    #[test]
    fn a_test_without_a_known_arrival_or_on_its_way_shows_no_guard() {
        let (mut timelines, arrivals) = group(&[(0, Some(1)), (1, Some(1))]);
        assert_eq!(
            weigh(&timelines, &arrivals, [0, 1], &[0], 0),
            RunEvidence::Waited(AT_ONCE)
        );
        assert_eq!(
            weigh(&timelines, &[None, None], [0, 1], &[0], 0),
            RunEvidence::Inconclusive(TOO_FAR)
        );
        let mut waited_for_std = timelines.clone();
        waited_for_std[1].waited_for_std = true;
        assert_eq!(
            weigh(&waited_for_std, &arrivals, [0, 1], &[0], 0),
            RunEvidence::Inconclusive(IN_STD)
        );
        // The second resource is used outside of the guard of the first.
        for timeline in &mut timelines {
            timeline.uses.push(Vec::new());
        }
        timelines[1].uses[1].push((500, 600, false));
        assert_eq!(
            weigh(&timelines, &arrivals, [0, 1], &[0, 1], 0),
            RunEvidence::Inconclusive(TOO_FAR)
        );
    }
}
