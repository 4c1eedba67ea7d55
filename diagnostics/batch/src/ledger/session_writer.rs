//! Records an admitted session: its jobs, their attempts, and its end.

use super::lock_holders::WalStatus;
use super::resume::ResumedSession;
use super::session::{JobEnd, JobNumber, JobState, NewJob, RecordedConflict, SessionId, Status};
use super::session_lease::SessionLease;
use super::submission::{self, Submission, SubmittedJob};
use super::{Ledger, LedgerError, timestamps};
use rusqlite::{Transaction, params};
use std::collections::HashMap;
use std::path::Path;

/// An admitted session. Until it is dropped, or its process and the processes of its jobs have ended, no other session is
/// active in its namespace.
///
/// Dropped without [`finish`](Self::finish), the session counts as abandoned.
#[derive(Debug)]
pub struct SessionWriter {
    ledger: Ledger,
    id: SessionId,
    lease: SessionLease,
    /// Recording failed; the error was returned, and nothing is recorded since.
    has_failed: bool,
    /// The highest number of a job that was added here.
    last_job: JobNumber,
    /// The highest number of a submitted job that was taken.
    last_submitted: JobNumber,
    /// The version of the database at the last search for submitted jobs.
    seen_version: Option<i64>,
    /// The files that describe submitted jobs which have not ended.
    specs: HashMap<JobNumber, String>,
    resumed: Option<ResumedSession>,
}

impl SessionWriter {
    pub(super) fn new(
        ledger: Ledger,
        id: SessionId,
        lease: SessionLease,
        resumed: Option<ResumedSession>,
    ) -> Self {
        let carried = resumed.iter().flat_map(|found| &found.jobs).map(|job| job.number);
        let last_job = carried.max().unwrap_or(0);
        let specs = resumed.iter().flat_map(ResumedSession::specs).collect();
        Self {
            id,
            lease,
            ledger,
            has_failed: false,
            last_job,
            last_submitted: last_job,
            seen_version: None,
            specs,
            resumed,
        }
    }

    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Returns the lock that keeps the namespace taken as long as a process has it open.
    ///
    /// # Errors
    /// When no further file can be opened.
    pub fn jobs_lock(&self) -> std::io::Result<std::fs::File> {
        self.lease.jobs()
    }

    /// Returns the session that this one continues, if [`resume`](super::NewSession::resume) found one.
    pub fn resumed(&self) -> Option<&ResumedSession> {
        self.resumed.as_ref()
    }

