//! What goes wrong with the ledger, what that means, and what to do next.

use super::Holder;
use rusqlite::ErrorCode;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The ledger cannot be used. No session fails by it: it goes on unrecorded, after one warning.
#[derive(Debug)]
pub struct LedgerError {
    file: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Another process writes, and goes on writing.
    Locked {
        waited: Duration,
        by: Vec<Holder>,
    },
    Damaged {
        told: String,
    },
    /// A SQLite file, and none of ours.
    NotOurs,
    /// A newer version wrote it.
    Newer {
        found: i64,
        known: i64,
    },
    /// The file system does not let processes share the log's index.
    NoWal {
        mode: String,
    },
    ReadOnly,
    /// Read-only, and not all of it is in the main file.
    ReadOnlyWithLog,
    Full,
    /// The disk, or a limit on the size of files.
    Disk {
        told: String,
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
    /// What SQLite said of the ledger in `file`; `waited` is how long it waits for others.
    pub(super) fn of(file: &Path, source: rusqlite::Error, waited: Duration) -> Self {
        let told = || match &source {
            rusqlite::Error::SqliteFailure(_, Some(told)) => told.clone(),
            other => other.to_string(),
        };
        let kind = match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Kind::Locked {
                waited,
                by: super::lock_holders::writing(file),
            },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Kind::Damaged { told: told() },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Kind::ReadOnly,
            // What SQLite says of a file or folder that it may not write to.
            Some(ErrorCode::CannotOpen) if file.exists() => Kind::ReadOnly,
            Some(ErrorCode::DiskFull) => Kind::Full,
            Some(ErrorCode::SystemIoFailure) => Kind::Disk { told: told() },
            _ => Kind::Other { source },
        };
        Self::new(file, kind)
    }

    pub(super) fn io(tried: &'static str, file: &Path, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull => Kind::Full,
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Kind::ReadOnly,
            _ => Kind::Io { tried, source },
        };
        Self::new(file, kind)
    }

    pub(super) fn not_ours(file: &Path) -> Self {
        Self::new(file, Kind::NotOurs)
    }

    pub(super) fn newer(file: &Path, found: i64, known: i64) -> Self {
        Self::new(file, Kind::Newer { found, known })
    }

    pub(super) fn no_wal(file: &Path, mode: String) -> Self {
        Self::new(file, Kind::NoWal { mode })
    }

    pub(super) fn read_only_with_log(file: &Path) -> Self {
        Self::new(file, Kind::ReadOnlyWithLog)
    }

    pub(super) fn damaged(file: &Path, told: String) -> Self {
        Self::new(file, Kind::Damaged { told })
    }

    pub(super) fn without_tables(file: &Path) -> Self {
        Self::damaged(file, "it has no tables".to_owned())
    }

    /// Whether the file cannot be opened because it, or its folder, cannot be written to.
    pub(super) fn is_read_only(&self) -> bool {
        matches!(self.kind, Kind::ReadOnly)
    }

    fn new(file: &Path, kind: Kind) -> Self {
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
            Kind::Locked { waited, by } => {
                write!(f, "could not write to the ledger {file} within {waited:?}: ")?;
                match by.as_slice() {
                    [] => f.write_str("another process writes to it"),
                    by => write!(f, "{} writes to it", Holder::list(by)),
                }?;
                f.write_str("; if that never ends, end that process: nothing is lost by it")
            }
            Kind::Damaged { told } => write!(
                f,
                "the ledger {file} is damaged ({told}); when no session runs, move it away whole, and the next session \
                 begins a new one: `mkdir damaged && mv {file}* damaged/`. What can be saved, \
                 `sqlite3 damaged/ledger.sqlite3 .recover` prints. Never remove a `-wal` alone: it holds what came last"
            ),
            Kind::NotOurs => write!(
                f,
                "{file} is a SQLite database, and no ledger of cofferdam's; it is left as it is: move it away, or \
                 choose another base folder by COFFERDAM_DIR"
            ),
            Kind::Newer { found, known } => write!(
                f,
                "the ledger {file} was written by a newer cofferdam (schema {found}; this one knows {known}): update \
                 by `cargo install --locked --path diagnostics` in a checkout, or choose another base folder by COFFERDAM_DIR"
            ),
            Kind::NoWal { mode } => write!(
                f,
                "the ledger {file} cannot have a write-ahead log there (its journal is {mode:?}): a network file \
                 system does not share memory between processes; choose a base folder on a local disk by COFFERDAM_DIR"
            ),
            Kind::ReadOnly => write!(
                f,
                "the ledger {file} cannot be written to: the file or its folder is read-only, or another user's; \
                 choose another base folder by COFFERDAM_DIR"
            ),
            Kind::ReadOnlyWithLog => write!(
                f,
                "the ledger {file} is in a read-only folder, and what came last is in its log, which cannot be read \
                 without writing beside it: copy the files whose names begin with ledger.sqlite3 to a folder that can \
                 be written to, and name that one by COFFERDAM_DIR"
            ),
            Kind::Full => write!(
                f,
                "could not write to the ledger {file}: the disk is full; `cargo cofferdam clean` removes folders of \
                 runs that are over"
            ),
            Kind::Disk { told } => write!(
                f,
                "could not read or write the ledger {file} ({told}): see that its disk is sound and there, and that \
                 files may be so large, or choose another base folder by COFFERDAM_DIR"
            ),
            Kind::Io { tried, source } => write!(f, "could not {tried} {file}: {source}"),
            Kind::Other { source } => write!(f, "the ledger {file}: {source}"),
        }
    }
}

impl std::error::Error for LedgerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            Kind::Io { source, .. } => Some(source),
            Kind::Other { source } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every message, as a person reads it.
    #[test]
    fn every_error_says_what_is_wrong_and_what_to_do() {
        let file = Path::new("base/ledger.sqlite3");
        let by = vec![Holder {
            pid: 4711,
            program: Some("sqlite3".to_owned()),
        }];
        let waited = Duration::from_secs(5);
        let kinds = [
            Kind::Locked { waited, by },
            Kind::Locked { waited, by: vec![] },
            Kind::Damaged {
                told: "file is not a database".to_owned(),
            },
            Kind::NotOurs,
            Kind::Newer { found: 2, known: 1 },
            Kind::NoWal {
                mode: "delete".to_owned(),
            },
            Kind::ReadOnly,
            Kind::ReadOnlyWithLog,
            Kind::Full,
            Kind::Disk {
                told: "disk I/O error".to_owned(),
            },
            Kind::Io {
                tried: "create",
                source: io::Error::other("no"),
            },
        ];
        let told: Vec<String> = kinds
            .into_iter()
            .map(|kind| LedgerError::new(file, kind).to_string())
            .collect();
        let wanted = include_str!("errors.txt");
        assert_eq!(told.join("\n") + "\n", wanted);
    }
}
