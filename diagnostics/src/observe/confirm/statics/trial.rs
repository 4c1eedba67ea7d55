//! The trial of two tests that share statics: whether one fails because of the other, and through which static.

use crate::rates::{CHECKPOINTS, FailureRate, SOLO_RUNS, significance};
use crate::scene::{Arrangement, Scene, SceneResult, StaticId, StaticsPlan, Stopped};
use crate::static_causes::{Experiments, Order, ProgramPair, UseOfStatic};
use std::collections::BTreeSet;
use std::ops::Range;

/// The uses of each static by each test at which the other one runs, by the number of uses before it. The first is left out:
/// the two orders cover it.
const USES: Range<u32> = 1..9;
/// The uses of interleavings: of the test that pauses first, and of the other. For a lost update these are a load and a store, and a
/// load, a store and another load, where a store may count as two uses.
const INTERLEAVED_USES: [Range<u32>; 2] = [1..4, 1..6];

/// A failure that the runs of a trial have reproduced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The test that fails.
    pub(super) victim: usize,
    /// The use of a static at which the other test runs; `None` if it runs in full before the victim.
    pub(super) within: Option<UseOfStatic>,
    /// The statics on each of which the failure depends. Empty if none was isolated.
    pub(super) causes: Vec<usize>,
    pub(super) with: FailureRate,
    pub(super) alone: FailureRate,
}

/// A static that both tests use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SharedStatic {
    pub(super) id: StaticId,
    /// The statics to put back with it, and itself. None if one of them cannot be put back.
    pub(super) put_back: BTreeSet<StaticId>,
    /// Whether each of the two tests changes it.
    pub(super) writes: [bool; 2],
    /// Set if no test is known to change it. The first test may still have left a lazy value or a count in it.
    pub(super) is_unchanged: bool,
}

/// A trial of two tests. `pair` keeps the rates alone for other trials.
pub(super) struct Trial<'t, 'e> {
    pub(super) experiments: Experiments<'e>,
    pub(super) pair: &'t mut ProgramPair,
    pub(super) shared: &'t [SharedStatic],
}

impl Trial<'_, '_> {
    /// Returns the failure of one of the tests because of the other; `None` if there is none, no more often than by chance, or
    /// one of them fails alone.
    pub(super) fn failure(&mut self) -> Result<Option<Failure>, Stopped> {
        for test in 0..2 {
            self.pair.add_alone(&mut self.experiments, test, 1)?;
            if self.pair.alone[test].failed == 1 {
                // Leftovers of the suite may make it fail once.
                self.pair.add_alone(&mut self.experiments, test, 2)?;
            }
            let alone = self.pair.alone[test];
            if alone.failed == alone.runs {
                return Ok(None);
            }
        }
        for victim in [1, 0] {
            if let Some(failure) = self.after(victim)? {
                return Ok(Some(failure));
            }
        }
        self.beside(|pair, experiments, at, held| pair.failing_use(experiments, &[0, 1], at, held, USES))
    }

    /// Returns the failure of one of the tests in an interleaving; for pairs without another [`failure`](Self::failure).
    pub(super) fn interleaved_failure(&mut self) -> Result<Option<Failure>, Stopped> {
        let fails_alone = |alone: &FailureRate| alone.runs > 0 && alone.failed == alone.runs;
        if self.pair.alone.iter().any(fails_alone) {
            return Ok(None);
        }
        self.beside(|pair, experiments, at, held| {
            pair.failing_interleaving(experiments, at, held, INTERLEAVED_USES)
        })
    }

    /// Runs this test after the other one.
    fn after(&mut self, victim: usize) -> Result<Option<Failure>, Stopped> {
        let [first, last] = [1 - victim, victim].map(|test| self.pair.tests[test].clone());
        let scene = Scene::of(vec![first.clone(), last.clone()], Arrangement::InOrder);
        let mut rate = FailureRate::default();
        for look in CHECKPOINTS {
            while rate.runs < look {
                let result = self.experiments.run(&scene, &StaticsPlan::default())?;
                self.pair.lasted = self.pair.lasted.max(result.lasted);
                // A failure after one of the first test may be a consequence of it.
                rate.add(result.failed(&last) == Some(true) && result.failed(&first) == Some(false));
                if rate.failed == 0 {
                    return Ok(None);
                }
            }
            self.pair.add_alone(&mut self.experiments, victim, SOLO_RUNS)?;
            let alone = self.pair.alone[victim];
            if significance(rate, alone).is_some() {
                // Nor is a pass after it a sign that the static was the cause.
                let failed = &|result: &_| {
                    SceneResult::failed(result, &last)
                        .filter(|_| SceneResult::failed(result, &first) == Some(false))
                };
                let order = Order {
                    scene,
                    fails: true,
                    rate,
                    failed,
                };
                return Ok(Some(Failure {
                    victim,
                    within: None,
                    causes: self.put_back(victim, &order)?,
                    with: rate,
                    alone,
                }));
            }
        }
        Ok(None)
    }

