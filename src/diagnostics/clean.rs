//! Removes the directories of runs that are over.

use crate::error::Error;
use crate::run::sweep::{self, Removal, RunStatus};
use crate::sys::folder;
use std::path::{Path, PathBuf};

/// The directory of a run with its fate.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Cleaned {
    /// Its directory.
    pub path: PathBuf,
    /// Its fate.
    pub fate: Fate,
}

/// The fate of a run's directory, with the reason.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fate {
    /// It was removed, or would be without `dry_run`.
    Removed,
    /// Kept: its runner is running.
    Running,
    /// Kept: a process still uses it, though its runner is gone.
    InUse,
    /// Kept: it was recorded, and may be reported on again.
    Recorded,
    /// Kept: it was named by `COFFERDAM_RUN_ID`, so its end is not known here.
    Named,
    /// Kept: it is of another machine, or from before the last boot, so its process IDs have no meaning here.
    Foreign,
    /// Kept: it has no `run.json` that can be read.
    Unknown,
    /// It could not be removed, or not all of it.
    Failed(Error),
}

impl Fate {
    /// Returns the word for it: `removed`, `running`, `in-use`, `recorded`, `named`, `foreign`, `unknown` or
    /// `failed`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Running => "running",
            Self::InUse => "in-use",
            Self::Recorded => "recorded",
            Self::Named => "named",
            Self::Foreign => "foreign",
            Self::Unknown => "unknown",
            Self::Failed(_) => "failed",
        }
    }
}

/// The options of [`clean`]. The default removes runs that are over and were not recorded.
#[derive(Clone, Copy, Debug, Default)]
pub struct CleanOptions {
    all: bool,
    dry_run: bool,
}

impl CleanOptions {
    /// Only reports the directories that would be removed.
    pub fn dry_run(mut self, yes: bool) -> Self {
        self.dry_run = yes;
        self
    }

    /// Also removes recorded and named runs, those of another machine or an earlier boot, and unreadable ones. A directory
    /// that is in use stays, as far as the file system's locks show.
    pub fn all(mut self, yes: bool) -> Self {
        self.all = yes;
        self
    }
}

/// Removes the directories of runs that are over below a base directory, and returns the fate of each, by name. Fixtures that
/// `COFFERDAM_KEEP` left running are stopped first. On Linux this takes the feature `fixtures`: without it, a directory with
/// fixtures counts as in use.
///
/// ```
/// use cofferdam::diagnostics::{CleanOptions, clean};
/// let base = cofferdam::diagnostics::base_dir(None).unwrap();
/// for run in clean(&base, CleanOptions::default().dry_run(true)).unwrap() {
///     println!("{}: {}", run.path.display(), run.fate.as_str());
/// }
/// ```
///
/// # Errors
/// When the directory is there and cannot be read. A base directory that is not there has no runs.
#[inline]
pub fn clean(base: &Path, options: CleanOptions) -> Result<Vec<Cleaned>, Error> {
    let runs = base.join("runs");
    let mut folders = match folder::folders_in(&runs) {
        Ok(folders) => folders,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::io("read", &runs, source)),
    };
    folders.sort();
    let cleaned = folders.into_iter().map(|path| Cleaned {
        fate: decide(&path, options),
        path,
    });
    Ok(cleaned.collect())
}

#[inline]
fn decide(folder: &Path, options: CleanOptions) -> Fate {
    if sweep::is_left_over(folder) {
        if options.dry_run {
            return Fate::Removed;
        }
        return match std::fs::remove_dir_all(folder) {
            Err(source) => Fate::Failed(Error::io("remove", folder, source)),
            Ok(()) => Fate::Removed,
        };
    }
    let kept = match RunStatus::of(folder) {
        RunStatus::Over | RunStatus::Kept => None,
        RunStatus::Running => return Fate::Running,
        RunStatus::Recorded => Some(Fate::Recorded),
        RunStatus::Named => Some(Fate::Named),
        RunStatus::Foreign => Some(Fate::Foreign),
        RunStatus::Unknown => Some(Fate::Unknown),
    };
    if let Some(kept) = kept.filter(|_| !options.all) {
        return kept;
    }
    match sweep::remove(folder, options.dry_run) {
        Removal::Removed => Fate::Removed,
        Removal::InUse => Fate::InUse,
        Removal::Failed(source) => Fate::Failed(Error::io("remove", folder, source)),
    }
}
