//! Reads a ledger, without waiting for writers or blocking them.

use super::backup::{self, Backup, BackupError};
use super::lock_holders::{WalStatus, sibling};
use super::records::{JobCounts, PassRate, RecordedAttempt, RecordedJob, RecordedSession, SessionFilter};
use super::schema::{self, SchemaState};
use super::session::{JobNumber, JobState, RecordedConflict, SessionId, SessionOwner, Status};
use super::session_lease::Liveness;
use super::{FILE, Ledger, LedgerError, LedgerOptions, busy_wait};
use rusqlite::{Connection, OpenFlags, Params, Row, params};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A ledger to read from. Each query is a transaction of its own, over before its result is returned.
#[derive(Debug)]
pub struct Reader {
    conn: Connection,
    base: PathBuf,
}

/// The longest wait of a reader: it waits only while the ledger is created, or repaired after a crash.
const WAIT: Duration = Duration::from_secs(1);

/// The columns that [`session`] reads.
const SESSION: &str = "id, name, namespace, scope, triggered_by, status, beside, pid, pid_started, host, revision, \
                       started, ended, gap, resumes, jobs, running, completed, failed, cancelled, interrupted, conflicts";

/// The sessions that a [`SessionFilter`] selects.
const NEWEST: &str = "SELECT id FROM sessions WHERE ?1 IS NULL OR namespace = ?1 ORDER BY id DESC LIMIT ?2";

impl Reader {
    /// Opens the ledger in a base folder; `None` if there is none yet.
    ///
    /// In a read-only folder it is read as it is. A ledger of an older version is migrated.
    ///
    /// # Errors
    /// When it is damaged, of a newer version, no ledger, or unreadable.
    pub fn open(base: &Path) -> Result<Option<Self>, LedgerError> {
        let file = base.join(FILE);
        if !super::exists(&file)? {
            return Ok(None);
        }
        let (conn, found) = match Self::connect(&file, "") {
            Err(error) if error.is_read_only() => {
                let wal = std::fs::metadata(sibling(&file, "-wal"));
                if wal.is_ok_and(|metadata| metadata.len() > 0) {
                    return Err(LedgerError::read_only_with_log(&file));
                }
                Self::connect(&file, "?immutable=1")?
            }
            connected => connected?,
        };
        match found {
            SchemaState::Foreign => Err(LedgerError::foreign(&file)),
            SchemaState::Newer(found) => Err(LedgerError::newer(&file, found, schema::version())),
            SchemaState::Empty => Err(LedgerError::without_tables(&file)),
            SchemaState::Older => {
                drop(conn);
                Ledger::connect(&file, &file, LedgerOptions::default())?;
                Self::open(base)
            }
            SchemaState::Current => Ok(Some(Self {
                conn,
                base: base.to_owned(),
            })),
        }
    }

    fn connect(file: &Path, options: &str) -> Result<(Connection, SchemaState), LedgerError> {
        let failed = |source| LedgerError::of(file, source, WAIT);
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let mut conn = Connection::open_with_flags(uri(file) + options, flags).map_err(failed)?;
        busy_wait::install(&mut conn, WAIT).map_err(failed)?;
        super::keep_wal_on_close(&conn, true).map_err(failed)?;
        conn.pragma_update(None, "query_only", true).map_err(failed)?;
        let found = schema::state(&conn).map_err(failed)?;
        Ok((conn, found))
    }

    fn read<T>(
        &self,
        query: &str,
        params: impl Params,
        row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, LedgerError> {
        let found = self.conn.prepare_cached(query).and_then(|mut query| {
            let rows = query.query_map(params, row)?;
            rows.collect()
        });
        found.map_err(|source| LedgerError::of(&self.base.join(FILE), source, WAIT))
    }

    /// Returns a number that changes with every change of the ledger.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn version(&self) -> Result<i64, LedgerError> {
        let found = self.read("PRAGMA data_version", [], |row| row.get(0))?;
        Ok(found.first().copied().unwrap_or(0))
    }

