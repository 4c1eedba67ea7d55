//! `shards`: splits the tests of a command into shards that take equally long.

#[cfg(has_observer)]
mod cargo_programs;
mod junit_times;
mod nextest_programs;
mod recorded_times;

use super::test_command::{self, TestRunner};
use super::{Refused, here};
use crate::cli::{ShardsArgs, ShardsFormat};
use crate::shards::{ListedProgram, Plan};
use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The outcome of `shards`.
#[derive(Debug)]
pub(crate) struct Sharded {
    pub(crate) plan: Plan,
    /// The only shard to show, from 1.
    pub(crate) only: Option<usize>,
    /// The files of `--times`.
    pub(crate) times: Vec<PathBuf>,
    /// The user's command; empty for the default one.
    pub(crate) command: Vec<OsString>,
    /// The words that run a shard: those before its selection, and those after it.
    pub(crate) runs: (Vec<OsString>, Vec<OsString>),
}

pub(crate) fn shards(args: &ShardsArgs) -> Result<Sharded, Box<dyn Error>> {
    let command = if args.command.is_empty() {
        default_command(args.format)
    } else {
        args.command.clone()
    };
    let Some((runner, at)) = test_command::runner(&command) else {
        return Err(Refused::new(
            &"the command has to be `cargo nextest run` or `cargo test`, with their arguments",
        )
        .into());
    };
    match (args.format, runner) {
        (ShardsFormat::Nextest, TestRunner::Cargo) => {
            return Err(Refused::new(&"`--format nextest` needs `cargo nextest run` as the command").into());
        }
        (ShardsFormat::Cargo, TestRunner::Nextest) => {
            return Err(Refused::new(&"`--format cargo` needs `cargo test` as the command").into());
        }
        _ => {}
    }
    let mut times = junit_times::read(&args.times).map_err(|why| Refused::new(&why))?;
    let base = cofferdam::diagnostics::base_dir(Some(&here::working_dir()))?;
    recorded_times::add(&mut times, &base)?;
    let programs = match runner {
        TestRunner::Nextest => nextest_programs::list(&command, at)?,
        TestRunner::Cargo => list_cargo(&command, at)?,
    };
    let plan = Plan::new(&programs, &times, args.count(), runner == TestRunner::Nextest)
        .map_err(|why| Refused::new(&why))?;
    let only = args.shard.map(|shard| shard.number);
    let after = match runner {
        TestRunner::Nextest => nextest_programs::without_filtersets(&command[at + 1..]),
        TestRunner::Cargo => Vec::new(),
    };
    Ok(Sharded {
        plan,
        only,
        times: args.times.clone(),
        command: args.command.clone(),
        runs: (command[..=at].to_vec(), after),
    })
}

fn default_command(format: ShardsFormat) -> Vec<OsString> {
    let is_nextest = match format {
        ShardsFormat::Nextest => true,
        ShardsFormat::Cargo => false,
        ShardsFormat::Human | ShardsFormat::Json => test_command::has_nextest(),
    };
    let words: &[&str] = if is_nextest {
        &["cargo", "nextest", "run"]
    } else {
        &["cargo", "test"]
    };
    words.iter().map(OsString::from).collect()
}

#[cfg(has_observer)]
fn list_cargo(command: &[OsString], at: usize) -> Result<Vec<ListedProgram>, Box<dyn Error>> {
    cargo_programs::list(command, at)
}

/// Fails: only builds with the observer can list the tests of a program.
#[cfg(not(has_observer))]
fn list_cargo(_command: &[OsString], _at: usize) -> Result<Vec<ListedProgram>, Box<dyn Error>> {
    Err(Refused::new(
        &"the tests of `cargo test` are listed on Linux with glibc only: use `cargo nextest run`",
    )
    .into())
}

/// Runs a command that lists tests, and returns its standard output. Standard error is inherited.
fn output_of(command: &[OsString]) -> Result<Vec<u8>, Box<dyn Error>> {
    let (program, arguments) = command.split_first().ok_or("there is no command")?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the user's command, which lists in place of running"
    )]
    let mut listing = Command::new(program);
    let output = listing
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("could not start {}: {error}", program.display()))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!(
            "the tests could not be listed ({}): give the command only with arguments that choose tests",
            output.status
        )
        .into())
    }
}
