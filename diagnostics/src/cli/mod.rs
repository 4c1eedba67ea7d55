//! The command line.

mod env_args;
mod hunt;
mod ledger;
mod report_file;
mod run;
mod shards;

pub(crate) use env_args::{EnvArgs, EnvFormat};
pub(crate) use hunt::{HuntArgs, RerunArgs};
pub(crate) use ledger::{BackupArgs, CompletionsArgs, ListArgs, ManArgs, MetricsArgs, ShowArgs, StatusArgs};
pub(crate) use report_file::{FileFormat, GithubMode, ReportArgs, ReportFile};
pub(crate) use run::{GuardArgs, RunArgs, SubmitArgs};
pub(crate) use shards::{ShardsArgs, ShardsFormat};

use crate::exit_code::NoRecords;
use crate::settings::Source;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgGroup, Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Find the tests that interfere with each other, and how to fix them.
#[derive(Debug, Parser)]
#[command(
    name = "cargo cofferdam",
    bin_name = "cargo cofferdam",
    version,
    after_help = "Without a command, it says what to do next, and starts nothing.\n\
                  Exit codes: that of the command if it failed (4 if one of several failed); otherwise 0 no conflict \
                  found, 1 conflicts found, 2 wrong usage, 3 no verdict."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Format of the next steps.
    #[arg(long)]
    pub(crate) format: Option<ListFormat>,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

impl Cli {
    /// Parses the command line.
    ///
    /// # Errors
    ///
    /// An invalid command line, or a request for help.
    pub(crate) fn parsed(arguments: &[OsString]) -> Result<Self, clap::Error> {
        let cli = Self::try_parse_from(arguments).map_err(with_tip)?;
        if cli.command.is_some() && cli.format.is_some() {
            let why = "`--format` goes after the command";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, why));
        }
        Ok(cli)
    }
}

