//! Kernel locks on files, which are released when the holding process ends in any way.

#[cfg(unix)]
use super::file_size;
#[cfg(unix)]
use once_cell::sync::OnceCell;
use std::ffi::CStr;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A locked file; dropping it releases the lock.
#[derive(Debug)]
pub(crate) struct Locked {
    file: File,
}

impl Locked {
    /// Overwrites the beginning of the file with one call. Does not truncate it, which would cost fifty times as much.
    pub(crate) fn put(&self, bytes: &[u8]) -> io::Result<()> {
        #[cfg(unix)]
        return file_size::unsignaled(|| std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, 0));
        #[cfg(not(unix))]
        {
            use std::io::{Seek as _, Write as _};
            (&self.file).rewind()?;
            (&self.file).write_all(bytes)
        }
    }

    /// Releases the lock at once. Closing the file would leave the lock to a child that another thread is starting, until the
    /// child has executed its program.
    pub(crate) fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }

    /// Returns whether it is still the file at that path.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        is_at(&self.file, path)
    }

    /// Reads the beginning of the file and returns the length.
    pub(crate) fn look(&self, bytes: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::read_at(&self.file, bytes, 0);
        #[cfg(not(unix))]
        {
            use std::io::{Read as _, Seek as _};
            (&self.file).rewind()?;
            (&self.file).read(bytes)
        }
    }
}

/// The mode of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Shared,
    Exclusive,
}

/// Opens a file, creating it if necessary, and locks it. Returns `None` while another handle holds a conflicting lock.
pub(crate) fn try_lock(path: &Path, mode: Mode) -> io::Result<Option<Locked>> {
    loop {
        if let Some(tried) = standing(tried(open(path)?, mode)?) {
            return Ok(tried);
        }
    }
}

/// Returns `None` if the file was removed between opening and locking, so that the lock is useless.
fn standing(tried: Option<Locked>) -> Option<Option<Locked>> {
    let stands = tried.as_ref().is_none_or(|locked| is_linked(&locked.file));
    stands.then_some(tried)
}

