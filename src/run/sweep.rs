//! The removal of the directories of runs that have ended.

#[cfg(feature = "fixtures")]
use super::left_fixtures;
use super::{Runner, facts};
use crate::json_value::Value;
use crate::sys::clock::Deadline;
use crate::sys::process::PidSpace;
use crate::sys::{clock, file_lock, folder, process};
use std::io;
use std::path::Path;
use std::time::Duration;

/// The status of a run, according to its `run.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunStatus {
    /// Its runner has ended and it is not needed.
    Over,
    /// Its runner is running.
    Running,
    /// Its runner has ended; it was recorded for a session.
    Recorded,
    /// Named by a user, who knows when it ends.
    Named,
    /// Its runner has ended, and its fixtures were left running with `COFFERDAM_KEEP`.
    Kept,
    /// Of another machine or container, or from before the last boot: its process numbers are meaningless here.
    Foreign,
    /// Its description is missing or unreadable.
    Unknown,
}

impl RunStatus {
    /// Returns the status of the run with this directory.
    pub(crate) fn of(folder: &Path) -> Self {
        let status = Self::read(folder).map_or(Self::Unknown, |description| {
            Self::judge(&description, &facts().space, process::is_alive)
        });
        match status {
            Self::Over if folder.join(KEPT).exists() => Self::Kept,
            other => other,
        }
    }

    fn read(folder: &Path) -> Option<Value> {
        let text = std::fs::read_to_string(folder.join("run.json")).ok()?;
        Value::read(&text)
    }

    /// Decides without the clock, which may be set back. A reused process number is recognized by the start of the process.
    pub(crate) fn judge(description: &Value, space: &PidSpace, is_alive: fn(u32, u64) -> bool) -> Self {
        let anchor = |field: &str| description.get("anchor").get(field).as_number();
        let pid = anchor("pid").and_then(|pid| u32::try_from(pid).ok());
        let (Some(pid), Some(started), Some(boot)) =
            (pid, anchor("started"), description.get("boot").as_text())
        else {
            return Self::Unknown;
        };
        if !space.is(boot, description.get("namespace").as_number().unwrap_or(0)) {
            Self::Foreign
        } else if description.get("runner").as_text() == Some(Runner::Named.as_str()) {
            Self::Named
        } else if is_alive(pid, started) {
            Self::Running
        } else if description.get("session") != &Value::Null {
            Self::Recorded
        } else {
            Self::Over
        }
    }
}

/// The outcome of the removal of a run directory.
#[derive(Debug)]
pub(crate) enum Removal {
    Removed,
    /// A process works in it: tests may outlive a killed runner.
    InUse,
    Failed(io::Error),
}

/// Removes a run's directory unless a process works in it. A dry run removes nothing.
pub(crate) fn remove(folder: &Path, dry_run: bool) -> Removal {
    let alive = folder.join("alive.lock");
    if dry_run && !alive.exists() {
        return Removal::Removed;
    }
    // The lock is held during the removal, so that no process joins the run.
    let _exclusive = match file_lock::try_exclusive(&alive) {
        // Meanwhile another process removed the folder and a third created it again.
        Ok(Some(locked)) if !locked.is_at(&alive) => return Removal::InUse,
        Ok(Some(locked)) => locked,
        Ok(None) => return Removal::InUse,
        Err(error) => return Removal::Failed(error),
    };
    // This build cannot end the processes that its fixtures may have left.
    if cfg!(all(target_os = "linux", not(feature = "fixtures"))) && folder.join("fixtures").exists() {
        return Removal::InUse;
    }
    if dry_run {
        return Removal::Removed;
    }
    #[cfg(feature = "fixtures")]
    left_fixtures::end(&folder.join("fixtures"), folder.join(KEPT).exists());
    match discard(folder) {
        Ok(()) => Removal::Removed,
        Err(error) => Removal::Failed(error),
    }
}

/// Removes the directory of a run while no process can join it.
pub(crate) fn discard(folder: &Path) -> io::Result<()> {
    // Renamed first, so that a process that returns to the folder finds it complete or not at all. Windows refuses that
    // while the lock file is open; the folder then stays.
    let away = folder.with_file_name(format!("{AWAY}{}-{}", process::id(), clock::unique()));
    std::fs::rename(folder, &away)?;
    std::fs::remove_dir_all(&away)
}

/// The file in a run's directory that says that its fixtures were left running with `COFFERDAM_KEEP`.
pub(crate) const KEPT: &str = "kept";

/// The beginning of the name of a directory that is being removed. No run's name has it, because two digits follow a `%`.
const AWAY: &str = "%swept-";

/// Returns whether the directory was left by a killed sweeper. No run uses it, so any process may remove it.
pub(crate) fn is_left_over(folder: &Path) -> bool {
    folder
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(AWAY))
}

