//! Finds the static through which a test is made to fail: observes its scene, and makes the experiments of
//! [`static_causes`](crate::static_causes) with the statics that its tests used.

use super::{Class, HuntEvent, Scenes, Verdict};
use crate::rates::{FailureRate, p_value};
use crate::scene::{Arrangement, Scene, SceneResult, StaticId, StaticsPlan, Stopped, TestId};
use crate::static_causes::{Experiments, Order, ProgramPair};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

/// The number of runs of an order without a change.
const ORDER_RUNS: u32 = 3;
/// The maximum number of statics of a race to try, and the uses of each by each test, by the number of uses before it.
const STATICS: usize = 8;
const USES: Range<u32> = 0..12;
/// The greatest accepted probability that a pause makes no difference to one test after the other.
const ACCEPTED: f64 = 0.01;

/// A static of the user's code, with the name of its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TypedStatic {
    pub(crate) id: StaticId,
    /// Without a path; empty if it is not known.
    pub(crate) type_name: String,
}

/// The statics through which culprits make a test fail.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StaticCause {
    /// Sets of statics, each of which suffices: if there are several, the cause is one of them. The statics of one set are
    /// needed together.
    pub(crate) sets: Vec<Vec<TypedStatic>>,
    pub(crate) experiment: Experiment,
    /// The failures of the test in the experiment, and without it.
    pub(crate) with: FailureRate,
    pub(crate) without: FailureRate,
}

/// The kind of experiment that showed the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Experiment {
    /// The static was put back after the culprits.
    PutBack,
    /// One test ran while the other paused at a use of the static; `without` counts runs one after the other.
    Pause,
}

/// The result of the experiments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shown {
    Cause(StaticCause),
    /// None of the statics that could be tried is the cause. This one is too large to be put back, so it was not tried.
    TooLarge(StaticId),
    /// The reason statics were not observed.
    Unobserved(String),
    Nothing,
}

/// Returns the statics through which a test fails, as far as experiments show them.
///
/// # Errors
///
/// The time is over, or the user interrupted.
pub(crate) fn static_cause(
    verdict: &Verdict,
    scenes: &mut dyn Scenes,
    see: &mut dyn FnMut(HuntEvent<'_>),
) -> Result<Shown, Stopped> {
    let has_shared_process = verdict
        .culprits
        .iter()
        .any(|culprit| culprit.binary == verdict.test.binary);
    if !has_shared_process {
        return Ok(Shown::Nothing);
    }
    let mut run = |scene: &Scene, plan: &StaticsPlan| {
        see(HuntEvent::Trying {
            test: &verdict.test,
            scene,
        });
        scenes.run_with_statics(scene, plan).ok_or(Stopped)
    };
    let mut search = Search {
        test: &verdict.test,
        experiments: Experiments::new(&mut run),
        types: BTreeMap::new(),
    };
    match verdict.class {
        Class::Victim | Class::Brittle | Class::Cascade => search.of_order(verdict),
        Class::Race => search.of_race(verdict),
        _ => Ok(Shown::Nothing),
    }
}

struct Search<'e> {
    test: &'e TestId,
    experiments: Experiments<'e>,
    types: BTreeMap<StaticId, String>,
}

/// The uses of statics by the tests of a scene.
struct Uses {
    /// Statics that one of the others changed.
    changed: BTreeSet<StaticId>,
    /// Statics that the test used and one of the others changed.
    changed_before: BTreeSet<StaticId>,
    /// Statics that the test and another used, and one of them changed.
    changed_beside: BTreeSet<StaticId>,
    too_large: BTreeSet<StaticId>,
    lasted: Duration,
}

