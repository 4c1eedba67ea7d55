//! Arguments of `run`, `submit` and `guard`.

use super::{BaselineArgs, ListFormat, ReportArgs, WarmArgs};
use crate::exit_code::NoRecords;
use clap::Args;
use cofferdam_batch::jobs::settings::RunLimits;
use cofferdam_batch::jobs::values::{GroupLimit, TimeLimit, TimeSpan, at_least_one};
use cofferdam_batch::ledger::WaitPolicy;
use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "Examples:
  cargo cofferdam run -- cargo test
  cargo cofferdam run -- cargo nextest run
  cargo cofferdam run --workers 4,8,16 --repeat 20 -- cargo test
  cargo cofferdam run --repeat 100 --until-fail -- cargo test
  cargo cofferdam run --from jobs.txt --jobs 8 --on-error stop
  cargo cofferdam run --report junit=junit.xml -- cargo nextest run
  cargo cofferdam run --run-namespace nightly -- cargo test
  cargo cofferdam run --no-records pass -- make check

A single command keeps the terminal, as if started by hand; the jobs of a batch write to files.";

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Output format
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
    #[command(flatten)]
    pub(crate) baseline: BaselineArgs,
    /// Set the result if nothing was recorded
    ///
    /// The default is `fail` for `cargo test`, `cargo nextest run` and their short forms, `pass` for any other command and
    /// for jobs of a file.
    #[arg(long, value_name = "POLICY")]
    pub(crate) no_records: Option<NoRecords>,
    /// Exit with 3 if something cannot be recorded
    #[arg(long)]
    pub(crate) strict: bool,
    /// Separate this session's output by a namespace
    ///
    /// The default is COFFERDAM_RUN_NAMESPACE, then RUN_NAMESPACE, then a generated name.
    #[arg(long, value_name = "NAME")]
    pub(crate) run_namespace: Option<String>,
    /// Wait for an active session in the namespace
    ///
    /// `--wait=10m` waits at most that long; without the option, `run` fails at once.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true)]
    pub(crate) wait: Option<Option<TimeSpan>>,
    /// Continue the last session if it was killed
    ///
    /// Jobs that had ended are not run again. It needs the same jobs as that session. Without a namespace, it continues the
    /// newest session.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Show only the report, without progress
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Write events and the report as lines of JSON
    ///
    /// The report is the last line. Commands write to files.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) warm: WarmArgs,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) rounds: RoundsArgs,
    #[command(flatten)]
    pub(crate) limits: RunLimits,
    /// Run at most N jobs of a group at once (repeatable)
    #[arg(long, value_name = "NAME=N", help_heading = "Limits")]
    pub(crate) group_limit: Vec<GroupLimit>,
    /// Command and arguments, started without a shell
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

impl RunArgs {
    pub(crate) fn wait(&self) -> WaitPolicy {
        match self.wait {
            None => WaitPolicy::Never,
            Some(None) => WaitPolicy::Forever,
            Some(Some(TimeSpan(most))) => WaitPolicy::AtMost(most),
        }
    }

    /// Returns the format of the report, which is JSON after JSON events.
    pub(crate) fn shown_as(&self) -> ListFormat {
        if self.json { ListFormat::Json } else { self.format }
    }
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Jobs")]
pub(crate) struct SourceArgs {
    /// Run the jobs of a file, or of standard input (`-`)
    ///
    /// Each line is a command, as words or as JSON. A file whose name ends in `.toml` has `[[job]]` tables.
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    pub(crate) from: Option<PathBuf>,
    /// Read settings from this file
    ///
    /// The default is the nearest `cofferdam.toml` in the working directory or above it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Ignore `cofferdam.toml`
    #[arg(long, conflicts_with = "config")]
    pub(crate) no_config: bool,
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Rounds")]
pub(crate) struct RoundsArgs {
    /// Run the command with each number of workers
    ///
    /// It sets RUST_TEST_THREADS and NEXTEST_TEST_THREADS.
    #[arg(long, value_name = "N", value_delimiter = ',', conflicts_with = "from",
          value_parser = at_least_one::<NonZeroU32>)]
    pub(crate) workers: Vec<NonZeroU32>,
    /// Repeat the command N times
    ///
    /// With several numbers of workers, N times with each.
    #[arg(long, value_name = "N", conflicts_with = "from", value_parser = at_least_one::<NonZeroU32>)]
    pub(crate) repeat: Option<NonZeroU32>,
    /// Give each round an empty temporary directory (TMPDIR)
    ///
    /// It is removed after the round. Without it, rounds find the files that earlier rounds left.
    #[arg(long, conflicts_with = "from")]
    pub(crate) isolate: bool,
    /// Repeat the command until it fails
    ///
    /// `--repeat` limits the number of times.
    #[arg(long, conflicts_with = "from")]
    pub(crate) until_fail: bool,
}

impl RoundsArgs {
    pub(crate) fn any(&self) -> bool {
        !self.workers.is_empty() || self.repeat.is_some() || self.until_fail
    }
}

#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// Output format
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
    /// Select the session by its namespace
    ///
    /// The default is COFFERDAM_RUN_NAMESPACE, then RUN_NAMESPACE, then the only active session.
    #[arg(long, value_name = "NAME")]
    pub(crate) run_namespace: Option<String>,
    /// Name the job [default: its program and action]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Count the job toward the limit of a group
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,
    /// Stop the job if it runs longer: 90, 10m, 1h30m
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<TimeLimit>,
    /// Retry the job up to N times if it fails
    #[arg(long, value_name = "N")]
    pub(crate) retries: Option<u32>,
    /// Command and arguments, started without a shell
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Arguments that `run` passes to its guard.
#[derive(Debug, Args)]
pub(crate) struct GuardArgs {
    pub(crate) session: String,
    pub(crate) temp: PathBuf,
    pub(crate) grace_ms: u64,
}
