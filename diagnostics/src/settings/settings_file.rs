//! Reads the tables of commands and profiles from `cofferdam.toml`, or from `[workspace.metadata.cofferdam]`.

use super::command_options;
use super::setting::{Entry, Place, SettingsError};
use clap::Command;
use cofferdam_batch::jobs::settings;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Tables that other modules read.
const OTHERS: [&str; 3] = ["fixtures", "groups", "job"];

/// The table of profiles.
const PROFILES: &str = "profile";

/// The text of a file with settings, and the tables around them.
#[derive(Debug)]
pub(super) struct SettingsFile {
    pub(super) path: PathBuf,
    text: String,
    /// The tables around the settings, from the outermost.
    within: &'static [&'static str],
}

impl SettingsFile {
    /// Reads a `cofferdam.toml`, which may have any name.
    pub(super) fn read(path: &Path) -> Result<Self, SettingsError> {
        Self::of(path, &[])
    }

    /// Returns the nearest settings in the directory or above it: in `cofferdam.toml`, otherwise in the manifest of a workspace.
    pub(super) fn nearest(dir: &Path) -> Result<Option<Self>, SettingsError> {
        if let Some(file) = settings::find(dir) {
            return Self::read(&file).map(Some);
        }
        let manifests = dir.ancestors().map(|above| above.join("Cargo.toml"));
        for manifest in manifests.filter(|manifest| manifest.is_file()) {
            let file = Self::of(&manifest, &["workspace", "metadata", "cofferdam"])?;
            // An unusable manifest is cargo's to report.
            let table = DeTable::parse(&file.text).ok();
            if table.is_some_and(|table| table.get_ref().contains_key("workspace")) {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    fn of(path: &Path, within: &'static [&'static str]) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| SettingsError(format!("{}: {error}", path.display())))?;
        Ok(Self {
            path: path.to_owned(),
            text,
            within,
        })
    }

    /// Returns the settings of the commands of `cli`; those of the profile follow the others.
    pub(super) fn entries(&self, cli: &Command, profile: Option<&str>) -> Result<Vec<Entry>, SettingsError> {
        let document = DeTable::parse(&self.text).map_err(|error| {
            let place = self.place(error.span().unwrap_or_default(), None);
            SettingsError(format!("{place}: {}", error.message()))
        })?;
        let mut all = document.get_ref();
        for name in self.within {
            match all.get(*name).map(Spanned::get_ref) {
                Some(DeValue::Table(inner)) => all = inner,
                _ => return self.unknown_profile(profile, &[]).map_or(Ok(Vec::new()), Err),
            }
        }
        let mut entries = Vec::new();
        let mut of_profile = Vec::new();
        let mut profiles = Vec::new();
        for (name, value) in all {
            let (key, span) = (name.get_ref().as_ref(), name.span());
            if key == PROFILES {
                for (name, tables) in self.table(value, "a profile has tables of commands")? {
                    let (profile_name, place) = (name.get_ref().as_ref(), name.span());
                    profiles.push(profile_name);
                    let into = if Some(profile_name) == profile {
                        &mut of_profile
                    } else {
                        &mut Vec::new()
                    };
                    let tables = self.table(tables, "a profile has tables of commands")?;
                    for (command, value) in tables {
                        self.add(cli, command, value, Some(profile_name), into)?;
                    }
                    if profile_name == "default" {
                        return Err(self.refused(
                            place,
                            "the default profile has no name: leave out `profile.default.`",
                        ));
                    }
                }
            } else if !OTHERS.contains(&key) {
                self.add(cli, name, value, None, &mut entries)?;
            } else if !self.within.is_empty() {
                return Err(self.refused(span, &format!("`{key}` belongs in cofferdam.toml")));
            }
        }
        if let Some(error) = self.unknown_profile(profile, &profiles) {
            return Err(error);
        }
        entries.append(&mut of_profile);
        Ok(entries)
    }

    fn unknown_profile(&self, wanted: Option<&str>, known: &[&str]) -> Option<SettingsError> {
        let wanted = wanted.filter(|wanted| *wanted != "default" && !known.contains(wanted))?;
        let suggestion = suggestion(wanted, known.iter().copied());
        let path = self.path.display();
        Some(SettingsError(format!(
            "{path} has no profile `{wanted}`{suggestion}"
        )))
    }

    /// Adds the keys of a command's table.
    fn add(
        &self,
        cli: &Command,
        name: &Spanned<impl AsRef<str>>,
        value: &Spanned<DeValue<'_>>,
        profile: Option<&str>,
        entries: &mut Vec<Entry>,
    ) -> Result<(), SettingsError> {
        let wanted = name.get_ref().as_ref();
        let Some(command) = command_options::commands(cli).find(|command| command.get_name() == wanted)
        else {
            let known = command_options::commands(cli).map(Command::get_name);
            let known = known.chain(OTHERS.iter().copied().filter(|_| profile.is_none()));
            let suggestion = suggestion(wanted, known.chain(profile.is_none().then_some(PROFILES)));
            return Err(self.refused(name.span(), &format!("unknown table `{wanted}`{suggestion}")));
        };
        for (key, value) in self.table(value, &format!("`{wanted}` is a table of options"))? {
            let option = key.get_ref().as_ref();
            let mut known = command_options::of(command).filter_map(|option| option.get_long());
            if !known.any(|known| known == option) {
                let known = command_options::of(command).filter_map(|option| option.get_long());
                let reason = format!(
                    "unknown key `{option}` in [{wanted}]{}",
                    suggestion(option, known)
                );
                return Err(self.refused(key.span(), &reason));
            }
            let values = match value.get_ref() {
                DeValue::Array(array) => array.iter().map(|one| text_of(one.get_ref())).collect(),
                one => text_of(one).map(|one| vec![one]),
            };
            let Some(values) = values else {
                return Err(self.refused(
                    value.span(),
                    &format!("`{option}` is a text, a number, `true`, `false`, or a list of them"),
                ));
            };
            entries.push(Entry {
                command: wanted.to_owned(),
                option: option.to_owned(),
                values,
                is_flag: matches!(value.get_ref(), DeValue::Boolean(_)),
                place: self.place(key.span(), profile),
            });
        }
        Ok(())
    }

    fn table<'t, 'i>(
        &self,
        value: &'t Spanned<DeValue<'i>>,
        reason: &str,
    ) -> Result<&'t DeTable<'i>, SettingsError> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            _ => Err(self.refused(value.span(), reason)),
        }
    }

    fn refused(&self, span: Range<usize>, reason: &str) -> SettingsError {
        SettingsError(format!("{}: {reason}", self.place(span, None)))
    }

    fn place(&self, span: Range<usize>, profile: Option<&str>) -> Place {
        let before = self.text.as_bytes().iter().take(span.start);
        Place {
            file: self.path.clone(),
            line: before.filter(|byte| **byte == b'\n').count() + 1,
            profile: profile.map(str::to_owned),
        }
    }
}

/// Returns the value as on a command line; `None` if no option takes it, such as a date.
fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(value) => Some(value.to_string()),
        _ => None,
    }
}

/// Returns the end of a message that names the word that was probably meant.
fn suggestion<'w>(wanted: &str, known: impl Iterator<Item = &'w str>) -> String {
    // The same tolerance as cargo's.
    let most = wanted.len().max(3) / 3;
    let nearest = known.map(|word| (strsim::damerau_levenshtein(wanted, word), word));
    let nearest = nearest.filter(|(errors, _)| *errors <= most).min();
    nearest.map_or_else(String::new, |(_, word)| format!("; did you mean `{word}`?"))
}