fn tried(file: File, mode: Mode) -> io::Result<Option<Locked>> {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    let tried = match mode {
        Mode::Shared => file.try_lock_shared(),
        Mode::Exclusive => file.try_lock(),
    };
    match tried {
        Ok(()) => Ok(Some(Locked { file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// A directory of lock files. On Unix they are opened from a handle of the directory, which saves the kernel the path lookup, a tenth
/// of the cost of a lock.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    #[cfg(unix)]
    handle: OnceCell<File>,
}

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            #[cfg(unix)]
            handle: OnceCell::new(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Locks the file of that name without creating it. If the directory was removed and created again, its handle finds no
    /// files; on an error the caller uses the path.
    pub(crate) fn try_lock(&self, name: &CStr, mode: Mode) -> io::Result<Option<Locked>> {
        #[cfg(unix)]
        {
            let handle = self.handle.get_or_try_init(|| open_folder(&self.path))?;
            let tried = tried(open_in(handle, name)?, mode)?;
            standing(tried).ok_or_else(|| io::ErrorKind::NotFound.into())
        }
        #[cfg(not(unix))]
        {
            let name = name.to_str().map_err(io::Error::other)?;
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(self.path.join(name));
            tried(file?, mode)
        }
    }
}

#[cfg(unix)]
fn open_folder(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW | libc::O_DIRECTORY);
    options.open(path)
}

#[cfg(unix)]
fn open_in(folder: &File, name: &CStr) -> io::Result<File> {
    use std::os::fd::{AsRawFd as _, FromRawFd as _};
    let flags = libc::O_RDWR | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    loop {
        #[expect(unsafe_code, reason = "std opens by paths only")]
        // SAFETY: the handle is open while it is borrowed, the name ends with a zero, and the returned descriptor is new and
        // unowned.
        let opened = unsafe {
            let number = libc::openat(folder.as_raw_fd(), name.as_ptr(), flags);
            (number >= 0).then(|| File::from_raw_fd(number))
        };
        match opened {
            Some(file) => return Ok(file),
            None => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// Opens a file, creating it if necessary, and locks it, waiting without a limit.
pub(crate) fn wait_lock(path: &Path, mode: Mode) -> io::Result<Locked> {
    loop {
        let file = open(path)?;
        #[expect(clippy::disallowed_methods, reason = "this is the shim")]
        match mode {
            Mode::Shared => file.lock_shared()?,
            Mode::Exclusive => file.lock()?,
        }
        if is_linked(&file) {
            return Ok(Locked { file });
        }
    }
}

/// Returns whether the file still has a name. A lock on a removed file excludes no later process.
#[cfg(unix)]
fn is_linked(file: &File) -> bool {
    link_count(file).is_none_or(|links| links > 0)
}

/// Returns the number of names that the file has, or `None` if it cannot be found out.
///
/// Requests nothing else: on file systems with multigrain timestamps, a request for a file's times makes the next write
/// to it take twice as long.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn link_count(file: &File) -> Option<u64> {
    use std::os::fd::AsRawFd as _;
    let mut found = std::mem::MaybeUninit::<libc::statx>::zeroed();
    #[expect(unsafe_code, reason = "std requests all fields")]
    // SAFETY: the path is empty and ends with a zero, `found` has room for the answer, and all of it may be zeros.
    let (result, found) = unsafe {
        let (file, wanted) = (file.as_raw_fd(), libc::STATX_NLINK);
        let result = libc::statx(
            file,
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            wanted,
            found.as_mut_ptr(),
        );
        (result, found.assume_init())
    };
    if result == 0 {
        return Some(found.stx_nlink.into());
    }
    // Some sandboxes refuse the call; std has a fallback.
    std_link_count(file)
}

#[cfg(all(unix, not(all(target_os = "linux", target_env = "gnu"))))]
fn link_count(file: &File) -> Option<u64> {
    std_link_count(file)
}

#[cfg(unix)]
fn std_link_count(file: &File) -> Option<u64> {
    file.metadata()
        .ok()
        .map(|found| std::os::unix::fs::MetadataExt::nlink(&found))
}

#[cfg(not(unix))]
fn is_linked(_file: &File) -> bool {
    true
}

/// Opens a file, creating it if necessary, and locks it exclusively. Returns `None` while another handle holds it.
pub(crate) fn try_exclusive(path: &Path) -> io::Result<Option<Locked>> {
    tried(open(path)?, Mode::Exclusive)
}

/// Opens a file, creating it if necessary, and locks it shared, waiting for an exclusive holder. Returns `None` if that one
/// removed the file.
pub(crate) fn shared(path: &Path) -> io::Result<Option<Locked>> {
    share(open(path)?, path)
}

fn share(file: File, path: &Path) -> io::Result<Option<Locked>> {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    file.lock_shared()?;
    Ok(is_at(&file, path).then(|| Locked { file }))
}

/// Opens a file, creating it if necessary, and locks it exclusively, waiting for other holders, which should take
/// microseconds. The lock is released when the returned file is dropped.
pub(crate) fn exclusive_file(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    file.lock()?;
    Ok(file)
}

/// Locks an open file and returns whether that succeeded. The lock is released when the file is closed.
pub(crate) fn try_hold(file: &File) -> bool {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    file.try_lock().is_ok()
}

/// Opens a file for reading without following a link.
pub(crate) fn read(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options.open(path)
}

/// Opens a lock file without following a link, which could point to any file.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW);
    options.open(path)
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let (Ok(ours), Ok(there)) = (file.metadata(), std::fs::metadata(path)) else {
        return false;
    };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}

/// On other systems, an open file cannot be replaced.
#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_locks_exclude_exclusive_ones_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (one, two) = (shared(&path).unwrap().unwrap(), shared(&path).unwrap().unwrap());
        assert!(try_exclusive(&path).unwrap().is_none());
        drop((one, two));
        let alone = try_exclusive(&path).unwrap().unwrap();
        assert!(try_exclusive(&path).unwrap().is_none());
        drop(alone);
        assert!(try_exclusive(&path).unwrap().is_some());
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_on_a_removed_or_replaced_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (first, second) = (open(&path).unwrap(), open(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(share(first, &path).unwrap().is_none());
        let _another = open(&path).unwrap();
        assert!(share(second, &path).unwrap().is_none());
    }
}
