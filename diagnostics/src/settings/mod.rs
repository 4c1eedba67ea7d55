//! Options of commands, set in a file: `[observe]` sets those of `observe`, and a profile's tables override some.
//!
//! Keys are the options' names on the command line, and a setting becomes the default of its option: the command line takes
//! precedence, and a new option is a setting, too.

mod command_options;
mod setting;
mod settings_file;
mod settings_schema;

pub(crate) use setting::SettingsError;
pub(crate) use settings_schema::schema;

use clap::Command;
use setting::{Entry, Place};
use settings_file::SettingsFile;
use std::path::{Path, PathBuf};

/// The place where a command looks for settings.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The nearest file in the working directory or above it, if any.
    Nearest,
    Named(PathBuf),
    Nowhere,
}

/// The settings of all commands, with their places.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    file: Option<PathBuf>,
    entries: Vec<Entry>,
}

/// An option with its effective value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Effective {
    pub(crate) command: String,
    pub(crate) option: String,
    /// `true` or `false` for an option without a value.
    pub(crate) values: Vec<String>,
    pub(crate) is_flag: bool,
    pub(crate) takes_several: bool,
    /// The place that sets it; `None` for the default.
    pub(crate) place: Option<Place>,
}

impl Settings {
    /// Reads the settings of the commands of `cli`, with this profile.
    ///
    /// # Errors
    ///
    /// The file cannot be read, has an unknown key, a value that its option does not take, or no such profile.
    pub(crate) fn read(
        cli: &Command,
        dir: &Path,
        source: &Source,
        profile: Option<&str>,
    ) -> Result<Self, SettingsError> {
        let file = match source {
            Source::Nowhere => None,
            Source::Named(file) => Some(SettingsFile::read(file)?),
            Source::Nearest => SettingsFile::nearest(dir)?,
        };
        let Some(file) = file else {
            return match profile {
                Some(name) => Err(SettingsError(format!(
                    "there is no settings file, so no profile `{name}`"
                ))),
                None => Ok(Self::default()),
            };
        };
        let entries = file.entries(cli, profile)?;
        for entry in &entries {
            command_options::check(cli, entry)?;
        }
        Ok(Self {
            file: Some(file.path),
            entries,
        })
    }

    /// Returns the file, if there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Returns `cli` with the settings as the defaults of its options.
    pub(crate) fn defaults(&self, cli: Command) -> Command {
        self.entries.iter().fold(cli, command_options::with_default)
    }

    /// Returns the value of each option that has one.
    pub(crate) fn effective(&self, cli: &Command) -> Vec<Effective> {
        let options = command_options::all(cli);
        let set = options.filter_map(|(command, option)| {
            let name = option.get_long()?;
            // A profile's entries are the last.
            let entry = self.entries.iter().rev();
            let entry = entry
                .into_iter()
                .find(|entry| entry.command == command && entry.option == name);
            let is_flag = command_options::is_flag(option);
            let values = match entry {
                Some(entry) => entry.values.clone(),
                None if is_flag => vec!["false".to_owned()],
                None => {
                    let values = option.get_default_values().iter();
                    values.map(|value| value.to_string_lossy().into_owned()).collect()
                }
            };
            (entry.is_some() || !values.is_empty()).then(|| Effective {
                command: command.to_owned(),
                option: name.to_owned(),
                values,
                is_flag,
                takes_several: command_options::takes_several(option),
                place: entry.map(|entry| entry.place.clone()),
            })
        });
        set.collect()
    }
}
