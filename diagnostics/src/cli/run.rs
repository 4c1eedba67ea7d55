//! What can be typed after `run`.

use super::{BaselineArgs, Format, ListFormat, Shown};
use crate::exit_code::NoRecords;
use clap::Args;
use cofferdam_batch::jobs::settings::Limits;
use cofferdam_batch::jobs::values::{GroupLimit, Span, TimeLimit, at_least_one};
use cofferdam_batch::ledger::Wait;
use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "Examples:
  cargo cofferdam run -- cargo test
  cargo cofferdam run -- cargo nextest run
  cargo cofferdam run --workers 4,8,16 --repeat 20 -- cargo test
  cargo cofferdam run --repeat 100 --until-fail -- cargo test
  cargo cofferdam run --from jobs.txt --jobs 8 --on-error stop
  cargo cofferdam run --format json --output report.json -- cargo nextest run
  cargo cofferdam run --run-namespace nightly -- cargo test
  cargo cofferdam run --no-records pass -- make check

One command keeps the terminal as if it had been started by hand; the jobs of a batch write to files.";

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) shown: Shown,
    #[command(flatten)]
    pub(crate) baseline: BaselineArgs,
    /// What it means when nothing was recorded. Without it: `fail` for `cargo test`, `cargo nextest run` and their
    /// like, `pass` for any other command and for jobs of a file.
    #[arg(long, value_name = "POLICY")]
    pub(crate) no_records: Option<NoRecords>,
    /// Exit with 3 where something cannot be recorded, and name it.
    #[arg(long)]
    pub(crate) strict: bool,
    /// What keeps the output of this session apart from that of others. Without it: COFFERDAM_RUN_NAMESPACE, else
    /// RUN_NAMESPACE, else one that is generated.
    #[arg(long, value_name = "NAME")]
    pub(crate) run_namespace: Option<String>,
    /// If another session works in the namespace, wait until it is over, or for so long (`--wait=10m`), instead of
    /// failing at once.
    #[arg(long, value_name = "SPAN", num_args = 0..=1, require_equals = true)]
    pub(crate) wait: Option<Option<Span>>,
    /// Go on with the jobs of the namespace's last session, if it was killed: those that had ended are not run again.
    /// Give it the same jobs. Without a namespace, it is about the newest session.
    #[arg(long)]
    pub(crate) resume: bool,
    /// No progress, only the report.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Write each event as a line of JSON to standard output, and the report as the last. Commands write to files.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) rounds: RoundsArgs,
    #[command(flatten)]
    pub(crate) limits: Limits,
    /// So many jobs of a group at once: database=2. May be given several times.
    #[arg(long, value_name = "NAME=NUMBER", help_heading = "Limits")]
    pub(crate) group_limit: Vec<GroupLimit>,
    /// The command and its arguments; it is started as it stands, without a shell.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

impl RunArgs {
    pub(crate) fn wait(&self) -> Wait {
        match self.wait {
            None => Wait::No,
            Some(None) => Wait::Forever,
            Some(Some(Span(most))) => Wait::AtMost(most),
        }
    }

    /// How the report is shown: JSON behind events.
    pub(crate) fn shown_as(&self) -> Shown {
        let mut shown = self.shown.clone();
        if self.json && shown.output.is_none() {
            shown.format = Format::Json;
        }
        shown
    }
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Jobs")]
pub(crate) struct SourceArgs {
    /// Run the jobs in this file, or in standard input (`-`): a command a line, as words or as JSON; or `[[job]]`
    /// tables, if its name ends in `.toml`.
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    pub(crate) from: Option<PathBuf>,
    /// Leave out lines that are no jobs, with a warning, instead of starting nothing.
    #[arg(long, requires = "from")]
    pub(crate) skip_invalid: bool,
    /// Settings, instead of the nearest `cofferdam.toml` at or above the working folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Do not read any `cofferdam.toml`.
    #[arg(long, conflicts_with = "config")]
    pub(crate) no_config: bool,
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Rounds")]
pub(crate) struct RoundsArgs {
    /// Run the command under each of these numbers of workers: sets RUST_TEST_THREADS and NEXTEST_TEST_THREADS.
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', conflicts_with = "from",
          value_parser = at_least_one::<NonZeroU32>)]
    pub(crate) workers: Vec<NonZeroU32>,
    /// Run the command so many times, under each number of workers.
    #[arg(long, value_name = "NUMBER", conflicts_with = "from", value_parser = at_least_one::<NonZeroU32>)]
    pub(crate) repeat: Option<NonZeroU32>,
    /// Give each round an empty temporary directory of its own (TMPDIR), which goes with it. Without it, rounds find
    /// what earlier rounds left there.
    #[arg(long, conflicts_with = "from")]
    pub(crate) isolate: bool,
    /// Run the command until it fails; with `--repeat` at most so many times.
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
    /// How it is told.
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
    /// The namespace of the session. Without it: COFFERDAM_RUN_NAMESPACE, else RUN_NAMESPACE, else that of the only
    /// session that runs.
    #[arg(long, value_name = "NAME")]
    pub(crate) run_namespace: Option<String>,
    /// Name of the job; without it, its program and what that is to do.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The group that it counts for.
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,
    /// Stop it when it takes longer: 90, 10m, 1h30m.
    #[arg(long, value_name = "SPAN")]
    pub(crate) timeout: Option<TimeLimit>,
    /// Run it again when it fails, so many times.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) retries: Option<u32>,
    /// The command and its arguments; it is started as it stands, without a shell.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Handed over by `run` itself.
#[derive(Debug, Args)]
pub(crate) struct GuardArgs {
    pub(crate) session: String,
    pub(crate) temp: PathBuf,
    pub(crate) grace_ms: u64,
}
