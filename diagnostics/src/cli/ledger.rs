//! Arguments of the commands that read the ledger.

use super::ListFormat;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Output format
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
    /// Show changes until no session is active
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Output format
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
    /// List the N newest sessions
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) limit: u32,
    /// List only sessions in this namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) run_namespace: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Output format
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
    /// Number, name, namespace (its newest session), or `latest`
    #[arg(value_name = "SESSION")]
    pub(crate) session: String,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// Output format
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
    /// File to create
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// Export the newest session in this namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) run_namespace: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Directory that receives the pages.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Shell to generate completions for
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}