/// Adds a tip about `--` where the command to run is taken for an argument.
fn with_tip(mut error: clap::Error) -> clap::Error {
    let is_cargo = error.get(ContextKind::InvalidArg) == Some(&ContextValue::String("cargo".to_owned()));
    if error.kind() == ErrorKind::UnknownArgument && is_cargo {
        let tip = "`--` goes before the command to run: `-- cargo test`";
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// The settings of every command.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct SettingsArgs {
    /// Read settings from this file
    ///
    /// The default is the nearest `cofferdam.toml` in the working directory or above it, otherwise `[workspace.metadata.cofferdam]`
    /// in the manifest of the workspace.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Ignore settings
    #[arg(long, global = true, conflicts_with = "config")]
    no_config: bool,
    /// Add the settings of this profile
    #[arg(long, value_name = "NAME", global = true, conflicts_with = "no_config")]
    pub(crate) profile: Option<String>,
}

impl SettingsArgs {
    /// Returns where the settings are.
    pub(crate) fn source(&self) -> Source {
        match &self.config {
            Some(file) => Source::Named(file.clone()),
            None if self.no_config => Source::Nowhere,
            None => Source::Nearest,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run commands with recording on and report conflicts between tests.
    #[command(after_help = run::EXAMPLES)]
    Run(Box<RunArgs>),
    /// Add a job to a running session.
    #[command(
        after_help = "Examples:\n  cargo cofferdam submit -- cargo test --test late\n  \
                            cargo cofferdam submit --run-namespace nightly --name docs -- mdbook test\n\n\
                            The job runs in the current directory, with the environment of the session.\n\
                            Exit codes: 0 the job is pending, 2 wrong usage, 3 no session accepts jobs."
    )]
    Submit(SubmitArgs),
    /// Stop the processes of a killed session (started by `run`).
    #[command(hide = true)]
    Guard(GuardArgs),
    /// Own a fixture that stays running between commands (started by them).
    #[command(hide = true)]
    Host(HostArgs),
    /// Report conflicts in an earlier recording.
    #[command(after_help = "Examples:\n  cargo cofferdam check\n  \
                            cargo cofferdam check target/cofferdam/runs\n  \
                            cargo cofferdam check --shards shard-1/ shard-2/")]
    Check(CheckArgs),
    /// Run an unmodified suite and report tests that share resources.
    #[command(after_help = "Examples:\n  cargo cofferdam observe -- cargo test\n  \
                            cargo cofferdam observe --confirm -- cargo nextest run\n  \
                            cargo cofferdam observe --baseline conflicts.toml -- cargo test\n  \
                            cargo cofferdam observe --report sarif=cofferdam.sarif -- cargo test\n\n\
                            Files, ports, sockets, environment variables, the working directory, the umask and statics are observed; the heap \
                            and database rows are not. Linux with glibc only; on aarch64 no statics.")]
    Observe(ObserveArgs),
    /// Find out why tests fail sometimes.
    #[command(after_help = hunt::HUNT_EXAMPLES)]
    Hunt(HuntArgs),
    /// Run some tests in an order, in parallel, or alone.
    #[command(after_help = hunt::RERUN_EXAMPLES)]
    Rerun(RerunArgs),
    /// Split a suite into shards that take equally long.
    #[command(after_help = shards::EXAMPLES)]
    Shards(ShardsArgs),
    /// Print the variables of declared fixtures that stay running.
    #[command(after_help = env_args::EXAMPLES)]
    Env(EnvArgs),
    /// Propose changes that end the observed conflicts, or apply them.
    #[command(
        after_help = "Examples:\n  cargo cofferdam fix\n  cargo cofferdam fix --apply -- cargo test\n  \
                            cargo cofferdam fix --with test-group\n  \
                            cargo cofferdam fix --cofferdam ../cofferdam --apply\n  \
                            cargo cofferdam fix --migrate serial_test --apply\n  \
                            cargo cofferdam fix target/cofferdam/observed/last.json | git apply\n\n\
                            Exit codes: 0 nothing left to fix, 1 changes proposed, reverted, or left to do by hand, 2 wrong usage, 3 no verdict, \
                            or the changes could not be written."
    )]
    Fix(FixArgs),
    /// Remove the directories of finished runs.
    #[command(
        after_help = "Examples:\n  cargo cofferdam clean --dry-run\n  cargo cofferdam clean\n  \
                            cargo cofferdam clean --all --format json\n\n\
                            --all also removes recordings, runs named by COFFERDAM_RUN_ID, runs of other machines or boots, and unreadable ones."
    )]
    Clean(CleanArgs),
    /// List held locks and those left by killed processes.
    #[command(after_help = "Examples:\n  cargo cofferdam locks\n  \
                            cargo cofferdam locks --format json\n\n\
                            Exit codes: 0 the locks were read, 2 wrong usage, 3 they could not be read.")]
    Locks(LocksArgs),
    /// Show running sessions and the progress of their jobs.
    #[command(after_help = "Examples:\n  cargo cofferdam status\n  \
                            cargo cofferdam status --watch\n  \
                            cargo cofferdam status --format json")]
    Status(StatusArgs),
    /// List recent sessions and each job's pass rate.
    #[command(after_help = "Examples:\n  cargo cofferdam list\n  \
                            cargo cofferdam list --limit 100 --run-namespace nightly\n  \
                            cargo cofferdam list --format json")]
    List(ListArgs),
    /// Show one session: jobs, attempts, logs and conflicts.
    #[command(after_help = "Examples:\n  cargo cofferdam show latest\n  \
                            cargo cofferdam show 12\n  \
                            cargo cofferdam show nightly --format json")]
    Show(ShowArgs),
    /// Copy the ledger, even while sessions run.
    #[command(after_help = "Examples:\n  cargo cofferdam backup ledger-copy.sqlite3")]
    Backup(BackupArgs),
    /// Print metrics of the newest session for Prometheus.
    #[command(after_help = "Examples:\n  cargo cofferdam metrics\n  \
                            cargo cofferdam metrics --run-namespace nightly > cofferdam.prom\n\n\
                            node_exporter's textfile collector reads a file that ends in .prom.")]
    Metrics(MetricsArgs),
    /// Show the settings of every command, and where they come from.
    #[command(
        after_help = "Examples:\n  cargo cofferdam config\n  cargo cofferdam config --profile ci observe\n  \
                            cargo cofferdam config --schema > cofferdam.schema.json\n\n\
                            Exit codes: 0 the settings were shown, 2 wrong usage, or a settings file that cannot be used."
    )]
    Config(ConfigArgs),
    /// Print a shell completion script.
    #[command(after_help = "Examples:\n  \
                            cargo cofferdam completions bash > ~/.local/share/bash-completion/completions/cargo-cofferdam\n  \
                            cargo cofferdam completions fish > ~/.config/fish/completions/cargo-cofferdam.fish\n\n\
                            The scripts complete `cargo-cofferdam`; cargo completes the words after `cargo` itself.")]
    Completions(CompletionsArgs),
    /// Write manual pages to a directory.
    #[command(after_help = "Examples:\n  cargo cofferdam man ~/.local/share/man/man1")]
    Man(ManArgs),
}

