//! Repeats a scene with the pauses that brought out its failure.

use super::pauses::Pauses;
use super::rerun::{Rerunner, Runnable, TestOutcome, held_at_once};
use crate::findings::PausedAt;
use crate::observe::interruption::Interruption;
use crate::observe::launch::Launch;
use crate::observe::suite_programs::SuitePrograms;
use crate::scene::{Outcome, TestId};
use cofferdam::Resource;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Runs tests of a suite at the same time, as far as its runner allows that, with pauses.
pub(crate) struct PausedRuns<'a> {
    rerunner: Rerunner<'a>,
    suite: &'a SuitePrograms,
}

impl<'a> PausedRuns<'a> {
    /// Runs may begin within the budget.
    pub(crate) fn new(
        launch: &'a Launch,
        suite: &'a SuitePrograms,
        interruption: &'a Interruption,
        budget: Duration,
    ) -> Self {
        let rerunner = Rerunner::new(launch, interruption);
        rerunner.allow(budget);
        Self { rerunner, suite }
    }

    /// Runs the tests and returns the outcome of one of them: unknown if they could not be started or did not end. Returns
    /// `None` if the time was over, or it was interrupted.
    pub(crate) fn run(&self, tests: &[TestId], judged: &TestId, paused: &PausedAt) -> Option<Outcome> {
        let pauses = Pauses {
            first: paused.first,
            others: paused.others,
            ..Pauses::USUAL
        };
        let outcomes = self.outcomes(tests, &paused.resources, Some(pauses), Duration::ZERO)?;
        let position = tests.iter().position(|test| test == judged)?;
        let of_judged = outcomes.ok().and_then(|outcomes| outcomes.get(position).copied());
        Some(of_judged.unwrap_or(Outcome::Unknown))
    }

    /// Runs the tests in parallel, with pauses at as many of the resources as the observer has room for. `alone` is the
    /// sum of their durations. Returns their outcomes in the same order, or `None` if the time was over or it was interrupted.
    ///
    /// # Errors
    ///
    /// The tests could not be started, or a process was lost.
    pub(crate) fn run_together(
        &self,
        tests: &[TestId],
        resources: &[&Resource],
        alone: Duration,
    ) -> Option<io::Result<Vec<Outcome>>> {
        let held: Vec<Resource> = resources[..held_at_once(resources)]
            .iter()
            .copied()
            .cloned()
            .collect();
        let pauses = (!held.is_empty()).then_some(Pauses::USUAL);
        self.outcomes(tests, &held, pauses, alone)
    }

    fn outcomes(
        &self,
        tests: &[TestId],
        resources: &[Resource],
        pauses: Option<Pauses>,
        alone: Duration,
    ) -> Option<io::Result<Vec<Outcome>>> {
        let runnables = match self.runnables(tests)? {
            Ok(runnables) => runnables,
            Err(error) => return Some(Err(error)),
        };
        let all: Vec<&Runnable> = runnables.iter().collect();
        // nextest runs the tests of such a group one after the other.
        let group = tests.first().and_then(|test| self.suite.test_group(test));
        let at_once = match group {
            Some(_) if tests.iter().all(|test| self.suite.test_group(test) == group) => 1,
            _ => tests.len(),
        };
        let mut outcomes = Vec::new();
        for some in all.chunks(at_once.max(1)) {
            match self.rerunner.run(some, resources, pauses, alone) {
                Ok(result) => outcomes.extend(result.outcomes),
                Err(error) => return Some(Err(error)),
            }
        }
        self.known(outcomes)
    }

    /// Returns the outcomes, or `None` if a test was stopped because the time was over.
    fn known(&self, outcomes: Vec<TestOutcome>) -> Option<io::Result<Vec<Outcome>>> {
        if outcomes.contains(&TestOutcome::Stopped) && self.rerunner.is_over() {
            return None;
        }
        let outcome = |outcome| match outcome {
            TestOutcome::Passed => Outcome::Passed,
            TestOutcome::Failed => Outcome::Failed,
            TestOutcome::Stopped => Outcome::Unknown,
        };
        Some(Ok(outcomes.into_iter().map(outcome).collect()))
    }

    /// Returns what starts the tests, or `None` if the time is over.
    fn runnables(&self, tests: &[TestId]) -> Option<io::Result<Vec<Runnable>>> {
        let all = || {
            tests
                .iter()
                .map(|test| self.runnable(test))
                .collect::<Option<_>>()
        };
        (!self.rerunner.is_over()).then(|| all().ok_or_else(|| io::ErrorKind::NotFound.into()))
    }

    fn runnable(&self, test: &TestId) -> Option<Runnable> {
        let program = self.suite.program(&test.binary)?;
        Some(Runnable {
            name: test.name.clone(),
            binary: test.binary.clone(),
            started: Arc::clone(program.started(&test.name)?),
            own_process: program.has_own_processes(),
        })
    }
}
