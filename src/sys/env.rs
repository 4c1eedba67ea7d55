//! The environment, with std only.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

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
#[cfg(feature = "fixtures")]
pub(crate) fn all() -> Vec<(OsString, OsString)> {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    std::env::vars_os().collect()
}

/// Returns the value of a variable, also an empty one.
pub(crate) fn value(name: &OsStr) -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    std::env::var_os(name)
}

/// Sets or removes a variable.
///
/// # Safety
/// Like [`std::env::set_var`].
#[expect(unsafe_code, reason = "C functions may read the environment at any time")]
pub(crate) unsafe fn set(name: &OsStr, value: Option<&OsStr>) {
    #[expect(clippy::disallowed_methods, reason = "a test asked for it by name")]
    // SAFETY: the caller's promise is the one that both ask for.
    unsafe {
        match value {
            Some(value) => std::env::set_var(name, value),
            None => std::env::remove_var(name),
        }
    }
}

/// Returns the working directory, or the reason why there is none.
pub(crate) fn current_dir() -> io::Result<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    std::env::current_dir()
}

/// Changes the working directory.
pub(crate) fn set_current_dir(path: &Path) -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "a test asked for it by name")]
    std::env::set_current_dir(path)
}
