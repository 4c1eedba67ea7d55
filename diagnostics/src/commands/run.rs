//! `run`: a command with recording on, then the conflicts between its tests.

use super::{Findings, Outcome, session};
use crate::child;
use crate::cli::RunArgs;
use crate::exit_code::NoRecords;
use cofferdam::diagnostics::{CleanOptions, clean};
use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What a session says before its command begins.
pub(crate) struct Begun<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) output: &'a Path,
}

pub(crate) fn run(args: RunArgs, begin: impl FnOnce(&Begun<'_>)) -> Result<Outcome, Box<dyn Error>> {
    let base = cofferdam::base_dir(Some(&working_dir()))?;
    let session = session::new_name();
    let space = session::Space::new(args.run_namespace.as_deref(), &session, &base)?;
    begin(&Begun {
        namespace: space.namespace.as_str(),
        output: &space.output,
    });
    let ended = child::run(
        &args.command,
        &[
            ("COFFERDAM_RECORD", session.as_ref()),
            ("COFFERDAM_DIR", base.as_os_str()),
            ("COFFERDAM_RUN_NAMESPACE", space.namespace.as_str().as_ref()),
            ("COFFERDAM_RUN_DIR", space.output.as_os_str()),
        ],
    )?;
    drop(space);
    let evidence = session::evidence(&base, &session)?;
    let findings = Findings::new(vec![base.join("runs")], &evidence);
    session::forget_old(&base);
    // What no test had the time for. A folder that cannot be removed now is tried again by the next session.
    let _ = clean(&base, CleanOptions::default());
    let no_records = args.no_records.unwrap_or(if is_test_command(&args.command) {
        NoRecords::Fail
    } else {
        NoRecords::Pass
    });
    Ok(Outcome::new(Some(ended), findings, no_records))
}

pub(super) fn working_dir() -> PathBuf {
    #[expect(
        clippy::disallowed_methods,
        reason = "the workspace is looked for from here upward"
    )]
    std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."))
}

/// Whether this is `cargo test`, `cargo nextest run` or one of their short names, and one that runs tests.
fn is_test_command(command: &[OsString]) -> bool {
    let words: Vec<&str> = command
        .iter()
        .map(|word| word.to_str().unwrap_or_default())
        .collect();
    let Some((program, mut rest)) = words.split_first() else {
        return false;
    };
    let program = Path::new(program).file_stem().and_then(|stem| stem.to_str());
    if program == Some("cargo-nextest") {
        rest = rest.strip_prefix(&["nextest"]).unwrap_or(rest);
    } else if program == Some("cargo") {
        let Some(words) = after_options(rest) else {
            return false;
        };
        rest = match words {
            ["test" | "t", rest @ ..] => {
                let ours = rest.split(|word| *word == "--").next().unwrap_or_default();
                return !ours.contains(&"--no-run") && !tells_only(rest);
            }
            ["nextest", rest @ ..] => rest,
            _ => return false,
        };
    } else {
        return false;
    }
    matches!(after_options(rest), Some(["run" | "r", rest @ ..]) if !rest.contains(&"--no-run") && !tells_only(rest))
}

fn tells_only(words: &[&str]) -> bool {
    words
        .iter()
        .any(|word| matches!(*word, "--help" | "-h" | "--list" | "--version" | "-V"))
}

/// What stands behind a program's own options (`+nightly`, `--locked`, `-C DIR`).
fn after_options<'a>(mut words: &'a [&'a str]) -> Option<&'a [&'a str]> {
    while let [word, rest @ ..] = words {
        if !word.starts_with(['-', '+']) {
            return Some(words);
        }
        let takes_value = matches!(*word, "-C" | "-Z" | "--color" | "--config" | "--manifest-path");
        words = if takes_value { rest.get(1..)? } else { rest };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_runs_tests_is_known_by_its_words() {
        let is_test = |line: &str| is_test_command(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in [
            "cargo test",
            "cargo t",
            "/usr/bin/cargo +nightly -C dir test --release",
            "cargo --config x=1 nextest run",
            "cargo nextest r --archive-file a.tar.zst",
            "cargo-nextest nextest run",
            "cargo nextest --manifest-path x/Cargo.toml run",
            "cargo test -- --test-threads=4",
        ] {
            assert!(is_test(line), "{line}");
        }
        for line in [
            "cargo build",
            "cargo",
            "cargo -C",
            "cargo test --no-run",
            "cargo test --help",
            "cargo test -- --list",
            "cargo nextest list",
            "cargo nextest run --no-run",
            "cargo run test",
            "make test",
            "sh -c test",
            "cargo-cofferdam test",
        ] {
            assert!(!is_test(line), "{line}");
        }
    }
}
