//! `config`: the effective settings.

use super::Refused;
use crate::cli::{Cli, ConfigArgs};
use crate::settings::{self, Effective, Settings};
use clap::CommandFactory as _;
use std::error::Error;

/// The output of `config`.
pub(crate) enum Shown {
    Schema(String),
    Settings(Vec<Effective>),
}

/// Returns the effective value of each option that has one, or the schema of the settings file.
///
/// # Errors
///
/// No command of this name has settings.
pub(crate) fn config(args: &ConfigArgs, settings: &Settings) -> Result<Shown, Box<dyn Error>> {
    let cli = Cli::command();
    if args.schema {
        return Ok(Shown::Schema(format!("{:#}\n", settings::schema(&cli))));
    }
    let mut effective = settings.effective(&cli);
    if let Some(wanted) = &args.command {
        effective.retain(|one| one.command == *wanted);
        if effective.is_empty() {
            return Err(Box::new(Refused::new(&format!(
                "no command `{wanted}` has settings"
            ))));
        }
    }
    Ok(Shown::Settings(effective))
}
