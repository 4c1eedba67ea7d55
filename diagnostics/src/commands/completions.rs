//! `completions`: a script for a shell.

use crate::cli::{Cli, CompletionsArgs};
use clap::CommandFactory as _;

/// The program as a shell finds it. `cargo cofferdam` is cargo's to complete.
const PROGRAM: &str = "cargo-cofferdam";

pub(crate) fn completions(args: &CompletionsArgs) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), PROGRAM, &mut script);
    script
}