    /// Returns the state of the write-ahead log.
    pub fn wal_status(&self) -> WalStatus {
        WalStatus::of(&self.base.join(FILE))
    }

    /// Returns the active sessions, the oldest first.
    pub fn active(&self) -> Result<Vec<RecordedSession>, LedgerError> {
        let query =
            format!("SELECT {SESSION} FROM sessions WHERE status IN ('pending', 'running') ORDER BY id");
        let found = self.read(&query, [], session)?.into_iter();
        let found = found.map(|session| self.with_liveness(session));
        Ok(found.filter(|session| session.status.is_active()).collect())
    }

    /// Returns the selected sessions, the newest first.
    pub fn sessions(&self, filter: &SessionFilter) -> Result<Vec<RecordedSession>, LedgerError> {
        let query = format!("SELECT {SESSION} FROM sessions WHERE id IN ({NEWEST}) ORDER BY id DESC");
        let found = self.read(&query, params![filter.namespace, filter.limit], session)?;
        Ok(found
            .into_iter()
            .map(|session| self.with_liveness(session))
            .collect())
    }

    /// Finds a session by its number, its name, its namespace (the newest one in it), or `latest`.
    pub fn session(&self, which: &str) -> Result<Option<RecordedSession>, LedgerError> {
        let query = format!(
            "SELECT {SESSION} FROM sessions WHERE id = ?1 OR name = ?2 OR namespace = ?2 OR ?2 = 'latest'
             ORDER BY id = ?1 DESC, name = ?2 DESC, namespace = ?2 DESC, id DESC LIMIT 1"
        );
        let number: Option<SessionId> = which.parse().ok();
        let found = self.read(&query, params![number, which], session)?.pop();
        Ok(found.map(|session| self.with_liveness(session)))
    }

