//! Looking at a ledger, without ever waiting for who writes or keeping anybody waiting.

use super::schema::{self, Found};
use super::session_lease::Remains;
use super::{FILE, Holder, Ledger, LedgerError, busy_wait, lock_holders};
use rusqlite::{Connection, OpenFlags, Params, Row};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A ledger to read from. Each question is a transaction of its own, over before it is answered.
#[derive(Debug)]
pub struct Reader {
    conn: Connection,
    base: PathBuf,
}

/// The write-ahead log, and what keeps it from being emptied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub bytes: u64,
    /// Other processes that read just now.
    pub readers: Vec<Holder>,
}

/// Readers are kept waiting only while the ledger is made, or repaired after a crash.
const WAIT: Duration = Duration::from_secs(1);

impl Reader {
    /// Opens the ledger in a base folder; `None` where there is none yet.
    ///
    /// In a folder that cannot be written to it is read as it stands. One of an older version is brought up to date.
    ///
    /// # Errors
    /// When it is damaged, of a newer version, no ledger, or cannot be read.
    pub fn open(base: &Path) -> Result<Option<Self>, LedgerError> {
        let file = base.join(FILE);
        if !super::is_there(&file)? {
            return Ok(None);
        }
        let (conn, found) = match Self::connect(&file, "") {
            Err(error) if error.is_read_only() => {
                let log = std::fs::metadata(lock_holders::beside(&file, "-wal"));
                if log.is_ok_and(|known| known.len() > 0) {
                    return Err(LedgerError::read_only_with_log(&file));
                }
                Self::connect(&file, "?immutable=1")?
            }
            told => told?,
        };
        match found {
            Found::NotOurs => Err(LedgerError::not_ours(&file)),
            Found::Newer(found) => Err(LedgerError::newer(&file, found, schema::version())),
            Found::Empty => Err(LedgerError::without_tables(&file)),
            Found::Older => {
                drop(conn);
                Ledger::connect(&file, &file, super::Opening::default())?;
                Self::open(base)
            }
            Found::Current => Ok(Some(Self {
                conn,
                base: base.to_owned(),
            })),
        }
    }

    fn connect(file: &Path, options: &str) -> Result<(Connection, Found), LedgerError> {
        let wrong = |source| LedgerError::of(file, source, WAIT);
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let mut conn = Connection::open_with_flags(uri(file) + options, flags).map_err(wrong)?;
        busy_wait::for_others(&mut conn, WAIT).map_err(wrong)?;
        super::keep_log(&conn, true).map_err(wrong)?;
        conn.pragma_update(None, "query_only", true).map_err(wrong)?;
        let found = schema::look(&conn).map_err(wrong)?;
        Ok((conn, found))
    }

    /// The base folder.
    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    pub(super) fn read<T>(
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

    /// Copies what is committed to a file that is empty.
    pub(super) fn vacuum_into(&self, file: &Path) -> Result<(), LedgerError> {
        // The copy is written by this connection.
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

    /// Returns what is left of the session; its owner, where its locks cannot be looked at.
    pub(super) fn remains_of(&self, name: &str) -> Remains {
        Remains::of(&self.base, name).unwrap_or(Remains::Owner)
    }

    /// A number that changes whenever somebody changes the ledger.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn version(&self) -> Result<i64, LedgerError> {
        let found = self.read("PRAGMA data_version", [], |row| row.get(0))?;
        Ok(found.first().copied().unwrap_or(0))
    }

    /// The write-ahead log as it is now.
    pub fn log(&self) -> Log {
        let file = self.base.join(FILE);
        Log {
            bytes: std::fs::metadata(lock_holders::beside(&file, "-wal")).map_or(0, |known| known.len()),
            readers: lock_holders::reading(&file),
        }
    }
}

/// The file as SQLite's URIs spell it: anything may stand in a path.
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
