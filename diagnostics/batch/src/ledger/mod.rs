//! What sessions did, in one SQLite file that every process may use at once.
//!
//! The only room that names rusqlite. Plain data goes in and comes out: it knows neither commands nor the terminal, and
//! nothing of how jobs are executed. Its words:
//!
//! - A *session* is one `cargo cofferdam run`: a namespace, an owner, jobs. One at a time is active in a namespace,
//!   which the database itself holds to (a partial unique index).
//! - The *lease* is a kernel lock on the owner's file. It is gone with its process, so whoever can have it knows that
//!   the owner is dead: there is no heartbeat. A second lock is inherited by the guard of the jobs: the namespace of a
//!   killed owner is free when both are, and no process of the session is left.
//! - A *job* is one command of a session, known by its number in it and by the name that the user gave it. What it
//!   runs is not written down: arguments may hold secrets.
//! - *Unrecorded*: a session whose ledger failed in mid-run goes on, after one warning.
//!
//! Who writes: [`Ledger::open`], [`Ledger::start_session`], then [`Admitted`]. Who reads: [`Reader`], which never waits
//! for a session and never keeps one waiting. docs/ledger.md tells it to people.

mod admission;
mod backup;
mod busy_wait;
mod clock;
mod error;
mod finish;
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

pub use admission::{Admitted, NotAdmitted, Refused, Wait};
pub use backup::Backup;
pub use clock::now;
pub use error::LedgerError;
pub use finish::Conflict;
pub use lock_holders::Holder;
pub use reader::{Log, Reader};
pub use records::{Attempt, Counts, Filter, Job, Session, Success};
pub use resume::{ResumedJob, ResumedSpec};
pub use session::{NewSession, Owner, SessionId, Status, Trigger};
pub use session_writer::{JobEnd, JobNumber, JobState, NewJob};
pub use submission::{NotSubmitted, Submission};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use schema::Found;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The ledger's name in the base folder.
const FILE: &str = "ledger.sqlite3";

/// The folder of leases, and of what sessions keep, in the base folder.
const SESSIONS: &str = "sessions";

/// The size of a page. What a job changes are a few bytes on each of four pages, and the log gets whole ones.
const PAGE: u32 = 1_024;

/// After so many pages the log is written back: it stays below 4 MB.
const CHECKPOINT: u32 = 3_600;

/// What the log is cut back to, in bytes, after somebody's long read let it grow.
const LOG: u32 = 4_000_000;

/// A ledger to write to.
#[derive(Debug)]
pub struct Ledger {
    conn: Connection,
    base: PathBuf,
    create_dir: CreateDir,
    wait: Duration,
}

/// Creates the folder at a path below a base folder, for its owner alone and through no symbolic link.
pub type CreateDir = fn(base: &Path, below: &Path) -> io::Result<PathBuf>;

/// How a ledger is opened, where tests want it otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// How long others are waited for.
    pub wait: Duration,
    /// SQLite's way to the file system.
    pub vfs: Option<&'static std::ffi::CStr>,
}

impl Default for Opening {
    fn default() -> Self {
        Self {
            wait: busy_wait::LONGEST,
            vfs: None,
        }
    }
}

impl Ledger {
    /// Opens `ledger.sqlite3` in a base folder; makes it, and the folder, if need be. Costs 0.3 ms, at first some
    /// milliseconds.
    ///
    /// # Errors
    /// When the file is locked, damaged, read-only, of a newer version or no ledger, and where it cannot have a
    /// write-ahead log. The message says what to do.
    pub fn open(base: &Path, create_dir: CreateDir) -> Result<Self, LedgerError> {
        Self::open_as(base, create_dir, Opening::default())
    }

    pub fn open_as(base: &Path, create_dir: CreateDir, opening: Opening) -> Result<Self, LedgerError> {
        let file = base.join(FILE);
        create_dir(base, Path::new(""))
            .map_err(|source| LedgerError::io("create the folder of", &file, source))?;
        refuse_links(&file)?;
        if !is_there(&file)? {
            Self::create(base, &file, opening)?;
            is_there(&file)?;
        }
        Ok(Self {
            conn: Self::connect(&file, &file, opening)?,
            base: base.to_owned(),
            create_dir,
            wait: opening.wait,
        })
    }

