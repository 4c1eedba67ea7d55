//! Finds out why a test fails sometimes: data in, data out.
//!
//! The suite runs in regimes that separate the classes (`regimes`); a test that failed in one and not in all is examined
//! (`examiner`). `predecessors` finds the tests after which another fails, or passes; `companions` those beside which
//! it fails; `cascades` the failure that poisoned a lock; `repeated_company` rare failures of tests that share something;
//! `static_causes` the static through which they fail. `evidence` decides when a result is more than chance,
//! and `runs` starts the scenes and keeps their results.
//!
//! A claim needs its failing scene twice and the contrast twice, and more where chance could have made them.

mod cascades;
mod companions;
mod evidence;
mod examiner;
mod predecessors;
mod regimes;
mod repeated_company;
mod runs;
mod static_causes;
mod verdict;

pub(crate) use evidence::is_higher;
pub(crate) use regimes::{Regime, RegimeReport};
pub(crate) use repeated_company::repeat_company;
pub(crate) use static_causes::{Experiment, Shown, StaticCause, TypedStatic, static_cause};
pub(crate) use verdict::{Class, Verdict, grouped};

use crate::scene::{Scene, SceneResult, StaticsPlan, TestId};
use examiner::Examiner;
use regimes::RegimeTable;
use runs::Runs;
use std::collections::BTreeSet;

/// Runs scenes and knows what the observer recorded.
pub(crate) trait Scenes {
    /// Runs a scene; `None` if the time budget or an interruption allows no more.
    fn run(&mut self, scene: &Scene) -> Option<SceneResult>;

    /// Runs a scene with a plan for the statics of its programs. Returns `None` as [`run`](Self::run) does.
    fn run_with_statics(&mut self, scene: &Scene, plan: &StaticsPlan) -> Option<SceneResult>;

    /// Returns tests that share a resource with this one, the most suspicious first; none if nothing was recorded.
    fn suspects(&self, test: &TestId) -> Vec<TestId>;
}

/// The choices of a hunt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HuntOptions {
    /// Tests to examine first, even if they fail in no regime. The regimes run only their programs, and only as far as these
    /// tests need them; all if empty.
    pub(crate) given: Vec<TestId>,
    /// Each test runs alone once, not only those that failed.
    pub(crate) alone_for_all: bool,
    /// The seed of the random order.
    pub(crate) seed: u64,
    /// The factor for all numbers of runs beside others, greater than 1 for a rare failure; 0 is treated as 1.
    pub(crate) rarity: u32,
    /// The number of cores. Under load as many threads are busy beside all tests, twice as many beside one.
    pub(crate) cores: u32,
}

