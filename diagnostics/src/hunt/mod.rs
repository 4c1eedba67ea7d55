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
pub(crate) use verdict::{Class, Verdict, grouped};

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
    use super::simulated_suite::{Chance, SimulatedSuite, Step};
    use super::*;
    use crate::scene::Arrangement;
    use proptest::prelude::*;

    fn hunted(suite: &mut SimulatedSuite, options: &HuntOptions) -> HuntReport {
        let (all, as_is) = (suite.tests.clone(), suite.as_is());
        hunt(&all, &as_is, options, suite, &mut |_| {})
    }

    /// Each verdict in a line: the test, its class, the culprits.
    fn lines(report: &HuntReport) -> Vec<String> {
        let line = |verdict: &Verdict| {
            let culprits: Vec<&str> = verdict.culprits.iter().map(|test| test.name.as_str()).collect();
            let line = [
                verdict.test.name.as_str(),
                verdict.class.id(),
                &culprits.join("+"),
            ]
            .join(" ");
            line.trim_end().to_owned()
        };
        let mut lines: Vec<String> = report.verdicts.iter().map(line).collect();
        lines.sort();
        lines
    }

    /// The verdicts on a suite in which some tests of one program have these steps.
    fn verdicts(tests: usize, steps: &[(usize, &[Step])]) -> Vec<String> {
        let mut suite = SimulatedSuite::new(&[tests], 7);
        for (test, steps) in steps {
            suite.steps[*test] = steps.to_vec();
        }
        lines(&hunted(&mut suite, &HuntOptions::default()))
    }

    const SET: Step = Step::Set("a");
    const FAIL_IF: Step = Step::FailIf("a");

    #[test]
    fn each_class_is_found_with_its_culprits() {
        let locked = [Step::Lock("l")];
        for (steps, wanted) in [
            (
                &[(3, &[SET][..]), (7, &[FAIL_IF][..])][..],
                &["test0007 victim test0003"][..],
            ),
            (&[(7, &[SET]), (3, &[FAIL_IF])], &["test0003 victim test0007"]),
            (
                &[(3, &[SET]), (7, &[Step::FailUnless("a")])],
                &["test0007 brittle test0003"],
            ),
            (&[(3, &[Step::FailBeside(5, 0.6)])], &["test0003 race test0005"]),
            (&[(3, &[Step::Fail(0.3)])], &["test0003 own"]),
            (&[(3, &[Step::FailUnderLoad(0.9)])], &["test0003 load"]),
            (
                &[(3, &[Step::FailIf("/a"), Step::Set("/a")])],
                &["test0003 leftover"],
            ),
            (&[(3, &[Step::FailTwice(0.9)])], &["test0003 two-runs"]),
            (&[(3, &[Step::Fail(1.0)])], &["test0003 failing"]),
            (
                &[
                    (3, &[Step::Lock("l"), Step::Fail(1.0)]),
                    (5, &locked),
                    (8, &locked),
                ],
                &[
                    "test0003 failing",
                    "test0005 cascade test0003",
                    "test0008 cascade test0003",
                ],
            ),
            // The first failure is a victim.
            (
                &[
                    (1, &[SET]),
                    (3, &[Step::Lock("l"), FAIL_IF]),
                    (5, &locked),
                    (8, &locked),
                ],
                &[
                    "test0003 victim test0001",
                    "test0005 cascade test0003",
                    "test0008 cascade test0003",
                ],
            ),
            // It fails now and then.
            (
                &[(3, &[Step::Lock("l"), Step::Fail(0.4)]), (5, &locked)],
                &["test0003 own", "test0005 cascade test0003"],
            ),
        ] {
            assert_eq!(verdicts(12, steps), wanted, "{steps:?}");
        }
    }
}
