//! Finds out why a test fails sometimes: data in, data out.
//!
//! The suite runs in regimes that separate the classes (`regimes`); a test that failed in one and not in all is investigated
//! (`investigation`). `predecessors` finds the tests after which another fails, or passes; `companions` those beside which
//! it fails; `cascades` the failure that poisoned a lock. `minimal_set` bisects, `evidence` says when a result is no chance,
//! and `runs` starts the scenes and keeps their results.
//!
//! A claim needs its failing scene twice and the contrast twice, and more where chance could have made them.

mod cascades;
mod companions;
mod evidence;
mod investigation;
mod minimal_set;
mod predecessors;
mod regimes;
mod runs;
#[cfg(test)]
mod simulated_suite;
mod verdict;

pub(crate) use regimes::{Regime, RegimeReport};
pub(crate) use verdict::Verdict;
#[cfg_attr(not(test), expect(unused_imports, reason = "no command starts a hunt yet"))]
pub(crate) use verdict::{Class, grouped};

use crate::scene::{Scene, SceneResult, TestId};
use investigation::Investigation;
use regimes::RegimeTable;
use runs::Runs;
use std::collections::BTreeSet;

/// Runs scenes and knows what the observer recorded.
pub(crate) trait Scenes {
    /// Runs a scene; `None` if the time budget or an interruption allows no more.
    fn run(&mut self, scene: &Scene) -> Option<SceneResult>;

    /// Returns tests that share a resource with this one, the most suspicious first; none if nothing was recorded.
    fn suspects(&self, test: &TestId) -> Vec<TestId>;
}

/// The choices of a hunt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HuntOptions {
    /// Tests to investigate first, even if they fail in no regime. The regimes run only their programs; all if empty.
    pub(crate) given: Vec<TestId>,
    /// Each test runs alone once, not only those that failed.
    pub(crate) alone_for_all: bool,
    /// The seed of the random order.
    pub(crate) seed: u64,
    /// The number of cores: under load, twice as many threads are busy.
    pub(crate) cores: u32,
}

/// The progress of a hunt.
#[derive(Debug)]
pub(crate) enum HuntEvent<'a> {
    /// A regime begins, with this number of tests.
    RegimeStarted { regime: Regime, tests: usize },
    /// A regime ended, or was void.
    RegimeEnded(&'a RegimeReport),
    /// A test that failed is investigated; after it, this number of others.
    Investigating { test: &'a TestId, left: usize },
    /// A scene is about to run, to see whether this test fails in it.
    Trying { test: &'a TestId, scene: &'a Scene },
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
    /// Regimes and investigations that the budget did not allow, in words.
    pub(crate) untried: Vec<String>,
}

/// Runs the suite in all regimes and investigates each test that failed in one of them. `as_is` is the result of the user's
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
    let all_ran = table.run(&mut runs, options, &given).is_ok();
    let mut investigation = Investigation::new(&mut runs, &mut table, options.cores);
    investigation.decide_all(&given);
    if all_ran && investigation.run_random(options.seed).is_ok() {
        investigation.decide_all(&[]);
    }
    let (verdicts, open) = investigation.end();
    untried.extend(table.untried(options));
    untried.extend(open);
    HuntReport {
        regimes: table.reports(),
        verdicts,
        untried,
    }
}

#[cfg(test)]
mod tests {
    use super::simulated_suite::{SimulatedSuite, Step};
    use super::*;
    use crate::scene::Arrangement;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use std::collections::BTreeMap;

    fn hunted(suite: &mut SimulatedSuite, options: &HuntOptions) -> HuntReport {
        let (all, as_is) = (suite.tests.clone(), suite.as_is());
        hunt(&all, &as_is, options, suite, &mut |_| {})
    }

