//! Leased directories.

use crate::error::Error;
#[cfg(unix)]
use crate::lock::machine;
use crate::resource::{Access, Resource};
#[cfg(unix)]
use crate::sys::clock;
use crate::sys::process;
use crate::worker::claim::guarded_by;
use crate::worker::test_folder::TestFolder;
use crate::worker::{Claim, Worker, claim};
use std::fs;
#[cfg(unix)]
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// Leases a new, empty directory in the run's directory. It is used by this lease only, and removed with its contents when the
/// lease is dropped.
///
/// It is for one test or a part of one, while [`Worker::dir`] keeps the files of the worker's earlier tests. When the lease
/// is dropped by a panic, the directory is moved to `failed/` in the [base directory](crate::diagnostics::base_dir) and stays
/// until the test leases a directory again; a line on standard error says where it is. If the process is killed or the lease
/// is leaked, a later run removes the directory together with the run's.
///
/// ```
/// let folder = cofferdam::lease::dir().unwrap();
/// std::fs::write(folder.join("orders.csv"), "7,tea").unwrap();
/// let path = folder.to_owned();
/// drop(folder);
/// assert!(!path.exists());
/// ```
///
/// # Errors
/// On a thread without a worker, and when the directory cannot be created.
#[track_caller]
pub fn dir() -> Result<DirLease, Error> {
    let folder = TestFolder::new(&Worker::try_current()?)?;
    Ok(DirLease::new(folder.path().to_owned(), folder, true))
}

/// Leases a new, empty directory whose path has at most 60 bytes, for Unix sockets: the address of a socket is limited to 107
/// bytes, and the path of a build directory is often longer.
///
/// The path is a link in the temporary directory to a directory like that of [`dir`](dir()). Both are removed when the lease is
/// dropped, also by a panic. After a killed process, a later run removes the directory and the next call removes the link.
///
/// ```
/// # #[cfg(unix)] {
/// use std::os::unix::net::UnixListener;
/// let folder = cofferdam::lease::socket_dir().unwrap();
/// let server = UnixListener::bind(folder.join("orders.sock")).unwrap();
/// assert!(folder.as_os_str().len() <= 60);
/// # drop(server);
/// # }
/// ```
///
/// # Errors
/// Like [`dir`](dir()), and when no temporary directory has a path that is short enough.
#[track_caller]
pub fn socket_dir() -> Result<DirLease, Error> {
    let folder = TestFolder::beside_others(&Worker::try_current()?)?;
    #[cfg(unix)]
    let short = link_to(folder.path())?;
    #[cfg(not(unix))]
    let short = folder.path().to_owned();
    Ok(DirLease::new(short, folder, false))
}

/// The maximum length of a path for sockets, which leaves 47 bytes for a socket's name.
#[cfg(unix)]
const LONGEST: usize = 60;

/// Creates a link with a short path to the directory.
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
            Err(error) => return Err(Error::io("create the link", &link, error)),
        }
    }
}

/// The beginning of a link's name.
#[cfg(unix)]
const PREFIX: &str = "s-";
/// The length of a link's name, including the slash before it.
#[cfg(unix)]
const NAME: usize = 1 + PREFIX.len() + 16;

/// Removes the links of killed processes, whose directories have been removed with their runs.
#[cfg(unix)]
fn remove_dangling(links: &Path) {
    for entry in fs::read_dir(links).into_iter().flatten().flatten() {
        let is_link = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if is_link && !entry.path().exists() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A leased directory; see [`dir`](dir()) and [`socket_dir`].
#[must_use = "the directory is removed when this is dropped"]
#[derive(Debug)]
pub struct DirLease {
    _claim: Claim,
    path: PathBuf,
    /// The directory itself, to which the path may be a link.
    folder: TestFolder,
    /// Whether the directory is kept if the test fails.
    is_evidence: bool,
    /// The process that removes the directory, as opposed to its forked children; `None` to keep it.
    owner: Option<u32>,
}

impl DirLease {
    #[track_caller]
    fn new(path: PathBuf, folder: TestFolder, is_evidence: bool) -> Self {
        let _guarded = guarded_by(&format!("lease of {}", path.display()));
        Self {
            _claim: claim(Resource::file(&path), Access::Write),
            path,
            folder,
            is_evidence,
            owner: Some(process::id()),
        }
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the directory until the run's directory is removed, for example to inspect it after a failure.
    pub fn keep(mut self) -> PathBuf {
        self.owner = None;
        self.path.clone()
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
        if self.is_evidence && std::thread::panicking() {
            return self.folder.keep();
        }
        if self.path != self.folder.path() {
            let _ = fs::remove_file(&self.path);
        }
        self.folder.remove();
    }
}
