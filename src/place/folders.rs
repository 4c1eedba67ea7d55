//! Where cofferdam's folders are, and which of them are still somebody's.

use super::{Run, Runner, facts, file_name, nextest, run, session};
use crate::error::Error;
use crate::sys::file_lock::{self, Locked};
use crate::sys::{clock, env, process};
use once_cell::sync::OnceCell;
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The folder under which everything of cofferdam lies, for a process that works in `dir`.
///
/// `COFFERDAM_DIR` if set; else the target folder of the Cargo workspace (nextest's word for where that is, or
/// found upward from `CARGO_MANIFEST_DIR`, or from `dir`), plus `cofferdam`; else beside the executable's own
/// target folder.
///
/// # Errors
/// When none of these is there.
///
/// ```
/// assert!(cofferdam::base_dir(None).unwrap().is_absolute());
/// ```
pub fn base_dir(dir: Option<&Path>) -> Result<PathBuf, Error> {
    let exe = process::exe();
    let base = base_of(&Outside {
        dir,
        exe: exe.as_deref(),
        below_nextest: nextest(facts()).is_some(),
        var: &env::path,
    });
    let base = base.ok_or_else(Error::no_place)?;
    std::path::absolute(&base).map_err(|source| Error::io("make absolute", &base, source))
}

/// What the choice of the base folder depends on, besides manifests on disk.
struct Outside<'a> {
    dir: Option<&'a Path>,
    exe: Option<&'a Path>,
    /// Whether nextest's variables are about this run.
    below_nextest: bool,
    var: &'a dyn Fn(&str) -> Option<PathBuf>,
}

