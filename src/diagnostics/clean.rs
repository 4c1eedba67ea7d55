//! The folders of runs that are over, removed.

use crate::error::Error;
use crate::run::sweep::{self, Removal, Standing};
use std::path::{Path, PathBuf};

/// The folder of a run, and what became of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Cleaned {
    /// Its folder.
    pub path: PathBuf,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a run's folder, and why.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fate {
    /// It was removed, or would have been.
    Removed,
    /// Kept: its runner is there.
    Running,
    /// Kept: a process still works in it, though its runner is gone.
    InUse,
    /// Kept: it was recorded, and may be reported on again.
    Recorded,
    /// Kept: it was named by `COFFERDAM_RUN_ID`, and whoever did knows when it is over.
    Named,
    /// Kept: it is of another machine, or from before the last boot, so its process numbers mean nothing here.
    Foreign,
    /// Kept: it has no `run.json` that can be read.
    Unknown,
    /// It could not be removed, or not all of it.
    Failed(Error),
}

impl Fate {
    /// A word for it: `removed`, `running`, `in-use`, `recorded`, `named`, `foreign`, `unknown` or
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

/// What [`clean`] does; by default it removes what is over and of no use to anybody.
#[derive(Clone, Copy, Debug, Default)]
pub struct CleanOptions {
    all: bool,
    dry_run: bool,
}

impl CleanOptions {
    /// Only says what would be removed.
    pub fn dry_run(mut self, yes: bool) -> Self {
        self.dry_run = yes;
        self
    }

    /// Also removes what was recorded, what was named, what another machine or an earlier boot left, and what cannot
    /// be read. What somebody works in stays, as far as the file system's locks tell.
    pub fn all(mut self, yes: bool) -> Self {
        self.all = yes;
        self
    }
}

/// Removes the folders of runs that are over below a base folder, and says what became of each, by name. Fixtures that
/// `COFFERDAM_KEEP` left running are stopped first.
///
/// ```
/// use cofferdam::diagnostics::{CleanOptions, clean};
/// let base = cofferdam::base_dir(None).unwrap();
/// for run in clean(&base, CleanOptions::default().dry_run(true)).unwrap() {
///     println!("{}: {}", run.path.display(), run.fate.as_str());
/// }
/// ```
///
/// # Errors
/// When the folder is there and cannot be read. A base folder that is not there has no runs.
pub fn clean(base: &Path, options: CleanOptions) -> Result<Vec<Cleaned>, Error> {
    let runs = base.join("runs");
    let mut folders = match sweep::folders(&runs) {
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
    let kept = match Standing::of(folder) {
        Standing::Over | Standing::Kept => None,
        Standing::Running => return Fate::Running,
        Standing::Recorded => Some(Fate::Recorded),
        Standing::Named => Some(Fate::Named),
        Standing::Foreign => Some(Fate::Foreign),
        Standing::Unknown => Some(Fate::Unknown),
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
