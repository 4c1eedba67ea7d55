//! A whole copy, while sessions go on.

use super::{LedgerError, Reader};
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, io};

/// A copy of the ledger that was made and looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    pub file: PathBuf,
    pub bytes: u64,
    pub sessions: u64,
    pub jobs: u64,
}

/// There is no copy. What was begun is removed again.
#[derive(Debug)]
pub enum BackupError {
    /// It would take the place of something.
    Exists(PathBuf),
    Io {
        tried: &'static str,
        file: PathBuf,
        source: io::Error,
    },
    /// The ledger, or the copy, said no.
    Ledger(LedgerError),
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(file) => write!(
                f,
                "{} is there already, and a backup takes nothing's place: name another file, or move it away",
                file.display()
            ),
            Self::Io { tried, file, source } => write!(f, "could not {tried} {}: {source}", file.display()),
            Self::Ledger(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for BackupError {}

impl Reader {
    /// Writes a copy to a file that is not there yet: everything that was committed, also what is still in the log.
    /// Writers are not kept waiting. The file is there when it is whole, on disk and found to be sound.
    ///
    /// # Errors
    /// When the file is there, its folder cannot be written to, or the ledger is damaged.
    pub fn backup(&self, file: &Path) -> Result<Backup, BackupError> {
        if file.symlink_metadata().is_ok() {
            return Err(BackupError::Exists(file.to_owned()));
        }
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let part = file.with_file_name(format!(".{name}.part-{}", super::session_lease::own_pid()));
        // Of a process with our number, which is gone.
        let _ = std::fs::remove_file(&part);
        let made = self.copy(&part).and_then(|(sessions, jobs)| {
            let bytes = sync(&part).map_err(|source| failed("write", &part, source))?;
            // Unlike a rename it never takes something's place.
            std::fs::hard_link(&part, file).map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => BackupError::Exists(file.to_owned()),
                _ => failed("create", file, source),
            })?;
            Ok(Backup {
                file: file.to_owned(),
                bytes,
                sessions,
                jobs,
            })
        });
        let _ = std::fs::remove_file(&part);
        made
    }

    /// The numbers of sessions and jobs in it.
    fn copy(&self, to: &Path) -> Result<(u64, u64), BackupError> {
        // SQLite would only say that it cannot open it.
        File::create_new(to).map_err(|source| failed("create", to, source))?;
        self.vacuum_into(to).map_err(BackupError::Ledger)?;
        let wrong = |source| BackupError::Ledger(LedgerError::of(to, source, Duration::ZERO));
        let copy = Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(wrong)?;
        let told: String = copy
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(wrong)?;
        if told != "ok" {
            return Err(BackupError::Ledger(LedgerError::damaged(to, told)));
        }
        let count =
            |table: &str| copy.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
        Ok((count("sessions").map_err(wrong)?, count("jobs").map_err(wrong)?))
    }
}

fn sync(file: &Path) -> io::Result<u64> {
    let file = File::open(file)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

fn failed(tried: &'static str, file: &Path, source: io::Error) -> BackupError {
    BackupError::Io {
        tried,
        file: file.to_owned(),
        source,
    }
}
