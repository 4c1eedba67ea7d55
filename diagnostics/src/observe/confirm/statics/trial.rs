//! The trial of two tests that share statics: the choice of the next run, and the verdict of the runs.

use crate::observe::confirm::proof::{self, CHECKPOINTS, SOLO_RUNS};
use crate::rates::{FailureRate, p_value};
use std::collections::{BTreeMap, BTreeSet};

/// The maximum number of runs after the other test with a static put back.
const RESTORED_RUNS: u32 = 10;
/// The number of failures with a static put back that show that it is not the cause.
const NOT_RESTORED: u32 = 2;
/// The accepted probability that putting back a static made no difference and the test passed by chance.
const ACCEPTED: f64 = 0.05;
/// The number of uses of each static by each test at which the other one runs. The first use is left out: the two orders
/// cover it.
const USES: u32 = 8;
/// Of [`ISOLATING`] runs at one use, the number that must fail for the static to be a cause.
const ISOLATED: u32 = 2;
const ISOLATING: u32 = 3;

/// A run of one or both tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// One of the tests alone.
    Alone(usize),
    /// This test first, then the other one in the same process.
    After { first: usize },
    /// The same. Between the two tests, a static gets its bytes from before the first test.
    Restored { first: usize, of: usize },
    /// One test pauses at a use, and the other one begins in that pause.
    Within(UseOfStatic),
    /// The pausing test alone, with the same pause.
    AloneWithin(UseOfStatic),
}

/// A use of a static by a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UseOfStatic {
    pub(super) of: usize,
    /// The test that pauses there.
    pub(super) held: usize,
    /// The number of its earlier uses of that static.
    pub(super) skipped: u32,
}

/// The next step of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Run(Run),
    Over(Verdict),
}

/// The result of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This test fails alone, so its failures prove nothing about the other.
    FailsAlone(usize),
    /// No run failed.
    Nothing,
    /// A test failed beside or after the other, but not significantly more often than alone.
    Chance,
    /// A test fails because of the other one.
    Reproduced(Failure),
}

/// A failure that the runs of a trial have reproduced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The test that fails.
    pub(super) victim: usize,
    /// The use at which the other test runs; `None` if it runs in full before the victim.
    pub(super) within: Option<UseOfStatic>,
    /// The statics on each of which the failure depends. Empty if none was isolated.
    pub(super) causes: Vec<usize>,
    pub(super) with: FailureRate,
    pub(super) alone: FailureRate,
}

/// A static that both tests use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SharedStatic {
    /// Whether each of the two tests changes it.
    pub(super) writes: [bool; 2],
    /// Set if no test is known to change it. The first test may still have left a lazy value or a count in it.
    pub(super) is_unchanged: bool,
}

/// The runs of a trial so far.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    shared: Vec<SharedStatic>,
    alone: [FailureRate; 2],
    /// By the test that comes second.
    after: [FailureRate; 2],
    /// By the test that comes second and the static.
    restored: [Vec<FailureRate>; 2],
    within: BTreeMap<UseOfStatic, [FailureRate; 2]>,
    /// The uses that a test did not make.
    missing: BTreeSet<UseOfStatic>,
    alone_within: BTreeMap<UseOfStatic, FailureRate>,
}

impl Trial {
    pub(super) fn new(shared: Vec<SharedStatic>) -> Self {
        let none = vec![FailureRate::default(); shared.len()];
        Self {
            alone: Default::default(),
            after: Default::default(),
            restored: [none.clone(), none],
            within: BTreeMap::new(),
            missing: BTreeSet::new(),
            alone_within: BTreeMap::new(),
            shared,
        }
    }

    /// Sets the rate of a test alone, as an earlier trial found it.
    pub(super) fn set_alone(&mut self, test: usize, rate: FailureRate) {
        self.alone[test] = rate;
    }

