//! The environment, read with std only.

use std::path::PathBuf;

/// A variable's value; one that is not Unicode or empty counts as absent.
pub(crate) fn var(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable that holds a path, which need not be Unicode.
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}
