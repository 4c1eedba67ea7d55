//! Changes to the checkout, and the checks before and after them.

use super::draft::Change;
use super::tool;
use cofferdam_batch::executor::{foreground, job::JobId, job_event::AttemptOutcome};
use cofferdam_batch::jobs::spec;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// The reason that no change was made, or that all changes were reverted.
#[derive(Debug)]
pub(crate) enum ApplyError {
    /// The checkout has uncommitted changes.
    Dirty(Vec<String>),
    /// No Git checkout could restore the files.
    NoGit(String),
    Io(String, io::Error),
    /// The file changed after it was read.
    Changed(String),
    /// The suite does not compile with the changes, which were reverted.
    Reverted {
        /// The check, in words.
        check: String,
        /// The reason the check came to no result.
        error: Option<String>,
        /// Set if it does not compile without the changes either.
        fails_without: bool,
        /// Files that could not be restored.
        left: Vec<String>,
    },
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dirty(files) => write!(
                f,
                "nothing was written: these files have uncommitted changes, which could not be separated from the new \
                 ones: {}. Commit or stash them, or pass --allow-dirty",
                files.join(", ")
            ),
            Self::NoGit(why) => write!(
                f,
                "nothing was written: this is not a Git checkout, so the changes could not be undone ({why}); pass \
                 --allow-no-vcs to write them anyway"
            ),
            Self::Io(path, error) => write!(f, "could not write {path}: {error}"),
            Self::Changed(path) => {
                write!(
                    f,
                    "nothing was written: {path} changed in the meantime; run the command again"
                )
            }
            Self::Reverted {
                check,
                error,
                fails_without,
                left,
            } => {
                write!(f, "the changes were reverted: {check} ")?;
                match error {
                    Some(error) => f.write_str(error)?,
                    None => f.write_str("fails with them, for the reason above")?,
                }
                if *fails_without {
                    f.write_str(". It also fails without them: --no-check skips the check")?;
                }
                if !left.is_empty() {
                    write!(
                        f,
                        ". These files could not be restored or changed in the meantime: {}",
                        left.join(", ")
                    )?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ApplyError {}

/// Permissions to write changes that Git cannot undo.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permissions {
    pub(crate) dirty: bool,
    pub(crate) no_vcs: bool,
}

/// The number of files to name.
const MAX_NAMED: usize = 5;

/// Checks that files of the checkout that `root` is in may be changed.
pub(crate) fn may_change(root: &Path, permissions: Permissions) -> Result<(), ApplyError> {
    match tool::output("git", &["status", "--porcelain"], root) {
        Err(_) if permissions.no_vcs => Ok(()),
        Err(why) => Err(ApplyError::NoGit(why)),
        Ok(output) => {
            let output = String::from_utf8_lossy(&output);
            let mut dirty: Vec<String> = output
                .lines()
                .filter_map(|line| line.get(3..))
                .map(str::to_owned)
                .collect();
            if dirty.is_empty() || permissions.dirty {
                return Ok(());
            }
            let more = dirty.len().saturating_sub(MAX_NAMED);
            if more > 0 {
                dirty.truncate(MAX_NAMED);
                dirty.push(format!("and {more} more"));
            }
            Err(ApplyError::Dirty(dirty))
        }
    }
}

/// Writes all changes, each file atomically. Writes nothing if a file changed after it was read.
pub(crate) fn write(changes: &[Change]) -> Result<(), ApplyError> {
    for change in changes {
        let current = match fs::read_to_string(&change.path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(ApplyError::Io(change.path.display().to_string(), error)),
        };
        if current != change.old {
            return Err(ApplyError::Changed(change.path.display().to_string()));
        }
    }
    for change in changes {
        let failed = |error| ApplyError::Io(change.path.display().to_string(), error);
        if let Some(folder) = change.path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        cofferdam::file::write_atomic(&change.path, change.new.as_bytes())
            .map_err(|error| failed(io::Error::other(error)))?;
    }
    Ok(())
}

/// Reverts what `write` wrote, and what a build made of the lock files. Returns the files that could not be restored or changed
/// in the meantime.
pub(crate) fn revert(changes: &[Change], locks: &[LockFile]) -> Vec<String> {
    locks.iter().for_each(LockFile::restore);
    let is_left = |change: &&Change| {
        if fs::read_to_string(&change.path).ok().as_ref() != Some(&change.new) {
            return true;
        }
        match &change.old {
            Some(old) => cofferdam::file::write_atomic(&change.path, old.as_bytes()).is_err(),
            None => fs::remove_file(&change.path).is_err(),
        }
    };
    let left = changes.iter().filter(is_left);
    left.map(|change| change.path.display().to_string()).collect()
}

/// Runs `cargo check --tests` in these directories and reverts the changes if it fails. `locks` are the previous lock files of
/// the workspaces.
pub(crate) fn check(folders: &[&Path], changes: &[Change], locks: &[LockFile]) -> Result<(), ApplyError> {
    let command = ["cargo", "check", "--tests", "--quiet"].map(OsString::from);
    // A signal ends the check, and not this process, which reverts the changes.
    let passes = |folder: &Path| -> Result<bool, String> {
        let mut job = spec::from_words(JobId(1), command.to_vec())?;
        job.cwd = Some(folder.to_owned());
        match foreground::run(job, Vec::new()).map_err(|error| error.to_string())? {
            AttemptOutcome::Passed => Ok(true),
            AttemptOutcome::Failed { signal: None, .. } => Ok(false),
            AttemptOutcome::Failed {
                signal: Some(signal), ..
            } => Err(format!("was ended by signal {signal}")),
            AttemptOutcome::NotStarted { error } => Err(error),
            _ => Err("was stopped".to_owned()),
        }
    };
    for folder in folders {
        let passed = passes(folder);
        if passed == Ok(true) {
            continue;
        }
        let left = revert(changes, locks);
        let fails_without = left.is_empty() && passed == Ok(false) && passes(folder) == Ok(false);
        // The second check may have written a lock file, too.
        locks.iter().for_each(LockFile::restore);
        return Err(ApplyError::Reverted {
            check: format!("`cargo check --tests` in {}", folder.display()),
            fails_without,
            error: passed.err(),
            left,
        });
    }
    Ok(())
}

/// The Cargo.lock of a workspace, which cargo rewrites for a new dependency.
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

    /// Restores the file. The next build reports a failure here.
    pub(crate) fn restore(&self) {
        let _ = match &self.text {
            Some(text) if fs::read(&self.path).ok().as_ref() == Some(text) => Ok(()),
            Some(text) => cofferdam::file::write_atomic(&self.path, text).map_err(io::Error::other),
            None => fs::remove_file(&self.path),
        };
    }
}
