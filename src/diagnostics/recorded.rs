//! The runs that were recorded below a base directory.

use crate::error::Error;
use crate::json_value::Value;
use crate::run::sweep::RunStatus;
use crate::sys::clock::{self, Deadline};
use crate::sys::process::PidSpace;
use crate::sys::{file_lock, process, sorted};
use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The directory of a run, as its `run.json` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedRun {
    /// Its directory.
    pub path: PathBuf,
    /// The session that it was recorded for; `None` if nothing was recorded.
    pub session: Option<String>,
    /// Processes of other sessions may have joined the run (`COFFERDAM_RUN_ID`).
    pub named: bool,
    /// Its beginning, in microseconds since 1970.
    pub at: u64,
    /// The run is known to be over. For a run of another machine, from before the last boot, or with a name of its own
    /// this is not known.
    pub over: bool,
}

impl RecordedRun {
    /// Waits until the keeper of the run's fixtures has torn them down, for at most `limit`. Returns whether it has.
    pub fn wait_for_teardown(&self, limit: Duration) -> bool {
        let keeper = self.path.join("keeper").join("lock");
        let patience = Deadline::after(limit);
        // Removed with the directory of the keeper, at its end.
        while keeper.exists() && matches!(file_lock::try_exclusive(&keeper), Ok(None)) {
            if patience.left().is_none() {
                return false;
            }
            // A lock does not notify.
            clock::pause(Duration::from_millis(10));
        }
        true
    }
}

/// Returns the runs below a base directory, the newest first, without directories that have no readable `run.json`.
///
/// # Errors
/// When the directory is there and cannot be read. A base directory that is not there has no runs.
#[inline]
pub fn runs(base: &Path) -> Result<Vec<RecordedRun>, Error> {
    let runs = base.join("runs");
    let folders = match std::fs::read_dir(&runs) {
        Ok(folders) => folders,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::io("read", &runs, source)),
    };
    let space = PidSpace::own();
    let mut found = Vec::new();
    for folder in folders.flatten() {
        if let Some(run) = describe(folder.path(), &space) {
            sorted::insert(&mut found, run, |a, b| {
                (Reverse(a.at), &a.path) < (Reverse(b.at), &b.path)
            });
        }
    }
    Ok(found)
}

#[inline]
fn describe(path: PathBuf, space: &PidSpace) -> Option<RecordedRun> {
    let text = std::fs::read_to_string(path.join("run.json")).ok()?;
    let description = Value::read(&text)?;
    Some(RecordedRun {
        session: description.get("session").as_text().map(str::to_owned),
        named: description.get("runner").as_text() == Some("named"),
        at: description.get("at").as_number().unwrap_or(0),
        over: is_over(&description, space) && nobody_is_in(&path),
        path,
    })
}

#[inline]
fn is_over(description: &Value, space: &PidSpace) -> bool {
    let status = RunStatus::judge(description, space, process::is_alive);
    matches!(status, RunStatus::Over | RunStatus::Recorded)
}

/// Returns whether the directory's lock is free. Tests that outlive a killed runner hold it.
#[inline]
fn nobody_is_in(folder: &Path) -> bool {
    let alive = folder.join("alive.lock");
    !alive.exists() || matches!(file_lock::try_exclusive(&alive), Ok(Some(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_folder_that_is_not_there_has_no_runs() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(runs(&dir.path().join("not-there")).unwrap(), []);
    }

    #[test]
    fn the_newest_comes_first_and_what_is_not_described_is_left_out() {
        let base = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("a", r#"{"session":"s1","at":1}"#),
            ("b", r#"{"session":"s2","at":2,"runner":"named"}"#),
            ("c", "garbage"),
            ("d", r#"{"session":null,"at":0}"#),
        ] {
            let run = base.path().join("runs").join(name);
            std::fs::create_dir_all(&run).unwrap();
            std::fs::write(run.join("run.json"), text).unwrap();
        }
        let runs = runs(base.path()).unwrap();
        let found: Vec<_> = runs
            .iter()
            .map(|run| (run.session.as_deref(), run.named, run.over))
            .collect();
        assert_eq!(
            found,
            [
                (Some("s2"), true, false),
                (Some("s1"), false, false),
                (None, false, false)
            ]
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_run_is_over_when_its_anchor_is_gone_and_only_among_these_processes() {
        use crate::json_value::tests::value;
        let own = PidSpace::own();
        let described = |started: u64, boot: &str, namespace: u64| {
            value(serde_json::json!({
                "anchor": {"pid": process::id(), "started": started}, "boot": boot, "namespace": namespace,
            }))
        };
        let (now, later, here) = (process::started(), process::started() + 1, own.namespace);
        assert!(!is_over(&described(now, &own.boot, here), &own));
        assert!(is_over(&described(later, &own.boot, here), &own));
        assert!(!is_over(&described(later, "another", here), &own));
        assert!(!is_over(&described(later, &own.boot, here + 1), &own));
        assert!(!is_over(&Value::Null, &own));
    }
}
