//! Old sessions are forgotten: which ones is decided first, without touching anything.

use super::{Ledger, LedgerError, SessionId, Status, folder, jobs_file, lease_file, session_lease};
use std::collections::HashSet;
use std::path::PathBuf;

/// What was forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Sessions, by their names.
    pub sessions: Vec<String>,
    /// Folders that could not be removed now.
    pub left: Vec<PathBuf>,
}

/// A session, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    id: SessionId,
    name: String,
    status: Status,
}

/// Which sessions go: all that are over, but for the `keep` that ended last. `known` has those first.
fn old(known: &[Known], keep: usize) -> Vec<&Known> {
    let over = known.iter().filter(|session| !session.status.is_active());
    over.skip(keep).collect()
}

impl Ledger {
    /// Forgets all sessions that are over, but for the `keep` that ended last: their rows, and their folders with the logs of
    /// their jobs. What a session's command put out is the user's, and stays.
    ///
    /// Sessions whose owner died are marked on the way.
    ///
    /// # Errors
    /// When the ledger cannot be written. A folder that cannot be removed is no error.
    pub fn retain(&self, keep: usize) -> Result<Removed, LedgerError> {
        let wrong = |source| self.wrong(source);
        let change = self.begin()?;
        self.abandon_the_dead(&change)?;
        let known = {
            let mut found = change
                // By its end: a long session is not forgotten for all the short ones that began after it. Of one whose
                // owner died it is known only when it began.
                .prepare_cached(
                    "SELECT id, name, status FROM sessions ORDER BY coalesce(ended, started) DESC, id DESC",
                )
                .map_err(wrong)?;
            let found = found.query_map([], |row| {
                Ok(Known {
                    id: row.get(0)?,
                    name: row.get(1)?,
                    status: row.get(2)?,
                })
            });
            let found: rusqlite::Result<Vec<Known>> = found.and_then(Iterator::collect);
            found.map_err(wrong)?
        };
        let old = old(&known, keep);
        for session in &old {
            change
                .execute("DELETE FROM sessions WHERE id = ?", [session.id])
                .map_err(wrong)?;
        }
        // Still inside of the transaction: nobody begins a session meanwhile, whose files would be nobody's yet.
        let mut removed = Removed::default();
        let kept: HashSet<&str> = known
            .iter()
            .filter(|session| !old.contains(session))
            .map(|session| session.name.as_str())
            .collect();
        self.remove_leases_but(&kept);
        change.commit().map_err(wrong)?;
        for session in old {
            let folder = folder(&self.base, &session.name);
            match std::fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => removed.left.push(folder),
                _ => {}
            }
            removed.sessions.push(session.name.clone());
        }
        Ok(removed)
    }

    /// Removes the leases of dead owners, also of those that died before their session was known.
    fn remove_leases_but(&self, kept: &HashSet<&str>) {
        let files = |name: &&str| [lease_file(&self.base, name), jobs_file(&self.base, name)];
        let kept: HashSet<PathBuf> = kept.iter().flat_map(files).collect();
        let entries = std::fs::read_dir(self.base.join("sessions"))
            .into_iter()
            .flatten()
            .flatten();
        for path in entries.map(|entry| entry.path()) {
            let is_lease = path
                .extension()
                .is_some_and(|extension| extension == "lease" || extension == "jobs");
            if is_lease && !kept.contains(&path) && matches!(session_lease::is_held(&path), Ok(false)) {
                // One that cannot be removed now is tried again the next time.
                let _ = std::fs::remove_file(&path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay_and_so_does_whoever_is_active_however_old() {
        let known: Vec<Known> = [
            (5, Status::Running),
            (4, Status::Passed),
            (3, Status::Abandoned),
            (2, Status::Pending),
            (1, Status::Failed),
        ]
        .map(|(id, status)| Known {
            id,
            name: id.to_string(),
            status,
        })
        .into();
        let gone = |keep| {
            old(&known, keep)
                .iter()
                .map(|session| session.id)
                .collect::<Vec<_>>()
        };
        assert_eq!(gone(0), [4, 3, 1]);
        assert_eq!(gone(2), [1]);
        assert_eq!(gone(3), [0; 0]);
    }
}
