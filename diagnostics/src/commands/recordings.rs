//! Finds the recordings of sessions, and removes old ones.

use cofferdam::Error;
use cofferdam::diagnostics::{RecordedRun, runs};
use cofferdam_batch::executor::job::JobId;
use cofferdam_batch::ledger::Reader;
use cofferdam_conflicts::Evidence;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The number of newest sessions whose recordings are kept.
const KEPT: usize = 10;

/// Returns a name that no other session has.
pub(super) fn new_name() -> String {
    #[expect(clippy::disallowed_methods, reason = "the time is part of the session's name")]
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

/// Returns the newest session below `base`.
pub(super) fn newest(base: &Path) -> Result<Option<String>, Error> {
    Ok(runs(base)?.into_iter().find_map(|run| run.session))
}

/// Reads the recording of `session` below `base`.
pub(super) fn evidence(base: &Path, session: &str) -> Result<Evidence, Error> {
    let mut evidence = Evidence::of_session(session);
    // A recording without `run` has no account.
    let account = account(base, session);
    if account.exists() {
        evidence.read(&account);
    }
    for run in runs(base)? {
        // Several sessions may share a run that was named by hand; its journals name them.
        if run.named || run.session.as_deref() == Some(session) {
            evidence.read(&run.path);
        }
    }
    Ok(evidence)
}

/// Waits until the fixtures of the session's runs are torn down, because a failed teardown belongs into its report. `begin` is
/// called once, if that takes a moment. Returns the directories of the runs where it was not complete in time.
pub(super) fn wait_for_teardowns(base: &Path, session: &str, begin: impl FnOnce()) -> Vec<PathBuf> {
    /// Each command of a teardown has 20 s.
    const LIMIT: Duration = Duration::from_secs(60);
    const MOMENT: Duration = Duration::from_millis(500);
    let of_session = runs(base).into_iter().flatten();
    // A named run lasts as long as its user wants.
    let mut left: Vec<_> = of_session
        .filter(|run| !run.named && run.session.as_deref() == Some(session))
        .collect();
    left.retain(|run| !run.wait_for_teardown(MOMENT));
    if !left.is_empty() {
        begin();
        left.retain(|run| !run.wait_for_teardown(LIMIT));
    }
    left.into_iter().map(|run| run.path).collect()
}

/// Returns the account of a session. It is in the folder of runs, so that a copy of that folder includes it.
pub(super) fn account(base: &Path, session: &str) -> PathBuf {
    base.join("runs").join(format!("{session}.account"))
}

/// Reads the recording of these jobs of the session. The names of their workers begin with those of the jobs.
pub(super) fn evidence_of_jobs(
    base: &Path,
    session: &str,
    prefix: &str,
    jobs: &[JobId],
) -> Result<Evidence, Error> {
    let jobs: HashSet<String> = jobs.iter().map(|job| format!("{prefix}{job}")).collect();
    let mut evidence = Evidence::of_session(session);
    for run in runs(base)? {
        if !run.named && run.session.as_deref() != Some(session) {
            continue;
        }
        let Ok(workers) = std::fs::read_dir(run.path.join("workers")) else {
            continue;
        };
        for worker in workers.flatten() {
            let name = worker.file_name();
            let job = name.to_str().and_then(|name| name.rsplit_once('.'));
            if job.is_some_and(|(job, _)| jobs.contains(job)) {
                evidence.read(&worker.path());
            }
        }
    }
    Ok(evidence)
}

/// Removes the recordings of finished runs, except those of the newest sessions and of active ones, which still need
/// theirs.
pub(super) fn remove_old(base: &Path) {
    let Ok(runs) = runs(base) else { return };
    let active = active(base);
    for folder in outdated(&runs, KEPT, &active) {
        // A folder that cannot be removed now is tried again by the next session.
        let _ = std::fs::remove_dir_all(folder);
    }
    remove_old_accounts(base, &active);
}

/// Removes old accounts. The name of a session begins with its start time, so that sorting by name is enough.
fn remove_old_accounts(base: &Path, active: &HashSet<String>) {
    let entries = std::fs::read_dir(base.join("runs"))
        .into_iter()
        .flatten()
        .flatten();
    let mut sessions: Vec<String> = entries
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".account")?.to_owned()))
        .filter(|session| !active.contains(session))
        .collect();
    sessions.sort_unstable();
    let old = sessions.len().saturating_sub(KEPT);
    for session in sessions.drain(..old) {
        let path = account(base, &session);
        let _ = std::fs::remove_file(path.with_extension("intact"));
        let _ = std::fs::remove_file(path);
    }
}

/// Returns the names of the active sessions in the ledger.
fn active(base: &Path) -> HashSet<String> {
    let reader = Reader::open(base).ok().flatten();
    let active = reader.and_then(|reader| reader.active().ok());
    let names = active.into_iter().flatten().map(|session| session.name);
    names.collect()
}

/// Selects the folders to remove. `runs` is sorted, the newest first.
fn outdated(runs: &[RecordedRun], keep: usize, active: &HashSet<String>) -> Vec<PathBuf> {
    let mut sessions = HashSet::new();
    let mut old = Vec::new();
    for run in runs {
        let Some(session) = &run.session else { continue };
        if sessions.contains(session) || active.contains(session) || sessions.len() < keep {
            sessions.insert(session);
        } else if run.over {
            old.push(run.path.clone());
        }
    }
    old
}
