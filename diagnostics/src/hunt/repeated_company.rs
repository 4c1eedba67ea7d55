//! Tests that use a resource at the same time without a lock, but failed in no run: they run beside each other many times.

use super::companions::rarity_of;
use super::{Class, HuntEvent, HuntOptions, HuntReport, Scenes, Verdict, hunt};
use crate::rates::FailureRate;
use crate::scene::{Arrangement, Outcome, Scene, SceneResult, TestId};
use std::collections::BTreeMap;

/// The number of runs of the tests of one resource, at most, and the number of failures that suffice for a rate.
const RUNS: u32 = 50;
const FAILURES: u32 = 3;
/// No more tests of one resource run beside each other.
const TESTS: usize = 16;

/// Runs the tests of each of these groups, which share a resource, beside each other. Where one fails, it is examined, with as many
/// runs as its rate needs.
pub(crate) fn repeat_company(
    report: &mut HuntReport,
    groups: impl Iterator<Item = Vec<TestId>>,
    scenes: &mut dyn Scenes,
    options: &HuntOptions,
    see: &mut dyn FnMut(HuntEvent<'_>),
) {
    for mut tests in groups {
        tests.truncate(TESTS);
        let is_explained = |test: &TestId| {
            let mut known = report.verdicts.iter().filter(|known| known.test == *test);
            known.any(|known| !known.is_unexplained())
        };
        if tests.len() < 2 || tests.iter().any(is_explained) {
            continue;
        }
        see(HuntEvent::Repeating { tests: tests.len() });
        let Some((test, rate, failed)) = first_failure(&tests, scenes) else {
            continue;
        };
        let options = HuntOptions {
            given: vec![test.clone()],
            alone_for_all: false,
            rarity: rarity_of(rate),
            ..options.clone()
        };
        let mut see = |event: HuntEvent<'_>| {
            // The regimes of these tests are not those of the report.
            if matches!(event, HuntEvent::Trying { .. }) {
                see(event);
            }
        };
        let found = hunt(&tests, &failed, &options, scenes, &mut see);
        for verdict in found.verdicts {
            // Each of these tests passed as the command runs them.
            if verdict.class == Class::Failing || verdict.is_unexplained() && verdict.test != test {
                continue;
            }
            let verdict = if verdict.is_unexplained() {
                unexplained(verdict, rate, &tests)
            } else {
                verdict
            };
            let mut all = report.verdicts.iter_mut();
            match all.find(|known| known.test == verdict.test) {
                Some(known) if known.is_unexplained() && !verdict.is_unexplained() => {
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
        scene: Scene::of(tests.to_vec(), Arrangement::Parallel),
        ..verdict
    }
}

/// Runs the tests beside each other until one has failed often enough for a rate. Returns the one that failed most, its rate,
/// and the result of a run in which it failed.
fn first_failure(tests: &[TestId], scenes: &mut dyn Scenes) -> Option<(TestId, FailureRate, SceneResult)> {
    let scene = Scene::of(tests.to_vec(), Arrangement::Parallel);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hunt::simulated_suite::{SimulatedSuite, Step};

    fn repeated(suite: &mut SimulatedSuite, group: Vec<TestId>) -> HuntReport {
        let mut report = HuntReport {
            regimes: Vec::new(),
            verdicts: Vec::new(),
            untried: Vec::new(),
        };
        let options = HuntOptions::default();
        repeat_company(&mut report, [group].into_iter(), suite, &options, &mut |_| {});
        report
    }

    #[test]
    fn tests_that_rarely_fail_beside_each_other_are_repeated_until_the_culprit_is_shown() {
        let mut found = 0;
        for seed in 0..20 {
            let mut suite = SimulatedSuite::new(&[5], seed);
            suite.steps[1] = vec![Step::FailBeside(3, 0.1)];
            suite.suspect(1, &[3]);
            let tests = suite.tests.clone();
            let group = [0, 1, 3].map(|test| tests[test].clone()).to_vec();
            let report = repeated(&mut suite, group);
            for verdict in &report.verdicts {
                assert_eq!(verdict.test, tests[1]);
                assert!(matches!(verdict.class, Class::Race | Class::Unexplained { .. }));
                assert!(verdict.is_unexplained() || verdict.culprits == tests[3..4]);
                found += usize::from(!verdict.is_unexplained());
            }
        }
        assert!(found >= 14, "{found}");
    }

    #[test]
    fn a_test_that_rarely_fails_by_itself_blames_no_other() {
        for seed in 0..60 {
            let mut suite = SimulatedSuite::new(&[4], seed);
            suite.steps[1] = vec![Step::Fail(0.03)];
            suite.suspect(1, &[3]);
            let group = suite.tests.clone();
            let report = repeated(&mut suite, group);
            let blames = |verdict: &&Verdict| !verdict.is_unexplained() && verdict.class != Class::Own;
            assert_eq!(report.verdicts.iter().find(blames), None, "{seed}");
        }
    }

    #[test]
    fn tests_that_never_fail_beside_each_other_get_no_verdict() {
        let mut suite = SimulatedSuite::new(&[5], 1);
        let group = suite.tests.clone();
        let report = repeated(&mut suite, group);
        assert_eq!(report.verdicts, []);
        assert_eq!(suite.scenes.len(), RUNS as usize);
    }
}
