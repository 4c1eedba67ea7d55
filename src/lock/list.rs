//! The list of existing locks with their owners, as seen from outside.

use super::machine;
use super::owner::LockOwner;
use crate::error::Error;
use crate::sys::file_lock::{self, Mode};
use std::path::{Path, PathBuf};

/// The state of a lock file at one moment.
#[derive(Debug)]
pub(crate) struct ListedLock {
    pub(crate) file: PathBuf,
    pub(crate) machine: bool,
    pub(crate) mode: Option<Mode>,
    /// The owner in the file: the current holder, or the last one.
    pub(crate) owner: Option<LockOwner>,
}

/// Returns the locks of a workspace, then those of the machine, each sorted by file name.
#[inline]
pub(crate) fn locks(base: &Path) -> Result<Vec<ListedLock>, Error> {
    let mut found = Vec::new();
    folder(&base.join("locks"), false, &mut found)?;
    folder(&machine::folder()?, true, &mut found)?;
    Ok(found)
}

#[inline]
fn folder(folder: &Path, machine: bool, found: &mut Vec<ListedLock>) -> Result<(), Error> {
    if folder.is_symlink() {
        let link = std::io::Error::other("it is a symbolic link, and links are not followed here");
        return Err(Error::io("read", folder, link));
    }
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|source| Error::io("read", folder, source))?,
    };
    // A link or a pipe is not a lock file.
    let files = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let mut files: Vec<PathBuf> = files.map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "lock"));
    files.sort();
    for file in files {
        // A `try_lock` at the same moment finds it locked; there is no other way to find out.
        let is_free = |mode| {
            let tried = file_lock::try_lock(&file, mode);
            tried
                .map(|locked| locked.is_some())
                .map_err(|source| Error::io("try", &file, source))
        };
        let mode = if !is_free(Mode::Shared)? {
            Some(Mode::Exclusive)
        } else if !is_free(Mode::Exclusive)? {
            Some(Mode::Shared)
        } else {
            None
        };
        found.push(ListedLock {
            owner: LockOwner::read(&file),
            file,
            machine,
            mode,
        });
    }
    Ok(())
}