    /// Adds pending jobs and returns the number of the first; the others follow it without gaps. Costs some microseconds
    /// per job. All jobs of one call are one transaction.
    ///
    /// Jobs are numbered even if the ledger fails, because the session continues.
    ///
    /// # Errors
    /// Recording returns one error per session, from whichever method fails first: show it as a warning and continue.
    /// Afterwards nothing is recorded, and all methods succeed.
    pub fn add_jobs(&mut self, jobs: &[NewJob<'_>]) -> (JobNumber, Result<(), LedgerError>) {
        let mut first = self.last_job.max(self.last_submitted) + 1;
        let id = self.id;
        let added = self.record(|ledger| {
            first = ledger.change(|change| {
                // Jobs that other processes submitted in the meantime have numbers, too.
                let first = next_number(change, id)?;
                for (number, job) in (first..).zip(jobs) {
                    insert_job(change, id, number, job, None)?;
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

    /// Records the start of an attempt, in microseconds since 1970.
    ///
    /// # Errors
    /// Like [`add_jobs`](Self::add_jobs).
    pub fn job_started(&mut self, job: JobNumber, attempt: u32, started: u64) -> Result<(), LedgerError> {
        let id = self.id;
        self.record(|ledger| {
            ledger.change(|change| {
                change
                    .prepare_cached(
                        "INSERT INTO attempts (session, job, number, state, started) VALUES (?, ?, ?, 'running', ?)",
                    )?
                    .execute(params![id, job, attempt, started])?;
                set_state(change, id, job, JobState::Running)
            })
        })
    }

    /// Records the end of an attempt; its start need not have been recorded. Costs 0.05 ms.
    ///
    /// # Errors
    /// Like [`add_jobs`](Self::add_jobs).
    pub fn job_finished(&mut self, end: &JobEnd) -> Result<(), LedgerError> {
        let id = self.id;
        let state = if end.retried { JobState::Pending } else { end.state };
        let recorded = self.record(|ledger| {
            let log = end.log.as_deref().map(|log| relative_to(&ledger.base, log));
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
            // A file that cannot be removed now is removed with the session's folder.
            let _ = std::fs::remove_file(self.ledger.base.join(spec));
        }
        recorded
    }

    /// Returns the jobs that were submitted since the last call. Costs some microseconds if there are none, so it can be
    /// called after every event.
    ///
    /// # Errors
    /// Like [`add_jobs`](Self::add_jobs).
    pub fn submitted(&mut self) -> Result<Vec<Submission>, LedgerError> {
        let (id, after, seen) = (self.id, self.last_submitted, self.seen_version);
        let found = self.record(|ledger| {
            let failed = |source| ledger.error(source);
            let version = ledger.version().map_err(failed)?;
            let found = if seen == Some(version) {
                Vec::new()
            } else {
                submission::after(&ledger.conn, id, after).map_err(failed)?
            };
            Ok((Some(version), found))
        });
        let (version, found) = found?;
        self.seen_version = version;
        Ok(self.take(found))
    }

    /// Stops taking submitted jobs, unless some arrived in the meantime: those are returned, and the session stays open.
    /// To be called when there is nothing left to run, before the search for conflicts.
    ///
    /// # Errors
    /// Like [`add_jobs`](Self::add_jobs).
    pub fn close(&mut self) -> Result<Vec<Submission>, LedgerError> {
        let (id, after) = (self.id, self.last_submitted);
        let found = self.record(|ledger| {
            ledger.change(|change| {
                let found = submission::after(change, id, after)?;
                if found.is_empty() {
                    change.execute("UPDATE sessions SET takes_jobs = 0 WHERE id = ?", [id])?;
                }
                Ok(found)
            })
        })?;
        Ok(self.take(found))
    }

    fn take(&mut self, found: Vec<SubmittedJob>) -> Vec<Submission> {
        let read = |job: SubmittedJob| {
            self.last_submitted = self.last_submitted.max(job.number);
            let spec = std::fs::read(self.ledger.base.join(&job.file)).ok();
            self.specs.insert(job.number, job.file);
            Submission {
                number: job.number,
                name: job.name,
                group: job.group,
                spec,
            }
        };
        found.into_iter().map(read).collect()
    }

    /// Ends the session as `Passed`, `Failed` or `Cancelled`. Jobs that have not ended, including submitted ones, become
    /// cancelled. The namespace is free afterwards, even after an error.
    ///
    /// If recording failed before, the end is recorded all the same, and the session is marked as incomplete.
    ///
    /// # Errors
    /// When the ledger cannot be written, even if an error was returned before. The session then counts as abandoned.
    pub fn finish(self, status: Status, conflicts: &[RecordedConflict]) -> Result<WalStatus, LedgerError> {
        debug_assert!(!status.is_active(), "a final status");
        let Self {
            ledger,
            id,
            lease,
            has_failed,
            ..
        } = self;
        let now = timestamps::now();
        ledger.change(|change| {
            cancel_unfinished(change, id, now)?;
            for (number, conflict) in (1_i64..).zip(conflicts) {
                change
                    .prepare_cached(
                        "INSERT INTO conflicts (session, number, kind, severity, message, help)
                         VALUES (?, ?, ?, ?, ?, ?)",
                    )?
                    .execute(params![
                        id,
                        number,
                        conflict.kind,
                        conflict.severity,
                        conflict.message,
                        conflict.help
                    ])?;
            }
            change.execute(
                "UPDATE sessions SET status = ?2, ended = ?3, takes_jobs = 0, gap = ?4, conflicts = ?5 WHERE id = ?1",
                params![id, status, now, has_failed, conflicts.len()],
            )
        })?;
        lease.end();
        Ok(ledger.truncate_wal())
    }

    /// Runs `work` unless recording has failed; only the first failure is returned.
    fn record<T: Default>(
        &mut self,
        work: impl FnOnce(&Ledger) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        if self.has_failed {
            return Ok(T::default());
        }
        let done = work(&self.ledger);
        self.has_failed = done.is_err();
        done
    }
}

fn cancel_unfinished(change: &Transaction<'_>, id: SessionId, now: u64) -> rusqlite::Result<()> {
    change.execute(
        "UPDATE attempts SET state = 'cancelled', ended = ?2
         WHERE state = 'running' AND (session, job) IN
               (SELECT session, number FROM jobs WHERE session = ?1 AND state = 'running')",
        params![id, now],
    )?;
    change.execute(
        "UPDATE jobs SET state = 'cancelled' WHERE session = ? AND state IN ('pending', 'running')",
        [id],
    )?;
    Ok(())
}

/// Returns the number of the session's next job.
pub(super) fn next_number(change: &Transaction<'_>, session: SessionId) -> rusqlite::Result<JobNumber> {
    change
        .prepare_cached("SELECT coalesce(max(number), 0) + 1 FROM jobs WHERE session = ?")?
        .query_row([session], |row| row.get(0))
}

/// Inserts a pending job. `spec` is the file below the base folder that describes a submitted job.
pub(super) fn insert_job(
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

/// Returns the path relative to the base folder if it is below it, because the base folder may be moved.
fn relative_to(base: &Path, path: &Path) -> String {
    path.strip_prefix(base)
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}