    /// The test, its class and the culprits in a line.
    fn line(verdict: &Verdict) -> String {
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
        let mut suite = SimulatedSuite::new(&[tests], 7);
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
            assert_eq!(verdicts(12, steps), wanted, "{steps:?}");
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
        let stranger = TestId {
            binary: "program0".to_owned(),
            name: "no_such_test".to_owned(),
        };
        let options = HuntOptions {
            given: vec![suite.tests[5].clone(), suite.tests[4].clone(), stranger],
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
    fn each_test_runs_alone_on_request() {
        // Each needs what another sets, and in the serial orders one always came before.
        let mut suite = with_steps(9, &[(0, &[SET]), (4, &[Step::FailUnless("a")]), (8, &[SET])]);
        let all = suite.tests.clone();
        let result = suite.run(&Scene {
            tests: all.clone(),
            arrangement: Arrangement::InOrder,
            load: 0,
            twice: false,
        });
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
                HuntEvent::Investigating { test, left } => format!("{} and {left} others", test.name),
                HuntEvent::Trying { test, scene } => {
                    format!(
                        "{} in {:?} with {}",
                        test.name,
                        scene.arrangement,
                        scene.tests.len() - 1
                    )
                }
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
        assert_eq!(untried[0].len(), 8 + 1, "{:?}", untried[0]);
        assert_eq!(
            untried[0][..2],
            ["the regime \"forward\"", "the regime \"reversed\""]
        );
        assert!(untried[1].contains(&"the regime \"parallel under load\"".to_owned()));
        assert!(
            untried[3].contains(&"the investigation of program0 test0009".to_owned()),
            "{:?}",
            untried[3]
        );
        assert_eq!(untried[4], Vec::<String>::new());
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

    /// Names of variables: those of processes, locks, and those on disk.
    const VARIABLES: [&str; 24] = [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t",
        "u", "v", "w", "x",
    ];
    const FILES: [&str; 6] = ["/a", "/b", "/c", "/d", "/e", "/f"];

    /// A test that may have a verdict: its classes, and the sets of culprits that are right.
    type Truth = BTreeMap<TestId, (Vec<&'static str>, Vec<Vec<TestId>>)>;

    /// Plants defects in a suite.
    struct Planting {
        suite: SimulatedSuite,
        truth: Truth,
        /// Tests without a defect, of each program, in random order.
        free: Vec<Vec<usize>>,
        variables: Vec<&'static str>,
        files: Vec<&'static str>,
    }

    impl Planting {
        fn new(programs: &[usize], seed: u64) -> Self {
            let mut suite = SimulatedSuite::new(programs, seed);
            let mut free = Vec::new();
            let mut from = 0;
            for tests in programs {
                let mut tests: Vec<usize> = (from..from + tests).collect();
                from += tests.len();
                suite.chance.shuffle(&mut tests);
                free.push(tests);
            }
            Self {
                suite,
                truth: Truth::new(),
                free,
                variables: VARIABLES.to_vec(),
                files: FILES.to_vec(),
            }
        }

        /// Gives tests of one program these steps, and returns them.
        fn plant(&mut self, steps: &[&[Step]]) -> Option<Vec<usize>> {
            let program = self.suite.chance.below(self.free.len());
            let free = &mut self.free[program];
            let tests = free.split_off(free.len().checked_sub(steps.len())?);
            for (test, steps) in tests.iter().zip(steps) {
                self.suite.steps[*test] = steps.to_vec();
            }
            Some(tests)
        }

        fn expect(&mut self, test: usize, classes: &[&'static str], culprits: &[&[usize]]) {
            let ids = |tests: &&[usize]| -> Vec<TestId> {
                tests.iter().map(|test| self.suite.tests[*test].clone()).collect()
            };
            let culprits = culprits.iter().map(ids).collect();
            self.truth
                .insert(self.suite.tests[test].clone(), (classes.to_vec(), culprits));
        }

        /// Plants one of the kinds of defects; `None` without room for it.
        fn defect(&mut self, kind: usize, has_suspects: bool) -> Option<()> {
            use Step::{Clear, Fail, FailBeside, FailIf, FailIfBoth, FailTwice, FailUnderLoad, FailUnless};
            use Step::{Lock, Set};
            let (a, b) = (self.variables.pop()?, self.variables.pop()?);
            let mut suspects: Vec<(usize, Vec<usize>)> = Vec::new();
            match kind {
                0 => {
                    let t = self.plant(&[&[Set(a)], &[FailIf(a)]])?;
                    self.expect(t[1], &["victim"], &[&[t[0]]]);
                    suspects.push((t[1], vec![t[0]]));
                }
                1 => {
                    let t = self.plant(&[&[Set(a)], &[FailUnless(a)]])?;
                    self.expect(t[1], &["brittle"], &[&[t[0]]]);
                    suspects.push((t[1], vec![t[0]]));
                }
                2 => {
                    let t = self.plant(&[&[], &[]])?;
                    self.suite.steps[t[1]] = vec![FailBeside(t[0], 0.5)];
                    self.expect(t[1], &["race"], &[&[t[0]]]);
                    suspects.push((t[1], vec![t[0]]));
                }
                3 => {
                    let rate = [0.05, 0.1, 0.2, 0.3, 0.5][self.suite.chance.below(5)];
                    let t = self.plant(&[&[Fail(rate)]])?;
                    let other = self.suite.chance.below(self.suite.tests.len());
                    self.expect(t[0], &["own"], &[&[]]);
                    suspects.push((t[0], vec![other]));
                }
                4 => {
                    let t = self.plant(&[&[FailUnderLoad(0.7)]])?;
                    self.expect(t[0], &["load"], &[&[]]);
                }
                5 => {
                    let file = self.files.pop()?;
                    let t = self.plant(&[&[FailIf(file), Set(file)]])?;
                    // Without the result of the first run, nobody sees that it passed.
                    let classes = ["leftover", "failing"];
                    let seen = if self.suite.noise > 0.0 { 2 } else { 1 };
                    self.expect(t[0], &classes[..seen], &[&[]]);
                }
                6 => {
                    let t = self.plant(&[&[FailTwice(0.6)]])?;
                    self.expect(t[0], &["two-runs"], &[&[]]);
                }
                7 => {
                    let t = self.plant(&[&[Fail(1.0)]])?;
                    self.expect(t[0], &["failing"], &[&[]]);
                }
                8 => {
                    let t = self.plant(&[&[Set(a)], &[Set(a)], &[FailIf(a)]])?;
                    self.expect(t[2], &["victim"], &[&[t[0]], &[t[1]]]);
                    suspects.push((t[2], vec![t[0], t[1]]));
                }
                9 => {
                    let t = self.plant(&[&[Set(a)], &[Set(b)], &[FailIfBoth(a, b)]])?;
                    // In the order of the scene.
                    self.expect(t[2], &["victim"], &[&[t[0], t[1]], &[t[1], t[0]]]);
                    suspects.push((t[2], vec![t[0], t[1]]));
                }
                10 => {
                    let t = self.plant(&[&[Set(a)], &[Clear(a)], &[FailIf(a)]])?;
                    self.expect(t[2], &["victim"], &[&[t[0]]]);
                    suspects.push((t[2], vec![t[1], t[0]]));
                }
                11 => {
                    let t = self.plant(&[&[Set(a)], &[FailIf(a), Set(b)], &[FailIf(b)]])?;
                    self.expect(t[1], &["victim"], &[&[t[0]]]);
                    self.expect(t[2], &["victim"], &[&[t[1]]]);
                    suspects.push((t[2], vec![t[1]]));
                }
                12 => {
                    let t = self.plant(&[&[Set(a)], &[Set(a)], &[FailUnless(a)]])?;
                    self.expect(t[2], &["brittle"], &[&[t[0]], &[t[1]]]);
                }
                13 => {
                    let t = self.plant(&[&[Set(b)], &[], &[Lock(a)], &[Lock(a)], &[Lock(a)]])?;
                    let firsts = [
                        ("failing", Fail(1.0)),
                        ("own", Fail(0.4)),
                        ("victim", FailIf(b)),
                        ("race", FailBeside(t[0], 0.6)),
                    ];
                    let (class, first) = firsts[self.suite.chance.below(4)].clone();
                    self.suite.steps[t[1]] = vec![Lock(a), first];
                    let has_culprit = matches!(class, "victim" | "race");
                    let by: &[usize] = if has_culprit { &t[..1] } else { &[] };
                    self.expect(t[1], &[class], &[by]);
                    for other in &t[2..] {
                        self.expect(*other, &["cascade"], &[&[t[1]]]);
                    }
                }
                _ => {
                    // A file of one program that another finds in every run but, perhaps, the first.
                    let file = self.files.pop()?;
                    let maker = self.plant(&[&[Set(file)]])?;
                    let finder = self.plant(&[&[FailIf(file)]])?;
                    self.expect(finder[0], &["leftover", "failing"], &[&[]]);
                    suspects.push((finder[0], maker));
                }
            }
            if has_suspects {
                for (test, suspects) in suspects {
                    self.suite.suspect(test, &suspects);
                }
            }
            Some(())
        }

        /// Holds the verdicts against the truth, and returns the number of tests with the right class.
        fn judge(&self, report: &HuntReport) -> usize {
            let mut right = 0;
            for verdict in &report.verdicts {
                let truth = self.truth.get(&verdict.test);
                let (classes, culprits) = truth.unwrap_or_else(|| panic!("{}: not planted", line(verdict)));
                if verdict.class.id() == "unexplained" {
                    continue;
                }
                assert!(
                    classes.contains(&verdict.class.id()),
                    "{}: {classes:?}",
                    line(verdict)
                );
                assert!(
                    culprits.contains(&verdict.culprits),
                    "{}: {culprits:?}",
                    line(verdict)
                );
                right += 1;
            }
            right
        }
    }

    #[test]
    fn a_test_that_fails_at_random_blames_others_in_one_of_a_thousand_hunts_at_most() {
        let mut wrong = Vec::new();
        for (at, rate) in [0.05, 0.1, 0.2, 0.3, 0.5, 0.7].into_iter().enumerate() {
            for seed in 0..500 {
                let mut suite = SimulatedSuite::new(&[10, 10], 1000 * at as u64 + seed);
                let test = suite.chance.below(20);
                suite.steps[test] = vec![Step::Fail(rate)];
                if seed % 2 == 0 {
                    suite.suspect(test, &[]);
                }
                let report = hunted(&mut suite, &HuntOptions::default());
                let blamed = report.verdicts.iter().filter(|verdict| {
                    !matches!(
                        verdict.class,
                        Class::Own | Class::Failing | Class::Unexplained { .. }
                    )
                });
                wrong.extend(blamed.map(|verdict| format!("{rate}: {}", line(verdict))));
            }
        }
        assert!(wrong.len() <= 3, "{wrong:?}");
    }

    #[test]
    fn each_planted_defect_that_showed_is_found() {
        let (mut right, mut all) = (0, 0);
        for kind in 0..KINDS {
            for seed in 0..20 {
                let mut planting = Planting::new(&[30, 40], seed);
                planting.defect(kind, seed % 2 == 0);
                let report = hunted(&mut planting.suite, &HuntOptions::default());
                right += planting.judge(&report);
                all += report.verdicts.len();
            }
        }
        assert!(all > 300 && right * 100 >= all * 98, "{right} of {all}");
    }

    const KINDS: usize = 15;
    const RACE: usize = 2;

    fn median(mut values: Vec<u32>) -> u32 {
        values.sort_unstable();
        values[values.len() / 2]
    }

    /// Plants one pair in 1,000 tests, 20 times, and returns the medians of the scenes for the verdict: of all, and of those
    /// with other tests. A race that happened in no regime is left out.
    fn planted_in_many(kind: usize, has_suspects: bool) -> [u32; 2] {
        let reruns = (0..).filter_map(|seed| {
            let mut planting = Planting::new(&[1000], seed);
            planting.defect(kind, has_suspects);
            let report = hunted(&mut planting.suite, &HuntOptions::default());
            if kind == RACE && report.verdicts.is_empty() {
                return None;
            }
            assert_eq!(planting.judge(&report), 1, "{kind} {seed}: {:?}", report.verdicts);
            let verdict = &report.verdicts[0];
            // The first runs alone are a regime.
            let with_others = verdict.reruns + regimes::SOLO_RUNS - verdict.without.runs;
            Some([verdict.reruns, with_others])
        });
        let reruns: Vec<[u32; 2]> = reruns.take(20).collect();
        [0, 1].map(|at| median(reruns.iter().map(|reruns| reruns[at]).collect()))
    }

    #[test]
    fn a_victim_or_a_brittle_test_among_a_thousand_is_found_in_few_runs() {
        for kind in [0, 1] {
            let [with_suspects, _] = planted_in_many(kind, true);
            assert!(with_suspects <= 3, "{kind}: {with_suspects}");
            let [without, _] = planted_in_many(kind, false);
            assert!(without <= 14, "{kind}: {without}");
        }
    }

    /// Half of the runs beside the culprit pass and show little: one run says 0.32 bits at most, and one of 1,000 tests is
    /// ten bits.
    #[test]
    fn a_race_among_a_thousand_is_found_by_its_rates() {
        let [_, with_suspects] = planted_in_many(RACE, true);
        assert!(with_suspects <= 15, "{with_suspects}");
        let [_, without] = planted_in_many(RACE, false);
        assert!(without <= 60, "{without}");
    }

    #[test]
    fn a_test_that_fails_by_itself_is_the_only_one_reported() {
        let (mut found, mut failed) = (0, 0);
        for seed in 0..50 {
            let mut planting = Planting::new(&[60, 40], seed);
            planting.defect(3, seed % 2 == 0);
            let report = hunted(&mut planting.suite, &HuntOptions::default());
            planting.judge(&report);
            let own = report
                .verdicts
                .iter()
                .filter(|verdict| verdict.class == Class::Own);
            found += own.filter(|verdict| verdict.without.runs >= 100).count();
            failed += report.verdicts.len();
            let stable = hunted(&mut SimulatedSuite::new(&[60, 40], seed), &HuntOptions::default());
            assert_eq!(stable.verdicts, []);
            assert_eq!(stable.untried, Vec::<String>::new());
        }
        assert!(found + 2 >= failed && failed > 30, "{found} of {failed}");
    }

    proptest! {
        // Of many thousand random suites, some let chance look like a cause: these are the same ones each time.
        #![proptest_config(ProptestConfig {
            cases: 400,
            rng_seed: RngSeed::Fixed(11),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn no_verdict_is_wrong(
            seed: u64,
            programs in prop::collection::vec(1_usize..60, 1..4),
            kinds in prop::collection::vec(0..KINDS, 0..5),
            has_suspects: bool,
            is_noisy: bool,
            budget in prop_oneof![3 => Just(usize::MAX), 1 => 0_usize..80],
        ) {
            let mut planting = Planting::new(&programs, seed);
            planting.suite.noise = if is_noisy { 0.02 } else { 0.0 };
            for kind in &kinds {
                planting.defect(*kind, has_suspects);
            }
            planting.suite.budget = budget;
            let options = HuntOptions { seed, ..HuntOptions::default() };
            let report = hunted(&mut planting.suite, &options);
            planting.judge(&report);
            prop_assert!(planting.suite.scenes.len() <= 12 + 700 * planting.truth.len());
            prop_assert!(report.untried.is_empty() || planting.suite.budget == 0, "{:?}", report.untried);
            let decided: BTreeSet<&TestId> = report.verdicts.iter().map(|verdict| &verdict.test).collect();
            prop_assert_eq!(decided.len(), report.verdicts.len());
            for failed in report.regimes.iter().flat_map(|regime| &regime.failed) {
                prop_assert!(decided.contains(failed), "{:?} is not mentioned", failed);
            }
        }
    }
}