impl Search<'_> {
    /// Counts the failures in some runs without a change.
    fn rate(&mut self, scene: &Scene) -> Result<FailureRate, Stopped> {
        let mut rate = FailureRate::default();
        let unchanged = (scene, &StaticsPlan::default());
        self.experiments
            .add_runs(&mut rate, ORDER_RUNS, self.test, unchanged)?;
        Ok(rate)
    }

    /// Runs the tests in order and returns the statics that they used, or the reason they were not observed, if it is known.
    fn observe(&mut self, scene: &Scene) -> Result<Result<Uses, Option<String>>, Stopped> {
        let plan = StaticsPlan {
            observes: true,
            ..StaticsPlan::default()
        };
        let result = self.experiments.run(scene, &plan)?;
        if result.void.is_some() || result.statics.unobserved.is_some() {
            return Ok(Err(result.statics.unobserved));
        }
        let seen = result.statics;
        self.types.extend(seen.types);
        let Some(own) = seen.uses.get(self.test) else {
            return Ok(Err(None));
        };
        let others = seen.uses.iter().filter(|(test, _)| *test != self.test);
        let mut uses = Uses {
            changed: BTreeSet::new(),
            changed_before: BTreeSet::new(),
            changed_beside: BTreeSet::new(),
            too_large: seen.too_large,
            lasted: result.lasted,
        };
        for (id, other) in others.flat_map(|(_, uses)| uses) {
            if other.changed {
                uses.changed.insert(id.clone());
            }
            if let Some(own) = own.get(id) {
                if other.changed {
                    uses.changed_before.insert(id.clone());
                }
                if other.changed || own.changed {
                    uses.changed_beside.insert(id.clone());
                }
            }
        }
        Ok(Ok(uses))
    }

    fn typed(&self, id: &StaticId) -> TypedStatic {
        TypedStatic {
            id: id.clone(),
            type_name: self.types.get(id).cloned().unwrap_or_default(),
        }
    }

    /// Finds the statics that have to be put back between the other tests and this one for another result.
    fn of_order(&mut self, verdict: &Verdict) -> Result<Shown, Stopped> {
        let scene = order_of(verdict);
        let mut uses = match self.observe(&scene)? {
            Ok(uses) => uses,
            Err(reason) => return Ok(reason.map_or(Shown::Nothing, Shown::Unobserved)),
        };
        let too_large = uses.changed_before.intersection(&uses.too_large).next().cloned();
        let unknown = too_large.map_or(Shown::Nothing, Shown::TooLarge);
        uses.changed_before = &uses.changed_before - &uses.too_large;
        uses.changed = &uses.changed - &uses.too_large;
        if uses.changed_before.is_empty() {
            return Ok(unknown);
        }
        let without = self.rate(&scene)?;
        // The statics that the test used come first. The others matter only if it builds a value anew from them.
        let mut candidates: Vec<StaticId> = uses.changed_before.iter().cloned().collect();
        let used = candidates.len();
        candidates.extend(uses.changed.difference(&uses.changed_before).cloned());
        let one_by_one: Vec<BTreeSet<StaticId>> = candidates.iter().map(|id| [id.clone()].into()).collect();
        let order = Order {
            scene,
            // A brittle test passes after the others, and fails if the statics that they set are put back.
            fails: verdict.class != Class::Brittle,
            rate: without,
            failed: &|result| SceneResult::failed(result, &verdict.test),
        };
        let Some(found) = order.curing_sets(&mut self.experiments, &one_by_one, used)? else {
            return Ok(unknown);
        };
        let typed = |set: &Vec<usize>| set.iter().map(|one| self.typed(&candidates[*one])).collect();
        Ok(Shown::Cause(StaticCause {
            sets: found.sets.iter().map(typed).collect(),
            experiment: Experiment::PutBack,
            with: found.rate,
            without,
        }))
    }

    /// Finds the statics at whose uses the test fails if the other test runs there.
    fn of_race(&mut self, verdict: &Verdict) -> Result<Shown, Stopped> {
        let same = |culprit: &&TestId| culprit.binary == verdict.test.binary;
        let Some(culprit) = verdict.culprits.iter().find(same) else {
            return Ok(Shown::Nothing);
        };
        let mut tests = vec![culprit.clone(), verdict.test.clone()];
        let order = Scene::of(tests.clone(), Arrangement::InOrder);
        let uses = match self.observe(&order)? {
            Ok(uses) => uses,
            Err(reason) => return Ok(reason.map_or(Shown::Nothing, Shown::Unobserved)),
        };
        let candidates: Vec<StaticId> = uses.changed_beside.into_iter().take(STATICS).collect();
        if candidates.is_empty() {
            return Ok(Shown::Nothing);
        }
        let mut without = self.rate(&order)?;
        tests.reverse();
        let reversed = Scene::of(tests, Arrangement::InOrder);
        let more = self.rate(&reversed)?;
        without.failed += more.failed;
        without.runs += more.runs;
        let mut pair = ProgramPair {
            tests: [verdict.test.clone(), culprit.clone()],
            alone: [verdict.without, FailureRate::default()],
            lasted: uses.lasted,
        };
        let mut shown = Vec::new();
        for id in &candidates {
            for held in 0..2 {
                let found = pair.failing_use(&mut self.experiments, &[0], id, held, USES)?;
                if let Some(at) = found {
                    if p_value(at.with, without) < ACCEPTED {
                        shown.push((id, at.with));
                    }
                    break;
                }
            }
        }
        let Some((_, with)) = shown.first() else {
            return Ok(Shown::Nothing);
        };
        Ok(Shown::Cause(StaticCause {
            sets: shown.iter().map(|(id, _)| vec![self.typed(id)]).collect(),
            experiment: Experiment::Pause,
            with: *with,
            without,
        }))
    }
}

