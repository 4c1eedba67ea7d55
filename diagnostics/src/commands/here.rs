//! The working folder, and folders below the base folder.

use std::io;
use std::path::{Path, PathBuf};

/// Returns the folder in which the command was started.
pub(super) fn working_dir() -> PathBuf {
    #[expect(
        clippy::disallowed_methods,
        reason = "the search for the workspace begins in this directory"
    )]
    std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."))
}

/// Creates a folder below the base folder, for its owner alone and without following symbolic links.
pub(super) fn create_dir(base: &Path, below: &Path) -> io::Result<PathBuf> {
    cofferdam::diagnostics::private_dir(base, below).map_err(io::Error::other)
}
