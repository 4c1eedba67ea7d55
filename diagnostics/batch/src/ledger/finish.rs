//! The end of a session.

use super::lock_holders::{self, Holder};
use super::{Admitted, Ledger, LedgerError, Status, clock};
use rusqlite::{Transaction, params};
use std::time::Duration;

/// A conflict that a session found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub kind: String,
    pub severity: String,
    pub message: String,
    pub help: String,
}

/// What the end of a session came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// How many bytes the write-ahead log still has. More than some MB are worth a note: it stays as long as `readers`
    /// read.
    pub log: u64,
    /// Processes that read from the log just now.
    pub readers: Vec<Holder>,
}

impl Admitted {
    /// Ends the session: `Passed`, `Failed` or `Cancelled`, with what was found. Jobs that have not ended are marked
    /// as cancelled, submitted ones too. The namespace is free afterwards, also after an error.
    ///
    /// When recording had failed before, this is tried all the same, and the session is marked as one whose records
    /// have a gap.
    ///
    /// # Errors
    /// When the ledger cannot be written, also if an error was returned before. The session counts as abandoned then.
    pub fn finish(self, status: Status, conflicts: &[Conflict]) -> Result<Finished, LedgerError> {
        debug_assert!(!status.is_active(), "an end");
        let Self {
            ledger,
            id,
            lease,
            failed,
            ..
        } = self;
        let now = clock::now();
        ledger.change(|change| {
            cancel_the_rest(change, id, now)?;
            for (number, conflict) in (1_i64..).zip(conflicts) {
                change
                    .prepare_cached(
                        "INSERT INTO conflicts (session, number, kind, severity, message, help)
                         VALUES (?, ?, ?, ?, ?, ?)",
                    )?
                    .execute(params![
                        id,
                        number,
                        conflict.kind,
                        conflict.severity,
                        conflict.message,
                        conflict.help
                    ])?;
            }
            change.execute(
                "UPDATE sessions SET status = ?2, ended = ?3, takes_jobs = 0, gap = ?4, conflicts = ?5 WHERE id = ?1",
                params![id, status, now, failed, conflicts.len()],
            )
        })?;
        lease.end();
        Ok(ledger.empty_log())
    }
}

fn cancel_the_rest(change: &Transaction<'_>, id: i64, now: u64) -> rusqlite::Result<()> {
    change.execute(
        "UPDATE attempts SET state = 'cancelled', ended = ?2
         WHERE state = 'running' AND (session, job) IN
               (SELECT session, number FROM jobs WHERE session = ?1 AND state = 'running')",
        params![id, now],
    )?;
    change.execute(
        "UPDATE jobs SET state = 'cancelled' WHERE session = ? AND state IN ('pending', 'running')",
        [id],
    )?;
    Ok(())
}

impl Ledger {
    /// Writes the log back into the main file and cuts it to nothing, as far as readers allow.
    fn empty_log(&self) -> Finished {
        // Cutting it keeps writers out, so it waits for nobody. What stays is no damage, and the next session's.
        let _ = self.conn.busy_timeout(Duration::ZERO);
        for how in [
            "PRAGMA wal_checkpoint(PASSIVE)",
            "PRAGMA wal_checkpoint(TRUNCATE)",
        ] {
            let _ = self.conn.query_row(how, [], |_| Ok(()));
        }
        let file = self.file();
        let log = std::fs::metadata(lock_holders::beside(&file, "-wal")).map_or(0, |known| known.len());
        Finished {
            log,
            readers: if log > 0 {
                lock_holders::reading(&file)
            } else {
                Vec::new()
            },
        }
    }
}
