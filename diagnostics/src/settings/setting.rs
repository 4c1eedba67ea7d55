//! A key of a settings file, with its place.

use std::fmt;
use std::path::PathBuf;

/// The place of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    pub(crate) profile: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// One key of a command's table.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) command: String,
    pub(super) option: String,
    pub(super) values: Vec<String>,
    pub(super) is_flag: bool,
    pub(super) place: Place,
}

/// An unusable settings file, or an unknown profile.
#[derive(Debug)]
pub(crate) struct SettingsError(pub(super) String);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SettingsError {}
