//! Which runs were recorded below a base folder, and which of them are over.

use crate::error::Error;
use crate::run::sweep::Standing;
use crate::sys::process::PidSpace;
use crate::sys::{file_lock, process};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The folder of a run, as its `run.json` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedRun {
    /// Its folder.
    pub path: PathBuf,
    /// The session that it was recorded for; `None` when nothing was recorded.
    pub session: Option<String>,
    /// Whether the run may have been joined by processes of other sessions (`COFFERDAM_RUN_ID`).
    pub named: bool,
    /// When it began, in microseconds since 1970.
    pub at: u64,
    /// Whether it is known to be over. A run of another machine, from before the last boot, or named by hand is not
    /// ours to judge.
    pub over: bool,
}

/// The runs below a base folder, the newest first. Folders without a readable `run.json` are left out.
///
/// # Errors
/// When the folder is there and cannot be read. A base folder that is not there has no runs.
pub fn runs(base: &Path) -> Result<Vec<RecordedRun>, Error> {
    let runs = base.join("runs");
    let folders = match std::fs::read_dir(&runs) {
        Ok(folders) => folders,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::io("read", &runs, source)),
    };
    let space = PidSpace::own();
    let mut found: Vec<RecordedRun> = folders
        .flatten()
        .filter_map(|folder| describe(folder.path(), &space))
        .collect();
    found.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.path.cmp(&b.path)));
    Ok(found)
}

fn describe(path: PathBuf, space: &PidSpace) -> Option<RecordedRun> {
    let text = std::fs::read_to_string(path.join("run.json")).ok()?;
    let told: Value = serde_json::from_str(&text).ok()?;
    Some(RecordedRun {
        session: told["session"].as_str().map(str::to_owned),
        named: told["runner"] == "named",
        at: told["at"].as_u64().unwrap_or(0),
        over: is_over(&told, space) && nobody_is_in(&path),
        path,
    })
}

fn is_over(told: &Value, space: &PidSpace) -> bool {
    let standing = Standing::judge(told, space, process::is_alive);
    matches!(standing, Standing::Over | Standing::Recorded)
}

/// Tests may outlive a killed runner: they hold the folder's lock then.
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
        let told: Vec<_> = runs
            .iter()
            .map(|run| (run.session.as_deref(), run.named, run.over))
            .collect();
        assert_eq!(
            told,
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
        let own = PidSpace::own();
        let described = |started: u64, boot: &str, namespace: u64| {
            serde_json::json!({
                "anchor": {"pid": process::id(), "started": started}, "boot": boot, "namespace": namespace,
            })
        };
        let (now, later, here) = (process::started(), process::started() + 1, own.namespace);
        assert!(!is_over(&described(now, &own.boot, here), &own));
        assert!(is_over(&described(later, &own.boot, here), &own));
        assert!(!is_over(&described(later, "another", here), &own));
        assert!(!is_over(&described(later, &own.boot, here + 1), &own));
        assert!(!is_over(&serde_json::json!({}), &own));
    }
}
