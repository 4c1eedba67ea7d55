//! The checkout: whether it may be changed, and the changing.

use super::draft::Change;
use super::tool;
use cofferdam_batch::child::{Starter, Streams};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// Why nothing was written.
#[derive(Debug)]
pub(crate) enum Refused {
    /// There are changes that would be mixed with ours.
    Dirty(Vec<String>),
    /// Nothing would bring back what was there.
    NoGit(String),
    Io(String, io::Error),
    /// It is not what it was when it was read.
    Changed(String),
    /// The suite does not compile with the changes, and they were taken back.
    TakenBack {
        /// The folder that was checked.
        dir: String,
        /// Why cargo could not be started, if it could not.
        error: Option<String>,
        /// Whether it does not compile without them either.
        fails_without: bool,
        /// What could not be taken back, each a file.
        left: Vec<String>,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dirty(files) => write!(
                f,
                "nothing was written: these are changed or new since the last commit, and what is changed now could \
                 not be told from it: {}. Commit or stash them, or allow it with --allow-dirty",
                files.join(", ")
            ),
            Self::NoGit(why) => write!(
                f,
                "nothing was written: this is no checkout of git, and nothing would bring back what was there ({why}); \
                 allow it with --allow-no-vcs"
            ),
            Self::Io(path, error) => write!(f, "could not write {path}: {error}"),
            Self::Changed(path) => {
                write!(
                    f,
                    "nothing was written: {path} was changed meanwhile; run it once more"
                )
            }
            Self::TakenBack {
                dir,
                error,
                fails_without,
                left,
            } => {
                write!(f, "the changes were taken back: `cargo check --tests` in {dir} ")?;
                match error {
                    Some(error) => write!(f, "could not be run: {error}")?,
                    None => f.write_str("fails with them, for what cargo says above")?,
                }
                if *fails_without {
                    f.write_str(". It fails without them, too: --no-check leaves out the check")?;
                }
                if !left.is_empty() {
                    write!(
                        f,
                        ". These could not be taken back, or were changed meanwhile: {}",
                        left.join(", ")
                    )?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Refused {}

/// What is allowed although it cannot be undone with git.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed {
    pub(crate) dirty: bool,
    pub(crate) no_vcs: bool,
}

/// As many files are named.
const NAMED: usize = 5;

/// Whether files below `root` may be changed.
pub(crate) fn may_change(root: &Path, allowed: Allowed) -> Result<(), Refused> {
    match tool::ask("git", &["status", "--porcelain", "--", "."], root) {
        Err(_) if allowed.no_vcs => Ok(()),
        Err(why) => Err(Refused::NoGit(why)),
        Ok(told) => {
            let told = String::from_utf8_lossy(&told);
            let mut dirty: Vec<String> = told
                .lines()
                .filter_map(|line| line.get(3..))
                .map(str::to_owned)
                .collect();
            if dirty.is_empty() || allowed.dirty {
                return Ok(());
            }
            let more = dirty.len().saturating_sub(NAMED);
            if more > 0 {
                dirty.truncate(NAMED);
                dirty.push(format!("and {more} more"));
            }
            Err(Refused::Dirty(dirty))
        }
    }
}

/// Writes all changes, each file in one step. First all are looked at: what was changed meanwhile is left alone.
pub(crate) fn write(changes: &[Change]) -> Result<(), Refused> {
    for change in changes {
        let there = match fs::read_to_string(&change.path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Refused::Io(change.path.display().to_string(), error)),
        };
        if there != change.old {
            return Err(Refused::Changed(change.path.display().to_string()));
        }
    }
    for change in changes {
        let failed = |error| Refused::Io(change.path.display().to_string(), error);
        if let Some(folder) = change.path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        cofferdam::write_atomic(&change.path, change.new.as_bytes())
            .map_err(|error| failed(io::Error::other(error)))?;
    }
    Ok(())
}

/// Takes back what `write` wrote. Returns the files where that failed, or that were changed after it.
fn restore(changes: &[Change]) -> Vec<String> {
    let is_left = |change: &&Change| {
        if fs::read_to_string(&change.path).ok().as_ref() != Some(&change.new) {
            return true;
        }
        match &change.old {
            Some(old) => cofferdam::write_atomic(&change.path, old.as_bytes()).is_err(),
            None => fs::remove_file(&change.path).is_err(),
        }
    };
    let left = changes.iter().filter(is_left);
    left.map(|change| change.path.display().to_string()).collect()
}

/// Has cargo check the tests of the packages in these folders, and takes the changes back where it finds an error.
/// `locks` are the lock files of their workspaces, as they were before.
pub(crate) fn check(folders: &[&Path], changes: &[Change], locks: &[LockFile]) -> Result<(), Refused> {
    let command = ["cargo", "check", "--tests", "--quiet"].map(OsString::from);
    let starter = Starter::new(Vec::new());
    let passes = |folder: &Path| -> Result<bool, String> {
        let mut child = starter
            .start(&command, [], Some(folder), &Streams::Inherited)
            .map_err(|error| error.to_string())?;
        let status = child.wait().map_err(|error| error.to_string())?;
        Ok(status.success())
    };
    for folder in folders {
        let passed = passes(folder);
        if passed == Ok(true) {
            continue;
        }
        let left = restore(changes);
        locks.iter().for_each(LockFile::restore);
        let fails_without = left.is_empty() && passed == Ok(false) && passes(folder) == Ok(false);
        // The second check may have written one, too.
        locks.iter().for_each(LockFile::restore);
        return Err(Refused::TakenBack {
            dir: folder.display().to_string(),
            fails_without,
            error: passed.err(),
            left,
        });
    }
    Ok(())
}

/// A workspace's Cargo.lock, which cargo writes anew where a manifest has a new dependency.
#[derive(Debug)]
pub(crate) struct LockFile {
    path: PathBuf,
    text: Option<Vec<u8>>,
}

impl LockFile {
    pub(crate) fn read(workspace: &Path) -> Self {
        let path = workspace.join("Cargo.lock");
        Self {
            text: fs::read(&path).ok(),
            path,
        }
    }

    /// What fails here is found by the next build, which says so.
    fn restore(&self) {
        let _ = match &self.text {
            Some(text) if fs::read(&self.path).ok().as_ref() == Some(text) => Ok(()),
            Some(text) => cofferdam::write_atomic(&self.path, text).map_err(io::Error::other),
            None => fs::remove_file(&self.path),
        };
    }
}
