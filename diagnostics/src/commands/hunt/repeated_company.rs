//! Tests that use a resource at one time without a lock, but failed in no run: they run beside each other many times.

use super::HuntProgress;
use super::budgeted_scenes::BudgetedScenes;
use super::paused_races::is_unexplained;
use crate::hunt::{Class, HuntEvent, HuntOptions, HuntReport, Scenes as _, Verdict, hunt};
use crate::rates::FailureRate;
use crate::scene::{Arrangement, Outcome, Scene, SceneResult, TestId};
use cofferdam_conflicts::Conflict;
use std::collections::BTreeMap;

/// The number of runs of the tests of one resource, at most, and the number of failures that suffice for a rate.
const RUNS: u32 = 50;
const FAILURES: u32 = 3;
/// No more tests of one resource run beside each other.
const TESTS: usize = 16;

/// Runs the tests of each of these conflicts beside each other. Where one fails, it is examined, with as many runs as its rate
/// needs.
pub(super) fn enter(
    report: &mut HuntReport,
    conflicts: &[Conflict],
    all: &[TestId],
    scenes: &mut BudgetedScenes<'_>,
    options: &HuntOptions,
    see: &mut dyn FnMut(HuntProgress<'_>),
) {
    for conflict in conflicts {
        let tests: Vec<TestId> = all
            .iter()
            .filter(|id| conflict.tests.iter().any(|one| super::budgeted_scenes::is(one, id)))
            .take(TESTS)
            .cloned()
            .collect();
        let is_explained = |test: &TestId| {
            let mut known = report.verdicts.iter().filter(|known| known.test == *test);
            known.any(|known| !is_unexplained(known))
        };
        if tests.len() < 2 || tests.iter().any(is_explained) {
            continue;
        }
        see(HuntProgress::Repeating { tests: tests.len() });
        let Some((test, rate, failed)) = first_failure(&tests, scenes) else {
            continue;
        };
        let options = HuntOptions {
            given: vec![test.clone()],
            alone_for_all: false,
            rarity: HuntOptions::rarity_of(rate),
            ..options.clone()
        };
        let mut see = |event: HuntEvent<'_>| {
            // The regimes of these tests are not those of the report.
            if matches!(event, HuntEvent::Trying { .. }) {
                see(HuntProgress::Engine(event));
            }
        };
        let found = hunt(&tests, &failed, &options, scenes, &mut see);
        for verdict in found.verdicts {
            let known = report.verdicts.iter_mut().find(|known| known.test == verdict.test);
            // Each of these tests passed as the command runs them.
            if verdict.class == Class::Failing || is_unexplained(&verdict) && verdict.test != test {
                continue;
            }
            let verdict = if is_unexplained(&verdict) {
                unexplained(verdict, rate, &tests)
            } else {
                verdict
            };
            match known {
                Some(known) if is_unexplained(known) && !is_unexplained(&verdict) => {
                    let test = verdict.test.clone();
                    *known = verdict;
                    report.forget_open_examination(&test);
                }
                Some(_) => {}
                None => report.verdicts.push(verdict),
            }
        }
    }
}

fn unexplained(verdict: Verdict, rate: FailureRate, tests: &[TestId]) -> Verdict {
    let why = "it failed beside the tests that share a resource with it, in none of the regimes";
    Verdict {
        class: Class::Unexplained { why: why.to_owned() },
        with: rate,
        scene: beside(tests),
        ..verdict
    }
}

fn beside(tests: &[TestId]) -> Scene {
    Scene {
        tests: tests.to_vec(),
        arrangement: Arrangement::Parallel,
        load: 0,
        twice: false,
        empty_temp: false,
    }
}

/// Runs the tests beside each other until one has failed often enough for a rate. Returns the one that failed most, its rate,
/// and the result of a run in which it failed.
fn first_failure(
    tests: &[TestId],
    scenes: &mut BudgetedScenes<'_>,
) -> Option<(TestId, FailureRate, SceneResult)> {
    let scene = beside(tests);
    let mut rates: BTreeMap<TestId, (FailureRate, SceneResult)> = BTreeMap::new();
    for _ in 0..RUNS {
        let Some(result) = scenes.run(&scene) else { break };
        for test in tests.iter().filter(|_| result.void.is_none()) {
            let has_failed = match result.outcome(test) {
                Outcome::Passed => false,
                Outcome::Failed => true,
                Outcome::Unknown => continue,
            };
            let (rate, failed) = rates.entry(test.clone()).or_default();
            rate.add(has_failed);
            if has_failed {
                failed.clone_from(&result);
            }
        }
        if rates.values().any(|(rate, _)| rate.failed >= FAILURES) {
            break;
        }
    }
    let most = rates.into_iter().max_by_key(|(_, (rate, _))| rate.failed);
    most.filter(|(_, (rate, _))| rate.failed > 0)
        .map(|(test, (rate, failed))| (test, rate, failed))
}
