//! One active session in a namespace.

use super::session::{NewSession, Owner, SessionId};
use super::{JobNumber, JobState, Ledger, LedgerError, lease::Lease};
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// What to do while another session works in the namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Be refused at once.
    No,
    /// Be refused after so long.
    AtMost(Duration),
    /// Wait until it is over.
    Forever,
}

/// A session that was admitted. Until it is dropped, or its process ends, nobody else is active in its namespace.
///
/// Dropped without [`finish`](Self::finish), the session counts as abandoned.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(super) ledger: Ledger,
    pub(super) id: SessionId,
    pub(super) lease: Lease,
    /// The ledger failed: nothing is recorded any more, and that was told.
    pub(super) failed: bool,
    /// The highest number that is given to a job.
    pub(super) last_job: JobNumber,
    /// The highest number of a submitted job that was taken.
    pub(super) last_taken: JobNumber,
    /// As `PRAGMA data_version` said when submitted jobs were looked for.
    pub(super) seen: Option<i64>,
    resumed: Option<Resumed>,
}

/// The session whose owner died, and that is gone on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resumed {
    pub(crate) id: SessionId,
    pub(crate) name: String,
    /// All its jobs, in order: those that had ended are in the new session as they ended, the others are pending there.
    pub(crate) jobs: Vec<ResumedJob>,
}

/// A job that was taken over from a session whose owner died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResumedJob {
    /// Its number, in the new session as in the old one.
    pub(crate) number: JobNumber,
    pub(crate) name: String,
    pub(crate) group: Option<String>,
    /// How it ended, or `Pending` if it has to be run (again).
    pub(crate) state: JobState,
    /// What `submit` handed over, if it came so and is to be run.
    pub(crate) spec: Option<Vec<u8>>,
}

/// Why a session was not admitted.
#[derive(Debug)]
pub(crate) enum NotAdmitted {
    /// Another one works in its namespace.
    Refused(Refused),
    /// The ledger cannot be used; the session may go on without it, after a warning.
    Ledger(LedgerError),
}

/// Who is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) namespace: String,
    pub(crate) id: SessionId,
    pub(crate) name: String,
    pub(crate) scope: String,
    pub(crate) owner: Owner,
    /// Microseconds since 1970.
    pub(crate) since: u64,
    /// Microseconds since 1970, when it was refused.
    pub(crate) now: u64,
    /// Jobs that have ended, and all.
    pub(crate) jobs: (u64, u64),
}

impl Ledger {
    /// Begins a session, unless another one is active in its namespace; `waiting` is told once for whom it waits.
    ///
    /// A session whose owner is dead is marked `abandoned` on the way. Costs 0.1 ms.
    ///
    /// # Errors
    /// When another session is active and `wait` is over, and when the ledger cannot be used.
    pub(crate) fn start_session(
        self,
        new: &NewSession,
        wait: Wait,
        waiting: impl FnMut(&Refused),
    ) -> Result<Admitted, NotAdmitted> {
        todo!()
    }
}

impl Admitted {
    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    /// The folder for what the session keeps (logs of its jobs); not made yet, and removed when the session is
    /// forgotten.
    pub(crate) fn folder(&self) -> &Path {
        todo!()
    }

    /// Whether everything that happened so far is in the ledger.
    pub(crate) fn is_recorded(&self) -> bool {
        !self.failed
    }

    /// What was taken over with [`NewSession::resume`], if there was something.
    pub(crate) fn resumed(&self) -> Option<&Resumed> {
        self.resumed.as_ref()
    }
}