/// The number of old runs that a new run checks, and the time for it, so that the first test does not have to remove
/// thousands of them.
const CHECKED: usize = 16;
const PATIENCE: Duration = Duration::from_millis(20);

/// Removes some directories of unrecorded runs that have ended, so that they do not accumulate. A keeper at its end, and
/// `cargo cofferdam clean`, remove all of them.
pub(super) fn sweep(runs: &Path, own: &Path, status: impl Fn(&Path) -> RunStatus) {
    let folders = folder::folders_in(runs).unwrap_or_default();
    // Each run begins at another folder; otherwise folders that stay would hide those behind them.
    let start = process::id() as usize % folders.len().max(1);
    let (last, first) = folders.split_at(start);
    let deadline = Deadline::after(PATIENCE);
    let others = first.iter().chain(last).filter(|path| *path != own);
    for folder in others.take(CHECKED) {
        // A check is cheap. At least one is removed even on a slow disk, so that their number decreases.
        if remove_if_over(folder, &status) && deadline.left().is_none() {
            break;
        }
    }
}

/// Like [`sweep`], for all directories: for a process that no test waits for.
#[cfg(all(feature = "fixtures", target_os = "linux", not(miri)))]
pub(crate) fn sweep_all(runs: &Path, own: &Path, status: impl Fn(&Path) -> RunStatus) {
    let folders = folder::folders_in(runs).unwrap_or_default();
    for folder in folders.iter().filter(|path| *path != own) {
        remove_if_over(folder, &status);
    }
}

