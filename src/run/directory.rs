//! Folders that are ours while we hold them.

use crate::error::Error;
use crate::place;
use crate::resource::{Access, Resource};
use crate::sys::process;
use crate::worker::{Claim, Worker, claim, guarded_by};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Leases a new, empty folder in this run's own: nobody else is handed it, and it is removed with all that is in it
/// when the lease is dropped. If the process is killed before, it is removed with the run's folder, by a later run.
///
/// [`Worker::dir`] is the folder that stays for the lane's next test; this one is for a part of one test.
///
/// ```
/// let folder = cofferdam::lease_dir().unwrap();
/// std::fs::write(folder.path().join("orders.csv"), "7,tea").unwrap();
/// let path = folder.path().to_owned();
/// drop(folder);
/// assert!(!path.exists());
/// ```
///
/// # Errors
/// On a thread that no worker was handed to, and when the folder cannot be made.
#[track_caller]
pub fn lease_dir() -> Result<DirLease, Error> {
    let parent = place::worker_dir(Worker::try_current()?.id())?.join("leased");
    let failed = |source| Error::io("make a folder in", &parent, source);
    std::fs::create_dir_all(&parent).map_err(failed)?;
    let dir = tempfile::Builder::new()
        .prefix("")
        .tempdir_in(&parent)
        .map_err(failed)?;
    let _guarded = guarded_by(&format!("lease of {}", dir.path().display()));
    Ok(DirLease {
        _claim: claim(Resource::file(dir.path()), Access::Write),
        path: dir.path().to_owned(),
        dir: Some(dir),
        pid: process::id(),
    })
}

/// A folder that is ours: see [`lease_dir`].
#[must_use = "the folder is removed when this is dropped"]
#[derive(Debug)]
pub struct DirLease {
    _claim: Claim,
    path: PathBuf,
    dir: Option<TempDir>,
    /// A forked child does not remove its parent's folder.
    pid: u32,
}

impl DirLease {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the folder there, until that of the run is removed: to look at it after a failure.
    pub fn keep(mut self) -> PathBuf {
        self.leave();
        self.path.clone()
    }

    fn leave(&mut self) {
        if let Some(dir) = self.dir.take() {
            let _ = dir.keep();
        }
    }
}

impl AsRef<Path> for DirLease {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl Drop for DirLease {
    fn drop(&mut self) {
        if process::id() != self.pid {
            self.leave();
        }
    }
}
