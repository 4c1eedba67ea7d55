//! What can be typed to look at sessions.

use super::ListFormat;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// How it is told.
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
    /// Go on telling what changes, until no session runs any more.
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// How they are told.
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
    /// So many sessions, the newest.
    #[arg(long, value_name = "NUMBER", default_value = "20")]
    pub(crate) limit: u32,
    /// Only those in this namespace.
    #[arg(long, value_name = "NAME")]
    pub(crate) run_namespace: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// How it is told.
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
    /// Its number, its name, its namespace (the newest session there), or `latest`.
    #[arg(value_name = "SESSION")]
    pub(crate) session: String,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// How it is told.
    #[arg(long, default_value = "human")]
    pub(crate) format: ListFormat,
    /// Where the copy goes; nothing may be there yet.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// Of the newest session in this namespace, instead of the newest of all.
    #[arg(long, value_name = "NAME")]
    pub(crate) run_namespace: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Whose words they are.
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}