    /// Enters whether each test failed in a run. The entry of a test that did not run is ignored.
    pub(super) fn enter(&mut self, run: Run, failed: [bool; 2]) {
        match run {
            Run::Alone(test) => self.alone[test].add(failed[test]),
            // A failure after one of the first test may be a consequence of it.
            Run::After { first } => self.after[1 - first].add(failed[1 - first] && !failed[first]),
            // Nor is a pass after it a sign that the static was the cause.
            Run::Restored { first, of } => {
                self.restored[1 - first][of].add(failed[1 - first] || failed[first])
            }
            Run::Within(at) => {
                let rates = self.within.entry(at).or_default();
                for (rate, failed) in rates.iter_mut().zip(failed) {
                    rate.add(failed);
                }
            }
            Run::AloneWithin(at) => self.alone_within.entry(at).or_default().add(failed[at.held]),
        }
    }

    /// Notes that a test did not pause, because it makes no such use.
    pub(super) fn enter_missing(&mut self, at: UseOfStatic) {
        self.missing.insert(at);
    }

    pub(super) fn next(&self) -> Step {
        for test in 0..2 {
            let alone = self.alone[test];
            if alone.runs == 0 || alone == (FailureRate { failed: 1, runs: 1 }) {
                // Leftovers of the suite may make it fail once.
                return Step::Run(Run::Alone(test));
            }
            if alone.failed == alone.runs {
                return Step::Over(Verdict::FailsAlone(test));
            }
        }
        let mut is_chance = false;
        for victim in [1, 0] {
            match self.after(victim) {
                Some(Step::Over(Verdict::Chance)) => is_chance = true,
                Some(step) => return step,
                None => {}
            }
        }
        for at in self.uses() {
            match self.within(at) {
                Some(Step::Over(Verdict::Chance)) => is_chance = true,
                Some(step) => return step,
                None => {}
            }
        }
        Step::Over(if is_chance {
            Verdict::Chance
        } else {
            Verdict::Nothing
        })
    }

    /// Returns the next step with this test after the other one, or `None` if it passed there.
    fn after(&self, victim: usize) -> Option<Step> {
        let first = 1 - victim;
        let after = self.after[victim];
        if after.runs == 0 {
            return Some(Step::Run(Run::After { first }));
        }
        if after.failed == 0 {
            return None;
        }
        for look in CHECKPOINTS {
            if after.runs < look {
                return Some(Step::Run(Run::After { first }));
            }
            if self.alone[victim].runs < SOLO_RUNS {
                return Some(Step::Run(Run::Alone(victim)));
            }
            if proof::significance(after, self.alone[victim]).is_some() {
                return Some(self.put_back(victim));
            }
        }
        Some(Step::Over(Verdict::Chance))
    }

    /// Returns the next step in the search for the static that, put back, makes the test pass after the other one. Statics
    /// that the first test is not known to change come last: in the suite, another test may have set them before.
    fn put_back(&self, victim: usize) -> Step {
        let first = 1 - victim;
        let after = self.after[victim];
        let mut causes = Vec::new();
        for is_changed in [true, false] {
            for (of, restored) in self.restored[victim].iter().enumerate() {
                if self.shared[of].writes[first] != is_changed || restored.failed >= NOT_RESTORED {
                    continue;
                }
                if restored.runs > 0 && p_value(after, *restored) < ACCEPTED {
                    causes.push(of);
                } else if restored.runs < RESTORED_RUNS {
                    return Step::Run(Run::Restored { first, of });
                }
            }
            if !causes.is_empty() {
                break;
            }
        }
        Step::Over(Verdict::Reproduced(Failure {
            victim,
            within: None,
            causes,
            with: after,
            alone: self.alone[victim],
        }))
    }

    /// Returns the uses at which to run the other test, without those that a test was found not to make.
    fn uses(&self) -> impl Iterator<Item = UseOfStatic> {
        let changed = (0..self.shared.len()).filter(|of| !self.shared[*of].is_unchanged);
        let held = changed.flat_map(|of| (0..2).map(move |held| (of, held)));
        // A test that only reads does not disturb the other one.
        let held = held.filter(|(of, held)| self.shared[*of].writes[1 - held]);
        held.flat_map(|(of, held)| {
            let uses = (1..=USES).map(move |skipped| UseOfStatic { of, held, skipped });
            uses.take_while(|at| !self.missing.contains(at))
        })
    }

