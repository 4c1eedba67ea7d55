//! The directories of cofferdam and of this run.

use super::sweep::{RunStatus, sweep};
use super::{BEGUN, Run, facts, file_name, nextest, run, session};
use crate::error::Error;
use crate::json_value::Value;
use crate::sys::file_lock::{self, Locked};
use crate::sys::{clock, env, file_size, folder};
use once_cell::sync::OnceCell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Returns the directory for all files of cofferdam, for a process with the working directory `dir`.
///
/// `COFFERDAM_DIR` if it is set. Otherwise `cofferdam` in the target directory of the Cargo workspace, which nextest names or
/// which is found upward from `CARGO_MANIFEST_DIR` or `dir`. Otherwise `cofferdam` in the target directory that contains the
/// executable.
///
/// # Errors
/// When none of these exists.
///
/// ```
/// assert!(cofferdam::diagnostics::base_dir(None).unwrap().is_absolute());
/// ```
pub fn base_dir(dir: Option<&Path>) -> Result<PathBuf, Error> {
    let base = base_of(&BaseFacts {
        dir,
        exe: facts().exe.as_deref(),
        below_nextest: nextest(facts()).is_some(),
        var: &env::path,
    });
    let base = base.ok_or_else(Error::no_place)?;
    std::path::absolute(&base).map_err(|source| Error::io("make absolute", &base, source))
}

/// The facts from which the base directory is chosen, besides manifests on disk.
struct BaseFacts<'a> {
    dir: Option<&'a Path>,
    exe: Option<&'a Path>,
    /// Whether nextest's variables belong to this run.
    below_nextest: bool,
    var: &'a dyn Fn(&str) -> Option<PathBuf>,
}

fn base_of(outside: &BaseFacts<'_>) -> Option<PathBuf> {
    let var = outside.var;
    if let Some(base) = var("COFFERDAM_DIR") {
        return Some(base);
    }
    let by_nextest = || var("NEXTEST_WORKSPACE_ROOT").filter(|_| outside.below_nextest);
    let root = match outside.dir {
        Some(dir) => workspace_root(dir),
        None => by_nextest().or_else(|| workspace_root(&var("CARGO_MANIFEST_DIR")?)),
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

/// Returns whether Cargo builds in the directory. It tags only directories that it created, but caches data of rustc in all.
pub fn is_target(folder: &Path) -> bool {
    ["CACHEDIR.TAG", ".rustc_info.json"]
        .iter()
        .any(|file| folder.join(file).exists())
}

/// Returns the directory of the nearest manifest with a `[workspace]` table at or above `dir`, or else of the nearest
/// manifest.
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

/// A run's directory, and the lock that marks it as in use.
pub(super) struct RunDir {
    pub(super) path: PathBuf,
    _alive: Locked,
}

/// Returns this run's directory, creating it at the first call.
///
/// # Errors
/// When it cannot be created. The next call tries again.
pub(crate) fn run_dir() -> Result<&'static Path, Error> {
    static DIR: OnceCell<RunDir> = OnceCell::new();
    DIR.get_or_try_init(|| {
        let base = base_dir(BEGUN.get().map(PathBuf::as_path))?;
        let runs = private_dir(&base, "runs")?;
        let (dir, first) = claim(&runs, &run().id)?;
        if first {
            describe(&dir.path, run());
            sweep(&runs, &dir.path, RunStatus::of);
        }
        Ok(dir)
    })
    .map(|dir| dir.path.as_path())
}

/// Creates or joins the directory of the run `id`. Also returns whether it has yet to be described.
pub(super) fn claim(runs: &Path, id: &str) -> Result<(RunDir, bool), Error> {
    let mut tries = 0;
    loop {
        let dir = private_dir(runs, id)?;
        let alive = dir.join("alive.lock");
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
            // It belonged to a run that had ended and was swept meanwhile: create it again.
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::NotFound && tries < 1000 => tries += 1,
            Err(source) => return Err(Error::io("lock", &alive, source)),
        }
    }
}

