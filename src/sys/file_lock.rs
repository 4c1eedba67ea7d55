//! A kernel lock on a file: gone with the process that holds it, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// A file locked by this handle alone; dropping it gives the lock back.
#[derive(Debug)]
pub(crate) struct Locked {
    _file: File,
}

/// Opens (creating it if need be) and locks; `None` while another handle, in any process, holds it.
pub(crate) fn try_exclusive(path: &Path) -> io::Result<Option<Locked>> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    match file.try_lock() {
        Ok(()) => Ok(Some(Locked { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
