//! A kernel lock on a file: gone with the process that holds it, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// A file locked by this handle; dropping it gives the lock back.
#[derive(Debug)]
pub(crate) struct Locked {
    _file: File,
}

/// Opens (creating it if need be) and locks; `None` while another handle, in any process, holds it.
pub(crate) fn try_exclusive(path: &Path) -> io::Result<Option<Locked>> {
    let file = open(path)?;
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    match file.try_lock() {
        Ok(()) => Ok(Some(Locked { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Opens (creating it if need be) and locks together with other sharers, after waiting for one who has it alone;
/// `None` when that one removed the file.
pub(crate) fn shared(path: &Path) -> io::Result<Option<Locked>> {
    let file = open(path)?;
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    file.lock_shared()?;
    Ok(is_at(&file, path).then_some(Locked { _file: file }))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
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
