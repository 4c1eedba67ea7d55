//! `man`: the manual pages, for archives and packages.

use crate::cli::{Cli, ManArgs};
use clap::CommandFactory as _;
use std::fs;
use std::io;

/// Writes `cargo-cofferdam.1` and a page for each command into the directory, which is created if it is missing.
///
/// # Errors
///
/// The directory or a page cannot be written.
pub(crate) fn man(args: &ManArgs) -> io::Result<()> {
    let failed = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", args.dir.display()));
    fs::create_dir_all(&args.dir).map_err(failed)?;
    // Pages are named like git's: `man cargo-cofferdam-run`.
    clap_mangen::generate_to(Cli::command().name("cargo-cofferdam"), &args.dir).map_err(failed)
}
