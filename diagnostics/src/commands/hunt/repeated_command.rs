//! The command repeated as it is, and with one thread: the only ways in which documentation tests run again.

use super::budgeted_scenes::is;
use crate::commands::run_observed_within;
use crate::exit_code::Ended;
use crate::findings::ReportedOutcome;
use crate::hunt::{Class, Verdict, is_higher};
use crate::observe::launch::LaunchSettings;
use crate::observe::{DOCTEST, ObservationResult, ObservedCommand, SuitePrograms};
use crate::rates::FailureRate;
use crate::scene::{Arrangement, Scene, TestId};
use cofferdam_conflicts::Conflict;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// The number of runs after the first.
const RUNS: u32 = 3;
/// The number of further runs, at most, of each kind: one test after the other, and as it is.
const FURTHER_RUNS: usize = 12;
/// Makes rustdoc and libtest run one test after the other.
const IN_TURN: &[(&str, &str)] = &[("RUST_TEST_THREADS", "1")];

/// The runs of the command as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct RepeatedCommand {
    /// The runs of the command, and those in which it failed.
    pub(crate) rate: FailureRate,
    /// The documentation tests that are known by name.
    doc_tests: BTreeMap<TestId, FailureRate>,
    /// The documentation tests that failed, by run: as the command is, and one after the other.
    failed: Vec<BTreeSet<TestId>>,
    failed_in_turn: Vec<BTreeSet<TestId>>,
}

impl RepeatedCommand {
    /// Enters a run.
    pub(super) fn add(&mut self, ended: Ended, command: &ObservedCommand, observed: &ObservationResult) {
        self.rate.add(matches!(ended, Ended::Failed { .. }));
        let mut all_failed = BTreeSet::new();
        for (test, has_failed) in outcomes(command, observed) {
            self.doc_tests.entry(test.clone()).or_default().add(has_failed);
            all_failed.extend(has_failed.then_some(test));
        }
        self.failed.push(all_failed);
    }

    /// Returns whether more runs could show something: a documentation test failed or could have, or nothing else is known.
    pub(super) fn is_needed(&self, suite: &SuitePrograms, knows_failure: bool) -> bool {
        let has_doctests = suite.left_out.iter().any(|(_, why)| *why == DOCTEST);
        let is_unexplained = self.rate.failed > 0 && !knows_failure;
        has_doctests && (is_unexplained || self.failures().next().is_some() || suite.programs.is_empty())
    }

