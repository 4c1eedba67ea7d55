//! `env`: the variables of declared fixtures that stay running.

mod env_file;

use super::{Refused, declared, here};
use crate::cli::{EnvArgs, EnvFormat};
use crate::fixtures::{Declared, Exports};
use env_file::EnvFile;
use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The default time for which fixtures stay running after a setup script of nextest has used them.
const FOR_NEXTEST: Duration = Duration::from_secs(600);

/// The output of `env`.
#[derive(Debug)]
pub(crate) enum Printed {
    Variables(Exports),
    /// A part of nextest's configuration.
    Config(String),
    /// Nothing: the variables are in a file.
    Nothing,
}

/// Returns the variables of the fixtures, or gives them to a file or to nextest.
pub(crate) fn env(args: &EnvArgs, settings: Option<&Path>) -> Result<Printed, Box<dyn Error>> {
    let dir = here::working_dir();
    // A file that cannot be written is reported before anything starts.
    let place = match &args.env_file {
        Some(file) => Some(VariablesFile::Private(EnvFile::check(&dir.join(file))?)),
        None if args.nextest_env => Some(VariablesFile::Nextest(nextest_file()?)),
        None => None,
    };
    let declared = declared(settings)?.ok_or_else(|| {
        Refused::new(
            &"no fixture is declared: add `[fixtures.NAME]` to a cofferdam.toml in or above this directory",
        )
    })?;
    let names = names(args, &declared)?;
    if args.nextest_config {
        return Ok(Printed::Config(nextest_config(args, &names)));
    }
    let exports = exports(args, &declared, &dir, &names)?;
    if args.format == EnvFormat::Sh
        && let Some(name) = exports.keys().find(|name| !is_shell_name(name))
    {
        return Err(Box::new(Refused::new(&format!(
            "{name:?} is not a variable's name for shells; `--format json` prints it"
        ))));
    }
    match place {
        Some(VariablesFile::Private(file)) => file.write(&exports)?,
        Some(VariablesFile::Nextest(file)) => give_to_nextest(&file, &exports)?,
        None => return Ok(Printed::Variables(exports)),
    }
    Ok(Printed::Nothing)
}

/// A file that gets the variables.
enum VariablesFile {
    Private(EnvFile),
    /// The file in which nextest expects the variables of a setup script.
    Nextest(PathBuf),
}

fn nextest_file() -> Result<PathBuf, Refused> {
    #[expect(clippy::disallowed_methods, reason = "nextest sets it for its setup scripts")]
    let file = std::env::var_os("NEXTEST_ENV");
    file.map(PathBuf::from).ok_or_else(|| {
        Refused::new(
            &"nextest sets NEXTEST_ENV for its setup scripts, and it is not set: `--nextest-config` prints such a script",
        )
    })
}

/// Adds the variables to nextest's file. It has a line for each, without quotes.
fn give_to_nextest(file: &Path, exports: &Exports) -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    for (name, value) in exports {
        if value.contains(['\n', '\r']) {
            return Err(format!("the value of {name} has a line break, which nextest cannot read").into());
        }
        text.push_str(&format!("{name}={value}\n"));
    }
    let failed = |error| format!("could not write {}: {error}", file.display());
    let mut file_of_nextest = OpenOptions::new().append(true).open(file).map_err(failed)?;
    Ok(file_of_nextest.write_all(text.as_bytes()).map_err(failed)?)
}

/// Returns the part of nextest's configuration that gives the variables of these fixtures to all tests.
fn nextest_config(args: &EnvArgs, names: &[&str]) -> String {
    let keep = args.warm.keep_warm.unwrap_or(FOR_NEXTEST);
    let keep = humantime::format_duration(keep).to_string().replace(' ', "");
    let words = ["cargo", "cofferdam", "env", "--nextest-env", "--keep-warm", &keep];
    let named = if args.names.is_empty() { &[] } else { names };
    let words = words.iter().chain(named);
    // JSON's strings are TOML's, too.
    let words: Vec<String> = words.map(|word| serde_json::json!(word).to_string()).collect();
    format!(
        "experimental = [\"setup-scripts\"]\n\n[scripts.setup.cofferdam]\ncommand = [{}]\n\n\
         [[profile.default.scripts]]\nfilter = \"all()\"\nsetup = \"cofferdam\"\n",
        words.join(", ")
    )
}

fn is_shell_name(name: &str) -> bool {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    name.chars().all(is_part) && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// Returns the names of the requested fixtures: all, if none are named.
fn names<'a>(args: &'a EnvArgs, declared: &'a Declared) -> Result<Vec<&'a str>, Refused> {
    let known = declared.names();
    if args.names.is_empty() {
        return Ok(known);
    }
    let names: Vec<&str> = args.names.iter().map(String::as_str).collect();
    match names.iter().find(|name| !known.contains(name)) {
        Some(name) => Err(Refused::new(&format!(
            "fixture `{name}` is not declared; declared are {}",
            known.join(", ")
        ))),
        None => Ok(names),
    }
}

#[cfg(has_observer)]
fn exports(
    args: &EnvArgs,
    declared: &Declared,
    dir: &Path,
    names: &[&str],
) -> Result<Exports, Box<dyn Error>> {
    let keep = |name| declared.kept_for(name, args.warm.keep_warm);
    let mut uses = Vec::new();
    let mut exports = Exports::new();
    // First those that have to be running, so that nothing is started in vain.
    for name in names.iter().filter(|name| keep(name).is_none()) {
        let Some((variables, in_use)) = declared.find_warm(dir, name)? else {
            return Err(Box::new(Refused::new(&format!(
                "fixture `{name}` is not running: `--keep-warm 10m` starts it and keeps it for that time after its last \
                 use, `cargo cofferdam run -- COMMAND` starts it for one command"
            ))));
        };
        exports.extend(variables);
        uses.push(in_use);
    }
    for name in names {
        if let Some(keep) = keep(name) {
            let (variables, in_use) = declared.attach_warm(dir, name, keep)?;
            exports.extend(variables);
            uses.push(in_use);
        }
    }
    Ok(exports)
}

/// Returns none: fixtures can be declared for tests that can be observed.
#[cfg(not(has_observer))]
fn exports(_: &EnvArgs, _: &Declared, _: &Path, _: &[&str]) -> Result<Exports, Box<dyn Error>> {
    Ok(Exports::new())
}