/// The progress of a hunt.
#[derive(Debug)]
pub(crate) enum HuntEvent<'a> {
    /// A regime begins, with this number of tests. Without an end, the budget did not allow it.
    RegimeStarted { regime: Regime, tests: usize },
    /// A regime ended, perhaps as void.
    RegimeEnded(&'a RegimeReport),
    /// A test that failed is examined; after it, this number of others.
    Examining { test: &'a TestId, left: usize },
    /// A scene is about to run, to see whether this test fails in it.
    Trying { test: &'a TestId, scene: &'a Scene },
    /// This number of tests runs beside each other, again and again.
    Repeating { tests: usize },
    /// A verdict was reached.
    Decided(&'a Verdict),
}

/// The result of a hunt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HuntReport {
    /// The regimes that were started, in this order.
    pub(crate) regimes: Vec<RegimeReport>,
    /// One for each test that failed, in the order in which they were reached.
    pub(crate) verdicts: Vec<Verdict>,
    /// Regimes and examinations that the budget did not allow, in words.
    pub(crate) untried: Vec<String>,
}

impl HuntReport {
    /// Removes the note that the examination of a test did not end: something else explained the test.
    pub(crate) fn forget_open_examination(&mut self, test: &TestId) {
        let open = open_examination(test);
        self.untried.retain(|what| *what != open);
    }
}

/// Returns the entry of [`HuntReport::untried`] for a test whose examination did not end.
fn open_examination(test: &TestId) -> String {
    format!("the examination of {} {}", test.binary, test.name)
}

/// Runs the suite in all regimes and examines each test that failed in one of them. `as_is` is the result of the user's
/// own command.
pub(crate) fn hunt(
    all: &[TestId],
    as_is: &SceneResult,
    options: &HuntOptions,
    scenes: &mut dyn Scenes,
    see: &mut dyn FnMut(HuntEvent<'_>),
) -> HuntReport {
    let programs: BTreeSet<&str> = options.given.iter().map(|test| test.binary.as_str()).collect();
    let is_wanted = |test: &&TestId| programs.is_empty() || programs.contains(test.binary.as_str());
    let suite: Vec<TestId> = all.iter().filter(is_wanted).cloned().collect();
    let mut runs = Runs::new(suite, scenes, see);
    runs.set_rarity(options.rarity);
    let mut untried = Vec::new();
    let mut given = Vec::new();
    for test in &options.given {
        match runs.index(test) {
            Some(test) => given.push(test),
            None => untried.push(format!(
                "{} {}: the suite has no such test",
                test.binary, test.name
            )),
        }
    }
    let mut table = RegimeTable::new(&mut runs, as_is);
    let has_tests = runs.tests() > 0;
    let mut examiner = Examiner::new(&mut runs, &mut table, options.cores);
    // The regimes of the suite are not needed if the given tests are decided without.
    let needs_regimes = has_tests && !examiner.decide_first(&given, options);
    let all_ran = needs_regimes && examiner.run_regimes(&given, options).is_ok();
    examiner.decide_all(&given);
    if all_ran && examiner.run_random(options.seed).is_ok() {
        examiner.decide_all(&[]);
    }
    let (verdicts, open) = examiner.end();
    if needs_regimes {
        untried.extend(table.untried(options));
    }
    untried.extend(open);
    HuntReport {
        regimes: table.reports(),
        verdicts,
        untried,
    }
}

#[cfg(test)]
mod planted_suites;
#[cfg(test)]
mod simulated_suite;

#[cfg(test)]
mod tests {
    use super::simulated_suite::{SimulatedSuite, Step};
    use super::*;
    use crate::rates::FailureRate;
    use crate::scene::{Arrangement, Outcome};

    pub(super) fn hunted(suite: &mut SimulatedSuite, options: &HuntOptions) -> HuntReport {
        let (all, as_is) = (suite.tests.clone(), suite.as_is());
        hunt(&all, &as_is, options, suite, &mut |_| {})
    }

    /// The test, its class and the culprits in a line.
    pub(super) fn line(verdict: &Verdict) -> String {
        let mut line = format!("{} {}", verdict.test.name, verdict.class.id());
        let culprits: Vec<&str> = verdict.culprits.iter().map(|test| test.name.as_str()).collect();
        if !culprits.is_empty() {
            line.push_str(" by ");
            line.push_str(&culprits.join(" "));
        }
        line
    }

    fn lines(report: &HuntReport) -> Vec<String> {
        let mut lines: Vec<String> = report.verdicts.iter().map(line).collect();
        lines.sort();
        lines
    }

    /// A test by its place, with its steps.
    type Planted<'a> = (usize, &'a [Step]);

    fn with_steps(tests: usize, steps: &[Planted]) -> SimulatedSuite {
        let mut suite = SimulatedSuite::new(&[tests], 11);
        for (test, steps) in steps {
            suite.steps[*test] = steps.to_vec();
        }
        suite
    }

    /// The verdicts on a suite in which some tests of one program have these steps.
    fn verdicts(tests: usize, steps: &[Planted]) -> Vec<String> {
        lines(&hunted(&mut with_steps(tests, steps), &HuntOptions::default()))
    }

    const SET: Step = Step::Set("a");
    const FAIL_IF: Step = Step::FailIf("a");
    const LOCK: Step = Step::Lock("l");

    #[test]
    fn each_class_is_found_with_its_culprits() {
        for (steps, wanted) in [
            (
                &[(3, &[SET][..]), (7, &[FAIL_IF][..])][..],
                &["test0007 victim by test0003"][..],
            ),
            (&[(7, &[SET]), (3, &[FAIL_IF])], &["test0003 victim by test0007"]),
            (
                &[(3, &[SET]), (7, &[Step::FailUnless("a")])],
                &["test0007 brittle by test0003"],
            ),
            (
                &[(3, &[Step::FailBeside(5, 0.6)])],
                &["test0003 race by test0005"],
            ),
            (&[(3, &[Step::Fail(0.3)])], &["test0003 own"]),
            (&[(3, &[Step::FailUnderLoad(0.9)])], &["test0003 load"]),
            (
                &[(3, &[Step::FailIf("/a"), Step::Set("/a")])],
                &["test0003 leftover"],
            ),
            (&[(3, &[Step::FailTwice(0.9)])], &["test0003 two-runs"]),
            (&[(3, &[Step::Fail(1.0)])], &["test0003 failing"]),
        ] {
            let report = hunted(&mut with_steps(12, steps), &HuntOptions::default());
            assert_eq!(lines(&report), wanted, "{steps:?}: {report:#?}");
        }
    }

    #[test]
    fn tests_that_fail_at_a_poisoned_lock_are_blamed_on_the_first_failure() {
        let first_failures: [(&[Planted], &str); 3] = [
            (&[(3, &[LOCK, Step::Fail(1.0)])], "test0003 failing"),
            (
                &[(1, &[SET]), (3, &[LOCK, FAIL_IF])],
                "test0003 victim by test0001",
            ),
            (&[(3, &[LOCK, Step::Fail(0.4)])], "test0003 own"),
        ];
        for (steps, first) in first_failures {
            let locked: [Planted; 3] = [(5, &[LOCK]), (8, &[LOCK]), (9, &[LOCK])];
            let mut suite = with_steps(12, &[steps, &locked].concat());
            let report = hunted(&mut suite, &HuntOptions::default());
            let wanted = [
                first,
                "test0005 cascade by test0003",
                "test0008 cascade by test0003",
                "test0009 cascade by test0003",
            ];
            assert_eq!(lines(&report), wanted);
            let groups = grouped(&report.verdicts);
            assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [1, 3]);
            let reruns: u32 = groups[1].iter().map(|verdict| verdict.reruns).sum();
            assert!(reruns <= 22, "{first}: {reruns}");
        }
    }

    #[test]
    fn a_race_that_poisons_a_lock_is_the_culprit_of_those_that_came_later() {
        let race = [LOCK, Step::FailBeside(1, 0.8)];
        let found = verdicts(12, &[(3, &race), (5, &[LOCK]), (8, &[LOCK]), (9, &[LOCK])]);
        assert_eq!(found[0], "test0003 race by test0001");
        // Those that always came before it did not fail.
        assert!(found.len() > 1);
        assert!(
            found[1..]
                .iter()
                .all(|line| line.ends_with(" cascade by test0003")),
            "{found:?}"
        );
    }

    #[test]
    fn where_only_all_tests_can_run_at_one_time_those_that_share_a_resource_are_blamed() {
        let mut suite = with_steps(6, &[(3, &[Step::FailBeside(5, 0.7)])]);
        suite.takes_one_name = true;
        let shares = vec![suite.tests[5].clone(), suite.tests[1].clone()];
        suite.suspects.insert(suite.tests[3].clone(), shares);
        let report = hunted(&mut suite, &HuntOptions::default());
        assert_eq!(lines(&report), ["test0003 race by test0005 test0001"]);
        assert_eq!(report.verdicts[0].scene.tests.len(), 6);
    }

    #[test]
    fn of_a_suite_that_fails_beside_a_second_copy_only_the_tests_that_are_needed_are_repeated() {
        for has_suspect in [false, true] {
            let mut suite = with_steps(12, &[(3, &[Step::FailTwiceWith(8, 0.8)])]);
            if has_suspect {
                suite.suspect(3, &[8]);
            }
            let report = hunted(&mut suite, &HuntOptions::default());
            assert_eq!(lines(&report), ["test0003 two-runs"]);
            let mut needed = report.verdicts[0].scene.tests.clone();
            needed.sort();
            assert_eq!(needed, [suite.tests[3].clone(), suite.tests[8].clone()]);
            assert!(report.verdicts[0].with.failed >= 2);
        }
    }

    #[test]
    fn a_failure_beside_another_test_that_is_known_to_be_rare_is_found_by_more_runs() {
        let mut found = 0;
        for seed in 0..20 {
            let mut suite = SimulatedSuite::new(&[4], seed);
            suite.steps[1] = vec![Step::FailBeside(2, 0.08)];
            suite.suspect(1, &[2]);
            let all = suite.tests.clone();
            let mut as_is = suite.as_is();
            as_is.outcomes.insert(all[1].clone(), Outcome::Failed);
            let options = HuntOptions {
                given: vec![all[1].clone()],
                rarity: companions::rarity_of(FailureRate { failed: 4, runs: 50 }),
                ..HuntOptions::default()
            };
            let report = hunt(&all, &as_is, &options, &mut suite, &mut |_| {});
            let lines = lines(&report);
            let is_right =
                |line: &String| line == "test0001 race by test0002" || line == "test0001 unexplained";
            assert!(lines.iter().all(is_right), "{lines:?}");
            found += usize::from(lines == ["test0001 race by test0002"]);
        }
        assert!(found >= 12, "{found}");
    }

    #[test]
    fn a_lock_that_a_passing_test_poisoned_is_blamed_on_that_test() {
        // As with `should_panic`: it fails inside, and passes.
        let mut suite = with_steps(12, &[(2, &[Step::Poison("l")]), (5, &[LOCK]), (7, &[LOCK])]);
        let report = hunted(&mut suite, &HuntOptions::default());
        let wanted = ["test0005 cascade by test0002", "test0007 cascade by test0002"];
        assert_eq!(lines(&report), wanted);
    }

    #[test]
    fn a_given_test_is_run_alone_a_hundred_times_even_if_it_never_failed() {
        let mut suite = SimulatedSuite::new(&[10, 10], 3);
        suite.steps[4] = vec![Step::Fail(0.05)];
        suite.steps[15] = vec![Step::Fail(1.0)];
        let missing = TestId {
            binary: "program0".to_owned(),
            name: "no_such_test".to_owned(),
        };
        let options = HuntOptions {
            given: vec![suite.tests[5].clone(), suite.tests[4].clone(), missing],
            ..HuntOptions::default()
        };
        let report = hunted(&mut suite, &options);
        assert_eq!(lines(&report), ["test0004 own"]);
        assert!(report.verdicts[0].without.runs >= 100);
        assert_eq!(
            report.untried,
            ["program0 no_such_test: the suite has no such test"]
        );
        // The regimes run the program of the given tests only.
        assert!(
            suite
                .scenes
                .iter()
                .all(|scene| { scene.tests.iter().all(|test| test.binary == "program0") })
        );
        let alone = suite
            .scenes
            .iter()
            .filter(|scene| scene.tests == suite.tests[5..6]);
        assert!(alone.count() >= 100);
    }

    #[test]
    fn a_given_test_is_decided_in_as_few_regimes_as_it_needs() {
        use Regime::{AsIs, Forward, Reversed};
        for (steps, wanted, regimes) in [
            (
                &[(3, &[Step::Fail(0.5)][..])][..],
                &["test0003 own"][..],
                &[AsIs][..],
            ),
            (
                &[(3, &[FAIL_IF]), (7, &[SET])],
                &["test0003 victim by test0007"],
                &[AsIs, Forward, Reversed],
            ),
            (
                &[(3, &[Step::FailUnless("a")]), (1, &[SET])],
                &["test0003 brittle by test0001"],
                &[AsIs, Forward, Reversed],
            ),
            (
                &[(3, &[Step::Fail(1.0)])],
                &["test0003 failing"],
                &[AsIs, Forward, Reversed],
            ),
        ] {
            let mut suite = with_steps(12, steps);
            let options = HuntOptions {
                given: vec![suite.tests[3].clone()],
                ..HuntOptions::default()
            };
            let report = hunted(&mut suite, &options);
            assert_eq!(lines(&report), wanted, "{steps:?}");
            let ran: Vec<Regime> = report.regimes.iter().map(|report| report.regime).collect();
            assert_eq!(ran, regimes, "{steps:?}");
            assert_eq!(report.untried, Vec::<String>::new());
        }
    }

    #[test]
    fn a_given_test_that_fails_in_each_run_after_the_first_is_a_leftover() {
        let leftover = [Step::FailIf("/a"), Step::Set("/a")];
        let mut suite = with_steps(12, &[(3, &leftover)]);
        let (all, unknown) = (suite.tests.clone(), SceneResult::default());
        let options = HuntOptions {
            given: all[3..4].to_vec(),
            ..HuntOptions::default()
        };
        let report = hunt(&all, &unknown, &options, &mut suite, &mut |_| {});
        // Without the result of the command itself, only the first run alone passed.
        let found = lines(&report);
        assert!(
            found == ["test0003 leftover"] || found == ["test0003 failing"],
            "{found:?}"
        );
    }

    #[test]
    fn a_victim_of_what_an_earlier_run_left_is_found_with_the_test_that_reads_it() {
        // The last test leaves a file. In the next run, the first finds it, and the one between fails because of that.
        let steps = [Step::SetIf("/a", "b")];
        let mut suite = with_steps(
            12,
            &[(2, &steps), (7, &[Step::FailIf("b")]), (11, &[Step::Set("/a")])],
        );
        let all = suite.tests.clone();
        let unknown = SceneResult::default();
        let report = hunt(&all, &unknown, &HuntOptions::default(), &mut suite, &mut |_| {});
        assert!(report.regimes[1].failed.is_empty());
        assert_eq!(lines(&report), ["test0007 victim by test0002"]);
    }

    #[test]
    fn tests_that_all_pass_run_in_few_regimes() {
        let mut suite = SimulatedSuite::new(&[10, 10], 1);
        let options = HuntOptions {
            seed: 7,
            ..HuntOptions::default()
        };
        let report = hunted(&mut suite, &options);
        let regimes: Vec<Regime> = report.regimes.iter().map(|report| report.regime).collect();
        let wanted = [
            Regime::AsIs,
            Regime::Forward,
            Regime::Reversed,
            Regime::Parallel,
            Regime::Loaded,
            Regime::TwoRuns(Some(7)),
        ];
        assert_eq!(regimes, wanted);
        assert_eq!(report.untried, Vec::<String>::new());
    }

    #[test]
    fn a_victim_that_fails_first_in_two_runs_at_once_is_found_by_their_order() {
        // Forward, another test restores what the polluter changes; reversed, the victim is first.
        let steps: [Planted; 3] = [(2, &[SET]), (5, &[Step::Clear("a")]), (9, &[FAIL_IF])];
        let mut found = 0;
        for seed in 0..20 {
            let mut suite = with_steps(12, &steps);
            let all = suite.tests.clone();
            let passed = |test: &TestId| (test.clone(), Outcome::Passed);
            let as_is = SceneResult {
                outcomes: all.iter().map(passed).collect(),
                ..SceneResult::default()
            };
            // Beside others, the order is chance.
            suite.keeps_order = true;
            let options = HuntOptions {
                seed,
                ..HuntOptions::default()
            };
            let report = hunt(&all, &as_is, &options, &mut suite, &mut |_| {});
            let two_runs = report
                .regimes
                .iter()
                .find(|report| report.regime == Regime::TwoRuns(Some(seed)));
            let wanted: &[&str] = match two_runs.unwrap().failed[..] {
                [] => &[],
                _ => &["test0009 victim by test0002"],
            };
            assert_eq!(lines(&report), wanted, "{seed}");
            found += wanted.len();
        }
        assert!(found >= 3, "{found}");
    }

    #[test]
    fn each_test_runs_alone_on_request() {
        // Each needs what another sets, and in the serial orders one always came before.
        let mut suite = with_steps(9, &[(0, &[SET]), (4, &[Step::FailUnless("a")]), (8, &[SET])]);
        let all = suite.tests.clone();
        let result = suite.run(&Scene::of(all.clone(), Arrangement::InOrder));
        let as_is = result.unwrap();
        let options = HuntOptions {
            alone_for_all: true,
            ..HuntOptions::default()
        };
        let report = hunt(&all, &as_is, &options, &mut suite, &mut |_| {});
        let [verdict] = &report.verdicts[..] else {
            panic!("{report:?}");
        };
        assert_eq!(verdict.class, Class::Brittle);
        assert_eq!(verdict.scene.arrangement, Arrangement::Alone);
        assert_eq!(verdict.scene.tests, all[4..5]);
    }

    #[test]
    fn progress_is_reported_in_the_order_in_which_it_happens() {
        let mut suite = with_steps(6, &[(1, &[SET]), (4, &[FAIL_IF])]);
        suite
            .suspects
            .insert(suite.tests[4].clone(), vec![suite.tests[1].clone()]);
        let (all, as_is) = (suite.tests.clone(), suite.as_is());
        let mut seen: Vec<String> = Vec::new();
        let mut see = |event: HuntEvent<'_>| {
            seen.push(match event {
                HuntEvent::RegimeStarted { regime, tests } => format!("{regime}: {tests} tests"),
                HuntEvent::RegimeEnded(report) => {
                    format!("{}: {} failed", report.regime, report.failed.len())
                }
                HuntEvent::Examining { test, left } => format!("{} and {left} others", test.name),
                HuntEvent::Trying { test, scene } => {
                    format!(
                        "{} in {:?} with {}",
                        test.name,
                        scene.arrangement,
                        scene.tests.len() - 1
                    )
                }
                HuntEvent::Repeating { tests } => format!("{tests} tests again"),
                HuntEvent::Decided(verdict) => line(verdict),
            });
        };
        hunt(&all, &as_is, &HuntOptions::default(), &mut suite, &mut see);
        seen.dedup();
        let from = seen.iter().position(|line| line.starts_with("two runs")).unwrap();
        assert_eq!(
            seen[from..],
            [
                "two runs at once: 6 tests",
                "two runs at once: 1 failed",
                "alone: 1 tests",
                "test0004 in Alone with 0",
                "alone: 0 failed",
                "test0004 and 0 others",
                "test0004 in Alone with 0",
                "test0004 in InOrder with 1",
                "test0004 victim by test0001",
                "random order 0: 6 tests",
                seen[seen.len() - 1].as_str(),
            ]
        );
    }

    #[test]
    fn what_the_budget_does_not_allow_is_listed_and_each_failure_is_mentioned() {
        let mut untried = Vec::new();
        for budget in [0, 3, 8, 17, 200] {
            let mut suite = with_steps(12, &[(1, &[SET]), (9, &[FAIL_IF]), (4, &[Step::Fail(0.5)])]);
            suite.budget = budget;
            let report = hunted(&mut suite, &HuntOptions::default());
            let decided: BTreeSet<&TestId> = report.verdicts.iter().map(|verdict| &verdict.test).collect();
            for failed in report.regimes.iter().flat_map(|regime| &regime.failed) {
                assert!(decided.contains(failed), "{budget}: {failed:?}");
            }
            untried.push(report.untried);
        }
        let regimes = untried[0].iter().filter(|what| what.starts_with("the regime "));
        assert_eq!(regimes.count(), 8, "{:?}", untried[0]);
        assert_eq!(
            untried[0][..2],
            ["the regime \"forward\"", "the regime \"reversed\""]
        );
        assert!(untried[1].contains(&"the regime \"parallel under load\"".to_owned()));
        assert!(
            untried[3].contains(&"the examination of program0 test0009".to_owned()),
            "{:?}",
            untried[3]
        );
        assert_eq!(untried[4], Vec::<String>::new());
    }

    #[test]
    fn a_suite_without_tests_runs_nothing() {
        let mut suite = SimulatedSuite::new(&[], 1);
        let report = hunted(&mut suite, &HuntOptions::default());
        assert_eq!(suite.scenes, []);
        assert_eq!(report.verdicts, []);
        assert_eq!(report.untried, Vec::<String>::new());
    }

    #[test]
    fn void_scenes_show_nothing() {
        let mut suite = with_steps(12, &[(1, &[SET]), (9, &[FAIL_IF])]);
        suite.noise = 1.0;
        let report = hunted(&mut suite, &HuntOptions::default());
        assert_eq!(report.verdicts, []);
        let voids = report.regimes.iter().filter(|regime| regime.void.is_some());
        assert_eq!(voids.count(), report.regimes.len());
    }

    #[test]
    fn a_set_of_culprits_is_minimal() {
        let both = Step::FailIfBoth("a", "b");
        for (steps, wanted) in [
            // Two that are needed together.
            (
                &[(2, &[SET][..]), (5, &[Step::Set("b")][..]), (9, &[both][..])][..],
                &["test0009 victim by test0002 test0005"][..],
            ),
            // Either of two is enough: the nearer one is found.
            (
                &[(2, &[SET]), (5, &[SET]), (9, &[FAIL_IF])],
                &["test0009 victim by test0005"],
            ),
            (
                &[(2, &[SET]), (5, &[SET]), (9, &[Step::FailUnless("a")])],
                &["test0009 brittle by test0005"],
            ),
            // A cleaner comes between them in one order only.
            (
                &[
                    (2, &[SET]),
                    (5, &[Step::Clear("a")]),
                    (7, &[SET]),
                    (9, &[FAIL_IF]),
                ],
                &["test0009 victim by test0007"],
            ),
            // A victim that is another's polluter.
            (
                &[
                    (2, &[SET]),
                    (5, &[FAIL_IF, Step::Set("b")]),
                    (9, &[Step::FailIf("b")]),
                ],
                &["test0005 victim by test0002", "test0009 victim by test0005"],
            ),
            // It fails with its culprit, for another reason.
            (
                &[
                    (2, &[SET]),
                    (5, &[Step::Set("b"), FAIL_IF]),
                    (9, &[Step::FailIf("b")]),
                ],
                &["test0005 victim by test0002", "test0009 victim by test0005"],
            ),
            // Its culprit needs yet another before it.
            (
                &[(2, &[SET]), (5, &[Step::FailUnless("a")]), (9, &[FAIL_IF])],
                &["test0005 brittle by test0002", "test0009 victim by test0002"],
            ),
            // One that fails after its polluter and leaves something because it failed.
            (
                &[
                    (2, &[SET]),
                    (5, &[Step::Set("b"), FAIL_IF, Step::Clear("b")]),
                    (9, &[Step::FailIf("b")]),
                ],
                &["test0005 victim by test0002", "test0009 cascade by test0005"],
            ),
        ] {
            assert_eq!(verdicts(12, steps), wanted, "{steps:?}");
        }
    }
}