/// Returns the scene of the test after its culprits, with the tests before them.
fn order_of(verdict: &Verdict) -> Scene {
    let of_scene = &verdict.scene.tests;
    let is_culprit = |test: &TestId| verdict.culprits.contains(test);
    let mut tests = match of_scene.iter().rposition(is_culprit) {
        Some(last) if verdict.scene.arrangement == Arrangement::InOrder => of_scene[..=last].to_vec(),
        _ => verdict.culprits.clone(),
    };
    tests.retain(|test| *test != verdict.test);
    tests.push(verdict.test.clone());
    Scene::of(tests, Arrangement::InOrder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hunt::simulated_suite::{SimulatedSuite, Step};
    use crate::hunt::tests::hunted;
    use crate::hunt::{HuntOptions, HuntReport};

    /// Hunts in a suite of twelve tests of which some have steps, and returns the statics of the only verdict.
    fn named(steps: &[(usize, &[Step])]) -> String {
        let mut suite = SimulatedSuite::new(&[12], 11);
        for (test, steps) in steps {
            suite.steps[*test] = steps.to_vec();
        }
        let report = hunted(&mut suite, &HuntOptions::default());
        name(&report, &mut suite)
    }

    fn name(report: &HuntReport, suite: &mut SimulatedSuite) -> String {
        let verdict = &report.verdicts[0];
        match static_cause(verdict, suite, &mut |_| {}) {
            Err(Stopped) => "stopped".to_owned(),
            Ok(Shown::Nothing) => format!("{}: none", verdict.class.id()),
            Ok(Shown::TooLarge(id)) => format!("too large: {}", id.name),
            Ok(Shown::Unobserved(why)) => why,
            Ok(Shown::Cause(cause)) => {
                let set = |set: &Vec<TypedStatic>| {
                    let names: Vec<&str> = set.iter().map(|one| one.id.name.as_str()).collect();
                    names.join("+")
                };
                let sets: Vec<String> = cause.sets.iter().map(set).collect();
                format!("{}: {}", verdict.class.id(), sets.join(" or "))
            }
        }
    }

    const SET_ALL: [Step; 4] = [Step::Set("a"), Step::Set("b"), Step::Set("c"), Step::Set("d")];

    #[test]
    fn the_static_that_has_to_be_put_back_is_named() {
        for (steps, wanted) in [
            (
                &[(3, &SET_ALL[..]), (7, &[Step::FailIf("b")][..])][..],
                "victim: b",
            ),
            // The test uses others that the culprit changes.
            (
                &[
                    (3, &SET_ALL),
                    (7, &[Step::Use("a"), Step::Use("d"), Step::FailIf("b")]),
                ],
                "victim: b",
            ),
            // Either is enough.
            (
                &[(3, &SET_ALL), (7, &[Step::Use("c"), Step::FailIfBoth("a", "d")])],
                "victim: a or d",
            ),
            // It fails before it uses the second one.
            (
                &[(3, &SET_ALL), (7, &[Step::FailIf("b"), Step::FailIf("c")])],
                "victim: b+c",
            ),
            // Both are needed.
            (
                &[(3, &SET_ALL), (7, &[Step::Use("c"), Step::FailIfAny("a", "d")])],
                "victim: a+d",
            ),
            (
                &[(3, &SET_ALL), (7, &[Step::Use("a"), Step::FailUnless("c")])],
                "brittle: c",
            ),
        ] {
            assert_eq!(named(steps), wanted, "{steps:?}");
        }
    }

    #[test]
    fn a_poisoned_lock_is_the_static_of_a_cascade() {
        let steps: [(usize, &[Step]); 2] = [
            (3, &[Step::Set("a"), Step::Poison("l")]),
            (7, &[Step::Use("a"), Step::Lock("l")]),
        ];
        assert_eq!(named(&steps), "cascade: l");
    }

    #[test]
    fn the_static_at_which_a_pause_makes_a_race_fail_is_named() {
        for (steps, wanted) in [
            (
                [
                    &[Step::FailBesideAt(5, "s", 0.6), Step::Use("t")][..],
                    &[Step::Set("s"), Step::Set("t")],
                ],
                "race: s",
            ),
            // The race is on something else.
            (
                [&[Step::FailBeside(5, 0.6), Step::Use("t")], &[Step::Set("t")]],
                "race: none",
            ),
        ] {
            assert_eq!(named(&[(3, steps[0]), (5, steps[1])]), wanted);
        }
    }

    #[test]
    fn nothing_is_named_where_statics_are_not_observed_or_the_time_is_over() {
        let mut suite = SimulatedSuite::new(&[12], 11);
        suite.steps[3] = SET_ALL.to_vec();
        suite.steps[7] = vec![Step::FailIf("b")];
        let report = hunted(&mut suite, &HuntOptions::default());
        suite.hides_statics = true;
        assert_eq!(name(&report, &mut suite), "its statics");
        suite.hides_statics = false;
        for budget in 0..5 {
            suite.budget = budget;
            assert_eq!(name(&report, &mut suite), "stopped");
        }
        suite.budget = usize::MAX;
        suite.noise = 1.0;
        assert_eq!(name(&report, &mut suite), "victim: none");
    }

    #[test]
    fn a_failure_of_tests_that_go_on_beside_each_other_names_no_static() {
        let mut suite = SimulatedSuite::new(&[12], 11);
        suite.steps[3] = vec![Step::FailBesideAt(5, "s", 0.6)];
        suite.steps[5] = vec![Step::Set("s")];
        let report = hunted(&mut suite, &HuntOptions::default());
        assert_eq!(name(&report, &mut suite), "race: s");
        suite.overlaps = true;
        assert_eq!(name(&report, &mut suite), "race: none");
    }

    #[test]
    fn a_static_that_is_too_large_to_be_put_back_hides_no_other() {
        let mut suite = SimulatedSuite::new(&[12], 11);
        suite.steps[3] = SET_ALL.to_vec();
        suite.steps[7] = vec![Step::Use("a"), Step::FailIf("b")];
        let report = hunted(&mut suite, &HuntOptions::default());
        suite.too_large = vec!["a"];
        assert_eq!(name(&report, &mut suite), "victim: b");
        suite.too_large = vec!["b"];
        assert_eq!(name(&report, &mut suite), "too large: b");
    }

    fn verdict_on(suite: &SimulatedSuite, class: Class) -> Verdict {
        Verdict {
            test: suite.tests[1].clone(),
            class,
            culprits: vec![suite.tests[0].clone()],
            with: FailureRate::default(),
            without: FailureRate::default(),
            scene: Scene::of(suite.tests.clone(), Arrangement::InOrder),
            reruns: 0,
            paused: None,
        }
    }

    #[test]
    fn a_crash_after_a_static_was_put_back_names_none() {
        let mut suite = SimulatedSuite::new(&[2], 1);
        suite.steps[0] = vec![Step::Set("a")];
        suite.steps[1] = vec![Step::Use("a")];
        suite.crashes = Some("a");
        let verdict = verdict_on(&suite, Class::Brittle);
        let found = static_cause(&verdict, &mut suite, &mut |_| {});
        assert_eq!(found, Ok(Shown::Nothing));
    }

    #[test]
    fn no_static_is_named_for_a_test_that_fails_by_chance() {
        for seed in 0..30 {
            let mut suite = SimulatedSuite::new(&[2], seed);
            suite.steps[0] = vec![Step::Set("a"), Step::Set("b")];
            suite.steps[1] = vec![Step::Use("a"), Step::Use("b"), Step::Fail(0.5)];
            let verdict = verdict_on(&suite, Class::Victim);
            let found = static_cause(&verdict, &mut suite, &mut |_| {});
            assert_eq!(found, Ok(Shown::Nothing), "{seed}");
        }
    }
}
