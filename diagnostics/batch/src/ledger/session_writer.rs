//! Jobs of a session: queued, started, finished.

use super::session::words;
use super::{Admitted, Ledger, LedgerError, SessionId};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{ToSql, Transaction, params};
use std::path::{Path, PathBuf};

/// The number of a job in its session: 1, 2, …, without a gap.
pub type JobNumber = u64;

/// A job before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewJob<'a> {
    /// What the user calls it.
    pub name: &'a str,
    /// What it runs, without anything that may be secret.
    pub command: &'a str,
    /// The group that it counts for, if it has one.
    pub group: Option<&'a str>,
}

/// How far a job is, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobState {
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
pub struct JobEnd {
    pub job: JobNumber,
    /// 1, or more for a retry.
    pub attempt: u32,
    /// `Completed`, `Failed` or `Cancelled`.
    pub state: JobState,
    /// Another attempt follows: the job is pending again.
    pub retried: bool,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    /// What ended it, if that was not the command itself: `timeout`, `memory`, `could not start`, …
    pub reason: Option<String>,
    /// Microseconds since 1970.
    pub started: u64,
    /// Microseconds since 1970.
    pub ended: u64,
    /// The most memory that its processes had at once, in bytes, if that was looked at.
    pub memory: Option<u64>,
    /// Where its output is; stored relative to the base folder if it is below.
    pub log: Option<PathBuf>,
}

impl Admitted {
    /// Adds jobs, all `pending`, and returns the number of the first; the others follow it one by one. Costs some
    /// microseconds a job: add them in one call, which is one transaction.
    ///
    /// Numbers are given also when the ledger fails, for the session goes on.
    ///
    /// # Errors
    /// Of these and the other errors of recording, one is returned in a session's life: tell it as a warning and go
    /// on. From then on nothing is recorded, and everything returns as if it were.
    pub fn add_jobs(&mut self, jobs: &[NewJob<'_>]) -> (JobNumber, Result<(), LedgerError>) {
        let mut first = self.last_job.max(self.last_taken) + 1;
        let id = self.id;
        let added = self.record(|ledger| {
            first = ledger.change(|change| {
                // Others submit jobs meanwhile, and have their numbers.
                let first = next_number(change, id)?;
                for (number, job) in (first..).zip(jobs) {
                    insert(change, id, number, job, None)?;
                }
                change
                    .prepare_cached(
                        "UPDATE sessions SET status = 'running' WHERE id = ? AND status = 'pending'",
                    )?
                    .execute([id])?;
                Ok(first)
            })?;
            Ok(())
        });
        let number = JobNumber::try_from(jobs.len()).unwrap_or(JobNumber::MAX);
        self.last_job = first.saturating_add(number) - 1;
        (first, added)
    }

    /// An attempt at a job begins, at `at` microseconds since 1970.
    ///
    /// # Errors
    /// As [`add_jobs`](Self::add_jobs).
    pub fn job_started(&mut self, job: JobNumber, attempt: u32, at: u64) -> Result<(), LedgerError> {
        let id = self.id;
        self.record(|ledger| {
            ledger.change(|change| {
                change
                    .prepare_cached(
                        "INSERT INTO attempts (session, job, number, state, started) VALUES (?, ?, ?, 'running', ?)",
                    )?
                    .execute(params![id, job, attempt, at])?;
                set_state(change, id, job, JobState::Running)
            })
        })
    }

    /// An attempt at a job is over, whether [`job_started`](Self::job_started) was told of it or not. Costs 0.05 ms.
    ///
    /// # Errors
    /// As [`add_jobs`](Self::add_jobs).
    pub fn job_finished(&mut self, end: &JobEnd) -> Result<(), LedgerError> {
        let id = self.id;
        let state = if end.retried { JobState::Pending } else { end.state };
        let told = self.record(|ledger| {
            let log = end.log.as_deref().map(|log| below(&ledger.base, log));
            ledger.change(|change| {
                change
                    .prepare_cached(
                        "INSERT INTO attempts
                             (session, job, number, state, exit_code, signal, reason, started, ended, memory, log)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                         ON CONFLICT DO UPDATE SET
                             state = ?4, exit_code = ?5, signal = ?6, reason = ?7, started = ?8, ended = ?9,
                             memory = ?10, log = ?11",
                    )?
                    .execute(params![
                        id,
                        end.job,
                        end.attempt,
                        end.state,
                        end.exit_code,
                        end.signal,
                        end.reason,
                        end.started,
                        end.ended,
                        end.memory,
                        log,
                    ])?;
                set_state(change, id, end.job, state)
            })
        });
        if !end.retried
            && let Some(spec) = self.specs.remove(&end.job)
        {
            // What is left is removed together with the session's folder.
            let _ = std::fs::remove_file(self.ledger.base.join(spec));
        }
        told
    }

    /// Does it, unless the ledger failed before; only its first failure is told.
    pub(super) fn record<T: Default>(
        &mut self,
        work: impl FnOnce(&Ledger) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        if self.failed {
            return Ok(T::default());
        }
        let done = work(&self.ledger);
        self.failed = done.is_err();
        done
    }
}

/// The number that the session's next job gets.
pub(super) fn next_number(change: &Transaction<'_>, session: SessionId) -> rusqlite::Result<JobNumber> {
    change
        .prepare_cached("SELECT coalesce(max(number), 0) + 1 FROM jobs WHERE session = ?")?
        .query_row([session], |row| row.get(0))
}

/// `spec` is the file below the base folder that says what to run, of a job that was submitted.
pub(super) fn insert(
    change: &Transaction<'_>,
    session: SessionId,
    number: JobNumber,
    job: &NewJob<'_>,
    spec: Option<&str>,
) -> rusqlite::Result<()> {
    change
        .prepare_cached(
            "INSERT INTO jobs (session, number, name, \"group\", state, submitted, spec, command)
             VALUES (?, ?, ?, ?, 'pending', ?, ?, ?)",
        )?
        .execute(params![
            session,
            number,
            job.name,
            job.group,
            spec.is_some(),
            spec,
            job.command
        ])?;
    Ok(())
}

fn set_state(
    change: &Transaction<'_>,
    session: SessionId,
    job: JobNumber,
    state: JobState,
) -> rusqlite::Result<()> {
    change
        .prepare_cached("UPDATE jobs SET state = ?3 WHERE session = ?1 AND number = ?2")?
        .execute(params![session, job, state])?;
    Ok(())
}

/// The path from the base folder if it is below, for a base folder may move.
fn below(base: &Path, path: &Path) -> String {
    path.strip_prefix(base)
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}