impl Command {
    /// Returns the time for which the fixtures of the tests that the command runs stay running, if it says so; `None` if it runs
    /// no tests or needs no fixtures.
    pub(crate) fn keeps_warm(&self) -> Option<Option<Duration>> {
        match self {
            Self::Run(args) => Some(args.warm.keep_warm),
            Self::Observe(args) => Some(args.warm.keep_warm),
            Self::Hunt(args) => Some(args.warm.keep_warm),
            Self::Rerun(args) => Some(args.warm.keep_warm),
            Self::Fix(args) if !args.command.is_empty() => Some(None),
            Self::Fix(_)
            | Self::Submit(_)
            | Self::Guard(_)
            | Self::Host(_)
            | Self::Env(_)
            | Self::Check(_)
            | Self::Shards(_)
            | Self::Clean(_)
            | Self::Config(_)
            | Self::Locks(_)
            | Self::Status(_)
            | Self::List(_)
            | Self::Show(_)
            | Self::Backup(_)
            | Self::Metrics(_)
            | Self::Completions(_)
            | Self::Man(_) => None,
        }
    }

    /// Returns whether settings apply to it.
    pub(crate) fn has_settings(&self) -> bool {
        match self {
            Self::Guard(_) | Self::Host(_) | Self::Completions(_) | Self::Man(_) => false,
            Self::Config(args) => !args.schema,
            _ => true,
        }
    }

    /// Returns the settings file that it runs the jobs of, if it does.
    pub(crate) fn runs_jobs_of(&self) -> Option<&Path> {
        let Self::Run(args) = self else { return None };
        args.source.settings_file()
    }

    /// Returns the report files of the command and its setting for GitHub, if it has them.
    pub(crate) fn report(&self) -> Option<&ReportArgs> {
        match self {
            Self::Run(args) => Some(&args.report),
            Self::Observe(args) => Some(&args.report),
            Self::Check(args) => Some(&args.report),
            Self::Hunt(args) => Some(&args.report),
            _ => None,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct WarmArgs {
    /// Keep declared fixtures running this long after their last use.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) keep_warm: Option<Duration>,
}

/// Arguments that commands pass to the host of a fixture.
#[cfg_attr(
    not(has_observer),
    expect(dead_code, reason = "without an observer, no fixture is kept warm")
)]
#[derive(Debug, Args)]
pub(crate) struct HostArgs {
    pub(crate) file: PathBuf,
    pub(crate) name: String,
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct ObserveArgs {
    /// Output format.
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
    #[command(flatten)]
    pub(crate) baseline: BaselineArgs,
    /// Result when no test was observed [default: fail].
    #[arg(long, value_name = "POLICY")]
    pub(crate) no_records: Option<NoRecords>,
    /// Exit with 3 if a program cannot be observed.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Record no backtraces: faster, but without source lines in reports.
    #[arg(long)]
    pub(crate) no_backtrace: bool,
    /// Write every observed access to this file as JSON lines.
    #[arg(long, value_name = "FILE")]
    pub(crate) accesses: Option<PathBuf>,
    /// Observe the statics that tests of one process share.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) memory: Memory,
    /// List the shared statics, not only their number.
    #[arg(long)]
    pub(crate) list_statics: bool,
    /// Rerun conflicting tests with pauses and grade each conflict.
    #[arg(long)]
    pub(crate) confirm: bool,
    /// Time limit for the reruns.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration, requires = "confirm")]
    pub(crate) time_budget: Duration,
    /// Do not rerun failed tests.
    #[arg(long)]
    pub(crate) no_explain: bool,
    /// Run at most N reruns at once [default: number of processors].
    #[arg(long, value_name = "N", requires = "confirm")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Do not read the names of threads.
    #[arg(long, hide = true)]
    pub(crate) no_names: bool,
    #[command(flatten)]
    pub(crate) warm: WarmArgs,
    /// Command and its arguments, started without a shell.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Memory {
    /// Where the program and the system allow it.
    Auto,
    /// Never.
    Off,
    /// Exit with 3 where it is impossible.
    Require,
}

/// The first argument when cargo or nextest starts this program as a test runner.
#[cfg(has_observer)]
pub(crate) const RUNNER_WORD: &str = "__observed";

/// Returns the program to start under observation, with its arguments, if this process is a test runner. It bypasses the
/// parser: cargo and nextest call it for each test, and building the parser takes longer than all the rest.
#[cfg(has_observer)]
pub(crate) fn observed_command(arguments: &[OsString]) -> Option<&[OsString]> {
    let (word, command) = arguments.get(1..)?.split_first()?;
    (word == RUNNER_WORD).then_some(command)
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Output format.
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
    #[command(flatten)]
    pub(crate) baseline: BaselineArgs,
    /// Result when nothing was recorded.
    #[arg(long, value_name = "POLICY", default_value = "fail")]
    pub(crate) no_records: NoRecords,
    /// Exit with 3 if a process could not record everything.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Compare the recordings as shards of one run on one machine.
    #[arg(long, requires = "paths")]
    pub(crate) shards: bool,
    /// Journals, snapshots, or directories of them [default: the newest session].
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct BaselineArgs {
    /// Ignore the conflicts in this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// Write the conflicts of this run to the baseline.
    #[arg(long, requires = "baseline")]
    pub(crate) update_baseline: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("purpose").args(["apply", "relax"]).multiple(true))]
pub(crate) struct FixArgs {
    /// Write the changes, unless the checkout has uncommitted ones.
    #[arg(long)]
    pub(crate) apply: bool,
    /// Write the changes even if the checkout has uncommitted ones.
    #[arg(long)]
    pub(crate) allow_dirty: bool,
    /// Write the changes even outside a Git checkout.
    #[arg(long)]
    pub(crate) allow_no_vcs: bool,
    /// Exit with 3 if a program could not be observed.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Skip the check that the tests compile, which reverts changes that fail.
    #[arg(long)]
    pub(crate) no_check: bool,
    /// Keep changes that could not be proven to end a failure.
    #[arg(long, requires = "command")]
    pub(crate) keep_unproven: bool,
    /// Time limit for repeating what failed.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    pub(crate) time_budget: Duration,
    /// Mechanism that keeps tests apart.
    #[arg(long, value_name = "MEANS", default_value = "attributes")]
    pub(crate) with: With,
    /// Replace this crate by cofferdam; needs no observation.
    #[arg(
        long,
        value_name = "CRATE",
        conflicts_with_all = ["report", "command", "with", "strict", "keep_unproven"]
    )]
    pub(crate) migrate: Option<OtherCrate>,
    /// Remove attributes that guard nothing, as the command's tests show.
    #[arg(
        long,
        requires = "command",
        conflicts_with_all = ["report", "with", "keep_unproven", "migrate", "cofferdam", "no_check"]
    )]
    pub(crate) relax: bool,
    /// Add this checkout of cofferdam as a dev-dependency where missing.
    #[arg(long, value_name = "CHECKOUT")]
    pub(crate) cofferdam: Option<PathBuf>,
    /// Output format.
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
    /// Report of `observe` [default: the newest].
    #[arg(value_name = "REPORT")]
    pub(crate) report: Option<PathBuf>,
    /// Command whose tests prove the changes, or show with `--relax` what they use.
    #[arg(last = true, value_name = "COMMAND", requires = "purpose")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum With {
    /// Attributes the suite already uses, otherwise a nextest test group.
    Attributes,
    /// cofferdam's attributes, which also keep processes apart.
    Cofferdam,
    /// serial_test's attributes, which keep threads of one process apart.
    SerialTest,
    /// A single-threaded test group in .config/nextest.toml.
    TestGroup,
}

