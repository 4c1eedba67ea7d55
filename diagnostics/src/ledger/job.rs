//! Jobs of a session: queued, started, finished.

use super::session::words;
use super::{Admitted, LedgerError};
use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use std::path::PathBuf;

/// The number of a job in its session: 1, 2, …, without a gap.
pub(crate) type JobNumber = u32;

/// A job before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NewJob<'a> {
    /// What the user calls it. Nothing else of its command is written down.
    pub(crate) name: &'a str,
    /// The group that it counts for, if it has one.
    pub(crate) group: Option<&'a str>,
}

/// How far a job is, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum JobState {
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
    /// Its session's owner died before the end was known.
    Interrupted,
}

words!(JobState {
    Pending "pending" Running "running" Completed "completed" Failed "failed" Cancelled "cancelled"
    Interrupted "interrupted"
});

/// How an attempt at a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobEnd {
    pub(crate) job: JobNumber,
    /// 1, or more for a retry.
    pub(crate) attempt: u32,
    /// `Completed`, `Failed` or `Cancelled`.
    pub(crate) state: JobState,
    /// Another attempt follows: the job is pending again.
    pub(crate) retried: bool,
    pub(crate) exit_code: Option<i32>,
    pub(crate) signal: Option<i32>,
    /// What ended it, if that was not the command itself: `timeout`, `memory`, `could not start`, …
    pub(crate) reason: Option<String>,
    /// Microseconds since 1970.
    pub(crate) started: u64,
    /// Microseconds since 1970.
    pub(crate) ended: u64,
    /// The most memory that its processes had at once, in bytes, if that was looked at.
    pub(crate) memory: Option<u64>,
    /// Where its output is; stored relative to the base folder if it is below.
    pub(crate) log: Option<PathBuf>,
}

impl Admitted {
    /// Adds jobs, all `pending`, and returns the number of the first; the others follow it one by one. Costs some
    /// microseconds a job: add them in one call.
    ///
    /// Numbers are given also when the ledger fails, for the session goes on.
    ///
    /// # Errors
    /// Of these and the other errors of recording, one is returned in a session's life: tell it as a warning and go
    /// on. From then on nothing is recorded, and everything returns as if it were.
    pub(crate) fn add_jobs(&mut self, jobs: &[NewJob<'_>]) -> (JobNumber, Result<(), LedgerError>) {
        todo!()
    }

    /// An attempt at a job begins, at `at` microseconds since 1970.
    ///
    /// # Errors
    /// As [`add_jobs`](Self::add_jobs).
    pub(crate) fn job_started(&mut self, job: JobNumber, attempt: u32, at: u64) -> Result<(), LedgerError> {
        todo!()
    }

    /// An attempt at a job is over.
    ///
    /// # Errors
    /// As [`add_jobs`](Self::add_jobs).
    pub(crate) fn job_finished(&mut self, end: &JobEnd) -> Result<(), LedgerError> {
        todo!()
    }
}