    /// Returns the next step with one test within a pause of the other, or `None` if both passed there.
    fn within(&self, at: UseOfStatic) -> Option<Step> {
        let Some(rates) = self.within.get(&at) else {
            return Some(Step::Run(Run::Within(at)));
        };
        if rates.iter().all(|rate| rate.failed == 0) {
            return None;
        }
        for look in CHECKPOINTS {
            if rates[0].runs < look {
                return Some(Step::Run(Run::Within(at)));
            }
            let victim = usize::from(rates[1].failed > rates[0].failed);
            let is_held = victim == at.held;
            let alone = match is_held {
                true => self.alone_within.get(&at).copied().unwrap_or_default(),
                false => self.alone[victim],
            };
            if alone.runs < SOLO_RUNS {
                let run = if is_held {
                    Run::AloneWithin(at)
                } else {
                    Run::Alone(victim)
                };
                return Some(Step::Run(run));
            }
            if proof::significance(rates[victim], alone).is_some() {
                return Some(self.isolate(victim, at, alone));
            }
        }
        Some(Step::Over(Verdict::Chance))
    }

    /// Returns the next step in the search for other statics at whose uses a test fails too. If there is one, the failure has
    /// no isolated cause.
    fn isolate(&self, victim: usize, at: UseOfStatic, alone: FailureRate) -> Step {
        let mut causes = vec![at.of];
        for other in self.uses().filter(|other| other.of != at.of) {
            let failed = self.within.get(&other).map_or((0, 0), |rates| {
                (rates[0].runs, rates.iter().map(|rate| rate.failed).sum::<u32>())
            });
            match failed {
                (0, _) => return Step::Run(Run::Within(other)),
                (_, 0) => {}
                (_, failed) if failed >= ISOLATED => causes.push(other.of),
                (runs, _) if runs < ISOLATING => return Step::Run(Run::Within(other)),
                _ => {}
            }
        }
        if causes.iter().any(|of| *of != at.of) {
            causes.clear();
        }
        Step::Over(Verdict::Reproduced(Failure {
            victim,
            within: Some(at),
            causes,
            with: self
                .within
                .get(&at)
                .map_or(FailureRate::default(), |rates| rates[victim]),
            alone,
        }))
    }

    /// Returns the rate of a test alone.
    pub(super) fn alone(&self, test: usize) -> FailureRate {
        self.alone[test]
    }

