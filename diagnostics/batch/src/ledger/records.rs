//! What was recorded, read back.

use super::session_lease::Remains;
use super::{Conflict, Holder, JobNumber, JobState, LedgerError, Owner, Reader, SessionId, Status, Trigger};
use rusqlite::{Row, params};
use std::path::PathBuf;

/// A session as it stands in the ledger. Moments are microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    pub name: String,
    pub namespace: String,
    pub scope: String,
    pub trigger: Trigger,
    /// `Abandoned` also where nothing is left of it and nobody has marked it yet.
    pub status: Status,
    /// Of a killed session: its processes that still run.
    pub left: Vec<Holder>,
    pub beside: bool,
    pub owner: Owner,
    pub revision: Option<String>,
    pub started: u64,
    pub ended: Option<u64>,
    /// Recording failed for a while: jobs or results are missing.
    pub gap: bool,
    /// The session that it went on with.
    pub resumes: Option<SessionId>,
    pub jobs: Counts,
    /// Conflicts that were found; `None` before its end.
    pub conflicts: Option<u64>,
}

/// How many jobs are how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub pending: u64,
    pub running: u64,
    pub completed: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub interrupted: u64,
}

impl Counts {
    pub fn all(&self) -> u64 {
        self.pending + self.running + self.ended()
    }

    pub fn ended(&self) -> u64 {
        self.completed + self.failed + self.cancelled + self.interrupted
    }
}

/// A job as it stands in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub number: JobNumber,
    pub name: String,
    /// What it runs, without anything that may be secret; `None` if an older version wrote it.
    pub command: Option<String>,
    pub group: Option<String>,
    pub state: JobState,
    /// It came from another process.
    pub submitted: bool,
    /// It had ended in the session that this one resumed.
    pub carried: bool,
    /// The first one first.
    pub attempts: Vec<Attempt>,
}

/// One attempt at a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub number: u32,
    pub state: JobState,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    pub reason: Option<String>,
    pub started: u64,
    pub ended: Option<u64>,
    pub memory: Option<u64>,
    pub log: Option<PathBuf>,
}

/// How often a job came to which end, over the sessions that are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Success {
    pub name: String,
    pub sessions: u64,
    pub completed: u64,
    pub failed: u64,
}

/// Which sessions are asked for: the newest ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub namespace: Option<String>,
    pub limit: u32,
}

const SESSION: &str = "id, name, namespace, scope, triggered_by, status, beside, pid, pid_started, host, revision, \
                       started, ended, gap, resumes, jobs, running, completed, failed, cancelled, interrupted, conflicts";

impl Reader {
    /// Sessions that are active, the oldest first.
    pub fn active(&self) -> Result<Vec<Session>, LedgerError> {
        let query =
            format!("SELECT {SESSION} FROM sessions WHERE status IN ('pending', 'running') ORDER BY id");
        let found = self.read(&query, [], session)?.into_iter();
        let found = found.map(|session| self.judged(session));
        Ok(found.filter(|session| session.status.is_active()).collect())
    }

    /// Sessions, the newest first.
    pub fn sessions(&self, filter: &Filter) -> Result<Vec<Session>, LedgerError> {
        let query = format!("SELECT {SESSION} FROM sessions WHERE id IN ({NEWEST}) ORDER BY id DESC");
        let found = self.read(&query, params![filter.namespace, filter.limit], session)?;
        Ok(found.into_iter().map(|session| self.judged(session)).collect())
    }

    /// One session: by its number, its name, its namespace (the newest one's in it), or `latest`.
    pub fn session(&self, which: &str) -> Result<Option<Session>, LedgerError> {
        let query = format!(
            "SELECT {SESSION} FROM sessions WHERE id = ?1 OR name = ?2 OR namespace = ?2 OR ?2 = 'latest'
             ORDER BY id = ?1 DESC, name = ?2 DESC, namespace = ?2 DESC, id DESC LIMIT 1"
        );
        let number: Option<SessionId> = which.parse().ok();
        let found = self.read(&query, params![number, which], session)?.pop();
        Ok(found.map(|session| self.judged(session)))
    }

