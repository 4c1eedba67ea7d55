//! Folders that are ours while we hold them.

use crate::error::Error;
use crate::lock::machine;
use crate::resource::{Access, Resource};
use crate::sys::{clock, folder, process, stderr};
use crate::worker::{Claim, Worker, claim, guarded_by};
use crate::{journal, run};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Leases a new, empty folder in this run's own: nobody else is handed it, and it is removed with all that is in it
/// when the lease is dropped.
///
/// It is the folder for one test, or a part of one: [`Worker::dir`] still has what the lane's last test left there. When
/// the lease is dropped by a panic, the folder is moved to `failed/` in the [base folder](crate::base_dir) and stays until
/// the test asks for a folder again; a line on standard error says where it is. If the process is killed, or the lease is
/// leaked, the folder is removed with the run's, by a later run.
///
/// ```
/// let folder = cofferdam::lease_dir().unwrap();
/// std::fs::write(folder.join("orders.csv"), "7,tea").unwrap();
/// let path = folder.to_owned();
/// drop(folder);
/// assert!(!path.exists());
/// ```
///
/// # Errors
/// On a thread that no worker was handed to, and when the folder cannot be made.
#[track_caller]
pub fn lease_dir() -> Result<DirLease, Error> {
    let worker = Worker::try_current()?;
    let failed = failed(&worker)?;
    // What an earlier execution of the test left has been looked at, or never will be.
    let _ = fs::remove_dir_all(&failed);
    let path = new_folder(&worker)?;
    Ok(DirLease::new(path.clone(), path, Some(failed)))
}

/// Leases a new, empty folder whose path has at most 60 bytes, for Unix sockets: the address of a socket ends at 107 bytes,
/// and the path of a build folder is often longer.
///
/// The path is that of a link in the temporary folder, to a folder as [`lease_dir`] leases it. Both are removed when the
/// lease is dropped, also by a panic. Of a process that was killed, the folder is removed with the run's, by a later run,
/// and the link by the next call.
///
/// ```
/// # #[cfg(unix)] {
/// use std::os::unix::net::UnixListener;
/// let folder = cofferdam::socket_dir().unwrap();
/// let server = UnixListener::bind(folder.join("orders.sock")).unwrap();
/// assert!(folder.as_os_str().len() <= 60);
/// # drop(server);
/// # }
/// ```
///
/// # Errors
/// As [`lease_dir`], and when no temporary folder has a path that is short enough.
#[track_caller]
pub fn socket_dir() -> Result<DirLease, Error> {
    let worker = Worker::try_current()?;
    let path = new_folder(&worker)?;
    #[cfg(unix)]
    let short = link_to(&path)?;
    #[cfg(not(unix))]
    let short = path.clone();
    Ok(DirLease::new(short, path, None))
}

fn new_folder(worker: &Worker) -> Result<PathBuf, Error> {
    let parent = run::private_dir(&run::worker_dir(worker.id())?, "leased")?;
    loop {
        let path = parent.join(format!("{}-{}", process::id(), clock::unique()));
        match folder::make_new(&path) {
            Ok(()) => return Ok(path),
            // An earlier process of the run had this number, and was killed or kept its folder.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("make a folder in", &parent, error)),
        }
    }
}

/// The folder for what the worker's test leaves when it fails.
fn failed(worker: &Worker) -> Result<PathBuf, Error> {
    let test = format!("{}::{}", journal::binary(), worker.test().unwrap_or("main"));
    let run = run::run_dir()?;
    // The run's folder is `runs/RUN` in the base folder.
    let base = run.ancestors().nth(2).unwrap_or(run);
    Ok(base.join("failed").join(run::file_name(&test)))
}

/// The longest path of a folder for sockets; 47 bytes are left for a socket's name.
#[cfg(unix)]
const LONGEST: usize = 60;

/// Makes a link with a short path to the folder.
#[cfg(unix)]
fn link_to(path: &Path) -> Result<PathBuf, Error> {
    use std::os::unix::ffi::OsStrExt as _;
    let links = machine::short_folder(LONGEST - NAME)?;
    remove_dangling(&links);
    loop {
        let mixed = clock::micros() ^ (u64::from(process::id()) << 40) ^ clock::unique().rotate_left(20);
        let link = links.join(format!("{PREFIX}{mixed:016x}"));
        debug_assert!(link.as_os_str().as_bytes().len() <= LONGEST);
        match std::os::unix::fs::symlink(path, &link) {
            Ok(()) => return Ok(link),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("make the link", &link, error)),
        }
    }
}

/// Begins the name of a link.
#[cfg(unix)]
const PREFIX: &str = "s-";
/// The length of a link's name, with the slash before it.
#[cfg(unix)]
const NAME: usize = 1 + PREFIX.len() + 16;

/// Removes the links of processes that were killed: their folders went with their runs'.
#[cfg(unix)]
fn remove_dangling(links: &Path) {
    for entry in fs::read_dir(links).into_iter().flatten().flatten() {
        let is_link = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if is_link && !entry.path().exists() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A folder that is ours: see [`lease_dir`] and [`socket_dir`].
#[must_use = "the folder is removed when this is dropped"]
#[derive(Debug)]
pub struct DirLease {
    _claim: Claim,
    path: PathBuf,
    /// The folder itself, where the path is a link to it.
    folder: PathBuf,
    /// Where the folder goes when the test fails.
    failed: Option<PathBuf>,
    /// The process that removes the folder, and no child forked from it does; `None`: it is kept.
    owner: Option<u32>,
}

impl DirLease {
    #[track_caller]
    fn new(path: PathBuf, folder: PathBuf, failed: Option<PathBuf>) -> Self {
        let _guarded = guarded_by(&format!("lease of {}", path.display()));
        Self {
            _claim: claim(Resource::file(&path), Access::Write),
            path,
            folder,
            failed,
            owner: Some(process::id()),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the folder there, until that of the run is removed: to look at it after a failure.
    pub fn keep(mut self) -> PathBuf {
        self.owner = None;
        self.path.clone()
    }

    /// Moves the folder to where it stays after the run.
    fn move_to(&self, failed: &Path) -> io::Result<PathBuf> {
        // Below the base folder, as `failed/TEST`.
        let base = failed.ancestors().nth(2).unwrap_or(failed);
        let below = failed.strip_prefix(base).unwrap_or(failed);
        let kept = folder::make(base, below)?.join(self.folder.file_name().unwrap_or_default());
        fs::rename(&self.folder, &kept)?;
        Ok(kept)
    }
}

impl Deref for DirLease {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl AsRef<Path> for DirLease {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl Drop for DirLease {
    fn drop(&mut self) {
        if self.owner != Some(process::id()) {
            return;
        }
        if let Some(failed) = self.failed.as_ref().filter(|_| std::thread::panicking()) {
            // Where it cannot be moved it stays as long as the run's folder.
            let kept = self.move_to(failed).unwrap_or_else(|_| self.folder.clone());
            stderr::line(&format!(
                "the test failed, and its folder is kept: {}",
                kept.display()
            ));
            return;
        }
        if self.path != self.folder {
            let _ = fs::remove_file(&self.path);
        }
        // What is left of it goes with the run's folder.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
