//! Jobs that other processes submit to an active session.

use super::session::{JobNumber, NewJob, SessionId};
use super::{Ledger, LedgerError, folder, lease_file, session_lease, timestamps};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

/// A submitted job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Its number in the session; it is pending.
    pub number: JobNumber,
    pub name: String,
    pub group: Option<String>,
    /// The description that [`Ledger::submit`] received; `None` if its file is gone. The job cannot run then.
    pub spec: Option<Vec<u8>>,
}

/// The reason why a job was not submitted.
#[derive(Debug)]
pub enum SubmitError {
    /// No session is active in the namespace, or it takes no more jobs because it is about to end.
    NoSession,
    Ledger(LedgerError),
}

impl From<LedgerError> for SubmitError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

/// Submits a job; see [`Ledger::submit`].
pub(super) fn submit(
    ledger: &Ledger,
    namespace: &str,
    job: &NewJob<'_>,
    spec: &[u8],
) -> Result<(SessionId, JobNumber), SubmitError> {
    let failed = |source| ledger.error(source);
    let change = ledger.begin()?;
    let Some((id, name)) = receiver(&change, namespace).map_err(failed)? else {
        return Err(SubmitError::NoSession);
    };
    let lease = lease_file(&ledger.base, &name);
    if !session_lease::is_held(&lease).map_err(|source| LedgerError::io("look at", &lease, source))? {
        return Err(SubmitError::NoSession);
    }
    let number = super::next_number(&change, id).map_err(failed)?;
    let dir = folder(Path::new(""), &name).join("submitted");
    let file = dir.join(format!("{number}-{}", timestamps::now()));
    let path = ledger.base.join(&file);
    (ledger.create_dir)(&ledger.base, &dir)
        .and_then(|_| write_private(&path, spec))
        .map_err(|source| LedgerError::io("write", &path, source))?;
    let added = super::insert_job(&change, id, number, job, file.to_str()).and_then(|()| change.commit());
    if let Err(source) = added {
        let _ = std::fs::remove_file(&path);
        return Err(failed(source).into());
    }
    Ok((id, number))
}

/// Returns the session that takes jobs in a namespace: the newest, if several are active.
fn receiver(change: &Transaction<'_>, namespace: &str) -> rusqlite::Result<Option<(SessionId, String)>> {
    change
        .query_row(
            "SELECT id, name FROM sessions
             WHERE namespace = ? AND status IN ('pending', 'running') AND takes_jobs = 1 ORDER BY id DESC LIMIT 1",
            [namespace],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
}

/// Writes a file that only this user can read.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(bytes)
}

/// A row of a submitted job.
pub(super) struct SubmittedJob {
    pub(super) number: JobNumber,
    pub(super) name: String,
    pub(super) group: Option<String>,
    pub(super) file: String,
}

/// Returns the pending submitted jobs with a higher number than `after`.
pub(super) fn after(
    conn: &Connection,
    id: SessionId,
    after: JobNumber,
) -> rusqlite::Result<Vec<SubmittedJob>> {
    let mut found = conn.prepare_cached(
        "SELECT number, name, \"group\", spec FROM jobs
         WHERE session = ? AND number > ? AND submitted = 1 AND carried = 0 AND state = 'pending' ORDER BY number",
    )?;
    let read = |row: &Row<'_>| {
        Ok(SubmittedJob {
            number: row.get(0)?,
            name: row.get(1)?,
            group: row.get(2)?,
            file: row.get(3)?,
        })
    };
    found.query_map(params![id, after], read)?.collect()
}
