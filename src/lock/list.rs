//! Locks as somebody sees them who holds none.

use super::machine;
use super::owner::Owner;
use crate::error::Error;
use crate::sys::file_lock::{self, Mode};
use std::path::{Path, PathBuf};

/// What a lock's file tells at one moment.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) file: PathBuf,
    pub(crate) host: bool,
    pub(crate) mode: Option<Mode>,
    /// Whoever stands in the file: who holds it, or held it last.
    pub(crate) owner: Option<Owner>,
}

/// The locks of a workspace's base folder, then the machine's, each in the order of their files' names.
pub(crate) fn locks(base: &Path) -> Result<Vec<Seen>, Error> {
    let mut found = Vec::new();
    folder(&base.join("locks"), false, &mut found)?;
    folder(&machine::folder()?, true, &mut found)?;
    Ok(found)
}

fn folder(folder: &Path, host: bool, found: &mut Vec<Seen>) -> Result<(), Error> {
    if folder.is_symlink() {
        let link = std::io::Error::other("it is a symbolic link, and none is followed here");
        return Err(Error::io("read", folder, link));
    }
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|source| Error::io("read", folder, source))?,
    };
    // A link or a pipe at a lock's place is nobody's lock.
    let files = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let mut files: Vec<PathBuf> = files.map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "lock"));
    files.sort();
    for file in files {
        // Who wants it at this very moment and does not wait finds it taken: there is no other way to ask.
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
        found.push(Seen {
            owner: Owner::read(&file),
            file,
            host,
            mode,
        });
    }
    Ok(())
}