    /// Makes the ledger under another name, complete, and renames it: a file of its name that has no content is
    /// damaged, not new.
    fn create(base: &Path, file: &Path, opening: Opening) -> Result<(), LedgerError> {
        // Two that create at once would be in each other's way, whatever they wait.
        let _creating = session_lease::creation(base)
            .map_err(|source| LedgerError::io("lock the making of", file, source))?;
        if is_there(file)? {
            return Ok(());
        }
        let new = base.join("ledger.new");
        // Of a process that was killed here.
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let _ = std::fs::remove_file(lock_holders::beside(&new, suffix));
        }
        let made = Self::connect(&new, file, opening).and_then(|conn| {
            let closed = conn.close();
            closed.map_err(|(_, source)| LedgerError::of(file, source, opening.wait))
        });
        let made = made.and_then(|()| {
            std::fs::rename(&new, file).map_err(|source| LedgerError::io("create", file, source))
        });
        if made.is_err() {
            let _ = std::fs::remove_file(&new);
        }
        made
    }

    /// Opens the database in `path`, which errors call `file`. Where both differ, it is a new one.
    fn connect(path: &Path, file: &Path, opening: Opening) -> Result<Connection, LedgerError> {
        let wrong = |source| LedgerError::of(file, source, opening.wait);
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let is_new = path != file;
        flags.set(OpenFlags::SQLITE_OPEN_CREATE, is_new);
        let conn = match opening.vfs {
            Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs),
            None => Connection::open_with_flags(path, flags),
        };
        let mut conn = conn.map_err(wrong)?;
        // Before anything else: what follows may find the file locked.
        busy_wait::for_others(&mut conn, opening.wait).map_err(wrong)?;
        // Until the file is known to be sound, nothing may be written back into it or taken away beside it.
        keep_log(&conn, true).map_err(wrong)?;
        match schema::look(&conn).map_err(wrong)? {
            Found::NotOurs => return Err(LedgerError::not_ours(file)),
            Found::Newer(found) => return Err(LedgerError::newer(file, found, schema::version())),
            Found::Empty if !is_new => return Err(LedgerError::without_tables(file)),
            Found::Empty | Found::Older | Found::Current => {}
        }
        // Of a file that has pages already it changes nothing.
        conn.pragma_update(None, "page_size", PAGE).map_err(wrong)?;
        let mode: String = conn
            .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
            .map_err(wrong)?;
        if mode != "wal" {
            return Err(LedgerError::no_wal(file, mode));
        }
        Self::prepare(&mut conn).map_err(wrong)?;
        keep_log(&conn, false).map_err(wrong)?;
        Ok(conn)
    }

    fn prepare(conn: &mut Connection) -> rusqlite::Result<()> {
        conn.pragma_update(None, "synchronous", "NORMAL")?;
        if schema::look(conn)? != Found::Current {
            schema::migrate(conn)?;
            // A log that is lost later takes no tables along.
            conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        }
        conn.pragma_update(None, "foreign_keys", true)?;
        conn.pragma_update_and_check(None, "journal_size_limit", LOG, |_| Ok(()))?;
        conn.pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT, |_| Ok(()))?;
        conn.set_prepared_statement_cache_capacity(32);
        Ok(())
    }

    fn file(&self) -> PathBuf {
        self.base.join(FILE)
    }

    fn wrong(&self, source: rusqlite::Error) -> LedgerError {
        LedgerError::of(&self.file(), source, self.wait)
    }

    /// Begins a transaction that writes. Its lock is taken at once: to read and then ask for it could fail, whatever
    /// the wait. Dropped without a commit, nothing happened.
    fn begin(&self) -> Result<Transaction<'_>, LedgerError> {
        let begun = Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate);
        begun.map_err(|source| self.wrong(source))
    }

    /// Changes something, all of it or nothing.
    fn change<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        let change = self.begin()?;
        let done = work(&change).and_then(|done| change.commit().map(|()| done));
        done.map_err(|source| self.wrong(source))
    }

    /// A number that is another one when another connection has changed something.
    fn version(&self) -> rusqlite::Result<i64> {
        self.conn
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get(0))
    }
}

/// Returns whether there is a ledger. Checks what SQLite would take for a new database, whose log it would discard.
///
/// # Errors
/// When the file was cut off, or is missing beside a log of it.
fn is_there(file: &Path) -> Result<bool, LedgerError> {
    /// The smallest page that SQLite knows.
    const SMALLEST: u64 = 512;
    let length = |file: &Path| match std::fs::metadata(file) {
        Ok(known) => Ok(Some(known.len())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LedgerError::io("look at", file, source)),
    };
    match length(file)? {
        Some(bytes) if bytes < SMALLEST => {
            let found = format!("it was cut off after {bytes} bytes");
            Err(LedgerError::damaged(file, found))
        }
        Some(_) => Ok(true),
        None if length(&lock_holders::beside(file, "-wal"))?.unwrap_or(0) > 0 => Err(LedgerError::damaged(
            file,
            "it is missing, and its log is there".to_owned(),
        )),
        None => Ok(false),
    }
}

/// Whether the log stays as it is when the last connection is closed.
fn keep_log(conn: &Connection, keep: bool) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)
        .map(drop)
}

/// Where the lease of a session is.
fn lease_file(base: &Path, name: &str) -> PathBuf {
    base.join(SESSIONS).join(format!("{}.lease", file_name(name)))
}

/// Where the lock is that a session's owner shares with the guard of its jobs.
fn jobs_file(base: &Path, name: &str) -> PathBuf {
    base.join(SESSIONS).join(format!("{}.jobs", file_name(name)))
}

/// The folder for what a session keeps (logs of its jobs); not made yet, and removed when the session is forgotten.
pub fn folder(base: &Path, name: &str) -> PathBuf {
    base.join(SESSIONS).join(file_name(name))
}

/// Refuses a ledger, or a file that SQLite has beside it, that is a link: SQLite would write into what it points to.
fn refuse_links(file: &Path) -> Result<(), LedgerError> {
    for end in ["", "-wal", "-shm", "-journal"] {
        let mut path = file.as_os_str().to_owned();
        path.push(end);
        let path = PathBuf::from(path);
        if path.is_symlink() {
            let link = "it is a symbolic link, and none is followed in the base folder: remove it";
            return Err(LedgerError::io("open", &path, io::Error::other(link)));
        }
    }
    Ok(())
}

/// A session's name, as it is safe in a path.
fn file_name(name: &str) -> String {
    let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || "-_.".contains(*letter);
    let written = |letter: char| {
        if is_plain(&letter) {
            letter.to_string()
        } else {
            format!("%{:x}", u32::from(letter))
        }
    };
    let name: String = name.chars().map(written).collect();
    match name.strip_prefix('.') {
        Some(rest) => format!("%2e{rest}"),
        None => name,
    }
}
