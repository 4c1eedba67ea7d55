//! The environment, read with std only.

use std::ffi::OsString;
use std::path::PathBuf;

/// A variable's value; an empty one counts as absent. What is not Unicode in it becomes U+FFFD, so that it is
/// refused where a name is wanted and not passed over in silence.
pub(crate) fn var(name: &str) -> Option<String> {
    path(name).map(|value| value.to_string_lossy().into_owned())
}

/// Where temporary files go: `TMPDIR`, or the system's own folder.
pub(crate) fn temp_dir() -> PathBuf {
    std::env::temp_dir()
}

/// A variable that holds a path, which need not be Unicode.
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// Every variable, for a process that is to be started with most of them.
pub(crate) fn all() -> Vec<(OsString, OsString)> {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    std::env::vars_os().collect()
}
