//! Sessions: their namespaces; what one `run` recorded, found again, and removed when it is old.

use cofferdam::diagnostics::{Evidence, RecordedRun, runs};
use cofferdam::{Error, Namespace, NamespaceHold};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// As many sessions stay, the newest.
const KEPT: usize = 10;

/// A name that no other session has.
pub(super) fn new_name() -> String {
    #[expect(clippy::disallowed_methods, reason = "the moment is the session's name")]
    let now = std::time::SystemTime::now();
    let micros = now
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_micros());
    #[expect(
        clippy::disallowed_methods,
        reason = "two sessions may begin in the same microsecond"
    )]
    let pid = std::process::id();
    format!("{micros}-{pid}")
}

/// Where a session's output goes, and nobody else's.
pub(super) struct Space {
    pub(super) namespace: Namespace,
    pub(super) output: PathBuf,
    hold: Option<NamespaceHold>,
}

impl Space {
    /// The namespace that was asked for, or that the environment names, or the session's own.
    pub(super) fn new(asked: Option<&str>, session: &str, base: &Path) -> Result<Self, Error> {
        let namespace = match asked {
            Some(name) => Namespace::named(name)?,
            None => match Namespace::from_environment()? {
                Some(namespace) => namespace,
                None => Namespace::named(session)?,
            },
        };
        // A session inside of another's command goes on in its namespace.
        let hold = if is_inside_another() {
            None
        } else {
            Some(namespace.hold(base)?)
        };
        Ok(Self {
            output: namespace.output_dir(base)?,
            namespace,
            hold,
        })
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if self.hold.is_some() {
            // Only if nothing was put there.
            let _ = std::fs::remove_dir(&self.output);
        }
    }
}

fn is_inside_another() -> bool {
    #[expect(clippy::disallowed_methods, reason = "a session sets this for its command")]
    std::env::var_os("COFFERDAM_RECORD").is_some_and(|session| !session.is_empty())
}

/// The newest session below `base`.
pub(super) fn newest(base: &Path) -> Result<Option<String>, Error> {
    Ok(runs(base)?.into_iter().find_map(|run| run.session))
}

/// What was recorded for `session` below `base`.
pub(super) fn evidence(base: &Path, session: &str) -> Result<Evidence, Error> {
    let mut evidence = Evidence::of_session(session);
    for run in runs(base)? {
        // A run that was named by hand may have been joined by several sessions; its journals say which.
        if run.named || run.session.as_deref() == Some(session) {
            evidence.read(&run.path);
        }
    }
    Ok(evidence)
}

/// Removes the recordings of all but the newest sessions, as far as their runs are over.
pub(super) fn forget_old(base: &Path) {
    let Ok(runs) = runs(base) else { return };
    for folder in old(&runs, KEPT) {
        // What cannot be removed now is tried again by the next session.
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// The folders that may go. `runs` is sorted, the newest first.
fn old(runs: &[RecordedRun], keep: usize) -> Vec<PathBuf> {
    let mut sessions = HashSet::new();
    let mut old = Vec::new();
    for run in runs {
        let Some(session) = &run.session else { continue };
        let known = sessions.contains(session);
        if !known && sessions.len() < keep {
            sessions.insert(session);
        } else if !known && run.over {
            old.push(run.path.clone());
        }
    }
    old
}
