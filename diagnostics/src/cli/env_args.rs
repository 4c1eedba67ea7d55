//! Arguments of `env`.

use super::WarmArgs;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "Examples:
  cargo cofferdam env --keep-warm 10m
  eval \"$(cargo cofferdam env --keep-warm 10m postgres)\"
  cargo cofferdam env --keep-warm 8h --env-file .env
  cargo cofferdam env --nextest-config >> .config/nextest.toml

Exit codes: 0 the variables were printed or written, 2 wrong usage, a fixture that is neither running nor to be kept warm, \
or a file that Git does not ignore, 3 a fixture did not start.";

#[derive(Debug, Args)]
pub(crate) struct EnvArgs {
    /// Output format.
    #[arg(long, default_value = "sh", conflicts_with = "env_file")]
    pub(crate) format: EnvFormat,
    /// Write the variables to this file, which Git must ignore.
    #[arg(long, value_name = "FILE", group = "place")]
    pub(crate) env_file: Option<PathBuf>,
    /// Pass the variables to nextest from its setup script.
    #[arg(long, group = "place", conflicts_with = "format")]
    pub(crate) nextest_env: bool,
    /// Print that setup script, for .config/nextest.toml.
    #[arg(long, group = "place", conflicts_with = "format")]
    pub(crate) nextest_config: bool,
    #[command(flatten)]
    pub(crate) warm: WarmArgs,
    /// Fixtures [default: all].
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EnvFormat {
    /// Lines for a shell.
    Sh,
    /// One line of JSON.
    Json,
}
