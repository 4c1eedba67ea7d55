//! A kernel lock on a file: gone with the process that holds it, however that ends.

#[cfg(unix)]
use super::file_size;
#[cfg(unix)]
use once_cell::sync::OnceCell;
use std::ffi::CStr;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A file locked by this handle; dropping it gives the lock back.
#[derive(Debug)]
pub(crate) struct Locked {
    file: File,
}

impl Locked {
    /// Overwrites the file's beginning with one call. Nothing is truncated: that would cost fifty times as much.
    pub(crate) fn put(&self, bytes: &[u8]) -> io::Result<()> {
        #[cfg(unix)]
        return file_size::spared(|| std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, 0));
        #[cfg(not(unix))]
        {
            use std::io::{Seek as _, Write as _};
            (&self.file).rewind()?;
            (&self.file).write_all(bytes)
        }
    }

    /// Gives the lock back at once: closing alone would leave it to a child that another thread is just starting, until
    /// that child is the program it becomes.
    pub(crate) fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }

    /// Whether it is still the file of that path.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        is_at(&self.file, path)
    }

    /// What stands at the file's beginning, as far as there is any.
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

/// Whether others may share the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Shared,
    Exclusive,
}

/// Opens (creating it if need be) and locks; `None` while a handle that excludes this one holds it.
pub(crate) fn try_lock(path: &Path, mode: Mode) -> io::Result<Option<Locked>> {
    loop {
        if let Some(tried) = standing(tried(open(path)?, mode)?) {
            return Ok(tried);
        }
    }
}

/// `None` if what was locked is no file of that name any more: somebody removed it between opening and locking.
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

/// A folder of lock files that are there. On Unix they are opened from a handle of it: the kernel does not walk the path
/// each time, a tenth of what a lock costs.
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

    /// Locks the file of that name, without creating it. A folder that was removed has no files, for this handle of it
    /// either, and the next of its path is not found by it: whoever gets an error goes by the path.
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
        // SAFETY: the handle is open as long as it is borrowed, the name ends with a zero, and the number that comes back
        // is nobody else's.
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

/// Opens (creating it if need be) and locks, after waiting for whoever holds it: there is no bound to that.
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

/// Whether the file still has a name. Who waited for a lock on one that was removed meanwhile has locked nothing.
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

/// Opens (creating it if need be) and locks; `None` while another handle, in any process, holds it.
pub(crate) fn try_exclusive(path: &Path) -> io::Result<Option<Locked>> {
    tried(open(path)?, Mode::Exclusive)
}

/// Opens (creating it if need be) and locks together with other sharers, after waiting for one who has it alone;
/// `None` when that one removed the file.
pub(crate) fn shared(path: &Path) -> io::Result<Option<Locked>> {
    share(open(path)?, path)
}

fn share(file: File, path: &Path) -> io::Result<Option<Locked>> {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    file.lock_shared()?;
    Ok(is_at(&file, path).then(|| Locked { file }))
}

/// Opens (creating it if need be) and locks alone, after waiting for whoever holds it: for what takes microseconds.
/// The file can be read and written until it is dropped, and the lock with it.
pub(crate) fn exclusive_file(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    file.lock()?;
    Ok(file)
}

/// Whether the lock on an open file could be had; it is given back when the file is closed.
pub(crate) fn try_hold(file: &File) -> bool {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    file.try_lock().is_ok()
}

/// Opens a file to read it, and none that a link at its place points to.
pub(crate) fn read(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options.open(path)
}

/// A link at the file's place would have us write into what it points to.
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

/// Elsewhere a file that is open cannot be replaced by another of its name.
#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sharers_exclude_only_who_wants_it_alone() {
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
    fn a_lock_on_a_file_that_was_removed_or_replaced_meanwhile_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (first, second) = (open(&path).unwrap(), open(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(share(first, &path).unwrap().is_none());
        let _another = open(&path).unwrap();
        assert!(share(second, &path).unwrap().is_none());
    }
}
