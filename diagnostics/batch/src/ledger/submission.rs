//! Jobs that another process hands to a session that runs.

use super::{
    Admitted, JobNumber, Ledger, LedgerError, NewJob, SessionId, clock, folder, lease_file, session_lease,
    session_writer,
};
use rusqlite::{OptionalExtension as _, Transaction};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

/// A job that was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Its number in the session; it is pending.
    pub number: JobNumber,
    pub name: String,
    pub group: Option<String>,
    /// What [`Ledger::submit`] was given; `None` if the file with it is gone. The job cannot be run then.
    pub spec: Option<Vec<u8>>,
}

/// Why a job was not submitted.
#[derive(Debug)]
pub enum NotSubmitted {
    /// No session works in the namespace, or it takes no more jobs because it is about to end.
    Nobody,
    Ledger(LedgerError),
}

impl From<LedgerError> for NotSubmitted {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl Ledger {
    /// Hands a job to the session that works in the namespace: the session's number, and the job's in it.
    ///
    /// `spec` says what to run. It goes through a file that only this user can read, is never in the database, and is
    /// removed when the job has ended.
    ///
    /// # Errors
    /// When there is no such session, and when ledger or file cannot be written.
    pub fn submit(
        &self,
        namespace: &str,
        job: &NewJob<'_>,
        spec: &[u8],
    ) -> Result<(SessionId, JobNumber), NotSubmitted> {
        let wrong = |source| self.wrong(source);
        let change = self.begin()?;
        let Some((id, name)) = taker(&change, namespace).map_err(wrong)? else {
            return Err(NotSubmitted::Nobody);
        };
        let path = lease_file(&self.base, &name);
        if !session_lease::is_held(&path).map_err(|source| LedgerError::io("look at", &path, source))? {
            return Err(NotSubmitted::Nobody);
        }
        let number = session_writer::next_number(&change, id).map_err(wrong)?;
        let file = folder(Path::new(""), &name)
            .join("submitted")
            .join(format!("{number}-{}", clock::now()));
        let path = self.base.join(&file);
        let folder = file.parent().unwrap_or(&file);
        (self.create_dir)(&self.base, folder)
            .and_then(|_| write_private(&path, spec))
            .map_err(|source| LedgerError::io("write", &path, source))?;
        let added =
            session_writer::insert(&change, id, number, job, file.to_str()).and_then(|()| change.commit());
        if let Err(source) = added {
            let _ = std::fs::remove_file(&path);
            return Err(wrong(source).into());
        }
        Ok((id, number))
    }
}

/// The session that takes jobs in a namespace: the newest one, where several work beside each other.
fn taker(change: &Transaction<'_>, namespace: &str) -> rusqlite::Result<Option<(SessionId, String)>> {
    change
        .query_row(
            "SELECT id, name FROM sessions
             WHERE namespace = ? AND status IN ('pending', 'running') AND takes_jobs = 1 ORDER BY id DESC LIMIT 1",
            [namespace],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
}

/// Writes a file that nobody but this user can read.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(bytes)
}

impl Admitted {
    /// Jobs that were submitted since it was last asked. Costs a few microseconds when there are none: ask as often
    /// as there is something else to do.
    ///
    /// # Errors
    /// As [`add_jobs`](Self::add_jobs).
    pub fn submitted(&mut self) -> Result<Vec<Submission>, LedgerError> {
        let (id, after, seen) = (self.id, self.last_taken, self.seen);
        let found = self.record(|ledger| {
            let wrong = |source| ledger.wrong(source);
            let version = ledger.version().map_err(wrong)?;
            let found = if seen == Some(version) {
                Vec::new()
            } else {
                untaken(&ledger.conn, id, after).map_err(wrong)?
            };
            Ok((Some(version), found))
        });
        let (version, found) = found?;
        self.seen = version;
        Ok(self.take(found))
    }

    /// Takes no more jobs, unless some were submitted meanwhile: those are returned, and the session is still open.
    /// Call it when there is nothing left to run, before the conflicts are looked for.
    ///
    /// # Errors
    /// As [`add_jobs`](Self::add_jobs).
    pub fn close(&mut self) -> Result<Vec<Submission>, LedgerError> {
        let (id, after) = (self.id, self.last_taken);
        let found = self.record(|ledger| {
            ledger.change(|change| {
                let found = untaken(change, id, after)?;
                if found.is_empty() {
                    change.execute("UPDATE sessions SET takes_jobs = 0 WHERE id = ?", [id])?;
                }
                Ok(found)
            })
        })?;
        Ok(self.take(found))
    }

    fn take(&mut self, found: Vec<Untaken>) -> Vec<Submission> {
        let read = |one: Untaken| {
            self.last_taken = self.last_taken.max(one.number);
            let spec = std::fs::read(self.ledger.base.join(&one.file)).ok();
            self.specs.insert(one.number, one.file);
            Submission {
                number: one.number,
                name: one.name,
                group: one.group,
                spec,
            }
        };
        found.into_iter().map(read).collect()
    }
}

struct Untaken {
    number: JobNumber,
    name: String,
    group: Option<String>,
    file: String,
}

fn untaken(conn: &rusqlite::Connection, id: SessionId, after: JobNumber) -> rusqlite::Result<Vec<Untaken>> {
    let mut found = conn.prepare_cached(
        "SELECT number, name, \"group\", spec FROM jobs
         WHERE session = ? AND number > ? AND submitted = 1 AND carried = 0 AND state = 'pending' ORDER BY number",
    )?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Untaken {
            number: row.get(0)?,
            name: row.get(1)?,
            group: row.get(2)?,
            file: row.get(3)?,
        })
    };
    found.query_map(rusqlite::params![id, after], read)?.collect()
}
