//! Admits one active session per namespace.

use super::session::{NewSession, SessionId, SessionOwner};
use super::session_lease::{self, Liveness, SessionLease};
use super::session_writer::SessionWriter;
use super::{Ledger, LedgerError, jobs_file, lease_file, resume, timestamps};
use crate::processes::NamedProcess;
use rusqlite::{Connection, Row, Transaction, params};
use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

/// The reaction to another active session in the namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitPolicy {
    /// Fail at once.
    Never,
    /// Fail after this time.
    AtMost(Duration),
    /// Wait until the other session ends.
    Forever,
}

/// The reason why a session was not admitted.
#[derive(Debug)]
pub enum AdmissionError {
    /// Another session is active in the namespace.
    Blocked(Box<BlockingSession>),
    /// The ledger cannot be used; the session may run without it, after a warning.
    Ledger(LedgerError),
}

impl From<LedgerError> for AdmissionError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

/// The active session that keeps others out of its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockingSession {
    pub namespace: String,
    pub id: SessionId,
    pub name: String,
    pub scope: String,
    pub owner: SessionOwner,
    /// Its start, in microseconds since 1970.
    pub started: u64,
    /// The time of the refusal, in microseconds since 1970.
    pub now: u64,
    pub ended_jobs: u64,
    pub jobs: u64,
    /// The parts that keep the namespace taken.
    pub liveness: Liveness,
}

impl BlockingSession {
    /// Describes the wait while it lasts.
    pub fn waiting(&self) -> String {
        let Self {
            id, namespace, owner, ..
        } = self;
        match &self.liveness {
            Liveness::Dead | Liveness::Owner => format!(
                "waiting for session {id} (process {}), which is active in namespace {namespace:?}",
                owner.pid
            ),
            Liveness::Guard(left) | Liveness::Processes(left) => format!(
                "waiting for the processes of session {id}, which was killed in namespace {namespace:?}{}",
                listed(left)
            ),
        }
    }
}

/// Lists the processes after a colon, at most five; empty if there are none.
fn listed(left: &[NamedProcess]) -> String {
    const LISTED: usize = 5;
    if left.is_empty() {
        return String::new();
    }
    let more = left.len().saturating_sub(LISTED);
    let listed = NamedProcess::list(&left[..left.len() - more]);
    match more {
        0 => format!(": {listed}"),
        more => format!(": {listed} and {more} more"),
    }
}

impl fmt::Display for BlockingSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            namespace,
            scope,
            owner,
            ..
        } = self;
        match &self.liveness {
            Liveness::Dead | Liveness::Owner => {}
            Liveness::Guard(left) => {
                return write!(
                    f,
                    "session {id} in namespace {namespace:?} was killed (process {}), and its jobs are still being \
                     stopped{}; wait for that with `--wait`, or use another namespace with `--run-namespace NAME`",
                    owner.pid,
                    listed(left)
                );
            }
            Liveness::Processes(left) => {
                return write!(
                    f,
                    "session {id} in namespace {namespace:?} was killed (process {}) and left processes running{}; end \
                     them, continue that session with `--resume`, which ends them, wait with `--wait`, or use another \
                     namespace with `--run-namespace NAME`",
                    owner.pid,
                    listed(left)
                );
            }
        }
        let seconds = Duration::from_secs(self.now.saturating_sub(self.started) / 1_000_000);
        let started = UNIX_EPOCH + Duration::from_micros(self.started);
        write!(
            f,
            "session {id} is active in namespace {namespace:?}: {scope}, process {}",
            owner.pid
        )?;
        if !owner.host.is_empty() {
            write!(f, " on {}", owner.host)?;
        }
        write!(
            f,
            ", since {} ({}), {} of {} jobs ended; wait for it with `--wait`, use another namespace with \
             `--run-namespace NAME`, or follow it with `cargo cofferdam status --watch`",
            humantime::format_rfc3339_seconds(started),
            humantime::format_duration(seconds),
            self.ended_jobs,
            self.jobs
        )
    }
}