fn base_of(outside: &Outside<'_>) -> Option<PathBuf> {
    let var = outside.var;
    if let Some(base) = var("COFFERDAM_DIR") {
        return Some(base);
    }
    let told = || var("NEXTEST_WORKSPACE_ROOT").filter(|_| outside.below_nextest);
    let root = match outside.dir {
        Some(dir) => workspace_root(dir),
        None => told().or_else(|| workspace_root(&var("CARGO_MANIFEST_DIR")?)),
    };
    let target = match root {
        Some(root) => root.join(var("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into())),
        None => outside
            .exe?
            .ancestors()
            .find(|above| is_target(above))?
            .to_owned(),
    };
    Some(target.join("cofferdam"))
}

/// Whether Cargo builds there. It tags only a folder that it made itself, and keeps what it knows of rustc in any.
fn is_target(folder: &Path) -> bool {
    ["CACHEDIR.TAG", ".rustc_info.json"]
        .iter()
        .any(|file| folder.join(file).exists())
}

/// The nearest manifest with a `[workspace]` table at or above `dir`, else the nearest manifest.
fn workspace_root(dir: &Path) -> Option<PathBuf> {
    let mut nearest = None;
    for above in dir.ancestors() {
        let Ok(manifest) = std::fs::read_to_string(above.join("Cargo.toml")) else {
            continue;
        };
        if manifest
            .lines()
            .any(|line| line.trim_start().starts_with("[workspace"))
        {
            return Some(above.to_owned());
        }
        nearest = nearest.or_else(|| Some(above.to_owned()));
    }
    nearest
}

/// A run's folder, and the lock that says somebody works in it.
struct RunDir {
    path: PathBuf,
    _alive: Locked,
}

/// This run's own folder, made at the first call.
///
/// # Errors
/// When it cannot be made; asked again, it is tried again.
pub(crate) fn run_dir() -> Result<&'static Path, Error> {
    static DIR: OnceCell<RunDir> = OnceCell::new();
    DIR.get_or_try_init(|| {
        let runs = base_dir(None)?.join("runs");
        let (dir, first) = claim(&runs, &run().id)?;
        if first {
            describe(&dir.path, run());
            sweep(&runs, &dir.path, |told| {
                is_over(told, &facts().boot, process::is_alive)
            });
        }
        Ok(dir)
    })
    .map(|dir| dir.path.as_path())
}

/// Makes the folder of the run `id` or joins those that did, and whether it is yet to be described.
fn claim(runs: &Path, id: &str) -> Result<(RunDir, bool), Error> {
    let dir = runs.join(id);
    let alive = dir.join("alive.lock");
    loop {
        std::fs::create_dir_all(&dir).map_err(|source| Error::io("create", &dir, source))?;
        match file_lock::shared(&alive) {
            Ok(Some(locked)) => {
                let first = !dir.join("run.json").exists();
                return Ok((
                    RunDir {
                        path: dir,
                        _alive: locked,
                    },
                    first,
                ));
            }
            // Swept between the two steps: it was a run's that is over, and is made anew.
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::NotFound && !dir.exists() => {}
            Err(source) => return Err(Error::io("lock", &alive, source)),
        }
    }
}

/// What the run folder's `run.json` says: enough to know, later and elsewhere, whether the run is over.
fn describe(dir: &Path, run: &Run) {
    let text = json!({
        "version": 1,
        "run": run.id,
        "runner": run.runner.as_str(),
        "anchor": { "pid": run.anchor.0, "started": run.anchor.1 },
        "boot": facts().boot,
        "session": session(),
        "at": clock::micros(),
    });
    // Without it the folder is merely kept.
    let _ = std::fs::write(dir.join("run.json"), text.to_string());
}

/// How many old runs one new run looks at.
const SWEPT_AT_ONCE: usize = 16;

/// Removes folders of runs that are over and that nobody recorded, so that plain `cargo test` leaves nothing behind.
///
/// Tests may outlive a killed runner: while one of them holds the folder's lock it stays. The lock is kept during
/// the removal, so that nobody moves in.
fn sweep(runs: &Path, own: &Path, is_over: impl Fn(&Value) -> bool) {
    let Ok(folders) = std::fs::read_dir(runs) else {
        return;
    };
    let mut folders: Vec<_> = folders.flatten().map(|entry| entry.path()).collect();
    // Each run begins elsewhere: folders that stay must not shield those behind them for ever.
    let start = process::id() as usize % folders.len().max(1);
    folders.rotate_left(start);
    for folder in folders.iter().filter(|path| *path != own).take(SWEPT_AT_ONCE) {
        let Ok(text) = std::fs::read_to_string(folder.join("run.json")) else {
            continue;
        };
        let Ok(told) = serde_json::from_str::<Value>(&text) else {
            continue;
        };
        if is_over(&told)
            && !folder.join(KEPT).exists()
            && let Ok(Some(_nobody_moves_in)) = file_lock::try_exclusive(&folder.join("alive.lock"))
        {
            discard(folder);
        }
    }
}

/// What a person left standing with `COFFERDAM_KEEP` is ended by this file in the run's folder, and by nobody else.
pub(crate) const KEPT: &str = "remove.sh";

/// Removes the folder of a run, while nobody can move in.
pub(crate) fn discard(folder: &Path) {
    // Moved away whole first: a run that comes back to its folder finds all of it or nothing. Windows refuses that
    // while the lock's file is open, and the folder stays.
    let away = folder.with_file_name(format!("swept-{}-{}", process::id(), clock::unique()));
    if std::fs::rename(folder, &away).is_ok() {
        let _ = std::fs::remove_dir_all(&away);
    }
}

/// Whether a run that was described so is over and of no use to anybody.
///
/// Recorded runs are `cargo cofferdam`'s to remove, named ones whoever's named them. A folder of another boot or
/// machine is not ours to judge.
fn is_over(told: &Value, boot: &str, is_alive: fn(u32, u64) -> bool) -> bool {
    let anchor = |field: &str| told["anchor"][field].as_u64();
    let (Some(pid), Some(started)) = (anchor("pid"), anchor("started")) else {
        return false;
    };
    let here = !boot.is_empty() && told["boot"] == boot;
    let ours = told["session"].is_null() && told["runner"] != Runner::Named.as_str();
    here && ours && u32::try_from(pid).is_ok_and(|pid| !is_alive(pid, started))
}

/// The folder of one worker of this run, made if need be.
pub(crate) fn worker_dir(worker: &str) -> Result<PathBuf, Error> {
    let dir = run_dir()?.join("workers").join(file_name(worker));
    std::fs::create_dir_all(&dir).map_err(|source| Error::io("create", &dir, source))?;
    Ok(dir)
}

/// The file whose lock is a leased lane.
pub(crate) fn lane_file(lane: &str) -> Result<PathBuf, Error> {
    let dir = run_dir()?.join("lanes");
    std::fs::create_dir_all(&dir).map_err(|source| Error::io("create", &dir, source))?;
    Ok(dir.join(file_name(lane)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace with a member and, inside it, a workspace of its own.
    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        for (folder, manifest) in [
            ("", "[workspace]\nmembers = [\"member\"]"),
            ("member", "[package]\nname = \"member\""),
            ("member/example", "[package]\n[workspace]"),
            ("target/debug/deps", ""),
        ] {
            let folder = tree.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            if !manifest.is_empty() {
                std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
            }
        }
        std::fs::write(tree.path().join("target/CACHEDIR.TAG"), "").unwrap();
        tree
    }

    #[test]
    fn a_folder_that_cargo_did_not_make_itself_is_its_target_all_the_same() {
        let tree = tree();
        let target = tree.path().join("target");
        assert!(is_target(&target) && !is_target(tree.path()));
        std::fs::rename(target.join("CACHEDIR.TAG"), target.join(".rustc_info.json")).unwrap();
        assert!(is_target(&target));
    }

    #[test]
    fn the_base_folder_is_the_first_of_what_is_told() {
        let tree = tree();
        let at = |folder: &str| tree.path().join(folder);
        let (member, example, exe) = (at("member"), at("member/example"), at("target/debug/deps/a-1"));
        let in_target = at("target/cofferdam");
        let told = |name: &'static str, path: PathBuf| (name, path);
        let manifest = || told("CARGO_MANIFEST_DIR", member.clone());
        let nextest = || told("NEXTEST_WORKSPACE_ROOT", at("elsewhere"));
        for (what, vars, dir, below_nextest, expected) in [
            (
                "a person's word",
                vec![told("COFFERDAM_DIR", at("mine")), manifest()],
                None,
                false,
                at("mine"),
            ),
            (
                "nextest's, which knows of archives",
                vec![nextest(), manifest()],
                None,
                true,
                at("elsewhere/target/cofferdam"),
            ),
            (
                "not what a nextest further up said",
                vec![nextest(), manifest()],
                None,
                false,
                in_target.clone(),
            ),
            (
                "the workspace's",
                vec![manifest()],
                None,
                false,
                in_target.clone(),
            ),
            (
                "a nearer workspace's",
                vec![told("CARGO_MANIFEST_DIR", example.clone())],
                None,
                false,
                example.join("target/cofferdam"),
            ),
            (
                "a folder that is asked about",
                vec![nextest(), told("CARGO_MANIFEST_DIR", example.clone())],
                Some(member.as_path()),
                true,
                in_target.clone(),
            ),
            (
                "another target folder",
                vec![manifest(), told("CARGO_TARGET_DIR", at("out"))],
                None,
                false,
                at("out/cofferdam"),
            ),
            (
                "a relative one",
                vec![manifest(), told("CARGO_TARGET_DIR", "out".into())],
                None,
                false,
                at("out/cofferdam"),
            ),
            ("the executable's own", vec![], None, false, in_target.clone()),
        ] {
            let var = |asked: &str| {
                let found = vars.iter().find(|(name, _)| *name == asked);
                found.map(|(_, path)| path.clone())
            };
            let base = base_of(&Outside {
                dir,
                exe: Some(&exe),
                below_nextest,
                var: &var,
            });
            assert_eq!(base, Some(expected), "{what}");
        }
    }

    #[test]
    fn an_executable_outside_every_target_folder_has_no_base() {
        let tree = tempfile::tempdir().unwrap();
        let exe = tree.path().join("program");
        let base = base_of(&Outside {
            dir: None,
            exe: Some(&exe),
            below_nextest: false,
            var: &|_| None,
        });
        assert_eq!(base, None);
    }

    fn described(runner: &str, boot: &str, session: Value) -> Value {
        json!({ "runner": runner, "boot": boot, "session": session, "anchor": { "pid": 7, "started": 70 } })
    }

    #[test]
    fn a_run_is_over_when_its_runner_is_gone_and_nobody_wants_it() {
        let (alive, dead) = (
            (|_, _| true) as fn(u32, u64) -> bool,
            (|_, _| false) as fn(u32, u64) -> bool,
        );
        let plain = described("cargo", "boot", Value::Null);
        assert!(is_over(&plain, "boot", dead));
        assert!(!is_over(&plain, "boot", alive), "its runner is there");
        assert!(!is_over(&plain, "other boot", dead), "of another machine");
        let unknown = described("cargo", "", Value::Null);
        assert!(!is_over(&unknown, "", dead), "no boot is known");
        let recorded = described("cargo", "boot", Value::from("session"));
        assert!(!is_over(&recorded, "boot", dead), "recorded");
        let named = described("named", "boot", Value::Null);
        assert!(!is_over(&named, "boot", dead), "named by a person");
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
        ] {
            assert!(!is_over(&told, "boot", |_, _| false), "{told}");
        }
    }

    fn old_run(runs: &Path, id: &str) -> RunDir {
        let (dir, first) = claim(runs, id).unwrap();
        assert!(first);
        std::fs::write(dir.path.join("run.json"), "{}").unwrap();
        dir
    }

    #[test]
    fn a_folder_that_somebody_still_works_in_is_not_swept() {
        let runs = tempfile::tempdir().unwrap();
        let own = old_run(runs.path(), "own");
        let used = old_run(runs.path(), "used");
        let left = old_run(runs.path(), "left").path.clone();
        sweep(runs.path(), &own.path, |_| true);
        assert!(own.path.exists() && used.path.exists());
        assert!(!left.exists());
    }

    #[test]
    fn what_is_not_over_or_not_described_stays() {
        let runs = tempfile::tempdir().unwrap();
        let kept = old_run(runs.path(), "kept").path.clone();
        sweep(runs.path(), Path::new("own"), |_| false);
        assert!(kept.exists());
        for text in ["", "{\"version\":", "\u{0}"] {
            std::fs::write(kept.join("run.json"), text).unwrap();
            sweep(runs.path(), Path::new("own"), |_| true);
            assert!(kept.exists(), "{text:?}");
        }
    }

    #[test]
    fn a_run_that_comes_back_to_a_folder_being_swept_gets_one_that_exists() {
        let runs = tempfile::tempdir().unwrap();
        let sweeper = runs.path().to_owned();
        drop(old_run(runs.path(), "run"));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..200 {
                    sweep(&sweeper, Path::new("own"), |_| true);
                }
            });
            for _ in 0..200 {
                let (dir, _) = claim(runs.path(), "run").unwrap();
                std::fs::write(dir.path.join("run.json"), "{}").unwrap();
                std::thread::yield_now();
                assert!(dir.path.join("alive.lock").exists());
            }
        });
    }
}
