//! The command repeated as it is: the only way in which documentation tests run again.

use crate::commands::run_observed;
use crate::exit_code::Ended;
use crate::hunt::{Class, Verdict};
use crate::observe::launch::LaunchSettings;
use crate::observe::{DOCTEST, ObservationResult, ObservedCommand, ReportedOutcome, SuitePrograms};
use crate::rates::FailureRate;
use crate::scene::{Arrangement, Scene, TestId};
use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::path::Path;

/// The number of runs after the first.
const RUNS: u32 = 3;

/// The runs of the command as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct RepeatedCommand {
    /// The runs of the command, and those in which it failed.
    pub(crate) rate: FailureRate,
    /// The documentation tests that are known by name.
    doc_tests: BTreeMap<TestId, FailureRate>,
}

impl RepeatedCommand {
    /// Enters a run.
    pub(super) fn add(&mut self, ended: Ended, command: &ObservedCommand, observed: &ObservationResult) {
        self.rate.add(matches!(ended, Ended::Failed { .. }));
        let results = observed.results.iter();
        for result in results.filter(|result| SuitePrograms::is_doctest(&result.binary)) {
            let dir = command.started_dir(result.pid).unwrap_or_default();
            let package = dir
                .file_name()
                .map(|name| name.to_string_lossy().replace(' ', "_"));
            let test = TestId {
                binary: format!("{}::doc", package.unwrap_or_default()),
                name: result.name.clone(),
            };
            let has_failed = match result.outcome {
                ReportedOutcome::Passed => false,
                ReportedOutcome::Failed => true,
                ReportedOutcome::Ignored | ReportedOutcome::Unknown => continue,
            };
            self.doc_tests.entry(test).or_default().add(has_failed);
        }
    }

    /// Returns whether more runs could show something: a documentation test failed or could have, or nothing else is known.
    pub(super) fn is_needed(&self, suite: &SuitePrograms, knows_failure: bool) -> bool {
        let has_doctests = suite.left_out.iter().any(|(_, why)| *why == DOCTEST);
        let is_unexplained = self.rate.failed > 0 && !knows_failure;
        has_doctests && (is_unexplained || self.failures().next().is_some() || suite.programs.is_empty())
    }

    /// Runs the command again, as long as `has_time`, and until a signal ends it.
    pub(super) fn run(
        &mut self,
        command: &[OsString],
        dir: &Path,
        base: &Path,
        has_time: &dyn Fn() -> bool,
    ) -> Result<(), Box<dyn Error>> {
        let settings = LaunchSettings {
            call_stacks: false,
            thread_names: true,
            reruns: false,
            only_starts: false,
        };
        for _ in 0..RUNS {
            if !has_time() {
                break;
            }
            let observed_command = ObservedCommand::begin(dir, settings)?;
            let ended = run_observed(&observed_command, command, base)?;
            if matches!(ended, Ended::Failed { signal: Some(_), .. }) {
                break;
            }
            let observed = observed_command.end("again", base, false);
            self.add(ended, &observed_command, &observed);
        }
        Ok(())
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

    /// Returns a verdict for each documentation test that failed: what makes it fail cannot be tried.
    pub(super) fn verdicts(&self) -> impl Iterator<Item = Verdict> {
        self.failures().map(|(test, rate)| Verdict {
            test: test.clone(),
            class: Class::Unexplained {
                why: DOCTEST.to_owned(),
            },
            culprits: Vec::new(),
            with: *rate,
            without: FailureRate::default(),
            scene: Scene {
                tests: Vec::new(),
                arrangement: Arrangement::Parallel,
                load: 0,
                twice: false,
                empty_temp: false,
            },
            reruns: self.rate.runs - 1,
            paused: None,
        })
    }
}