/// The time between two checks of a lease during a limited wait. Kernel locks have no time limit of their own.
const RECHECK: Duration = Duration::from_millis(20);

/// The time between two searches for processes that hold no lock.
const RECHECK_PROCESSES: Duration = Duration::from_millis(200);

/// Admits a session, possibly after a wait; see [`Ledger::start_session`].
pub(super) fn start(
    ledger: Ledger,
    new: &NewSession,
    wait: WaitPolicy,
    mut waiting: impl FnMut(&BlockingSession),
) -> Result<SessionWriter, AdmissionError> {
    let mut began = None;
    loop {
        let blocking = match try_start(&ledger, new) {
            Ok((id, lease, resumed)) => return Ok(SessionWriter::new(ledger, id, lease, resumed)),
            Err(AdmissionError::Blocked(blocking)) => blocking,
            Err(error) => return Err(error),
        };
        let is_first = began.is_none();
        let began = *began.get_or_insert(blocking.now);
        if is_first && wait != WaitPolicy::Never {
            waiting(&blocking);
        }
        let has_time = match wait {
            WaitPolicy::Never => false,
            WaitPolicy::AtMost(most) => Duration::from_micros(blocking.now.saturating_sub(began)) < most,
            WaitPolicy::Forever => true,
        };
        if !has_time {
            return Err(AdmissionError::Blocked(blocking));
        }
        let lock = match blocking.liveness {
            Liveness::Dead | Liveness::Owner => Some(lease_file(&ledger.base, &blocking.name)),
            Liveness::Guard(_) => Some(jobs_file(&ledger.base, &blocking.name)),
            Liveness::Processes(_) => None,
        };
        match (lock, wait) {
            (Some(lock), WaitPolicy::Forever) => {
                session_lease::wait(&lock).map_err(|source| LedgerError::io("lock", &lock, source))?;
            }
            (lock, _) => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "kernel locks have no time limit, and other processes' ends are not reported"
                )]
                std::thread::sleep(if lock.is_some() {
                    RECHECK
                } else {
                    RECHECK_PROCESSES
                });
            }
        }
    }
}

type Started = (SessionId, SessionLease, Option<resume::ResumedSession>);

fn try_start(ledger: &Ledger, new: &NewSession) -> Result<Started, AdmissionError> {
    let failed = |source| ledger.error(source);
    // Checks without a transaction first: the common refusal must not block writers.
    for other in active(ledger, &ledger.conn, &new.namespace)? {
        if other.excludes(new) {
            return Err(AdmissionError::Blocked(other.session));
        }
    }
    let change = ledger.begin()?;
    for other in active(ledger, &change, &new.namespace)? {
        if other.excludes(new) {
            return Err(AdmissionError::Blocked(other.session));
        }
        if other.is_over_for(new) {
            abandon(&change, other.session.id).map_err(failed)?;
        }
    }
    // No process knows the session before the commit, and from then on its locks are held.
    let lease = SessionLease::take(&ledger.base, ledger.create_dir, &new.name)
        .map_err(|(path, source)| LedgerError::io("lock", &path, source))?;
    let started = insert(&change, new).and_then(|id| {
        let resumed = new.resume.then(|| resume::carry_over(&change, id, new));
        let resumed = resumed.transpose()?.flatten();
        change.commit().map(|()| (id, resumed))
    });
    match started {
        Ok((id, resumed)) => {
            let resumed = resumed.map(|found| found.with_specs(&ledger.base));
            Ok((id, lease, resumed))
        }
        Err(source) => {
            lease.end();
            Err(failed(source).into())
        }
    }
}

fn liveness_of(ledger: &Ledger, name: &str) -> Result<Liveness, LedgerError> {
    Liveness::of(&ledger.base, name)
        .map_err(|source| LedgerError::io("look at", &lease_file(&ledger.base, name), source))
}

