//! The environment, read with std only.

use std::ffi::OsString;
use std::path::PathBuf;

/// Returns a variable's value; an empty one counts as absent. Invalid Unicode becomes U+FFFD, so that it is rejected as part
/// of a name instead of ignored.
pub(crate) fn var(name: &str) -> Option<String> {
    path(name).map(|value| value.to_string_lossy().into_owned())
}

/// Returns the directory for temporary files: `TMPDIR`, or the system's default.
pub(crate) fn temp_dir() -> PathBuf {
    std::env::temp_dir()
}

/// Returns the value of a variable as a path, which need not be Unicode.
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// Returns all variables.
pub(crate) fn all() -> Vec<(OsString, OsString)> {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    std::env::vars_os().collect()
}
