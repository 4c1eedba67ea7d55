//! Folders that are ours while we hold them.

use crate::error::Error;
use crate::place;
use crate::resource::{Access, Resource};
use crate::sys::{clock, folder, process};
use crate::worker::{Claim, Worker, claim, guarded_by};
use std::path::{Path, PathBuf};
use std::{fs, io};

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
    let worker = place::worker_dir(Worker::try_current()?.id())?;
    let parent = place::private_dir(&worker, "leased")?;
    let failed = |source| Error::io("make a folder in", &parent, source);
    let pid = process::id();
    let path = loop {
        let path = parent.join(format!("{pid}-{}", clock::unique()));
        match folder::make_new(&path) {
            Ok(()) => break path,
            // An earlier process of the run had this number, and was killed or kept its folder.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
    };
    let _guarded = guarded_by(&format!("lease of {}", path.display()));
    Ok(DirLease {
        _claim: claim(Resource::file(&path), Access::Write),
        path,
        owner: Some(pid),
    })
}

/// A folder that is ours: see [`lease_dir`].
#[must_use = "the folder is removed when this is dropped"]
#[derive(Debug)]
pub struct DirLease {
    _claim: Claim,
    path: PathBuf,
    /// The process that removes the folder, and no child forked from it does; `None`: it is kept.
    owner: Option<u32>,
}

impl DirLease {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the folder there, until that of the run is removed: to look at it after a failure.
    pub fn keep(mut self) -> PathBuf {
        self.owner = None;
        self.path.clone()
    }
}

impl AsRef<Path> for DirLease {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl Drop for DirLease {
    fn drop(&mut self) {
        if self.owner == Some(process::id()) {
            // What is left of it goes with the run's folder.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
