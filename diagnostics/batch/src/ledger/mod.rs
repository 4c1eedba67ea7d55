//! The ledger: sessions, their jobs and conflicts, in one SQLite file that many processes use at once.
//!
//! Only this module uses rusqlite. It exchanges plain data with its callers, and knows neither commands nor the terminal
//! nor the executor.
//!
//! - A *session* is one `cargo cofferdam run`: a namespace, an owner, jobs. A namespace has at most one active session,
//!   which the database itself enforces (a partial unique index).
//! - The *lease* is a kernel lock on the owner's file. The kernel releases it with the process, so a free lease proves
//!   that the owner is dead; there is no heartbeat. The guard of the jobs inherits a second lock: the namespace of a killed
//!   owner is free when both locks are, and no process of the session is left.
//! - A *job* is one command of a session, identified by its number and the user's name for it. Its command is not stored:
//!   arguments may be secret.
//! - A session whose ledger fails continues *unrecorded*, after one warning.
//!
//! Writers use [`Ledger::open`], [`Ledger::start_session`], then [`SessionWriter`]. A [`Reader`] neither waits for a
//! session nor blocks one.

mod admission;
mod backup;
mod busy_wait;
mod ledger_error;
mod lock_holders;
mod reader;
mod records;
mod resume;
mod retention;
mod schema;
mod session;
mod session_lease;
mod session_writer;
mod submission;
mod timestamps;

pub use admission::{AdmissionError, BlockingSession, WaitPolicy};
pub use backup::{Backup, BackupError};
pub use ledger_error::LedgerError;
pub use lock_holders::WalStatus;
pub use reader::Reader;
pub use records::{JobCounts, PassRate, RecordedAttempt, RecordedJob, RecordedSession, SessionFilter};
pub use resume::{ResumedJob, ResumedSession, ResumedSpec};
pub use retention::RemovedSessions;
pub use session::{
    JobEnd, JobNumber, JobState, NewJob, NewSession, RecordedConflict, SessionId, SessionOwner, Status,
    Trigger,
};
pub use session_lease::Liveness;
pub use session_writer::SessionWriter;
pub use submission::{Submission, SubmitError};
pub use timestamps::now;

use lock_holders::sibling;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use schema::SchemaState;
use session_writer::{insert_job, next_number};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file name of the ledger in the base folder.
const FILE: &str = "ledger.sqlite3";

/// The folder of leases and logs in the base folder.
const SESSIONS: &str = "sessions";

/// The size of a page. A job changes a few bytes on each of four pages, and the log receives complete pages.
const PAGE: u32 = 1_024;

/// The number of pages after which the log is written back: it stays below 4 MB.
const CHECKPOINT: u32 = 3_600;

/// The size in bytes to which the log is truncated after a long read let it grow.
const LOG: u32 = 4_000_000;

/// A ledger to write to.
#[derive(Debug)]
pub struct Ledger {
    conn: Connection,
    base: PathBuf,
    create_dir: CreateDir,
    wait: Duration,
}

/// Creates the folder at a path below a base folder, for its owner alone and without following symbolic links.
///
/// The command passes the library's function; this crate cannot depend on the library.
pub type CreateDir = fn(base: &Path, below: &Path) -> io::Result<PathBuf>;

/// The settings that tests change.
#[derive(Clone, Copy, Debug)]
pub struct LedgerOptions {
    /// The longest wait for other processes.
    pub wait: Duration,
    /// SQLite's interface to the file system.
    pub vfs: Option<&'static std::ffi::CStr>,
}

impl Default for LedgerOptions {
    fn default() -> Self {
        Self {
            wait: busy_wait::LONGEST,
            vfs: None,
        }
    }
}

impl Ledger {
    /// Opens `ledger.sqlite3` in a base folder, and creates both if necessary. Costs 0.3 ms, the first time some
    /// milliseconds.
    ///
    /// # Errors
    /// When the file is locked, damaged, read-only, of a newer version or no ledger, or cannot have a write-ahead log. The
    /// message contains the next step.
    pub fn open(base: &Path, create_dir: CreateDir) -> Result<Self, LedgerError> {
        Self::open_with(base, create_dir, LedgerOptions::default())
    }

    pub fn open_with(
        base: &Path,
        create_dir: CreateDir,
        options: LedgerOptions,
    ) -> Result<Self, LedgerError> {
        let file = base.join(FILE);
        create_dir(base, Path::new(""))
            .map_err(|source| LedgerError::io("create the directory of", &file, source))?;
        refuse_links(&file)?;
        if !exists(&file)? {
            Self::create(base, &file, options)?;
            exists(&file)?;
        }
        Ok(Self {
            conn: Self::connect(&file, &file, options)?,
            base: base.to_owned(),
            create_dir,
            wait: options.wait,
        })
    }

