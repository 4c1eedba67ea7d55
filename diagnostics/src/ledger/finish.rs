//! The end of a session.

use super::{Admitted, Holder, LedgerError, Status};

/// A conflict that was found, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewConflict {
    pub(crate) kind: String,
    pub(crate) severity: String,
    pub(crate) message: String,
    pub(crate) mend: String,
}

/// What the end of a session came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    /// Bytes of the write-ahead log that could not be emptied, because these processes still read from it: worth a
    /// note. Nothing and nobody else.
    pub(crate) log: u64,
    pub(crate) readers: Vec<Holder>,
}

impl Admitted {
    /// Ends the session: `Passed`, `Failed` or `Cancelled`, with what was found. Jobs that have not ended are marked
    /// as cancelled, submitted ones too. The namespace is free afterwards, also after an error.
    ///
    /// When recording had failed before, it is tried once more, and the session is marked as one whose records have a
    /// gap.
    ///
    /// # Errors
    /// When the ledger cannot be written, also if an error was returned before. The session counts as abandoned then.
    pub(crate) fn finish(self, status: Status, conflicts: &[NewConflict]) -> Result<Finished, LedgerError> {
        todo!()
    }
}
