//! Writes a verified copy of the ledger while sessions run.

use super::LedgerError;
use crate::processes::own_pid;
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, io};

/// A verified copy of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    pub file: PathBuf,
    pub bytes: u64,
    pub sessions: u64,
    pub jobs: u64,
}

/// The reason why there is no copy. An incomplete one was removed.
#[derive(Debug)]
pub enum BackupError {
    /// The file exists.
    Exists(PathBuf),
    Io {
        tried: &'static str,
        file: PathBuf,
        source: io::Error,
    },
    /// The ledger or the copy is unusable.
    Ledger(LedgerError),
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(file) => write!(
                f,
                "{} exists, and a backup never replaces a file: choose another name, or move the file away",
                file.display()
            ),
            Self::Io { tried, file, source } => write!(f, "could not {tried} {}: {source}", file.display()),
            Self::Ledger(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for BackupError {}

/// Writes the copy that `copy` makes to `file`; see [`Reader::backup`](super::Reader::backup).
pub(super) fn write(
    file: &Path,
    copy: impl FnOnce(&Path) -> Result<(), LedgerError>,
) -> Result<Backup, BackupError> {
    if file.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(file.to_owned()));
    }
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let part = file.with_file_name(format!(".{name}.part-{}", own_pid()));
    // The file of a dead process with the same number.
    let _ = std::fs::remove_file(&part);
    // SQLite would only report that it cannot open the file.
    let created = File::create_new(&part).map_err(|source| failed("create", &part, source));
    let made = created.and_then(|_| {
        copy(&part).map_err(BackupError::Ledger)?;
        let (sessions, jobs) = verify(&part)?;
        let bytes = sync(&part).map_err(|source| failed("write", &part, source))?;
        // Unlike a rename, a link never replaces a file.
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

/// Checks the copy and counts its sessions and jobs.
fn verify(copy: &Path) -> Result<(u64, u64), BackupError> {
    let failed = |source| BackupError::Ledger(LedgerError::of(copy, source, Duration::ZERO));
    let conn = Connection::open_with_flags(copy, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    let result: String = conn
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(failed)?;
    if result != "ok" {
        return Err(BackupError::Ledger(LedgerError::damaged(copy, result)));
    }
    let count = |table: &str| conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
    Ok((count("sessions").map_err(failed)?, count("jobs").map_err(failed)?))
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
