//! Errors of the ledger, each with its next step.

use crate::processes::NamedProcess;
use rusqlite::ErrorCode;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An unusable ledger. It fails no session: the session continues unrecorded, after one warning.
#[derive(Debug)]
pub struct LedgerError {
    file: PathBuf,
    kind: ErrorKind,
}

#[derive(Debug)]
enum ErrorKind {
    /// Another process keeps writing.
    Locked {
        waited: Duration,
        by: Vec<NamedProcess>,
    },
    Damaged {
        reason: String,
    },
    /// The SQLite database of another program.
    Foreign,
    /// Written by a newer version.
    Newer {
        found: i64,
        known: i64,
    },
    /// The file system cannot share the index of the write-ahead log between processes.
    NoWal {
        mode: String,
    },
    ReadOnly,
    /// Read-only, with data that is only in the write-ahead log.
    ReadOnlyWithLog,
    Full,
    /// The disk failed, or the limit of file sizes was reached.
    Disk {
        reason: String,
    },
    Io {
        tried: &'static str,
        source: io::Error,
    },
    Other {
        source: rusqlite::Error,
    },
}

impl LedgerError {
    /// Interprets an error of SQLite. `waited` is the time that the connection waits for others.
    pub(super) fn of(file: &Path, source: rusqlite::Error, waited: Duration) -> Self {
        let reason = || match &source {
            rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
            other => other.to_string(),
        };
        let kind = match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ErrorKind::Locked {
                waited,
                by: super::lock_holders::writing(file),
            },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                ErrorKind::Damaged { reason: reason() }
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => ErrorKind::ReadOnly,
            // SQLite's code for a file or folder that is not writable.
            Some(ErrorCode::CannotOpen) if file.exists() => ErrorKind::ReadOnly,
            Some(ErrorCode::DiskFull) => ErrorKind::Full,
            Some(ErrorCode::SystemIoFailure) => ErrorKind::Disk { reason: reason() },
            _ => ErrorKind::Other { source },
        };
        Self::new(file, kind)
    }

    pub(super) fn io(tried: &'static str, file: &Path, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull => ErrorKind::Full,
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => ErrorKind::ReadOnly,
            _ => ErrorKind::Io { tried, source },
        };
        Self::new(file, kind)
    }

    pub(super) fn foreign(file: &Path) -> Self {
        Self::new(file, ErrorKind::Foreign)
    }

    pub(super) fn newer(file: &Path, found: i64, known: i64) -> Self {
        Self::new(file, ErrorKind::Newer { found, known })
    }

    pub(super) fn no_wal(file: &Path, mode: String) -> Self {
        Self::new(file, ErrorKind::NoWal { mode })
    }

    pub(super) fn read_only_with_log(file: &Path) -> Self {
        Self::new(file, ErrorKind::ReadOnlyWithLog)
    }

    pub(super) fn damaged(file: &Path, reason: String) -> Self {
        Self::new(file, ErrorKind::Damaged { reason })
    }

    pub(super) fn without_tables(file: &Path) -> Self {
        Self::damaged(file, "it has no tables".to_owned())
    }

    /// Returns whether the file, or its folder, is not writable.
    pub(super) fn is_read_only(&self) -> bool {
        matches!(self.kind, ErrorKind::ReadOnly)
    }

    fn new(file: &Path, kind: ErrorKind) -> Self {
        Self {
            file: file.to_owned(),
            kind,
        }
    }
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match &self.kind {
            ErrorKind::Locked { waited, by } => {
                write!(f, "could not write to the ledger {file} within {waited:?}: ")?;
                match by.as_slice() {
                    [] => f.write_str("another process writes to it"),
                    by => write!(f, "{} writes to it", NamedProcess::list(by)),
                }?;
                f.write_str("; if it does not finish, end that process: no data is lost")
            }
            ErrorKind::Damaged { reason } => write!(
                f,
                "the ledger {file} is damaged ({reason}); when no session runs, move all of its files away, and the next \
                 session creates a new one: `mkdir damaged && mv {file}* damaged/`. `sqlite3 damaged/ledger.sqlite3 \
                 .recover` prints the data that can be recovered. Never remove only the `-wal` file: it holds the latest \
                 data"
            ),
            ErrorKind::Foreign => write!(
                f,
                "{file} is a SQLite database, but not a ledger of cofferdam; it is left unchanged: move it away, or set \
                 COFFERDAM_DIR to another base directory"
            ),
            ErrorKind::Newer { found, known } => write!(
                f,
                "the ledger {file} was written by a newer cofferdam (schema {found}; this one knows {known}): update with \
                 `cargo install --locked --path diagnostics` in a checkout, or set COFFERDAM_DIR to another base directory"
            ),
            ErrorKind::NoWal { mode } => write!(
                f,
                "the ledger {file} cannot have a write-ahead log there (its journal mode is {mode:?}): a network file \
                 system does not share memory between processes; set COFFERDAM_DIR to a base directory on a local disk"
            ),
            ErrorKind::ReadOnly => write!(
                f,
                "the ledger {file} is not writable: the file or its directory is read-only, or belongs to another user; set \
                 COFFERDAM_DIR to another base directory"
            ),
            ErrorKind::ReadOnlyWithLog => write!(
                f,
                "the ledger {file} is in a read-only directory, and its latest data is in its write-ahead log, which cannot \
                 be read without write access: copy the files whose names begin with ledger.sqlite3 to a writable directory, \
                 and set COFFERDAM_DIR to that one"
            ),
            ErrorKind::Full => write!(
                f,
                "could not write to the ledger {file}: the disk is full; `cargo cofferdam clean` removes directories of \
                 finished runs"
            ),
            ErrorKind::Disk { reason } => write!(
                f,
                "could not read or write the ledger {file} ({reason}): check the disk and the limit of file sizes, or set \
                 COFFERDAM_DIR to another base directory"
            ),
            ErrorKind::Io { tried, source } => write!(f, "could not {tried} {file}: {source}"),
            ErrorKind::Other { source } => write!(f, "the ledger {file}: {source}"),
        }
    }
}

impl std::error::Error for LedgerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            ErrorKind::Io { source, .. } => Some(source),
            ErrorKind::Other { source } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_says_what_is_wrong_and_what_to_do() {
        let file = Path::new("base/ledger.sqlite3");
        let by = vec![NamedProcess {
            pid: 4711,
            program: Some("sqlite3".to_owned()),
        }];
        let waited = Duration::from_secs(5);
        let kinds = [
            ErrorKind::Locked { waited, by },
            ErrorKind::Locked { waited, by: vec![] },
            ErrorKind::Damaged {
                reason: "file is not a database".to_owned(),
            },
            ErrorKind::Foreign,
            ErrorKind::Newer { found: 2, known: 1 },
            ErrorKind::NoWal {
                mode: "delete".to_owned(),
            },
            ErrorKind::ReadOnly,
            ErrorKind::ReadOnlyWithLog,
            ErrorKind::Full,
            ErrorKind::Disk {
                reason: "disk I/O error".to_owned(),
            },
            ErrorKind::Io {
                tried: "create",
                source: io::Error::other("no"),
            },
        ];
        let messages: Vec<String> = kinds
            .into_iter()
            .map(|kind| LedgerError::new(file, kind).to_string())
            .collect();
        let expected = include_str!("errors.txt");
        assert_eq!(messages.join("\n") + "\n", expected);
    }
}