    /// Runs the command again, as long as there is `time_left`, and until a signal or the time ends it. If documentation tests
    /// fail that share a resource, it also runs with one test after the other.
    pub(super) fn run(
        &mut self,
        command: &[OsString],
        dir: &Path,
        base: &Path,
        conflicts: &[Conflict],
        time_left: &dyn Fn() -> Option<Duration>,
    ) -> Result<(), Box<dyn Error>> {
        for _ in 0..RUNS {
            let Some(limit) = time_left() else {
                return Ok(());
            };
            if !self.run_once(false, limit, command, dir, base)? {
                return Ok(());
            }
        }
        for _ in 0..FURTHER_RUNS {
            for in_turn in [true, false] {
                let Some(limit) = time_left().filter(|_| self.has_open_question(conflicts)) else {
                    return Ok(());
                };
                if !self.run_once(in_turn, limit, command, dir, base)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Runs the command; returns whether no signal ended it, and it took no longer than the limit.
    fn run_once(
        &mut self,
        in_turn: bool,
        limit: Duration,
        command: &[OsString],
        dir: &Path,
        base: &Path,
    ) -> Result<bool, Box<dyn Error>> {
        let settings = LaunchSettings {
            call_stacks: false,
            thread_names: true,
            reruns: false,
            statics: false,
            only_starts: false,
        };
        let observed_command = ObservedCommand::begin(dir, settings)?;
        let more = if in_turn { IN_TURN } else { &[] };
        let ended = run_observed_within(limit, more, &observed_command, command, base)?;
        let Some(ended) = ended.filter(|ended| !matches!(ended, Ended::Failed { signal: Some(_), .. }))
        else {
            return Ok(false);
        };
        let observed = observed_command.end("again", base, false);
        if in_turn {
            let failed = outcomes(&observed_command, &observed).filter(|(_, failed)| *failed);
            self.failed_in_turn.push(failed.map(|(test, _)| test).collect());
        } else {
            self.add(ended, &observed_command, &observed);
        }
        Ok(true)
    }

    /// Returns whether documentation tests that share a resource failed, and it is not shown yet that they did because they ran
    /// at the same time.
    fn has_open_question(&self, conflicts: &[Conflict]) -> bool {
        let mut failures = self.failures();
        failures.any(|(test, _)| {
            let users = doc_users(test, conflicts);
            !users.is_empty() && !self.is_race(test, &users)
        })
    }

    fn is_race(&self, test: &TestId, users: &[TestId]) -> bool {
        let [beside, in_turn] = self.rates(test, users);
        in_turn.failed == 0 && is_higher(beside, in_turn, 1)
    }

    /// Returns how often one of these tests failed: as the command is, and one after the other.
    fn rates(&self, test: &TestId, users: &[TestId]) -> [FailureRate; 2] {
        [&self.failed, &self.failed_in_turn].map(|runs| {
            let mut rate = FailureRate::default();
            for failed in runs {
                rate.add(failed.contains(test) || users.iter().any(|user| failed.contains(user)));
            }
            rate
        })
    }

    /// Returns the number of documentation tests that were examined, and are known by name.
    pub(super) fn doc_tests(&self) -> usize {
        if self.rate.runs > 1 {
            self.doc_tests.len()
        } else {
            0
        }
    }

    fn failures(&self) -> impl Iterator<Item = (&TestId, &FailureRate)> {
        self.doc_tests.iter().filter(|(_, rate)| rate.failed > 0)
    }

    /// Returns a verdict for each documentation test that failed. `conflicts` have been [named](name_doc_tests).
    pub(super) fn verdicts(&self, conflicts: &[Conflict]) -> impl Iterator<Item = Verdict> {
        self.failures().map(|(test, rate)| {
            let users = doc_users(test, conflicts);
            let class = if self.is_race(test, &users) {
                Class::Race
            } else {
                Class::Unexplained {
                    why: DOCTEST.to_owned(),
                }
            };
            let [with, without] = match class {
                Class::Race => self.rates(test, &users),
                _ => [*rate, FailureRate::default()],
            };
            Verdict {
                test: test.clone(),
                culprits: if class == Class::Race { users } else { Vec::new() },
                class,
                with,
                without,
                scene: Scene::of(Vec::new(), Arrangement::Parallel),
                reruns: self.rate.runs - 1,
                paused: None,
            }
        })
    }
}

/// Returns the outcomes of the documentation tests in a run.
fn outcomes(command: &ObservedCommand, observed: &ObservationResult) -> impl Iterator<Item = (TestId, bool)> {
    let results = observed.results.iter();
    let results = results.filter(|result| SuitePrograms::is_doctest(&result.binary));
    results.filter_map(|result| {
        let has_failed = match result.outcome {
            ReportedOutcome::Passed => false,
            ReportedOutcome::Failed => true,
            ReportedOutcome::Ignored | ReportedOutcome::Unknown => return None,
        };
        let test = TestId {
            binary: doc_program(&command.started_dir(result.pid).unwrap_or_default()),
            name: result.name.clone(),
        };
        Some((test, has_failed))
    })
}

/// Returns the name of a package's documentation tests as a program.
fn doc_program(package: &Path) -> String {
    let name = package.file_name().unwrap_or_default();
    format!("{}::doc", name.to_string_lossy().replace(' ', "_"))
}

/// Gives documentation tests in conflicts the names that they have here.
pub(super) fn name_doc_tests(conflicts: &mut [Conflict]) {
    for test in conflicts.iter_mut().flat_map(|conflict| &mut conflict.tests) {
        if SuitePrograms::is_doctest(&test.binary) {
            test.binary = doc_program(Path::new(&test.package));
        }
    }
}

/// Returns the other documentation tests that share a resource with this one, where one of the two changes it.
fn doc_users(test: &TestId, conflicts: &[Conflict]) -> Vec<TestId> {
    let mut users = Vec::new();
    for conflict in conflicts {
        let Some(own) = conflict.tests.iter().find(|one| is(one, test)) else {
            continue;
        };
        for other in &conflict.tests {
            let user = TestId {
                binary: other.binary.clone(),
                name: other.name().to_owned(),
            };
            let interferes = own.writes() || other.writes();
            if interferes && user != *test && user.binary == test.binary && !users.contains(&user) {
                users.push(user);
            }
        }
    }
    users
}
