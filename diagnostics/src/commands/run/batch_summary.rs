//! The summary of a batch, gathered from its events.

use cofferdam_batch::executor::job::JobId;
use cofferdam_batch::executor::job_event::{AttemptOutcome, Event, Tally};
use cofferdam_batch::ledger::JobState;
use std::path::PathBuf;
use std::time::Duration;

/// The jobs of a session.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) tally: Tally,
    /// The jobs that had ended in the session that this one continues.
    pub(crate) carried: CarriedJobs,
    /// The number of submitted jobs that could not run.
    pub(crate) unusable: u64,
    pub(crate) duration: Duration,
    /// The first failed jobs, at most [`LISTED`](Self::LISTED).
    pub(crate) failed_jobs: Vec<FailedJob>,
    /// The folder of the jobs' logs.
    pub(crate) logs: PathBuf,
    /// For rounds of one command, a summary for each number of workers.
    pub(crate) rounds: Vec<RoundsSummary>,
    /// Processes that jobs detached and that still run, with their programs.
    pub(crate) detached: Vec<(u32, String)>,
}

/// The jobs that had ended in the session that this one continues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CarriedJobs {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
}

impl CarriedJobs {
    pub(crate) fn total(self) -> u64 {
        self.passed + self.failed + self.cancelled
    }

    /// Counts a job in this state; `false` if it had not ended.
    pub(super) fn count(&mut self, state: JobState) -> bool {
        match state {
            JobState::Completed => self.passed += 1,
            JobState::Failed => self.failed += 1,
            JobState::Cancelled => self.cancelled += 1,
            JobState::Pending | JobState::Running | JobState::Interrupted => return false,
        }
        true
    }
}

/// A job whose last attempt failed.
#[derive(Debug)]
pub(crate) struct FailedJob {
    pub(crate) job: JobId,
    pub(crate) name: String,
    pub(crate) attempts: u32,
    pub(crate) outcome: AttemptOutcome,
    pub(crate) log: Option<PathBuf>,
}

/// The rounds with one number of workers.
#[derive(Debug, Default)]
pub(crate) struct RoundsSummary {
    /// `None` if the command decides itself.
    pub(crate) workers: Option<u32>,
    pub(crate) group: Option<String>,
    pub(crate) jobs: Vec<JobId>,
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    /// The duration of all rounds together.
    pub(crate) duration: Duration,
    pub(crate) conflicts: u64,
}

impl RoundsSummary {
    pub(super) fn new(workers: Option<u32>, group: Option<String>) -> Self {
        Self {
            workers,
            group,
            ..Self::default()
        }
    }

    /// Returns the number of rounds that ran to their end.
    pub(crate) fn finished(&self) -> u64 {
        self.passed + self.failed
    }
}

impl Batch {
    /// The highest number of failed jobs that are listed.
    pub(crate) const LISTED: usize = 20;

    pub(super) fn observe(&mut self, event: &Event) {
        match event {
            Event::Ended {
                job,
                name,
                group,
                attempt,
                outcome,
                duration,
                log,
                retry: false,
                ..
            } => {
                if let Some(rounds) = self.rounds.iter_mut().find(|rounds| rounds.group == *group) {
                    rounds.jobs.push(*job);
                    rounds.duration += *duration;
                    match outcome {
                        AttemptOutcome::Passed => rounds.passed += 1,
                        AttemptOutcome::Cancelled => rounds.cancelled += 1,
                        _ => rounds.failed += 1,
                    }
                }
                if outcome.failed() && self.failed_jobs.len() < Self::LISTED {
                    self.failed_jobs.push(FailedJob {
                        job: *job,
                        name: name.clone(),
                        attempts: *attempt,
                        outcome: outcome.clone(),
                        log: log.clone(),
                    });
                }
            }
            Event::Dropped { group, .. } => {
                if let Some(rounds) = self.rounds.iter_mut().find(|rounds| rounds.group == *group) {
                    rounds.cancelled += 1;
                }
            }
            Event::Detached { pid, name } => self.detached.push((*pid, name.clone())),
            _ => {}
        }
    }

    /// Returns the number of all jobs.
    pub(crate) fn total(&self) -> u64 {
        self.passed() + self.failed() + self.cancelled()
    }

    pub(crate) fn passed(&self) -> u64 {
        self.tally.passed + self.carried.passed
    }

    pub(crate) fn failed(&self) -> u64 {
        self.tally.failed + self.carried.failed + self.unusable
    }

    pub(crate) fn cancelled(&self) -> u64 {
        self.tally.cancelled + self.carried.cancelled
    }

    pub(super) fn has_passed(&self) -> bool {
        self.failed() + self.cancelled() == 0 && self.tally.stopped.is_none()
    }
}
