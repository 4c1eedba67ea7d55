//! Which run folders are nobody's any more, and their removal.

#[cfg(all(target_os = "linux", not(miri)))]
use super::teardown;
use super::{Runner, facts};
#[cfg(all(target_os = "linux", not(miri)))]
use crate::sys::child;
use crate::sys::clock::Deadline;
use crate::sys::process::PidSpace;
use crate::sys::{clock, file_lock, folder, process};
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is known of a run by its `run.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its runner is gone and nobody wants it.
    Over,
    /// Its runner is there.
    Running,
    /// Its runner is gone; it was recorded for a session.
    Recorded,
    /// Named by a person, who knows when it is over.
    Named,
    /// Its runner is gone, and its fixtures were left running with `COFFERDAM_KEEP`.
    Kept,
    /// Of another machine or container, or from before the last boot: its process numbers mean nothing here.
    Foreign,
    /// Nothing that we could read describes it.
    Unknown,
}

impl Standing {
    /// What the run folder says.
    pub(crate) fn of(folder: &Path) -> Self {
        let standing = Self::read(folder).map_or(Self::Unknown, |told| {
            Self::judge(&told, &facts().space, process::is_alive)
        });
        match standing {
            Self::Over if folder.join(KEPT).exists() => Self::Kept,
            other => other,
        }
    }

    fn read(folder: &Path) -> Option<Value> {
        let text = std::fs::read_to_string(folder.join("run.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// No time is looked at: a clock that was set back changes nothing. A process number that was given again is
    /// told by the start of the process.
    pub(crate) fn judge(told: &Value, space: &PidSpace, is_alive: fn(u32, u64) -> bool) -> Self {
        let anchor = |field: &str| told["anchor"][field].as_u64();
        let pid = anchor("pid").and_then(|pid| u32::try_from(pid).ok());
        let (Some(pid), Some(started), Some(told_boot)) = (pid, anchor("started"), told["boot"].as_str())
        else {
            return Self::Unknown;
        };
        if !space.is(told_boot, told["namespace"].as_u64().unwrap_or(0)) {
            Self::Foreign
        } else if told["runner"] == Runner::Named.as_str() {
            Self::Named
        } else if is_alive(pid, started) {
            Self::Running
        } else if !told["session"].is_null() {
            Self::Recorded
        } else {
            Self::Over
        }
    }
}

/// What came of removing a run folder.
#[derive(Debug)]
pub(crate) enum Removal {
    Removed,
    /// Somebody works in it: tests may outlive a killed runner.
    InUse,
    Failed(io::Error),
}

/// Removes a run's folder unless somebody works in it; a rehearsal removes nothing.
pub(crate) fn remove(folder: &Path, rehearsal: bool) -> Removal {
    let alive = folder.join("alive.lock");
    if rehearsal && !alive.exists() {
        return Removal::Removed;
    }
    // The lock is kept during the removal, so that nobody moves in.
    let _nobody_moves_in = match file_lock::try_exclusive(&alive) {
        // Somebody else removed the folder meanwhile, and somebody made it anew.
        Ok(Some(locked)) if !locked.is_at(&alive) => return Removal::InUse,
        Ok(Some(locked)) => locked,
        Ok(None) => return Removal::InUse,
        Err(error) => return Removal::Failed(error),
    };
    if rehearsal {
        return Removal::Removed;
    }
    end_what_is_left(folder);
    match discard(folder) {
        Ok(()) => Removal::Removed,
        Err(error) => Removal::Failed(error),
    }
}

/// Ends the fixtures whose keeper left them running or was killed together with its runner: their processes, then the
/// commands of their teardown, newest fixture first.
fn end_what_is_left(run: &Path) {
    let fixtures = run.join("fixtures");
    // The folder names commands to run.
    if !folder::is_safe(&fixtures) {
        return;
    }
    let is_kept = run.join(KEPT).exists();
    let found = std::fs::read_dir(fixtures).into_iter().flatten().flatten();
    let mut found: Vec<_> = found
        .map(|fixture| fixture.path())
        .filter(|path| folder::is_safe(path))
        .collect();
    found.sort_by_key(|fixture| std::cmp::Reverse(order_of(fixture)));
    for fixture in found {
        end_fixture(&fixture, is_kept);
    }
}

/// Returns the number under which the fixture was completed. One that is not complete may need all others.
fn order_of(fixture: &Path) -> u64 {
    let order = std::fs::read_to_string(fixture.join(ORDER)).unwrap_or_default();
    order.parse().unwrap_or(u64::MAX)
}

/// Ends one fixture, by the folder that it was started for. With `grace` its processes get their stop signal and the time
/// to end; otherwise they are killed.
pub(crate) fn end_fixture(fixture: &Path, grace: bool) {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        // Looking at every process takes milliseconds, and usually none was started.
        if let Ok(leaders) = std::fs::read_to_string(fixture.join(LEADERS)) {
            let mark = mark(fixture);
            let find = || process::family(Some(&mark), &[]);
            let stop = stop_of(&leaders).filter(|_| grace);
            let (signal, grace) = stop.unwrap_or((libc::SIGKILL, Duration::ZERO));
            child::end_all(find, signal, grace);
        }
        teardown::run_teardown(fixture);
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = (fixture, grace);
}

/// Returns the stop signal and the grace of the process that was started last.
#[cfg(all(target_os = "linux", not(miri)))]
fn stop_of(leaders: &str) -> Option<(i32, Duration)> {
    let mut fields = leaders.lines().last()?.split(' ').skip(1);
    let signal = fields.next()?.parse().ok()?;
    Some((signal, Duration::from_millis(fields.next()?.parse().ok()?)))
}

/// The variable of a fixture's processes.
#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) fn mark(fixture: &Path) -> Vec<u8> {
    [MARK.as_bytes(), b"=", fixture.as_os_str().as_encoded_bytes()].concat()
}

/// The file in a fixture's folder with the processes that were started: `PID SIGNAL GRACE`, the grace in milliseconds.
pub(crate) const LEADERS: &str = "processes";
/// The file in a fixture's folder with the number under which it was completed.
pub(crate) const ORDER: &str = "order";
/// In the environment of a fixture's processes: whose they are, by the fixture's folder.
pub(crate) const MARK: &str = "COFFERDAM_FIXTURE";

/// Removes the folder of a run, while nobody can move in.
pub(crate) fn discard(folder: &Path) -> io::Result<()> {
    // Moved away whole first: a run that comes back to its folder finds all of it or nothing. Windows refuses that
    // while the lock's file is open, and the folder stays.
    let away = folder.with_file_name(format!("{AWAY}{}-{}", process::id(), clock::unique()));
    std::fs::rename(folder, &away)?;
    std::fs::remove_dir_all(&away)
}

/// The file in a run's folder that says that its fixtures were left running with `COFFERDAM_KEEP`.
pub(crate) const KEPT: &str = "kept";

/// Begins the name of a folder that is being removed. No run's name does: behind a `%` two digits would follow.
const AWAY: &str = "%swept-";

/// Whether the folder is what a killed sweeper left: nobody comes back to it, so anybody may go on.
pub(crate) fn is_left_over(folder: &Path) -> bool {
    folder
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(AWAY))
}

/// The folders of runs, described or not.
pub(crate) fn folders(runs: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(runs)? {
        let entry = entry?;
        // A link that somebody put there leads to what is not ours, and another user's folder is not either.
        if folder::is_safe(&entry.path()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// How many old runs one new run looks at, and for how long: a thousand of them are nobody's first test's to remove.
const LOOKED_AT: usize = 16;
const PATIENCE: Duration = Duration::from_millis(20);

/// Removes some folders of runs that are over and that nobody recorded, so that plain `cargo test` leaves nothing
/// behind. A keeper in the end, and `cargo cofferdam clean`, remove all that there are.
pub(super) fn sweep(runs: &Path, own: &Path, standing: impl Fn(&Path) -> Standing) {
    let Ok(mut folders) = folders(runs) else {
        return;
    };
    // Each run begins elsewhere: folders that stay must not shield those behind them for ever.
    let start = process::id() as usize % folders.len().max(1);
    folders.rotate_left(start);
    let deadline = Deadline::after(PATIENCE);
    for folder in folders.iter().filter(|path| *path != own).take(LOOKED_AT) {
        // To look costs little. One is removed however slow the disk is, so that they get fewer.
        if remove_if_over(folder, &standing) && deadline.left().is_none() {
            break;
        }
    }
}

/// As [`sweep`], but all of them: for a process that nobody waits for.
#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) fn sweep_all(runs: &Path, own: &Path, standing: impl Fn(&Path) -> Standing) {
    let folders = folders(runs).unwrap_or_default();
    for folder in folders.iter().filter(|path| *path != own) {
        remove_if_over(folder, &standing);
    }
}

/// Whether it was to be removed.
fn remove_if_over(folder: &Path, standing: &impl Fn(&Path) -> Standing) -> bool {
    if is_left_over(folder) {
        let _ = std::fs::remove_dir_all(folder);
    } else if standing(folder) == Standing::Over {
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
    use serde_json::json;

    fn described(runner: &str, boot: &str, session: Value) -> Value {
        json!({
            "runner": runner, "boot": boot, "namespace": 1, "session": session, "anchor": { "pid": 7, "started": 70 },
        })
    }

    fn space(boot: &str, namespace: u64) -> PidSpace {
        let boot = boot.to_owned();
        PidSpace { boot, namespace }
    }

    #[test]
    fn a_run_is_over_when_its_runner_is_gone_and_nobody_wants_it() {
        let alive: fn(u32, u64) -> bool = |_, _| true;
        let dead: fn(u32, u64) -> bool = |_, _| false;
        let plain = described("cargo", "boot", Value::Null);
        assert_eq!(Standing::judge(&plain, &space("boot", 1), dead), Standing::Over);
        assert_eq!(
            Standing::judge(&plain, &space("boot", 1), alive),
            Standing::Running
        );
        assert_eq!(
            Standing::judge(&plain, &space("other boot", 1), dead),
            Standing::Foreign
        );
        assert_eq!(
            Standing::judge(&plain, &space("boot", 2), dead),
            Standing::Foreign,
            "another container's runner may live"
        );
        let unknown = described("cargo", "", Value::Null);
        assert_eq!(
            Standing::judge(&unknown, &space("", 1), dead),
            Standing::Foreign,
            "no boot is known"
        );
        let recorded = described("cargo", "boot", Value::from("session"));
        assert_eq!(
            Standing::judge(&recorded, &space("boot", 1), dead),
            Standing::Recorded
        );
        assert_eq!(
            Standing::judge(&recorded, &space("boot", 1), alive),
            Standing::Running
        );
        let named = described("named", "boot", Value::Null);
        assert_eq!(Standing::judge(&named, &space("boot", 1), dead), Standing::Named);
    }

    #[test]
    fn a_process_number_that_was_given_again_is_another_process() {
        let again: fn(u32, u64) -> bool = |pid, started| pid == 7 && started == 71;
        let plain = described("cargo", "boot", Value::Null);
        assert_eq!(Standing::judge(&plain, &space("boot", 1), again), Standing::Over);
    }

    #[test]
    fn what_does_not_describe_a_run_is_never_over() {
        for told in [
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
                Standing::judge(&told, &space("boot", 0), |_, _| false),
                Standing::Unknown,
                "{told}"
            );
        }
        let runs = tempfile::tempdir().unwrap();
        for text in ["", "{\"version\":", "\u{0}"] {
            std::fs::write(runs.path().join("run.json"), text).unwrap();
            assert_eq!(Standing::of(runs.path()), Standing::Unknown, "{text:?}");
        }
    }

    #[test]
    fn a_folder_that_somebody_still_works_in_is_not_swept() {
        let runs = tempfile::tempdir().unwrap();
        let own = old_run(runs.path(), "own");
        let used = old_run(runs.path(), "used");
        let left = old_run(runs.path(), "left").path.clone();
        sweep(runs.path(), &own.path, |_| Standing::Over);
        assert!(own.path.exists() && used.path.exists());
        assert!(!left.exists());
    }

    #[test]
    fn what_is_not_over_stays_and_a_rehearsal_removes_nothing() {
        let runs = tempfile::tempdir().unwrap();
        let kept = old_run(runs.path(), "kept").path.clone();
        for standing in [
            Standing::Running,
            Standing::Recorded,
            Standing::Named,
            Standing::Foreign,
            Standing::Unknown,
        ] {
            sweep(runs.path(), Path::new("own"), |_| standing);
            assert!(kept.exists(), "{standing:?}");
        }
        assert!(matches!(remove(&kept, true), Removal::Removed));
        assert!(kept.exists());
        assert!(matches!(remove(&kept, false), Removal::Removed));
        assert!(!kept.exists());
    }

    #[test]
    fn what_a_killed_sweeper_left_goes_with_the_next_sweep() {
        let runs = tempfile::tempdir().unwrap();
        let left = runs.path().join("%swept-7-1");
        std::fs::create_dir_all(left.join("workers/w0")).unwrap();
        let named = runs.path().join(super::super::file_name("swept-nightly"));
        std::fs::create_dir(&named).unwrap();
        sweep(runs.path(), Path::new("own"), |_| Standing::Unknown);
        assert!(!left.exists() && named.exists());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_linked_to_is_not_swept() {
        let (runs, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(elsewhere.path(), runs.path().join("%swept-link")).unwrap();
        sweep(runs.path(), Path::new("own"), |_| Standing::Over);
        assert!(elsewhere.path().exists());
    }

    #[test]
    fn one_run_looks_at_a_few_of_a_thousand() {
        let runs = tempfile::tempdir().unwrap();
        for number in 0..40 {
            std::fs::create_dir(runs.path().join(number.to_string())).unwrap();
        }
        let looked = std::cell::Cell::new(0);
        sweep(runs.path(), Path::new("own"), |_| {
            looked.set(looked.get() + 1);
            Standing::Running
        });
        assert!((1..=LOOKED_AT).contains(&looked.get()), "{}", looked.get());
    }

    #[cfg(all(target_os = "linux", not(miri)))]
    #[test]
    fn who_has_the_time_removes_all_that_are_over() {
        let runs = tempfile::tempdir().unwrap();
        let own = old_run(runs.path(), "own");
        for number in 0..100 {
            drop(old_run(runs.path(), &number.to_string()));
        }
        sweep_all(runs.path(), &own.path, |folder| match folder.ends_with("7") {
            true => Standing::Running,
            false => Standing::Over,
        });
        let mut left = folders(runs.path()).unwrap();
        left.sort();
        assert_eq!(left, [runs.path().join("7"), own.path.clone()]);
    }

    #[test]
    fn a_run_that_comes_back_to_a_folder_being_swept_gets_one_that_exists() {
        let runs = tempfile::tempdir().unwrap();
        let sweeper = runs.path().to_owned();
        drop(old_run(runs.path(), "run"));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..200 {
                    sweep(&sweeper, Path::new("own"), |_| Standing::Over);
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
