//! Removes old sessions. The selection is a pure function.

use super::session::{SessionId, Status};
use super::{Ledger, LedgerError, SESSIONS, admission, folder, jobs_file, lease_file, session_lease};
use std::collections::HashSet;
use std::path::PathBuf;

/// The sessions that were removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovedSessions {
    pub names: Vec<String>,
    /// Folders that could not be removed now.
    pub left: Vec<PathBuf>,
}

/// The facts about a session that decide whether it is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KnownSession {
    id: SessionId,
    name: String,
    status: Status,
}

/// Selects all sessions that are over, except the `keep` that ended last. `known` lists those first.
fn outdated(known: &[KnownSession], keep: usize) -> Vec<&KnownSession> {
    let over = known.iter().filter(|session| !session.status.is_active());
    over.skip(keep).collect()
}

/// Removes old sessions; see [`Ledger::retain`].
pub(super) fn retain(ledger: &Ledger, keep: usize) -> Result<RemovedSessions, LedgerError> {
    let failed = |source| ledger.error(source);
    let change = ledger.begin()?;
    admission::abandon_dead(ledger, &change)?;
    let known = {
        let mut found = change
            // By their ends: short sessions must not displace a long one that began before them. An abandoned session has
            // only a start.
            .prepare_cached(
                "SELECT id, name, status FROM sessions ORDER BY coalesce(ended, started) DESC, id DESC",
            )
            .map_err(failed)?;
        let found = found.query_map([], |row| {
            Ok(KnownSession {
                id: row.get(0)?,
                name: row.get(1)?,
                status: row.get(2)?,
            })
        });
        let found: rusqlite::Result<Vec<KnownSession>> = found.and_then(Iterator::collect);
        found.map_err(failed)?
    };
    let outdated = outdated(&known, keep);
    for session in &outdated {
        change
            .execute("DELETE FROM sessions WHERE id = ?", [session.id])
            .map_err(failed)?;
    }
    let mut removed = RemovedSessions::default();
    let kept: HashSet<&str> = known
        .iter()
        .filter(|session| !outdated.contains(session))
        .map(|session| session.name.as_str())
        .collect();
    // Inside the transaction: a session that begins in the meantime would lose its files.
    remove_leases_except(ledger, &kept);
    change.commit().map_err(failed)?;
    for session in outdated {
        let folder = folder(&ledger.base, &session.name);
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => removed.left.push(folder),
            _ => {}
        }
        removed.names.push(session.name.clone());
    }
    Ok(removed)
}

/// Removes the leases of dead owners, including those that died before their session was recorded.
fn remove_leases_except(ledger: &Ledger, kept: &HashSet<&str>) {
    let files = |name: &&str| [lease_file(&ledger.base, name), jobs_file(&ledger.base, name)];
    let kept: HashSet<PathBuf> = kept.iter().flat_map(files).collect();
    let entries = std::fs::read_dir(ledger.base.join(SESSIONS));
    let entries = entries.into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let is_lease = path
            .extension()
            .is_some_and(|extension| extension == "lease" || extension == "jobs");
        if is_lease && !kept.contains(&path) && matches!(session_lease::is_held(&path), Ok(false)) {
            // A file that cannot be removed now is tried again the next time.
            let _ = std::fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_sessions_and_all_active_ones_are_kept() {
        let known: Vec<KnownSession> = [
            (5, Status::Running),
            (4, Status::Passed),
            (3, Status::Abandoned),
            (2, Status::Pending),
            (1, Status::Failed),
        ]
        .map(|(id, status)| KnownSession {
            id,
            name: id.to_string(),
            status,
        })
        .into();
        let removed = |keep| {
            outdated(&known, keep)
                .iter()
                .map(|session| session.id)
                .collect::<Vec<_>>()
        };
        assert_eq!(removed(0), [4, 3, 1]);
        assert_eq!(removed(2), [1]);
        assert_eq!(removed(3), [0; 0]);
    }
}