    /// Creates the ledger under another name and renames it when it is complete: an empty file under its own name counts
    /// as damaged.
    fn create(base: &Path, file: &Path, options: LedgerOptions) -> Result<(), LedgerError> {
        // Two processes that create the ledger at once would interfere, however long they wait.
        let _creating = session_lease::lock_creation(base)
            .map_err(|source| LedgerError::io("lock the creation of", file, source))?;
        if exists(file)? {
            return Ok(());
        }
        let new = base.join("ledger.new");
        // The files of a process that was killed at this point.
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let _ = std::fs::remove_file(sibling(&new, suffix));
        }
        let made = Self::connect(&new, file, options).and_then(|conn| {
            let closed = conn.close();
            closed.map_err(|(_, source)| LedgerError::of(file, source, options.wait))
        });
        let made = made.and_then(|()| {
            std::fs::rename(&new, file).map_err(|source| LedgerError::io("create", file, source))
        });
        if made.is_err() {
            let _ = std::fs::remove_file(&new);
        }
        made
    }

    /// Opens the database in `path`; errors name `file`. If the two differ, the database is new.
    fn connect(path: &Path, file: &Path, options: LedgerOptions) -> Result<Connection, LedgerError> {
        let failed = |source| LedgerError::of(file, source, options.wait);
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let is_new = path != file;
        flags.set(OpenFlags::SQLITE_OPEN_CREATE, is_new);
        let conn = match options.vfs {
            Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs),
            None => Connection::open_with_flags(path, flags),
        };
        let mut conn = conn.map_err(failed)?;
        // First of all, because the next steps may find the file locked.
        busy_wait::install(&mut conn, options.wait).map_err(failed)?;
        // Until the file is verified, nothing may be written back to it, and no file beside it may be removed.
        keep_wal_on_close(&conn, true).map_err(failed)?;
        match schema::state(&conn).map_err(failed)? {
            SchemaState::Foreign => return Err(LedgerError::foreign(file)),
            SchemaState::Newer(found) => return Err(LedgerError::newer(file, found, schema::version())),
            SchemaState::Empty if !is_new => return Err(LedgerError::without_tables(file)),
            SchemaState::Empty | SchemaState::Older | SchemaState::Current => {}
        }
        // It has no effect on a file that has pages.
        conn.pragma_update(None, "page_size", PAGE).map_err(failed)?;
        let mode: String = conn
            .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
            .map_err(failed)?;
        if mode != "wal" {
            return Err(LedgerError::no_wal(file, mode));
        }
        Self::prepare(&mut conn).map_err(failed)?;
        keep_wal_on_close(&conn, false).map_err(failed)?;
        Ok(conn)
    }

    fn prepare(conn: &mut Connection) -> rusqlite::Result<()> {
        conn.pragma_update(None, "synchronous", "NORMAL")?;
        if schema::state(conn)? != SchemaState::Current {
            schema::migrate(conn)?;
            // The loss of a later log must not include the tables.
            conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        }
        conn.pragma_update(None, "foreign_keys", true)?;
        conn.pragma_update_and_check(None, "journal_size_limit", LOG, |_| Ok(()))?;
        conn.pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT, |_| Ok(()))?;
        conn.set_prepared_statement_cache_capacity(32);
        Ok(())
    }

    /// Begins a session, unless another one is active in its namespace. Before a wait, `waiting` is called once with the
    /// other session.
    ///
    /// Dead sessions of the namespace are marked as abandoned on the way. Costs 0.1 ms.
    ///
    /// # Errors
    /// When another session is active and the wait is over, or when the ledger cannot be used.
    pub fn start_session(
        self,
        new: &NewSession,
        wait: WaitPolicy,
        waiting: impl FnMut(&BlockingSession),
    ) -> Result<SessionWriter, AdmissionError> {
        admission::start(self, new, wait, waiting)
    }

    /// Submits a job to the session that is active in the namespace. Returns the numbers of the session and the job.
    ///
    /// `spec` describes the job. It is passed in a file that only this user can read, never in the database, and is removed
    /// when the job has ended.
    ///
    /// # Errors
    /// When there is no such session, or when the ledger or the file cannot be written.
    pub fn submit(
        &self,
        namespace: &str,
        job: &NewJob<'_>,
        spec: &[u8],
    ) -> Result<(SessionId, JobNumber), SubmitError> {
        submission::submit(self, namespace, job, spec)
    }

    /// Removes all sessions that are over, except the `keep` that ended last: their rows, and their folders with the logs
    /// of their jobs. The output of their commands belongs to the user and stays.
    ///
    /// Dead sessions are marked as abandoned on the way.
    ///
    /// # Errors
    /// When the ledger cannot be written. A folder that cannot be removed is no error.
    pub fn retain(&self, keep: usize) -> Result<RemovedSessions, LedgerError> {
        retention::retain(self, keep)
    }

    /// Writes the log back to the main file and truncates it, as far as readers permit.
    fn truncate_wal(&self) -> WalStatus {
        // Truncation blocks writers, so it must not wait. A remaining log is no damage: the next session truncates it.
        let _ = self.conn.busy_timeout(Duration::ZERO);
        for checkpoint in [
            "PRAGMA wal_checkpoint(PASSIVE)",
            "PRAGMA wal_checkpoint(TRUNCATE)",
        ] {
            let _ = self.conn.query_row(checkpoint, [], |_| Ok(()));
        }
        WalStatus::of(&self.base.join(FILE))
    }

    fn error(&self, source: rusqlite::Error) -> LedgerError {
        LedgerError::of(&self.base.join(FILE), source, self.wait)
    }

    /// Begins a transaction that writes, and takes its lock at once: upgrading a read lock could fail, however long the
    /// wait. Dropped without a commit, it changes nothing.
    fn begin(&self) -> Result<Transaction<'_>, LedgerError> {
        let begun = Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate);
        begun.map_err(|source| self.error(source))
    }

    /// Runs `work` in one transaction.
    fn change<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        let change = self.begin()?;
        let done = work(&change).and_then(|done| change.commit().map(|()| done));
        done.map_err(|source| self.error(source))
    }

    /// Returns a number that changes when another connection changes the ledger.
    fn version(&self) -> rusqlite::Result<i64> {
        self.conn
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get(0))
    }
}