    /// Returns the number of runs of both tests.
    pub(super) fn tries(&self) -> u32 {
        let after = self.after.iter().chain(self.restored.iter().flatten());
        let within = self.within.values().map(|both| &both[0]);
        after.chain(within).map(|rate| rate.runs).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The conditions under which two tests fail.
    #[derive(Clone, Debug, Default)]
    struct Truth {
        fails_alone: [bool; 2],
        /// By the test that comes second: the statics each of which, put back, makes it pass; `None` if it passes anyway.
        after: [Option<Vec<usize>>; 2],
        /// The test that fails if the other one runs at these uses, made by the first of the two numbers.
        within: Option<(usize, Vec<(usize, u32)>)>,
        /// The number of uses of each static by each test.
        uses: u32,
    }

    impl Truth {
        fn run(&self, run: Run) -> [bool; 2] {
            let mut failed = [false; 2];
            let second = |first: usize, of: Option<usize>| {
                let cures = self.after[1 - first].as_ref();
                cures.is_some_and(|cures| of.is_none_or(|of| !cures.contains(&of)))
            };
            match run {
                Run::Alone(test) => failed[test] = self.fails_alone[test],
                Run::AloneWithin(at) => failed[at.held] = self.fails_alone[at.held],
                Run::After { first } => failed[1 - first] = second(first, None),
                Run::Restored { first, of } => failed[1 - first] = second(first, Some(of)),
                Run::Within(at) => {
                    if let Some((held, uses)) = &self.within {
                        failed[*held] = at.held == *held && uses.contains(&(at.of, at.skipped));
                    }
                }
            }
            failed
        }
    }

    fn shared(writes: [bool; 2]) -> SharedStatic {
        SharedStatic {
            writes,
            is_unchanged: false,
        }
    }

    fn verdict(statics: &[SharedStatic], truth: &Truth) -> (Verdict, u32) {
        let mut trial = Trial::new(statics.to_vec());
        for _ in 0..1000 {
            match trial.next() {
                Step::Run(Run::Within(at)) if at.skipped >= truth.uses => trial.enter_missing(at),
                Step::Run(run) => trial.enter(run, truth.run(run)),
                Step::Over(verdict) => return (verdict, trial.tries()),
            }
        }
        panic!("the trial did not end");
    }

    const A_WRITES: SharedStatic = SharedStatic {
        writes: [true, false],
        is_unchanged: false,
    };
    const BOTH_WRITE: SharedStatic = SharedStatic {
        writes: [true, true],
        is_unchanged: false,
    };
    const UNCHANGED: SharedStatic = SharedStatic {
        writes: [false, false],
        is_unchanged: true,
    };

    #[test]
    fn a_test_that_fails_after_another_is_traced_to_the_static_that_put_back_cures_it() {
        let truth = Truth {
            after: [None, Some(vec![1])],
            ..Truth::default()
        };
        let (found, tries) = verdict(&[A_WRITES, A_WRITES, shared([false, true])], &truth);
        let Verdict::Reproduced(failure) = found else {
            panic!("{found:?}")
        };
        assert_eq!(
            (failure.victim, failure.within, failure.causes),
            (1, None, vec![1])
        );
        assert_eq!((failure.with.failed, failure.alone.failed), (4, 0));
        // Two runs show that the first static is not the cause, three that the second is. The third was not changed.
        assert_eq!(tries, 4 + 2 + 3);
    }

    #[test]
    fn a_static_that_is_only_initialized_is_the_cause_if_no_changed_one_is() {
        for (cures, causes) in [(vec![0, 1], vec![1]), (vec![0], vec![0])] {
            let truth = Truth {
                after: [None, Some(cures)],
                ..Truth::default()
            };
            let (found, _) = verdict(&[UNCHANGED, A_WRITES], &truth);
            assert!(matches!(found, Verdict::Reproduced(failure) if failure.causes == causes));
        }
        let truth = Truth {
            after: [Some(vec![0]), None],
            ..Truth::default()
        };
        let (found, _) = verdict(&[UNCHANGED], &truth);
        assert!(matches!(found, Verdict::Reproduced(Failure { victim: 0, causes, .. }) if causes == [0]));
    }

    #[test]
    fn a_static_that_the_first_test_would_have_set_is_tried_too() {
        let truth = Truth {
            after: [None, Some(vec![1])],
            ..Truth::default()
        };
        let (found, _) = verdict(&[A_WRITES, shared([false, true])], &truth);
        assert!(matches!(found, Verdict::Reproduced(failure) if failure.causes == [1]));
    }

    #[test]
    fn if_no_static_cures_it_none_is_named() {
        let truth = Truth {
            after: [Some(Vec::new()), None],
            ..Truth::default()
        };
        let (found, _) = verdict(&[BOTH_WRITE, BOTH_WRITE], &truth);
        assert!(matches!(found, Verdict::Reproduced(Failure { victim: 0, causes, .. }) if causes.is_empty()));
    }

    #[test]
    fn a_race_is_traced_to_the_only_static_at_whose_use_the_other_test_makes_it_fail() {
        for (at, causes) in [
            (vec![(1, 2)], vec![1]),
            (vec![(1, 2), (1, 3)], vec![1]),
            (vec![(0, 1), (1, 3)], vec![]),
        ] {
            let first = at[0];
            let truth = Truth {
                within: Some((0, at)),
                uses: 4,
                ..Truth::default()
            };
            let (found, _) = verdict(&[BOTH_WRITE, BOTH_WRITE], &truth);
            let Verdict::Reproduced(failure) = found else {
                panic!("{found:?}")
            };
            let at = failure.within.unwrap();
            assert_eq!(((at.of, at.skipped), failure.causes), (first, causes));
        }
    }

    #[test]
    fn a_test_runs_only_at_uses_that_the_other_makes_and_where_it_changes_the_static() {
        let truth = Truth {
            uses: 3,
            ..Truth::default()
        };
        // In both orders, then at the second and the third use of the test that reads.
        assert_eq!(verdict(&[A_WRITES], &truth), (Verdict::Nothing, 2 + 2));
        assert_eq!(verdict(&[BOTH_WRITE], &truth), (Verdict::Nothing, 2 + 4));
    }

    #[test]
    fn nothing_follows_from_a_test_that_fails_alone_or_from_one_failure() {
        let truth = Truth {
            fails_alone: [false, true],
            after: [None, Some(vec![0])],
            ..Truth::default()
        };
        assert_eq!(verdict(&[A_WRITES], &truth).0, Verdict::FailsAlone(1));
        let mut trial = Trial::new(vec![A_WRITES]);
        // The first run after the other fails, no other does.
        let mut has_failed = false;
        let found = loop {
            match trial.next() {
                Step::Run(run @ Run::After { .. }) => {
                    trial.enter(run, [false, !has_failed]);
                    has_failed = true;
                }
                Step::Run(run) => trial.enter(run, [false; 2]),
                Step::Over(verdict) => break verdict,
            }
        };
        assert_eq!(found, Verdict::Chance);
    }

    #[test]
    fn a_failure_that_follows_one_of_the_first_test_does_not_count() {
        let mut trial = Trial::new(vec![A_WRITES]);
        trial.enter(Run::After { first: 0 }, [true, true]);
        assert_eq!(trial.after[1], FailureRate { failed: 0, runs: 1 });
    }

    proptest! {
        #[test]
        fn a_trial_ends_and_names_only_a_static_that_is_a_cause(
            statics in prop::collection::vec(any::<([bool; 2], bool)>(), 1..5),
            fails_alone in any::<[bool; 2]>(),
            after in prop::array::uniform2(prop::option::of(prop::collection::vec(0_usize..5, 0..3))),
            within in prop::option::of((0_usize..2, prop::collection::vec((0_usize..5, 1_u32..5), 0..3))),
            uses in 0_u32..5,
        ) {
            let truth = Truth { fails_alone, after, within, uses };
            let statics: Vec<SharedStatic> = statics
                .into_iter()
                .map(|(writes, is_unchanged)| SharedStatic {
                    writes: if is_unchanged { [false; 2] } else { writes },
                    is_unchanged,
                })
                .collect();
            let (found, tries) = verdict(&statics, &truth);
            prop_assert!(tries < 200);
            match found {
                Verdict::FailsAlone(test) => prop_assert!(fails_alone[test]),
                Verdict::Reproduced(failure) => {
                    prop_assert!(!fails_alone[failure.victim]);
                    match failure.within {
                        None => {
                            let cures = truth.after[failure.victim].clone().unwrap();
                            prop_assert!(failure.causes.iter().all(|of| cures.contains(of)));
                        }
                        Some(at) => {
                            let (held, all) = truth.within.clone().unwrap();
                            prop_assert!(at.held == held && all.contains(&(at.of, at.skipped)));
                            prop_assert!(failure.causes.iter().all(|of| *of == at.of));
                        }
                    }
                }
                Verdict::Nothing => {
                    prop_assert!(truth.after.iter().all(Option::is_none));
                    let is_made = |(of, skipped): &(usize, u32), held: usize| {
                        *skipped < truth.uses
                            && statics.get(*of).is_some_and(|one| !one.is_unchanged && one.writes[1 - held])
                    };
                    let races = truth.within.as_ref();
                    prop_assert!(races.is_none_or(|(held, uses)| !uses.iter().any(|at| is_made(at, *held))));
                }
                Verdict::Chance => prop_assert!(false, "these tests always do the same"),
            }
        }
    }
}