    /// The session's jobs in order; with `only` those in that state.
    pub fn jobs(&self, of: SessionId, only: Option<JobState>) -> Result<Vec<Job>, LedgerError> {
        let mut jobs = self.read(
            "SELECT number, name, \"group\", state, submitted, carried, command FROM jobs
             WHERE session = ?1 AND (?2 IS NULL OR state = ?2) ORDER BY number",
            params![of, only],
            |row| {
                Ok(Job {
                    number: row.get(0)?,
                    name: row.get(1)?,
                    group: row.get(2)?,
                    state: row.get(3)?,
                    submitted: row.get(4)?,
                    carried: row.get(5)?,
                    command: row.get(6)?,
                    attempts: Vec::new(),
                })
            },
        )?;
        let attempts = self.read(
            "SELECT job, number, state, exit_code, signal, reason, started, ended, memory, log FROM attempts
             WHERE session = ?1
                 AND (?2 IS NULL OR job IN (SELECT number FROM jobs WHERE session = ?1 AND state = ?2))
             ORDER BY job, number",
            params![of, only],
            |row| {
                let log: Option<String> = row.get(9)?;
                let attempt = Attempt {
                    number: row.get(1)?,
                    state: row.get(2)?,
                    exit_code: row.get(3)?,
                    signal: row.get(4)?,
                    reason: row.get(5)?,
                    started: row.get(6)?,
                    ended: row.get(7)?,
                    memory: row.get(8)?,
                    log: log.map(|log| self.base().join(log)),
                };
                Ok((row.get::<_, JobNumber>(0)?, attempt))
            },
        )?;
        // Both are in the order of jobs, and each attempt has its job.
        let mut next = jobs.iter_mut();
        let mut job = next.next();
        for (number, attempt) in attempts {
            while job.as_ref().is_some_and(|job| job.number < number) {
                job = next.next();
            }
            if let Some(job) = &mut job
                && job.number == number
            {
                job.attempts.push(attempt);
            }
        }
        Ok(jobs)
    }

    /// The conflicts that a session found, as they were told.
    pub fn conflicts(&self, of: SessionId) -> Result<Vec<Conflict>, LedgerError> {
        self.read(
            "SELECT kind, severity, message, help FROM conflicts WHERE session = ? ORDER BY number",
            [of],
            |row| {
                Ok(Conflict {
                    kind: row.get(0)?,
                    severity: row.get(1)?,
                    message: row.get(2)?,
                    help: row.get(3)?,
                })
            },
        )
    }

    /// For each job's name, the worst first.
    pub fn success(&self, filter: &Filter) -> Result<Vec<Success>, LedgerError> {
        let query = format!(
            "SELECT name, count(DISTINCT session), sum(state = 'completed'), sum(state = 'failed') FROM jobs
             WHERE session IN ({NEWEST}) AND state IN ('completed', 'failed') AND carried = 0 GROUP BY name
             ORDER BY avg(state = 'completed'), name"
        );
        self.read(&query, params![filter.namespace, filter.limit], |row| {
            Ok(Success {
                name: row.get(0)?,
                sessions: row.get(1)?,
                completed: row.get(2)?,
                failed: row.get(3)?,
            })
        })
    }

    /// A session of which nothing is left is over, also if nobody has written that down yet.
    fn judged(&self, mut session: Session) -> Session {
        if !session.status.is_active() {
            return session;
        }
        match self.remains_of(&session.name) {
            Remains::Owner => {}
            Remains::Guard(left) | Remains::Processes(left) => session.left = left,
            Remains::Nothing => {
                session.status = Status::Abandoned;
                session.jobs.interrupted += std::mem::take(&mut session.jobs.running);
            }
        }
        session
    }
}

/// The numbers of the sessions that are asked for.
const NEWEST: &str = "SELECT id FROM sessions WHERE ?1 IS NULL OR namespace = ?1 ORDER BY id DESC LIMIT ?2";

fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    let all: u64 = row.get(15)?;
    let mut jobs = Counts {
        pending: 0,
        running: row.get(16)?,
        completed: row.get(17)?,
        failed: row.get(18)?,
        cancelled: row.get(19)?,
        interrupted: row.get(20)?,
    };
    jobs.pending = all.saturating_sub(jobs.all());
    Ok(Session {
        id: row.get(0)?,
        name: row.get(1)?,
        namespace: row.get(2)?,
        scope: row.get(3)?,
        trigger: row.get(4)?,
        status: row.get(5)?,
        left: Vec::new(),
        beside: row.get(6)?,
        owner: Owner {
            pid: row.get(7)?,
            started: row.get(8)?,
            host: row.get(9)?,
        },
        revision: row.get(10)?,
        started: row.get(11)?,
        ended: row.get(12)?,
        gap: row.get(13)?,
        resumes: row.get(14)?,
        jobs,
        conflicts: row.get(21)?,
    })
}
