//! What can be typed.

mod ledger;
mod run;

pub(crate) use ledger::{BackupArgs, CompletionsArgs, ListArgs, MetricsArgs, ShowArgs, StatusArgs};
pub(crate) use run::{GuardArgs, RunArgs, SubmitArgs};

use crate::exit_code::NoRecords;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Names the tests that get in each other's way.
#[derive(Debug, Parser)]
#[command(
    name = "cargo cofferdam",
    bin_name = "cargo cofferdam",
    version,
    after_help = "Exit codes: a command that failed keeps its own; else 0 no conflict in what was watched, \
                  1 conflicts, 2 usage, 3 could not tell; of several commands one failed: 4."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run commands with recording on and report conflicts
    #[command(after_help = run::EXAMPLES)]
    Run(Box<RunArgs>),
    /// Submit a job to the active session
    #[command(
        after_help = "Examples:\n  cargo cofferdam submit -- cargo test --test late\n  \
                            cargo cofferdam submit --run-namespace nightly --name docs -- mdbook test\n\n\
                            The job runs in this working folder, but with the environment of the session.\n\
                            Exit codes: 0 submitted, 2 usage, 3 no session takes jobs."
    )]
    Submit(SubmitArgs),
    /// Stop the jobs of a killed session; only `run` starts it
    #[command(hide = true)]
    Guard(GuardArgs),
    /// Tell the conflicts in what was recorded before.
    #[command(after_help = "Examples:\n  cargo cofferdam check\n  \
                            cargo cofferdam check target/cofferdam/runs\n  \
                            cargo cofferdam check --format github shard-1/ shard-2/")]
    Check(CheckArgs),
    /// Run a suite as it is, and tell which of its tests meet on files, ports, the environment or the working directory.
    #[command(after_help = "Examples:\n  cargo cofferdam observe -- cargo test\n  \
                            cargo cofferdam observe --confirm -- cargo nextest run\n  \
                            cargo cofferdam observe --baseline conflicts.toml -- cargo test\n  \
                            cargo cofferdam observe --format json --output report.json -- cargo test\n\n\
                            Linux on x86_64 with glibc. Memory and rows of databases are not seen.")]
    Observe(ObserveArgs),
    /// Show the smallest set of changes that ends the conflicts that `observe` saw, as a diff, or write it.
    #[command(
        after_help = "Examples:\n  cargo cofferdam fix\n  cargo cofferdam fix --apply\n  \
                            cargo cofferdam fix --with test-group\n  \
                            cargo cofferdam fix --cofferdam ../cofferdam --apply\n  \
                            cargo cofferdam fix target/cofferdam/observed/last.json | git apply\n\n\
                            Exit codes: 0 nothing is left to fix, 1 something is, 2 usage, 3 could not tell or could not write."
    )]
    Fix(FixArgs),
    /// Remove the folders of runs that are over, and say what stays and why.
    #[command(
        after_help = "Examples:\n  cargo cofferdam clean --dry-run\n  cargo cofferdam clean\n  \
                            cargo cofferdam clean --all --format json"
    )]
    Clean(CleanArgs),
    /// Tell which locks tests hold now, since when, and which were left by one that was killed.
    #[command(after_help = "Examples:\n  cargo cofferdam locks\n  \
                            cargo cofferdam locks --format json\n\n\
                            Exit codes: 0 whatever is held, 2 usage, 3 the locks could not be looked at.")]
    Locks(LocksArgs),
    /// Show active sessions and their progress
    #[command(after_help = "Examples:\n  cargo cofferdam status\n  \
                            cargo cofferdam status --watch\n  \
                            cargo cofferdam status --format json")]
    Status(StatusArgs),
    /// List recent sessions and each job's pass rate
    #[command(after_help = "Examples:\n  cargo cofferdam list\n  \
                            cargo cofferdam list --limit 100 --run-namespace nightly\n  \
                            cargo cofferdam list --format json")]
    List(ListArgs),
    /// Show a session's jobs, attempts, logs and conflicts
    #[command(after_help = "Examples:\n  cargo cofferdam show latest\n  \
                            cargo cofferdam show 12\n  \
                            cargo cofferdam show nightly --format json")]
    Show(ShowArgs),
    /// Copy the ledger, even while sessions run
    #[command(after_help = "Examples:\n  cargo cofferdam backup ledger-copy.sqlite3")]
    Backup(BackupArgs),
    /// Export the newest session's metrics for Prometheus
    #[command(after_help = "Examples:\n  cargo cofferdam metrics\n  \
                            cargo cofferdam metrics --run-namespace nightly > cofferdam.prom\n\n\
                            The textfile collector of node_exporter reads files that end in .prom.")]
    Metrics(MetricsArgs),
    /// Generate shell completions
    #[command(after_help = "Examples:\n  \
                            cargo cofferdam completions bash > ~/.local/share/bash-completion/completions/cargo-cofferdam\n  \
                            cargo cofferdam completions fish > ~/.config/fish/completions/cargo-cofferdam.fish\n\n\
                            They complete `cargo-cofferdam`; cargo itself completes what follows `cargo`.")]
    Completions(CompletionsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ObserveArgs {
    #[command(flatten)]
    pub(crate) shown: Shown,
    #[command(flatten)]
    pub(crate) baseline: BaselineArgs,
    /// What it means when no test was seen. Without it: `fail`.
    #[arg(long, value_name = "POLICY")]
    pub(crate) no_records: Option<NoRecords>,
    /// Exit with 3 where something cannot be recorded, and name it.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Do not note where in the source something is done: quicker, and the report names tests only.
    #[arg(long)]
    pub(crate) no_backtrace: bool,
    /// Write down all that was seen in this file: a line of JSON for each use of a resource by a test.
    #[arg(long, value_name = "FILE")]
    pub(crate) accesses: Option<PathBuf>,
    /// Rerun the tests that share a resource, with pauses at it, and grade each conflict.
    #[arg(long)]
    pub(crate) confirm: bool,
    /// How long that may take; then the rest stays as it was seen.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration, requires = "confirm")]
    pub(crate) time_budget: Duration,
    /// As many of these runs go on at once. Without it: as many as the machine has processors.
    #[arg(long, value_name = "N", requires = "confirm")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Do not read the names of threads.
    #[arg(long, hide = true)]
    pub(crate) no_names: bool,
    /// The command and its arguments; it is started as it stands, without a shell.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// The word by which this program knows that it is a runner.
#[cfg(has_observer)]
pub(crate) const RUNNER_WORD: &str = "__observed";

/// Returns the program that is to be started observed, with its arguments, if this was called as a runner. Not a command
/// of the parser's: cargo and nextest call it for each test, and building the parser takes longer than the rest.
#[cfg(has_observer)]
pub(crate) fn runner_s(arguments: &[OsString]) -> Option<&[OsString]> {
    let (word, command) = arguments.get(1..)?.split_first()?;
    (word == RUNNER_WORD).then_some(command)
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) shown: Shown,
    #[command(flatten)]
    pub(crate) baseline: BaselineArgs,
    /// What it means when nothing was recorded.
    #[arg(long, value_name = "POLICY", default_value = "fail")]
    pub(crate) no_records: NoRecords,
    /// Exit with 3 where something cannot be recorded, and name it.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Journals, snapshots, or folders of them, also from several machines; without any, the newest session of this
    /// workspace.
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct BaselineArgs {
    /// What is known of the suite's conflicts: only others fail. A file that is not there is written, with all that was
    /// found.
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// Write all that was found into the baseline, and nothing else that is known.
    #[arg(long, requires = "baseline")]
    pub(crate) update_baseline: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FixArgs {
    /// Write the changes. A checkout that has others is left alone.
    #[arg(long)]
    pub(crate) apply: bool,
    /// Write them also where there are others since the last commit.
    #[arg(long)]
    pub(crate) allow_dirty: bool,
    /// Write them also where no git is, and nothing brings back what was there.
    #[arg(long)]
    pub(crate) allow_no_vcs: bool,
    /// Exit with 3 where something cannot be recorded, and name it.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Keep the changes without `cargo check --tests`, which else takes back what does not compile.
    #[arg(long)]
    pub(crate) no_check: bool,
    /// What tests are kept apart by.
    #[arg(long, value_name = "MEANS", default_value = "attributes")]
    pub(crate) with: With,
    /// A checkout of cofferdam, for packages that do not have the library: they get it as a dev-dependency.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cofferdam: Option<PathBuf>,
    /// How it is told.
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
    /// What `observe` wrote down. Without it, what it wrote last.
    #[arg(value_name = "REPORT")]
    pub(crate) report: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum With {
    /// What the suite has: cofferdam's or serial_test's attributes, else for nextest a test group.
    Attributes,
    /// cofferdam's attributes, which keep processes apart, too.
    Cofferdam,
    /// serial_test's attributes, which keep the threads of a process apart.
    SerialTest,
    /// A test group of one thread in .config/nextest.toml.
    TestGroup,
}

#[derive(Debug, Args)]
pub(crate) struct CleanArgs {
    /// How it is told.
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
    /// Only say what would be removed.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Also remove what was recorded, what was named by COFFERDAM_RUN_ID, what another machine or an earlier boot
    /// left, and what cannot be read.
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LocksArgs {
    /// How they are told.
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// For a person.
    Human,
    /// One line of JSON.
    Json,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Shown {
    /// How the report is written.
    #[arg(long, default_value = "human")]
    pub(crate) format: Format,
    /// Write the report to this file too, in the chosen format; the terminal gets the human one.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For a person.
    Human,
    /// One line of JSON.
    Json,
    /// Workflow commands of GitHub Actions.
    Github,
}

/// The arguments, without the word `cofferdam` that cargo hands on as the first.
pub(crate) fn arguments() -> Vec<OsString> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the binary's own arguments are read here"
    )]
    let args: Vec<OsString> = std::env::args_os().collect();
    without_word(args)
}

fn without_word(mut args: Vec<OsString>) -> Vec<OsString> {
    if args.get(1).is_some_and(|word| word == "cofferdam") {
        args.remove(1);
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn cargo_s_word_is_taken_away_once() {
        let args = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(
            without_word(args(&["x", "cofferdam", "run"])),
            args(&["x", "run"])
        );
        assert_eq!(
            without_word(args(&["x", "run", "--", "cofferdam"])),
            args(&["x", "run", "--", "cofferdam"])
        );
        assert_eq!(without_word(args(&["x"])), args(&["x"]));
    }

    #[test]
    fn what_stands_behind_the_dashes_is_the_command_s_own() {
        let cli = Cli::try_parse_from(["x", "run", "--", "cargo", "test", "--", "--format", "json"]).unwrap();
        let Command::Run(args) = cli.command else { panic!() };
        assert_eq!(args.command, ["cargo", "test", "--", "--format", "json"]);
        assert_eq!(args.shown.format, Format::Human);
    }
}
