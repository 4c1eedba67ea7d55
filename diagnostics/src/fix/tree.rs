//! The checkout: whether it may be changed, and the changing.

use super::draft::Change;
use super::tool;
use std::path::Path;
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
