//! Jobs that another process hands to a session that runs.

use super::{Admitted, JobNumber, Ledger, LedgerError, NewJob, SessionId};

/// A job that was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Submission {
    /// Its number in the session; it is pending.
    pub(crate) number: JobNumber,
    pub(crate) name: String,
    pub(crate) group: Option<String>,
    /// What was handed over: whatever [`Ledger::submit`] was given.
    pub(crate) spec: Vec<u8>,
}

/// Why a job was not submitted.
#[derive(Debug)]
pub(crate) enum NotSubmitted {
    /// No session works in the namespace, or it takes no more jobs because it is about to end.
    Nobody { namespace: String },
    Ledger(LedgerError),
}

impl Ledger {
    /// Hands a job to the session that works in the namespace: its number there, and the session's.
    ///
    /// `spec` says what to run. It goes through a file that only this user can read, is never in the database, and is
    /// removed when the job has ended.
    ///
    /// # Errors
    /// When there is no such session, and when ledger or file cannot be written.
    pub(crate) fn submit(
        &mut self,
        namespace: &str,
        job: NewJob<'_>,
        spec: &[u8],
    ) -> Result<(SessionId, JobNumber), NotSubmitted> {
        todo!()
    }
}

impl Admitted {
    /// Jobs that were submitted since it was last asked. Costs a microsecond when there are none: ask as often as
    /// there is something else to do.
    ///
    /// # Errors
    /// As [`add_jobs`](Self::add_jobs).
    pub(crate) fn submitted(&mut self) -> Result<Vec<Submission>, LedgerError> {
        todo!()
    }

    /// Takes no more jobs, unless some were submitted meanwhile: those are returned, and the session is still open.
    /// Call it when there is nothing left to run, before the conflicts are looked for.
    ///
    /// # Errors
    /// As [`add_jobs`](Self::add_jobs).
    pub(crate) fn close(&mut self) -> Result<Vec<Submission>, LedgerError> {
        todo!()
    }
}