/// Marks all dead sessions as abandoned, in every namespace.
pub(super) fn abandon_dead(ledger: &Ledger, change: &Transaction<'_>) -> Result<(), LedgerError> {
    let failed = |source| ledger.error(source);
    let mut active = change
        .prepare_cached("SELECT id, name FROM sessions WHERE status IN ('pending', 'running')")
        .map_err(failed)?;
    let active = active.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    let active: Result<Vec<(SessionId, String)>, _> = active.and_then(Iterator::collect);
    for (id, name) in active.map_err(failed)? {
        if liveness_of(ledger, &name)? == Liveness::Dead {
            abandon(change, id).map_err(failed)?;
        }
    }
    Ok(())
}

/// A session that the ledger lists as active.
struct ActiveSession {
    concurrent: bool,
    session: Box<BlockingSession>,
}

impl ActiveSession {
    fn excludes(&self, new: &NewSession) -> bool {
        !self.is_over_for(new) && !self.concurrent && !new.concurrent
    }

    /// Returns whether the new session may mark this one as abandoned. A session that resumes it also ends its processes.
    fn is_over_for(&self, new: &NewSession) -> bool {
        match self.session.liveness {
            Liveness::Dead => true,
            Liveness::Processes(_) => new.resume && !self.concurrent,
            Liveness::Owner | Liveness::Guard(_) => false,
        }
    }
}

fn active(ledger: &Ledger, conn: &Connection, namespace: &str) -> Result<Vec<ActiveSession>, LedgerError> {
    let now = timestamps::now();
    let read = |row: &Row<'_>| {
        let session = Box::new(BlockingSession {
            namespace: namespace.to_owned(),
            id: row.get(1)?,
            name: row.get(2)?,
            scope: row.get(3)?,
            owner: SessionOwner {
                pid: row.get(4)?,
                started: row.get(5)?,
                host: row.get(6)?,
            },
            started: row.get(7)?,
            now,
            ended_jobs: row.get(8)?,
            jobs: row.get(9)?,
            liveness: Liveness::Owner,
        });
        Ok(ActiveSession {
            concurrent: row.get(0)?,
            session,
        })
    };
    let found = conn
        .prepare_cached(
            "SELECT beside, id, name, scope, pid, pid_started, host, started,
                    completed + failed + cancelled + interrupted, jobs
             FROM sessions WHERE namespace = ? AND status IN ('pending', 'running') ORDER BY beside",
        )
        .and_then(|mut found| found.query_map([namespace], read)?.collect());
    let mut found: Vec<ActiveSession> = found.map_err(|source| ledger.error(source))?;
    for other in &mut found {
        other.session.liveness = liveness_of(ledger, &other.session.name)?;
    }
    Ok(found)
}

fn insert(change: &Transaction<'_>, new: &NewSession) -> rusqlite::Result<SessionId> {
    let owner = session_lease::owner();
    change
        .prepare_cached(
            "INSERT INTO sessions
                 (name, namespace, scope, takes_jobs, triggered_by, status, beside, pid, pid_started, host, revision,
                  started)
             VALUES (?, ?, ?, ?, ?, 'pending', ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            new.name,
            new.namespace,
            new.scope,
            new.takes_jobs,
            new.trigger,
            new.concurrent,
            owner.pid,
            owner.started,
            owner.host,
            new.revision,
            timestamps::now(),
        ])?;
    Ok(change.last_insert_rowid())
}

/// Marks a session whose owner is dead: running jobs are interrupted, pending ones stay pending.
fn abandon(change: &Transaction<'_>, id: SessionId) -> rusqlite::Result<()> {
    change
        .prepare_cached(
            "UPDATE attempts SET state = 'interrupted'
             WHERE state = 'running' AND (session, job) IN
                   (SELECT session, number FROM jobs WHERE session = ? AND state = 'running')",
        )?
        .execute([id])?;
    change
        .prepare_cached("UPDATE jobs SET state = 'interrupted' WHERE session = ? AND state = 'running'")?
        .execute([id])?;
    change
        .prepare_cached("UPDATE sessions SET status = 'abandoned', takes_jobs = 0 WHERE id = ?")?
        .execute([id])?;
    Ok(())
}
