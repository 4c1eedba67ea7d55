//! Where the command was started.

use std::io;
use std::path::{Path, PathBuf};

pub(super) fn working_dir() -> PathBuf {
    #[expect(
        clippy::disallowed_methods,
        reason = "the workspace is looked for from here upward"
    )]
    std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."))
}

/// Creates a folder below the base folder, for its owner alone and through no symbolic link.
pub(super) fn create_dir(base: &Path, below: &Path) -> io::Result<PathBuf> {
    cofferdam::__private_dir(base, below).map_err(io::Error::other)
}
