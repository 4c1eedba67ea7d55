//! Recognition of test commands by their arguments.

use std::ffi::OsString;
use std::path::Path;

/// Returns whether the command is `cargo test`, `cargo nextest run` or an alias of them that runs tests.
pub(super) fn is_test_command(command: &[OsString]) -> bool {
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

/// Returns whether the packages locked in the workspace at or above `dir` depend on cofferdam; `None` without a lock file.
pub(super) fn has_library(dir: &Path) -> Option<bool> {
    let locked = dir
        .ancestors()
        .find_map(|above| std::fs::read_to_string(above.join("Cargo.lock")).ok())?;
    Some(locked.lines().any(|line| line == "name = \"cofferdam\""))
}

fn tells_only(words: &[&str]) -> bool {
    words
        .iter()
        .any(|word| matches!(*word, "--help" | "-h" | "--list" | "--version" | "-V"))
}

/// Returns the arguments after a program's own options (`+nightly`, `--locked`, `-C DIR`).
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
    fn a_dependency_on_the_library_is_known_from_the_lock_file_above() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        for (packages, known) in [("shop", false), ("cofferdam-macros", false), ("cofferdam", true)] {
            let lock = format!("version = 4\n\n[[package]]\nname = \"{packages}\"\n");
            std::fs::write(dir.path().join("Cargo.lock"), lock).unwrap();
            assert_eq!(has_library(&below), Some(known), "{packages}");
        }
    }

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