/// The crate to migrate from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OtherCrate {
    /// Attributes become cofferdam's.
    #[value(name = "serial_test")]
    SerialTest,
    /// Tests in a call of `with_var` become isolated tests.
    #[value(name = "temp-env")]
    TempEnv,
    /// Tests in `rusty_fork_test!` become isolated tests.
    #[value(name = "rusty-fork")]
    RustyFork,
}

impl OtherCrate {
    /// Returns its name on crates.io.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SerialTest => "serial_test",
            Self::TempEnv => "temp-env",
            Self::RustyFork => "rusty-fork",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct CleanArgs {
    /// Output format.
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
    /// Only list the directories to remove.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Also remove recordings and named, foreign or unreadable runs.
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Output format.
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
    /// Print the JSON schema of the settings file instead.
    #[arg(long, conflicts_with_all = ["format", "command"])]
    pub(crate) schema: bool,
    /// Show only the options of this command.
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LocksArgs {
    /// Output format.
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// Text for people.
    Human,
    /// One line of JSON.
    Json,
}

/// Returns the arguments without the word `cofferdam`, which cargo passes as the first.
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

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_subcommand_name_from_cargo_is_removed_once() {
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
    fn settings_go_before_or_after_the_command_and_a_command_without_dashes_gets_a_tip() {
        let parse = |words: &str| {
            let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
            Cli::parsed(&words).map_err(|error| error.to_string())
        };
        for words in ["x --no-config list", "x list --no-config", "x --format json"] {
            assert!(parse(words).is_ok(), "{words}");
        }
        for (words, why) in [
            ("x --format json list", "`--format` goes after the command"),
            (
                "x observe cargo test",
                "tip: `--` goes before the command to run: `-- cargo test`",
            ),
        ] {
            let error = parse(words).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn arguments_after_the_dashes_belong_to_the_command() {
        let cli = Cli::try_parse_from(["x", "run", "--", "cargo", "test", "--", "--format", "json"]).unwrap();
        let Some(Command::Run(args)) = cli.command else {
            panic!()
        };
        assert_eq!(args.command, ["cargo", "test", "--", "--format", "json"]);
        assert_eq!(args.format, ListFormat::Human);
    }
}
