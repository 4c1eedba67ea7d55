//! `completions`: a script for a shell.

use crate::cli::{Cli, CompletionsArgs};
use clap::CommandFactory as _;
use clap_complete::Shell;

/// The program as a shell finds it. `cargo cofferdam` is cargo's to complete.
const PROGRAM: &str = "cargo-cofferdam";

/// The same as bash's script calls it: of a name with a `-` clap_complete 4.6 makes two different ones there, and the
/// words of no subcommand are found.
const IN_BASH: &str = "cargo_cofferdam";

pub(crate) fn completions(args: &CompletionsArgs) -> Vec<u8> {
    let mut script = Vec::new();
    if args.shell != Shell::Bash {
        clap_complete::generate(args.shell, &mut Cli::command(), PROGRAM, &mut script);
        return script;
    }
    clap_complete::generate(args.shell, &mut Cli::command(), IN_BASH, &mut script);
    let whom = |script: &str, name: &str| format!("{script} {name}\n");
    String::from_utf8_lossy(&script)
        .replace(&whom(" default", IN_BASH), &whom(" default", PROGRAM))
        .into_bytes()
}
