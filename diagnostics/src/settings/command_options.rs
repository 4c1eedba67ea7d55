//! The options of the command line as settings know them.

use super::setting::{Entry, SettingsError};
use clap::error::{ContextKind, ErrorKind};
use clap::{Arg, ArgAction, Command};

/// The commands whose options are not settings: they only print or write files.
const WITHOUT: [&str; 4] = ["completions", "config", "help", "man"];

/// Returns the commands that may have settings.
pub(super) fn commands(cli: &Command) -> impl Iterator<Item = &Command> {
    cli.get_subcommands()
        .filter(|command| !command.is_hide_set() && !WITHOUT.contains(&command.get_name()))
        .filter(|command| of(command).next().is_some())
}

/// Returns the options of a command that may be settings.
pub(super) fn of(command: &Command) -> impl Iterator<Item = &Arg> {
    command
        .get_arguments()
        .filter(|option| option.get_long().is_some() && !option.is_hide_set() && !option.is_global_set())
        .filter(|option| !matches!(option.get_action(), ArgAction::Help | ArgAction::Version))
}

/// Returns every option that may be a setting, with the name of its command.
pub(super) fn all(cli: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    commands(cli).flat_map(|command| of(command).map(|option| (command.get_name(), option)))
}

pub(super) fn is_flag(option: &Arg) -> bool {
    !option.get_action().takes_values()
}

pub(super) fn takes_several(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::Append)
}

/// Fails if the option does not take the values of this setting.
pub(super) fn check(cli: &Command, entry: &Entry) -> Result<(), SettingsError> {
    let refused = |reason: &str| {
        let Entry {
            command,
            option,
            place,
            ..
        } = entry;
        Err(SettingsError(format!(
            "{place}: `{option}` in [{command}]: {reason}"
        )))
    };
    let known = all(cli)
        .find(|(command, option)| *command == entry.command && option.get_long() == Some(&entry.option));
    let Some((_, option)) = known else { return Ok(()) };
    if is_flag(option) != entry.is_flag {
        return refused(if is_flag(option) {
            "it is `true` or `false`"
        } else {
            "it needs a value"
        });
    }
    if is_flag(option) {
        return Ok(());
    }
    if entry.values.len() != 1 && !takes_several(option) {
        return refused("it takes one value");
    }
    // Not a complete command line: only errors about the values count.
    let words = entry
        .values
        .iter()
        .map(|value| format!("--{}={value}", entry.option));
    let words = [cli.get_name().to_owned(), entry.command.clone()]
        .into_iter()
        .chain(words);
    let Err(error) = cli.clone().try_get_matches_from(words) else {
        return Ok(());
    };
    match error.kind() {
        ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::InvalidUtf8 => {
            let valid = error
                .get(ContextKind::ValidValue)
                .map(|valid| format!("; one of {valid}"))
                .unwrap_or_default();
            let source = std::error::Error::source(&error)
                .map(|source| format!(": {source}"))
                .unwrap_or_default();
            refused(&format!(
                "invalid value `{}`{source}{valid}",
                entry.values.join("`, `")
            ))
        }
        _ => Ok(()),
    }
}

/// Returns `cli` with this setting as the default of its option.
pub(super) fn with_default(cli: Command, entry: &Entry) -> Command {
    let id = all(&cli)
        .find(|(command, option)| *command == entry.command && option.get_long() == Some(&entry.option))
        .map(|(_, option)| option.get_id().clone());
    let Some(id) = id else { return cli };
    cli.mut_subcommand(&entry.command, |command| {
        command.mut_arg(id, |option| option.default_values(entry.values.clone()))
    })
}
