//! What several jobs came to, gathered from their events.

use super::job_source::Carried;
use cofferdam_batch::executor::event::{Ending, Event, Tally};
use cofferdam_batch::executor::job::JobId;
use std::path::PathBuf;
use std::time::Duration;

/// The jobs of a session.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) tally: Tally,
    /// What the session had done that this one goes on with.
    pub(crate) carried: Carried,
    /// Jobs that were submitted and could not be run.
    pub(crate) unusable: u64,
    pub(crate) took: Duration,
    /// The first that failed.
    pub(crate) failed: Vec<FailedJob>,
    /// Where the output of jobs is.
    pub(crate) logs: PathBuf,
    /// For rounds of one command: one for each number of workers.
    pub(crate) rows: Vec<Row>,
    /// Processes that detached themselves from their jobs and still run: their numbers and programs.
    pub(crate) left: Vec<(u32, String)>,
}

/// A job that failed for good.
#[derive(Debug)]
pub(crate) struct FailedJob {
    pub(crate) job: JobId,
    pub(crate) name: String,
    pub(crate) attempts: u32,
    pub(crate) ending: Ending,
    pub(crate) log: Option<PathBuf>,
}

/// Rounds under one number of workers.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// `None` where the command decided.
    pub(crate) workers: Option<u32>,
    pub(crate) group: Option<String>,
    pub(crate) jobs: Vec<JobId>,
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    /// All rounds together.
    pub(crate) took: Duration,
    pub(crate) conflicts: u64,
}

impl Row {
    pub(super) fn new(workers: Option<u32>, group: Option<String>) -> Self {
        Self {
            workers,
            group,
            ..Self::default()
        }
    }

    /// Rounds that were not stopped.
    pub(crate) fn rounds(&self) -> u64 {
        self.passed + self.failed
    }
}

impl Batch {
    /// So many failed jobs are listed.
    pub(crate) const LISTED: usize = 20;

    pub(super) fn see(&mut self, event: &Event) {
        match event {
            Event::Ended {
                job,
                name,
                group,
                attempt,
                ending,
                took,
                log,
                again: false,
                ..
            } => {
                if let Some(row) = self.rows.iter_mut().find(|row| row.group == *group) {
                    row.jobs.push(*job);
                    row.took += *took;
                    match ending {
                        Ending::Passed => row.passed += 1,
                        Ending::Cancelled => row.cancelled += 1,
                        _ => row.failed += 1,
                    }
                }
                let is_failure = !matches!(ending, Ending::Passed | Ending::Cancelled);
                if is_failure && self.failed.len() < Self::LISTED {
                    self.failed.push(FailedJob {
                        job: *job,
                        name: name.clone(),
                        attempts: *attempt,
                        ending: ending.clone(),
                        log: log.clone(),
                    });
                }
            }
            Event::Dropped { group, .. } => {
                if let Some(row) = self.rows.iter_mut().find(|row| row.group == *group) {
                    row.cancelled += 1;
                }
            }
            Event::Left { pid, name } => self.left.push((*pid, name.clone())),
            _ => {}
        }
    }

    /// All jobs that were to be run.
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
