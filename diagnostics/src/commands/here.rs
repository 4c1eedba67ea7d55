//! Where the command was started.

use std::path::PathBuf;

pub(super) fn working_dir() -> PathBuf {
    #[expect(
        clippy::disallowed_methods,
        reason = "the workspace is looked for from here upward"
    )]
    std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."))
}
