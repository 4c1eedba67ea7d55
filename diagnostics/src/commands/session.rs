//! Sessions: their namespaces; what one `run` recorded, found again, and removed when it is old.

use crate::executor::job::JobId;
use crate::ledger::{self, Reader};
use cofferdam::diagnostics::{RecordedRun, runs};
use cofferdam::{Error, Namespace, NamespaceHold};
use cofferdam_conflicts::Evidence;
use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, io};

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

/// The namespace that was asked for, or that the environment names, or the session's own.
pub(super) fn namespace(asked: Option<&str>, session: &str) -> Result<Namespace, Error> {
    match asked {
        Some(name) => Namespace::named(name),
        None => match Namespace::from_environment()? {
            Some(namespace) => Ok(namespace),
            None => Namespace::named(session),
        },
    }
}

/// Where a session's output goes, and nobody else's.
pub(super) struct Space {
    pub(super) namespace: Namespace,
    pub(super) output: PathBuf,
    hold: Option<NamespaceHold>,
}

impl Space {
    pub(super) fn take(namespace: Namespace, base: &Path) -> Result<Self, Error> {
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

/// Whether this session may work in its namespace beside another: its user said so, or it goes on in that of the
/// session whose command it is part of.
pub(super) fn is_beside() -> bool {
    is_inside_another() || variable("COFFERDAM_RUN_LOCK").is_some_and(|lock| lock == "off")
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
    variable("COFFERDAM_RECORD").is_some()
}

/// A variable's value; an empty one counts as absent.
pub(super) fn variable(name: &str) -> Option<OsString> {
    #[expect(
        clippy::disallowed_methods,
        reason = "an outer session sets variables for its commands, and users do for ours"
    )]
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Folders for the jobs of a session; the temporary ones go with this.
pub(super) struct JobFolders {
    /// What a job writes, and nobody else can read.
    pub(super) logs: PathBuf,
    pub(super) temp: tempfile::TempDir,
}

impl JobFolders {
    pub(super) fn make(base: &Path, session: &str, output: &Path) -> Result<Self, io::Error> {
        let logs = ledger::folder(base, session);
        let below = logs.strip_prefix(base).unwrap_or(&logs);
        cofferdam::__private_dir(base, below).map_err(io::Error::other)?;
        let said = |path: &Path, error: &io::Error| {
            io::Error::new(
                error.kind(),
                format!("could not create {}: {error}", path.display()),
            )
        };
        std::fs::create_dir_all(output).map_err(|error| said(output, &error))?;
        // Not below the base folder: sockets are put there, and their paths have to be short.
        let temp = tempfile::Builder::new().prefix("cofferdam-").tempdir();
        let temp = temp.map_err(|error| said(&env::temp_dir(), &error))?;
        Ok(Self { logs, temp })
    }

    /// Where locks of the whole machine are: jobs have temporary folders of their own, and must not lose sight of
    /// each other by that. A session inside of another's job goes on with what it was handed.
    pub(super) fn host_dir(&self) -> Option<(OsString, OsString)> {
        const NAME: &str = "COFFERDAM_HOST_DIR";
        variable(NAME)
            .is_none()
            .then(|| (NAME.into(), env::temp_dir().into()))
    }
}

/// What a job's number is put behind: the job that this session runs in, if it runs in one.
pub(super) fn job_prefix() -> String {
    let job = variable("COFFERDAM_JOB");
    job.map_or_else(String::new, |job| format!("{}.", job.to_string_lossy()))
}

/// The newest session below `base`.
pub(super) fn newest(base: &Path) -> Result<Option<String>, Error> {
    Ok(runs(base)?.into_iter().find_map(|run| run.session))
}

/// What was recorded for `session` below `base`.
pub(super) fn evidence(base: &Path, session: &str) -> Result<Evidence, Error> {
    let mut evidence = Evidence::of_session(session);
    // One that was recorded without `run` has none.
    let account = account(base, session);
    if account.exists() {
        evidence.read(&account);
    }
    for run in runs(base)? {
        // A run that was named by hand may have been joined by several sessions; its journals say which.
        if run.named || run.session.as_deref() == Some(session) {
            evidence.read(&run.path);
        }
    }
    Ok(evidence)
}

/// Where the session's account is: beside the runs, for those who copy that folder.
pub(super) fn account(base: &Path, session: &str) -> PathBuf {
    base.join("runs").join(format!("{session}.account"))
}

/// What these jobs of the session recorded. Their names are in those of their lanes.
pub(super) fn evidence_of(
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
        let Ok(lanes) = std::fs::read_dir(run.path.join("workers")) else {
            continue;
        };
        for lane in lanes.flatten() {
            let name = lane.file_name();
            let job = name.to_str().and_then(|name| name.rsplit_once('.'));
            if job.is_some_and(|(job, _)| jobs.contains(job)) {
                evidence.read(&lane.path());
            }
        }
    }
    Ok(evidence)
}

/// Removes the recordings of all but the newest sessions, as far as their runs are over. Those of a session that still
/// runs are yet to be judged.
pub(super) fn forget_old(base: &Path) {
    let Ok(runs) = runs(base) else { return };
    let active = active(base);
    for folder in old(&runs, KEPT, &active) {
        // What cannot be removed now is tried again by the next session.
        let _ = std::fs::remove_dir_all(folder);
    }
    forget_accounts(base, &active);
}

/// A session's name begins with its moment.
fn forget_accounts(base: &Path, active: &HashSet<String>) {
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

/// The sessions that run, as far as the ledger knows.
fn active(base: &Path) -> HashSet<String> {
    let reader = Reader::open(base).ok().flatten();
    let active = reader.and_then(|reader| reader.active().ok());
    let names = active.into_iter().flatten().map(|session| session.name);
    names.collect()
}

/// The folders that may go. `runs` is sorted, the newest first.
fn old(runs: &[RecordedRun], keep: usize, active: &HashSet<String>) -> Vec<PathBuf> {
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