/// Returns whether there is a ledger. SQLite would take a truncated file for a new database and discard its log, so such a
/// file is refused here.
///
/// # Errors
/// When the file was truncated, or is missing although it has a log.
fn exists(file: &Path) -> Result<bool, LedgerError> {
    /// The smallest page of SQLite.
    const SMALLEST: u64 = 512;
    let length = |file: &Path| match std::fs::metadata(file) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LedgerError::io("look at", file, source)),
    };
    match length(file)? {
        Some(bytes) if bytes < SMALLEST => {
            let reason = format!("it was truncated to {bytes} bytes");
            Err(LedgerError::damaged(file, reason))
        }
        Some(_) => Ok(true),
        None if length(&sibling(file, "-wal"))?.unwrap_or(0) > 0 => {
            let reason = "it is missing, but its log is there".to_owned();
            Err(LedgerError::damaged(file, reason))
        }
        None => Ok(false),
    }
}

/// Sets whether closing the last connection leaves the log unchanged.
fn keep_wal_on_close(conn: &Connection, keep: bool) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)
        .map(drop)
}

/// Returns the lock file of a session's owner.
fn lease_file(base: &Path, name: &str) -> PathBuf {
    base.join(SESSIONS).join(format!("{}.lease", file_name(name)))
}

/// Returns the lock file that a session's owner shares with the guard of its jobs.
fn jobs_file(base: &Path, name: &str) -> PathBuf {
    base.join(SESSIONS).join(format!("{}.jobs", file_name(name)))
}

/// Returns the folder of a session's logs, without creating it. It is removed together with the session.
pub fn folder(base: &Path, name: &str) -> PathBuf {
    base.join(SESSIONS).join(file_name(name))
}

/// Refuses a ledger, or a file of SQLite beside it, that is a symbolic link: SQLite would write to its target.
fn refuse_links(file: &Path) -> Result<(), LedgerError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let path = sibling(file, suffix);
        if path.is_symlink() {
            let link = "it is a symbolic link, and links in the base directory are not followed: remove it";
            return Err(LedgerError::io("open", &path, io::Error::other(link)));
        }
    }
    Ok(())
}

/// Escapes a session's name for use in a path.
fn file_name(name: &str) -> String {
    let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || "-_.".contains(*letter);
    let escaped = |letter: char| {
        if is_plain(&letter) {
            letter.to_string()
        } else {
            format!("%{:x}", u32::from(letter))
        }
    };
    let name: String = name.chars().map(escaped).collect();
    match name.strip_prefix('.') {
        Some(rest) => format!("%2e{rest}"),
        None => name,
    }
}
