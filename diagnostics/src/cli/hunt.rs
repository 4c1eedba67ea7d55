//! Arguments of `hunt` and `rerun`.

use super::{ListFormat, ReportArgs, WarmArgs};
use clap::Args;
use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

pub(super) const HUNT_EXAMPLES: &str = "Examples:
  cargo cofferdam hunt -- cargo test
  cargo cofferdam hunt orders::total -- cargo test -p shop
  cargo cofferdam hunt --failed-in target/nextest/ci/junit.xml -- cargo nextest run
  cargo cofferdam hunt --time-budget 30m --alone -- cargo test
  cargo cofferdam hunt --resume -- cargo test

The suite runs as it is, then its tests run forward, reversed, in parallel, with busy processors, and as two copies at once in a \
random order. If one failed, they also run forward again and in the random order without a second copy. A test that failed in some \
of these runs but not in all is examined further.
Exit codes: 0 stable in every regime that ran, 1 an unstable or failing test was found, 2 wrong usage, 3 no verdict, 130 after \
Ctrl-C.";

pub(super) const RERUN_EXAMPLES: &str = "Examples:
  cargo cofferdam rerun orders::total -- cargo test
  cargo cofferdam rerun total --order discount,total -- cargo test
  cargo cofferdam rerun total discount --parallel --times 20 -- cargo test
  cargo cofferdam rerun shop::api::total --alone --load 4 --times 100 -- cargo nextest run

A test is named in full, by the end of its path, or after its program (`shop::total`).
Exit codes: 0 the tests passed each time, 1 one failed, 2 wrong usage (a name fits no test, or several), 3 no result, \
130 after Ctrl-C.";

#[derive(Debug, Args)]
pub(crate) struct HuntArgs {
    /// Output format.
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
    /// Time limit for the first run, and again for the rest.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    pub(crate) time_budget: Duration,
    /// Also run each test alone, even in a slow suite.
    #[arg(long)]
    pub(crate) alone: bool,
    /// Start from the tests that failed in this JUnit report.
    #[arg(long, value_name = "FILE")]
    pub(crate) failed_in: Option<PathBuf>,
    /// Seed of the random order [default: printed].
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Continue the last hunt of this command.
    #[arg(long)]
    pub(crate) resume: bool,
    #[command(flatten)]
    pub(crate) warm: WarmArgs,
    /// Unstable tests to examine [default: find them].
    #[arg(value_name = "TEST")]
    pub(crate) tests: Vec<String>,
    /// Command and its arguments, started without a shell.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct RerunArgs {
    /// Output format.
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
    /// Run these tests one after the other, in this order.
    #[arg(long, value_name = "TEST,…", conflicts_with_all = ["parallel", "alone"])]
    pub(crate) order: Option<String>,
    /// Run the tests concurrently.
    #[arg(long, conflicts_with = "alone")]
    pub(crate) parallel: bool,
    /// Run each test in a process of its own.
    #[arg(long)]
    pub(crate) alone: bool,
    /// Keep N threads busy during the runs.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) load: u32,
    /// Run two copies concurrently.
    #[arg(long)]
    pub(crate) twice: bool,
    /// Begin with an empty temporary directory.
    #[arg(long)]
    pub(crate) empty_temp: bool,
    /// Stop a process after this time; its running test has failed.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Run K times.
    #[arg(long, value_name = "K", default_value = "1")]
    pub(crate) times: NonZeroU32,
    #[command(flatten)]
    pub(crate) warm: WarmArgs,
    /// Tests whose results decide the exit code.
    #[arg(value_name = "TEST", required = true)]
    pub(crate) tests: Vec<String>,
    /// Command and its arguments, started without a shell.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}
