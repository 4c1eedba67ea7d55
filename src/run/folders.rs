//! Where cofferdam's folders are, and which of them are still somebody's.

use super::sweep::{Standing, sweep};
use super::{Run, facts, file_name, nextest, run, session};
use crate::error::Error;
use crate::sys::file_lock::{self, Locked};
use crate::sys::{clock, env, file_size, folder};
use once_cell::sync::OnceCell;
use serde_json::json;
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
    let base = base_of(&Outside {
        dir,
        exe: facts().exe.as_deref(),
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
pub(super) struct RunDir {
    pub(super) path: PathBuf,
    _alive: Locked,
}

/// This run's own folder, made at the first call.
///
/// # Errors
/// When it cannot be made; asked again, it is tried again.
pub(crate) fn run_dir() -> Result<&'static Path, Error> {
    static DIR: OnceCell<RunDir> = OnceCell::new();
    DIR.get_or_try_init(|| {
        let base = base_dir(None)?;
        let runs = private_dir(&base, "runs")?;
        let (dir, first) = claim(&runs, &run().id)?;
        if first {
            describe(&dir.path, run());
            sweep(&runs, &dir.path, Standing::of);
        }
        Ok(dir)
    })
    .map(|dir| dir.path.as_path())
}

/// Makes the folder of the run `id` or joins those that did, and whether it is yet to be described.
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
            // Swept meanwhile: it was a run's that is over, and is made anew.
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::NotFound && tries < 1000 => tries += 1,
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
        "boot": facts().space.boot,
        "namespace": facts().space.namespace,
        "session": session(),
        "at": clock::micros(),
    });
    // Without it the folder is merely kept.
    let _ = file_size::spared(|| std::fs::write(dir.join("run.json"), text.to_string()));
}

/// The folder of one worker of this run, made if need be.
pub(crate) fn worker_dir(worker: &str) -> Result<PathBuf, Error> {
    private_dir(run_dir()?, Path::new("workers").join(file_name(worker)))
}

/// Makes a folder below one of ours, for its owner alone.
///
/// # Errors
/// When it cannot be made, or when a folder on the way there is a link or another user's to write to.
pub fn private_dir(root: &Path, below: impl AsRef<Path>) -> Result<PathBuf, Error> {
    let below = below.as_ref();
    folder::make(root, below).map_err(|source| Error::io("make the folder", &root.join(below), source))
}

/// The file whose lock is a leased lane.
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

    pub(in crate::run) fn old_run(runs: &Path, id: &str) -> RunDir {
        let (dir, first) = claim(runs, id).unwrap();
        assert!(first);
        std::fs::write(dir.path.join("run.json"), "{}").unwrap();
        dir
    }
}
