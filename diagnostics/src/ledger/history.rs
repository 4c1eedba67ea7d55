//! What was recorded, read back.

use super::{JobNumber, JobState, LedgerError, Owner, Reader, SessionId, Status, Trigger};
use std::path::PathBuf;

/// A session as it stands in the ledger. Moments are microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) scope: String,
    pub(crate) trigger: Trigger,
    /// `Abandoned` also where the owner is dead and nobody has marked it yet.
    pub(crate) status: Status,
    pub(crate) beside: bool,
    pub(crate) owner: Owner,
    pub(crate) revision: Option<String>,
    pub(crate) started: u64,
    pub(crate) ended: Option<u64>,
    /// Recording failed for a while: jobs or results are missing.
    pub(crate) gap: bool,
    /// The session that it went on with.
    pub(crate) resumes: Option<SessionId>,
    pub(crate) jobs: Counts,
    /// Conflicts that were found; `None` before its end.
    pub(crate) conflicts: Option<u64>,
}

/// How many jobs are how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) pending: u64,
    pub(crate) running: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) interrupted: u64,
}

impl Counts {
    pub(crate) fn all(&self) -> u64 {
        self.pending + self.running + self.ended()
    }

    pub(crate) fn ended(&self) -> u64 {
        self.completed + self.failed + self.cancelled + self.interrupted
    }
}

/// A job as it stands in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) number: JobNumber,
    pub(crate) name: String,
    pub(crate) group: Option<String>,
    pub(crate) state: JobState,
    /// It came from another process.
    pub(crate) submitted: bool,
    /// It had ended in the session that this one resumed.
    pub(crate) carried: bool,
    /// The first one first.
    pub(crate) attempts: Vec<Attempt>,
}

/// One attempt at a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) state: JobState,
    pub(crate) exit_code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) reason: Option<String>,
    pub(crate) started: u64,
    pub(crate) ended: Option<u64>,
    pub(crate) memory: Option<u64>,
    pub(crate) log: Option<PathBuf>,
}

/// A conflict that a session found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    pub(crate) kind: String,
    pub(crate) severity: String,
    pub(crate) message: String,
    pub(crate) mend: String,
}

/// How often a job came to which end, over the sessions that are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Success {
    pub(crate) name: String,
    pub(crate) sessions: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
}

/// Which sessions are asked for: the newest ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) namespace: Option<String>,
    pub(crate) limit: u32,
}

impl Reader {
    /// Sessions that are active, the oldest first.
    pub(crate) fn active(&self) -> Result<Vec<Session>, LedgerError> {
        todo!()
    }

    /// Sessions, the newest first.
    pub(crate) fn sessions(&self, filter: &Filter) -> Result<Vec<Session>, LedgerError> {
        todo!()
    }

    /// One session: by its number, its name, its namespace (the newest one's in it), or `latest`.
    pub(crate) fn session(&self, which: &str) -> Result<Option<Session>, LedgerError> {
        todo!()
    }

    /// The session's jobs in order; with `running` only those that run now.
    pub(crate) fn jobs(&self, session: SessionId, running: bool) -> Result<Vec<Job>, LedgerError> {
        todo!()
    }

    pub(crate) fn conflicts(&self, session: SessionId) -> Result<Vec<Conflict>, LedgerError> {
        todo!()
    }

    /// For each job name, the worst first.
    pub(crate) fn success(&self, filter: &Filter) -> Result<Vec<Success>, LedgerError> {
        todo!()
    }
}