    /// Returns the statics each of which, put back, makes the test pass after the other one. Those that the first test is not
    /// known to change come last: in the suite, another test may have set them before.
    fn put_back(&mut self, victim: usize, order: &Order<'_>) -> Result<Vec<usize>, Stopped> {
        let can_be_put_back = |of: &usize| !self.shared[*of].put_back.is_empty();
        let (mut all, others): (Vec<usize>, Vec<usize>) = (0..self.shared.len())
            .filter(can_be_put_back)
            .partition(|of| self.shared[*of].writes[1 - victim]);
        let likely = all.len();
        all.extend(others);
        let candidates: Vec<BTreeSet<StaticId>> =
            all.iter().map(|of| self.shared[*of].put_back.clone()).collect();
        let found = order.curing_sets(&mut self.experiments, &candidates, likely)?;
        // Statics that are needed together are no isolated cause.
        let single = |set: &Vec<usize>| match set[..] {
            [one] => Some(all[one]),
            _ => None,
        };
        Ok(found
            .iter()
            .flat_map(|found| &found.sets)
            .filter_map(single)
            .collect())
    }

    /// Runs one test while the other pauses at its uses of the statics. If a test fails at uses of several statics, the failure
    /// has no isolated cause.
    fn beside(
        &mut self,
        mut find: impl FnMut(
            &mut ProgramPair,
            &mut Experiments<'_>,
            &StaticId,
            usize,
        ) -> Result<Option<UseOfStatic>, Stopped>,
    ) -> Result<Option<Failure>, Stopped> {
        let mut shown = Vec::new();
        let changed = self
            .shared
            .iter()
            .enumerate()
            .filter(|(_, one)| !one.is_unchanged);
        for (of, shared) in changed {
            for held in 0..2 {
                let found = find(self.pair, &mut self.experiments, &shared.id, held)?;
                if let Some(at) = found {
                    shown.push((of, at));
                    break;
                }
            }
        }
        let is_isolated = shown.len() == 1;
        Ok(shown.into_iter().next().map(|(of, at)| Failure {
            victim: at.victim,
            causes: if is_isolated { vec![of] } else { Vec::new() },
            with: at.with,
            alone: at.alone,
            within: Some(at),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{Outcome, TestId};
    use proptest::prelude::*;
    use std::time::Duration;

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
        fn failed(&self, tests: &[usize], plan: &StaticsPlan) -> [bool; 2] {
            let mut failed = [false; 2];
            match (tests, &plan.pause) {
                ([test], _) => failed[*test] = self.fails_alone[*test],
                ([_, second], None) => {
                    let cures = self.after[*second].as_ref();
                    let is_put_back = |of: &usize| plan.put_back.contains(&id(*of));
                    failed[*second] = cures.is_some_and(|cures| !cures.iter().any(is_put_back));
                }
                (_, Some(pause)) => {
                    if let Some((held, uses)) = &self.within {
                        let is_it =
                            |(of, skipped): &(usize, u32)| pause.at == id(*of) && pause.skipped == *skipped;
                        failed[*held] = pause.held == test(*held) && uses.iter().any(is_it);
                    }
                }
                _ => panic!("{tests:?}"),
            }
            failed
        }

        fn run(&self, scene: &Scene, plan: &StaticsPlan) -> SceneResult {
            let tests = numbers(scene);
            result(
                &tests,
                self.failed(&tests, plan),
                plan.pause.as_ref().is_some_and(|pause| pause.skipped < self.uses),
            )
        }
    }

    fn numbers(scene: &Scene) -> Vec<usize> {
        let tests = scene.tests.iter();
        tests.map(|id| usize::from(*id == test(1))).collect()
    }

    fn result(tests: &[usize], failed: [bool; 2], paused: bool) -> SceneResult {
        let outcome = |of: &usize| {
            (
                test(*of),
                if failed[*of] {
                    Outcome::Failed
                } else {
                    Outcome::Passed
                },
            )
        };
        let mut result = SceneResult {
            outcomes: tests.iter().map(outcome).collect(),
            ..SceneResult::default()
        };
        result.statics.paused = paused;
        result
    }

    fn test(number: usize) -> TestId {
        TestId {
            binary: "shop".to_owned(),
            name: number.to_string(),
        }
    }

    fn id(number: usize) -> StaticId {
        StaticId {
            name: number.to_string(),
            line: String::new(),
        }
    }

    /// Returns the failure that a trial finds, and the number of its runs of both tests.
    fn found(
        statics: &[([bool; 2], bool)],
        mut run: impl FnMut(&Scene, &StaticsPlan) -> SceneResult,
    ) -> (Option<Failure>, u32) {
        let shared: Vec<SharedStatic> = statics
            .iter()
            .enumerate()
            .map(|(of, (writes, is_unchanged))| SharedStatic {
                id: id(of),
                put_back: [id(of)].into(),
                writes: *writes,
                is_unchanged: *is_unchanged,
            })
            .collect();
        let mut pair = ProgramPair {
            tests: [test(0), test(1)],
            alone: Default::default(),
            lasted: Duration::ZERO,
        };
        let mut runs = 0;
        let mut run = |scene: &Scene, plan: &StaticsPlan| {
            runs += u32::from(scene.tests.len() == 2);
            assert!(runs < 200, "the trial does not end");
            Ok(run(scene, plan))
        };
        let mut trial = Trial {
            experiments: Experiments::new(&mut run),
            pair: &mut pair,
            shared: &shared,
        };
        let found = trial.failure().unwrap();
        (found, runs)
    }

    fn found_in(statics: &[([bool; 2], bool)], truth: &Truth) -> (Option<Failure>, u32) {
        found(statics, |scene, plan| truth.run(scene, plan))
    }

    fn causes(statics: &[([bool; 2], bool)], truth: &Truth) -> Vec<usize> {
        found_in(statics, truth).0.unwrap().causes
    }

    const A_WRITES: ([bool; 2], bool) = ([true, false], false);
    const B_WRITES: ([bool; 2], bool) = ([false, true], false);
    const BOTH_WRITE: ([bool; 2], bool) = ([true, true], false);
    const UNCHANGED: ([bool; 2], bool) = ([false, false], true);

    #[test]
    fn a_test_that_fails_after_another_is_traced_to_the_static_that_put_back_cures_it() {
        let truth = Truth {
            after: [None, Some(vec![1])],
            ..Truth::default()
        };
        let (found, runs) = found_in(&[A_WRITES, A_WRITES, B_WRITES], &truth);
        let failure = found.unwrap();
        assert_eq!(
            (failure.victim, failure.within, failure.causes),
            (1, None, vec![1])
        );
        assert_eq!((failure.with.failed, failure.alone.failed), (4, 0));
        // Five runs show that both are the cause, one that the first is not, five that the second is. The third was not changed.
        assert_eq!(runs, 4 + 5 + 1 + 5);
    }

    #[test]
    fn a_static_that_is_only_initialized_is_the_cause_if_no_changed_one_is() {
        for (cures, wanted) in [(vec![0, 1], vec![1]), (vec![0], vec![0])] {
            let truth = Truth {
                after: [None, Some(cures)],
                ..Truth::default()
            };
            assert_eq!(causes(&[UNCHANGED, A_WRITES], &truth), wanted);
        }
        let truth = Truth {
            after: [Some(vec![0]), None],
            ..Truth::default()
        };
        let (found, _) = found_in(&[UNCHANGED], &truth);
        assert!(found.is_some_and(|failure| failure.victim == 0 && failure.causes == [0]));
    }

    #[test]
    fn a_static_that_the_first_test_would_have_set_is_tried_too() {
        let truth = Truth {
            after: [None, Some(vec![1])],
            ..Truth::default()
        };
        assert_eq!(causes(&[A_WRITES, B_WRITES], &truth), [1]);
    }

    #[test]
    fn if_no_static_cures_it_none_is_named() {
        let truth = Truth {
            after: [Some(Vec::new()), None],
            ..Truth::default()
        };
        let (found, _) = found_in(&[BOTH_WRITE, BOTH_WRITE], &truth);
        assert!(found.is_some_and(|failure| failure.victim == 0 && failure.causes.is_empty()));
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
            let (found, _) = found_in(&[BOTH_WRITE, BOTH_WRITE], &truth);
            let failure = found.unwrap();
            let pause = failure.within.unwrap().pause;
            assert_eq!((pause.at, pause.skipped), (id(first.0), first.1));
            assert_eq!(failure.causes, causes);
            assert_eq!(
                (failure.with.failed, failure.with.runs, failure.alone.runs),
                (4, 4, 10)
            );
        }
    }

    #[test]
    fn a_test_runs_only_at_uses_that_the_other_makes() {
        let truth = Truth {
            uses: 3,
            ..Truth::default()
        };
        // In both orders, then at the second and the third use of each; the fourth is missing.
        assert_eq!(found_in(&[A_WRITES], &truth), (None, 2 + 6));
    }

    #[test]
    fn a_test_that_reads_what_the_other_changes_for_a_moment_fails_in_its_pause() {
        let (found, _) = found(&[A_WRITES], |scene, plan| {
            let pause = plan.pause.as_ref();
            let is_changed = pause.is_some_and(|pause| pause.held == test(0) && pause.skipped == 1);
            result(&numbers(scene), [false, is_changed], pause.is_some())
        });
        let failure = found.unwrap();
        assert_eq!((failure.victim, failure.causes), (1, vec![0]));
        assert_eq!(failure.within.map(|at| at.held), Some(0));
    }

    #[test]
    fn a_test_that_fails_only_in_an_interleaving_is_found_there() {
        let mut run = |scene: &Scene, plan: &StaticsPlan| {
            let pause = plan.pause.as_ref();
            let is_lost = pause.is_some_and(|pause| {
                (&pause.held, pause.skipped, pause.late_skipped) == (&test(1), 1, Some(4))
            });
            Ok(result(&numbers(scene), [is_lost, false], pause.is_some()))
        };
        let mut pair = ProgramPair {
            tests: [test(0), test(1)],
            alone: Default::default(),
            lasted: Duration::from_millis(500),
        };
        let shared = [SharedStatic {
            id: id(0),
            put_back: BTreeSet::new(),
            writes: [true, true],
            is_unchanged: false,
        }];
        let mut trial = Trial {
            experiments: Experiments::new(&mut run),
            pair: &mut pair,
            shared: &shared,
        };
        assert_eq!(trial.failure(), Ok(None));
        let failure = trial.interleaved_failure().unwrap().unwrap();
        assert_eq!((failure.victim, failure.causes), (0, vec![0]));
        // The victim has a pause alone too.
        assert_eq!(
            (failure.with.failed, failure.alone),
            (4, FailureRate { failed: 0, runs: 10 })
        );
        let pause = failure.within.unwrap().pause;
        assert_eq!((pause.skipped, pause.late_skipped), (1, Some(4)));
        assert_eq!(pause.most_millis, 1_000);
        trial.pair.alone[1] = FailureRate { failed: 3, runs: 3 };
        assert_eq!(trial.interleaved_failure(), Ok(None));
    }

    #[test]
    fn nothing_follows_from_a_test_that_fails_alone_or_from_one_failure() {
        let truth = Truth {
            fails_alone: [false, true],
            after: [None, Some(vec![0])],
            ..Truth::default()
        };
        assert_eq!(found_in(&[A_WRITES], &truth), (None, 0));
        // The first run after the other fails, no other does.
        let mut has_failed = false;
        let (found, _) = found(&[A_WRITES], |scene, _| match scene.tests.len() {
            1 => result(&[usize::from(scene.tests[0] == test(1))], [false; 2], false),
            _ => result(&[0, 1], [false, !std::mem::replace(&mut has_failed, true)], false),
        });
        assert_eq!(found, None);
    }

    #[test]
    fn a_failure_that_follows_one_of_the_first_test_does_not_count() {
        let (found, runs) = found(&[A_WRITES], |scene, _| match scene.tests.len() {
            1 => result(&[usize::from(scene.tests[0] == test(1))], [false; 2], false),
            _ => result(&[0, 1], [true; 2], false),
        });
        assert_eq!((found, runs), (None, 4));
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
            let statics: Vec<([bool; 2], bool)> = statics
                .into_iter()
                .map(|(writes, is_unchanged)| (if is_unchanged { [false; 2] } else { writes }, is_unchanged))
                .collect();
            match found_in(&statics, &truth).0 {
                Some(failure) => {
                    prop_assert!(!fails_alone[failure.victim]);
                    match failure.within {
                        None => {
                            let cures = truth.after[failure.victim].clone().unwrap();
                            prop_assert!(failure.causes.iter().all(|of| cures.contains(of)));
                        }
                        Some(at) => {
                            let (held, all) = truth.within.clone().unwrap();
                            let is_it = |(of, skipped): &(usize, u32)| at.pause.at == id(*of) && at.pause.skipped == *skipped;
                            prop_assert!(at.held == held && all.iter().any(is_it));
                            prop_assert!(failure.causes.iter().all(|cause| at.pause.at == id(*cause)));
                        }
                    }
                }
                None if fails_alone == [false; 2] => {
                    prop_assert!(truth.after.iter().all(Option::is_none));
                    let is_made = |(of, skipped): &(usize, u32)| {
                        *skipped < truth.uses && statics.get(*of).is_some_and(|(_, is_unchanged)| !is_unchanged)
                    };
                    let races = truth.within.as_ref();
                    prop_assert!(races.is_none_or(|(_, uses)| !uses.iter().any(is_made)));
                }
                None => {}
            }
        }
    }
}
