//! Repeats a scene with the pauses that brought out its failure.

use super::pauses::Pauses;
use super::rerun::{Rerunner, Runnable, TestOutcome};
use crate::findings::PausedAt;
use crate::observe::interruption::Interruption;
use crate::observe::launch::Launch;
use crate::observe::suite_programs::SuitePrograms;
use crate::scene::{Outcome, TestId};
use std::sync::Arc;
use std::time::Duration;

/// Runs tests of a suite at one time, as far as its runner allows that, with pauses.
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
        if self.rerunner.is_over() {
            return None;
        }
        let runnables: Option<Vec<Runnable>> = tests.iter().map(|test| self.runnable(test)).collect();
        let Some(runnables) = runnables else {
            return Some(Outcome::Unknown);
        };
        let pauses = Pauses {
            first: paused.first,
            others: paused.others,
            ..Pauses::USUAL
        };
        let all: Vec<&Runnable> = runnables.iter().collect();
        // nextest runs the tests of such a group one after the other.
        let group = self.suite.test_group(judged);
        let at_once = match group {
            Some(_) if tests.iter().all(|test| self.suite.test_group(test) == group) => 1,
            _ => tests.len(),
        };
        let mut outcomes = Vec::new();
        if let Some((within, resource)) = paused.within.as_ref().zip(paused.resources.first()) {
            let mut order = all.clone();
            order.sort_by_key(|runnable| runnable.id() != within.held);
            let run = self
                .rerunner
                .run_within(&order, resource.as_str(), within.skipped, Duration::ZERO);
            let by_order = run.unwrap_or_default().outcomes;
            let of = |runnable: &&Runnable| {
                let position = order.iter().position(|other| other.id() == runnable.id())?;
                by_order.get(position).copied()
            };
            outcomes.extend(all.iter().filter_map(of));
        }
        let usual = if paused.within.is_some() { &[] } else { &all[..] };
        for some in usual.chunks(at_once) {
            let run = self
                .rerunner
                .run(some, &paused.resources, Some(pauses), Duration::ZERO);
            outcomes.extend(run.map(|result| result.outcomes).unwrap_or_default());
        }
        let position = tests.iter().position(|test| test == judged)?;
        Some(match outcomes.get(position) {
            Some(TestOutcome::Passed) => Outcome::Passed,
            Some(TestOutcome::Failed) => Outcome::Failed,
            Some(TestOutcome::Stopped) if self.rerunner.is_over() => return None,
            Some(TestOutcome::Stopped) | None => Outcome::Unknown,
        })
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