/// Writes `run.json`, from which other processes can decide whether the run has ended.
fn describe(dir: &Path, run: &Run) {
    let space = &facts().space;
    let anchor = vec![("pid", run.anchor.0.into()), ("started", run.anchor.1.into())];
    let text = Value::object(vec![
        ("version", 1_u64.into()),
        ("run", run.id.as_str().into()),
        ("runner", run.runner.as_str().into()),
        ("anchor", Value::object(anchor)),
        ("boot", space.boot.as_str().into()),
        ("namespace", space.namespace.into()),
        ("session", session().as_deref().into()),
        ("at", clock::micros().into()),
    ]);
    // Without it the folder is only kept.
    let _ = file_size::unsignaled(|| std::fs::write(dir.join("run.json"), text.to_line()));
}

/// Returns the directory of a worker of this run, creating it if necessary.
pub(crate) fn worker_dir(worker: &str) -> Result<PathBuf, Error> {
    private_dir(run_dir()?, Path::new("workers").join(file_name(worker)))
}

/// Creates a directory below one of cofferdam's directories, accessible to its owner only.
///
/// # Errors
/// When it cannot be created, or when a directory in its path is a link or writable by another user.
pub fn private_dir(root: &Path, below: impl AsRef<Path>) -> Result<PathBuf, Error> {
    let below = below.as_ref();
    folder::make(root, below).map_err(|source| Error::io("create the directory", &root.join(below), source))
}

/// Returns the file whose lock is the lease of a worker's number.
pub(crate) fn lane_file(lane: &str) -> Result<PathBuf, Error> {
    Ok(private_dir(run_dir()?, "lanes")?.join(file_name(lane)))
}

#[cfg(test)]
pub(super) mod tests {
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
    fn a_target_folder_that_cargo_did_not_create_is_recognized() {
        let tree = tree();
        let target = tree.path().join("target");
        assert!(is_target(&target) && !is_target(tree.path()));
        std::fs::rename(target.join("CACHEDIR.TAG"), target.join(".rustc_info.json")).unwrap();
        assert!(is_target(&target));
    }

    #[test]
    fn the_base_folder_is_the_first_that_is_given() {
        let tree = tree();
        let at = |folder: &str| tree.path().join(folder);
        let (member, example, exe) = (at("member"), at("member/example"), at("target/debug/deps/a-1"));
        let in_target = at("target/cofferdam");
        let var = |name: &'static str, path: PathBuf| (name, path);
        let manifest = || var("CARGO_MANIFEST_DIR", member.clone());
        let nextest = || var("NEXTEST_WORKSPACE_ROOT", at("elsewhere"));
        for (what, vars, dir, below_nextest, expected) in [
            (
                "the variable",
                vec![var("COFFERDAM_DIR", at("mine")), manifest()],
                None,
                false,
                at("mine"),
            ),
            (
                "nextest's workspace, also for archives",
                vec![nextest(), manifest()],
                None,
                true,
                at("elsewhere/target/cofferdam"),
            ),
            (
                "not the workspace of an outer nextest",
                vec![nextest(), manifest()],
                None,
                false,
                in_target.clone(),
            ),
            (
                "the workspace's target directory",
                vec![manifest()],
                None,
                false,
                in_target.clone(),
            ),
            (
                "a nearer workspace's",
                vec![var("CARGO_MANIFEST_DIR", example.clone())],
                None,
                false,
                example.join("target/cofferdam"),
            ),
            (
                "a given directory",
                vec![nextest(), var("CARGO_MANIFEST_DIR", example.clone())],
                Some(member.as_path()),
                true,
                in_target.clone(),
            ),
            (
                "another target directory",
                vec![manifest(), var("CARGO_TARGET_DIR", at("out"))],
                None,
                false,
                at("out/cofferdam"),
            ),
            (
                "a relative one",
                vec![manifest(), var("CARGO_TARGET_DIR", "out".into())],
                None,
                false,
                at("out/cofferdam"),
            ),
            (
                "the executable's target directory",
                vec![],
                None,
                false,
                in_target.clone(),
            ),
        ] {
            let var = |asked: &str| {
                let found = vars.iter().find(|(name, _)| *name == asked);
                found.map(|(_, path)| path.clone())
            };
            let base = base_of(&BaseFacts {
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
        let base = base_of(&BaseFacts {
            dir: None,
            exe: Some(&exe),
            below_nextest: false,
            var: &|_| None,
        });
        assert_eq!(base, None);
    }

    pub(in crate::run) fn old_run(runs: &Path, id: &str) -> RunDir {
        let (dir, first) = claim(runs, id).unwrap();
        assert!(first);
        std::fs::write(dir.path.join("run.json"), "{}").unwrap();
        dir
    }
}