/// Removes a directory if its run has ended. Returns whether it tried.
fn remove_if_over(folder: &Path, status: &impl Fn(&Path) -> RunStatus) -> bool {
    if is_left_over(folder) {
        let _ = std::fs::remove_dir_all(folder);
    } else if status(folder) == RunStatus::Over {
        let _ = remove(folder, false);
    } else {
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::folders::tests::old_run;
    use super::*;
    use crate::json_value::tests::value;
    use serde_json::json;

    fn described(runner: &str, boot: &str, session: Option<&str>) -> Value {
        value(json!({
            "runner": runner, "boot": boot, "namespace": 1, "session": session, "anchor": { "pid": 7, "started": 70 },
        }))
    }

    fn space(boot: &str, namespace: u64) -> PidSpace {
        let boot = boot.to_owned();
        PidSpace { boot, namespace }
    }

    #[test]
    fn a_run_is_over_when_its_runner_has_ended_and_it_is_not_needed() {
        let alive: fn(u32, u64) -> bool = |_, _| true;
        let dead: fn(u32, u64) -> bool = |_, _| false;
        let plain = described("cargo", "boot", None);
        assert_eq!(RunStatus::judge(&plain, &space("boot", 1), dead), RunStatus::Over);
        assert_eq!(
            RunStatus::judge(&plain, &space("boot", 1), alive),
            RunStatus::Running
        );
        assert_eq!(
            RunStatus::judge(&plain, &space("other boot", 1), dead),
            RunStatus::Foreign
        );
        assert_eq!(
            RunStatus::judge(&plain, &space("boot", 2), dead),
            RunStatus::Foreign,
            "another container's runner may live"
        );
        let unknown = described("cargo", "", None);
        assert_eq!(
            RunStatus::judge(&unknown, &space("", 1), dead),
            RunStatus::Foreign,
            "no boot is known"
        );
        let recorded = described("cargo", "boot", Some("session"));
        assert_eq!(
            RunStatus::judge(&recorded, &space("boot", 1), dead),
            RunStatus::Recorded
        );
        assert_eq!(
            RunStatus::judge(&recorded, &space("boot", 1), alive),
            RunStatus::Running
        );
        let named = described("named", "boot", None);
        assert_eq!(
            RunStatus::judge(&named, &space("boot", 1), dead),
            RunStatus::Named
        );
    }

    #[test]
    fn a_reused_process_number_is_another_process() {
        let again: fn(u32, u64) -> bool = |pid, started| pid == 7 && started == 71;
        let plain = described("cargo", "boot", None);
        assert_eq!(
            RunStatus::judge(&plain, &space("boot", 1), again),
            RunStatus::Over
        );
    }

    #[test]
    fn a_directory_that_describes_no_run_never_counts_as_ended() {
        for description in [
            json!(null),
            json!([]),
            json!({}),
            json!({ "anchor": 7, "boot": "boot" }),
            json!({ "anchor": { "pid": "7", "started": 70 }, "boot": "boot" }),
            json!({ "anchor": { "pid": -7, "started": 70 }, "boot": "boot" }),
            json!({ "anchor": { "pid": 1_u64 << 40, "started": 70 }, "boot": "boot" }),
            json!({ "anchor": { "pid": 7, "started": 70 } }),
        ] {
            assert_eq!(
                RunStatus::judge(&value(description.clone()), &space("boot", 0), |_, _| false),
                RunStatus::Unknown,
                "{description}"
            );
        }
        let runs = tempfile::tempdir().unwrap();
        for text in ["", "{\"version\":", "\u{0}"] {
            std::fs::write(runs.path().join("run.json"), text).unwrap();
            assert_eq!(RunStatus::of(runs.path()), RunStatus::Unknown, "{text:?}");
        }
    }

    #[test]
    fn a_folder_in_use_is_not_swept() {
        let runs = tempfile::tempdir().unwrap();
        let own = old_run(runs.path(), "own");
        let used = old_run(runs.path(), "used");
        let left = old_run(runs.path(), "left").path.clone();
        sweep(runs.path(), &own.path, |_| RunStatus::Over);
        assert!(own.path.exists() && used.path.exists());
        assert!(!left.exists());
    }

    #[test]
    fn runs_that_are_not_over_stay_and_a_dry_run_removes_nothing() {
        let runs = tempfile::tempdir().unwrap();
        let kept = old_run(runs.path(), "kept").path.clone();
        for status in [
            RunStatus::Running,
            RunStatus::Recorded,
            RunStatus::Named,
            RunStatus::Foreign,
            RunStatus::Unknown,
        ] {
            sweep(runs.path(), Path::new("own"), |_| status);
            assert!(kept.exists(), "{status:?}");
        }
        assert!(matches!(remove(&kept, true), Removal::Removed));
        assert!(kept.exists());
        assert!(matches!(remove(&kept, false), Removal::Removed));
        assert!(!kept.exists());
    }

    #[test]
    fn leftovers_of_a_killed_sweeper_are_removed_by_the_next_sweep() {
        let runs = tempfile::tempdir().unwrap();
        let left = runs.path().join("%swept-7-1");
        std::fs::create_dir_all(left.join("workers/w0")).unwrap();
        let named = runs.path().join(super::super::file_name("swept-nightly"));
        std::fs::create_dir(&named).unwrap();
        sweep(runs.path(), Path::new("own"), |_| RunStatus::Unknown);
        assert!(!left.exists() && named.exists());
    }

    #[cfg(all(target_os = "linux", not(feature = "fixtures")))]
    #[test]
    fn a_directory_with_fixtures_stays_for_a_build_that_can_end_their_processes() {
        let runs = tempfile::tempdir().unwrap();
        let run = old_run(runs.path(), "run").path.clone();
        std::fs::create_dir(run.join("fixtures")).unwrap();
        for dry_run in [true, false] {
            assert!(matches!(remove(&run, dry_run), Removal::InUse), "{dry_run}");
            assert!(run.exists());
        }
        std::fs::remove_dir(run.join("fixtures")).unwrap();
        assert!(matches!(remove(&run, false), Removal::Removed));
    }

    #[cfg(unix)]
    #[test]
    fn the_target_of_a_link_is_not_swept() {
        let (runs, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(elsewhere.path(), runs.path().join("%swept-link")).unwrap();
        sweep(runs.path(), Path::new("own"), |_| RunStatus::Over);
        assert!(elsewhere.path().exists());
    }

    #[test]
    fn one_run_checks_only_a_few_folders() {
        let runs = tempfile::tempdir().unwrap();
        for number in 0..40 {
            std::fs::create_dir(runs.path().join(number.to_string())).unwrap();
        }
        let looked = std::cell::Cell::new(0);
        sweep(runs.path(), Path::new("own"), |_| {
            looked.set(looked.get() + 1);
            RunStatus::Running
        });
        assert!((1..=CHECKED).contains(&looked.get()), "{}", looked.get());
    }

    #[cfg(all(feature = "fixtures", target_os = "linux", not(miri)))]
    #[test]
    fn a_complete_sweep_removes_all_runs_that_are_over() {
        let runs = tempfile::tempdir().unwrap();
        let own = old_run(runs.path(), "own");
        for number in 0..100 {
            drop(old_run(runs.path(), &number.to_string()));
        }
        sweep_all(runs.path(), &own.path, |folder| match folder.ends_with("7") {
            true => RunStatus::Running,
            false => RunStatus::Over,
        });
        let mut left = folder::folders_in(runs.path()).unwrap();
        left.sort();
        assert_eq!(left, [runs.path().join("7"), own.path.clone()]);
    }

    #[test]
    fn a_run_that_returns_to_a_folder_being_swept_gets_one_that_exists() {
        let runs = tempfile::tempdir().unwrap();
        let sweeper = runs.path().to_owned();
        drop(old_run(runs.path(), "run"));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..200 {
                    sweep(&sweeper, Path::new("own"), |_| RunStatus::Over);
                }
            });
            for _ in 0..200 {
                let (dir, _) = super::super::folders::claim(runs.path(), "run").unwrap();
                std::fs::write(dir.path.join("run.json"), "{}").unwrap();
                std::thread::yield_now();
                assert!(dir.path.join("alive.lock").exists());
            }
        });
    }
}