    /// Returns the jobs of a session in order, optionally only those in one state.
    pub fn jobs(&self, of: SessionId, only: Option<JobState>) -> Result<Vec<RecordedJob>, LedgerError> {
        let mut jobs = self.read(
            "SELECT number, name, \"group\", state, submitted, carried, command FROM jobs
             WHERE session = ?1 AND (?2 IS NULL OR state = ?2) ORDER BY number",
            params![of, only],
            job,
        )?;
        let attempts = self.read(
            "SELECT job, number, state, exit_code, signal, reason, started, ended, memory, log FROM attempts
             WHERE session = ?1
                 AND (?2 IS NULL OR job IN (SELECT number FROM jobs WHERE session = ?1 AND state = ?2))
             ORDER BY job, number",
            params![of, only],
            |row| Ok((row.get::<_, JobNumber>(0)?, attempt(&self.base, row)?)),
        )?;
        // Both are ordered by job, and each attempt has its job.
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

    /// Returns the conflicts of a session, as they were reported.
    pub fn conflicts(&self, of: SessionId) -> Result<Vec<RecordedConflict>, LedgerError> {
        self.read(
            "SELECT kind, severity, message, help FROM conflicts WHERE session = ? ORDER BY number",
            [of],
            |row| {
                Ok(RecordedConflict {
                    kind: row.get(0)?,
                    severity: row.get(1)?,
                    message: row.get(2)?,
                    help: row.get(3)?,
                })
            },
        )
    }

    /// Returns the pass rate of each job name in the selected sessions, the lowest first.
    pub fn pass_rates(&self, filter: &SessionFilter) -> Result<Vec<PassRate>, LedgerError> {
        let query = format!(
            "SELECT name, count(DISTINCT session), sum(state = 'completed'), sum(state = 'failed') FROM jobs
             WHERE session IN ({NEWEST}) AND state IN ('completed', 'failed') AND carried = 0 GROUP BY name
             ORDER BY avg(state = 'completed'), name"
        );
        self.read(&query, params![filter.namespace, filter.limit], |row| {
            Ok(PassRate {
                name: row.get(0)?,
                sessions: row.get(1)?,
                completed: row.get(2)?,
                failed: row.get(3)?,
            })
        })
    }

    /// Corrects the state of a session that is dead and not marked yet.
    fn with_liveness(&self, mut session: RecordedSession) -> RecordedSession {
        if !session.status.is_active() {
            return session;
        }
        // If its locks cannot be checked, the session counts as alive.
        match Liveness::of(&self.base, &session.name).unwrap_or(Liveness::Owner) {
            Liveness::Owner => {}
            Liveness::Guard(left) | Liveness::Processes(left) => session.remaining = left,
            Liveness::Dead => {
                session.status = Status::Abandoned;
                session.jobs.interrupted += std::mem::take(&mut session.jobs.running);
            }
        }
        session
    }

    /// Writes a copy of all committed data to a file that does not exist yet, without blocking writers. The file appears
    /// once the copy is complete, on disk and verified.
    ///
    /// # Errors
    /// When the file exists, its folder is not writable, or the ledger is damaged.
    pub fn backup(&self, file: &Path) -> Result<Backup, BackupError> {
        backup::write(file, |part| self.vacuum_into(part))
    }

    /// Copies the committed data to an empty file.
    fn vacuum_into(&self, file: &Path) -> Result<(), LedgerError> {
        // This connection writes the copy.
        let done = self.conn.pragma_update(None, "query_only", false).and_then(|()| {
            let copied = self.conn.execute("VACUUM INTO ?", [uri(file)]);
            self.conn.pragma_update(None, "query_only", true)?;
            copied
        });
        match done {
            Ok(_) => Ok(()),
            Err(source) => Err(LedgerError::of(&self.base.join(FILE), source, WAIT)),
        }
    }
}

fn session(row: &Row<'_>) -> rusqlite::Result<RecordedSession> {
    let mut jobs = JobCounts {
        total: row.get(15)?,
        pending: 0,
        running: row.get(16)?,
        completed: row.get(17)?,
        failed: row.get(18)?,
        cancelled: row.get(19)?,
        interrupted: row.get(20)?,
    };
    jobs.pending = jobs.total.saturating_sub(jobs.running + jobs.ended());
    Ok(RecordedSession {
        id: row.get(0)?,
        name: row.get(1)?,
        namespace: row.get(2)?,
        scope: row.get(3)?,
        trigger: row.get(4)?,
        status: row.get(5)?,
        remaining: Vec::new(),
        concurrent: row.get(6)?,
        owner: SessionOwner {
            pid: row.get(7)?,
            started: row.get(8)?,
            host: row.get(9)?,
        },
        revision: row.get(10)?,
        started: row.get(11)?,
        ended: row.get(12)?,
        incomplete: row.get(13)?,
        resumes: row.get(14)?,
        jobs,
        conflicts: row.get(21)?,
    })
}

fn job(row: &Row<'_>) -> rusqlite::Result<RecordedJob> {
    Ok(RecordedJob {
        number: row.get(0)?,
        name: row.get(1)?,
        group: row.get(2)?,
        state: row.get(3)?,
        submitted: row.get(4)?,
        carried_over: row.get(5)?,
        command: row.get(6)?,
        attempts: Vec::new(),
    })
}

fn attempt(base: &Path, row: &Row<'_>) -> rusqlite::Result<RecordedAttempt> {
    let log: Option<String> = row.get(9)?;
    Ok(RecordedAttempt {
        number: row.get(1)?,
        state: row.get(2)?,
        exit_code: row.get(3)?,
        signal: row.get(4)?,
        reason: row.get(5)?,
        started: row.get(6)?,
        ended: row.get(7)?,
        memory: row.get(8)?,
        log: log.map(|log| base.join(log)),
    })
}

/// Formats a path as a URI for SQLite; special characters are escaped.
fn uri(file: &Path) -> String {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let mut uri = "file:".to_owned();
    if cfg!(windows) {
        uri.push('/');
    }
    for byte in file.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b':' => {
                uri.push(char::from(*byte))
            }
            b'\\' if cfg!(windows) => uri.push('/'),
            other => uri.push_str(&format!("%{other:02x}")),
        }
    }
    uri
}
