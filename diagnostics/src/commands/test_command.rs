//! Recognition of test commands by their arguments.

use std::ffi::OsString;
use std::path::Path;

/// A runner of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TestRunner {
    Cargo,
    Nextest,
}

/// Returns whether the command is `cargo test`, `cargo nextest run` or an alias of them that runs tests.
pub(super) fn is_test_command(command: &[OsString]) -> bool {
    let Some((runner, at)) = runner(command) else {
        return false;
    };
    let words = command.iter().skip(at + 1);
    let words: Vec<&str> = words.map(|word| word.to_str().unwrap_or_default()).collect();
    let ours = match runner {
        TestRunner::Cargo => words.split(|word| *word == "--").next().unwrap_or_default(),
        TestRunner::Nextest => &words,
    };
    !ours.contains(&"--no-run") && !only_prints(&words)
}

/// Returns the runner of `cargo test`, `cargo nextest run` or an alias of them, and the index of the word `test` or `run`.
pub(super) fn runner(command: &[OsString]) -> Option<(TestRunner, usize)> {
    let words: Vec<&str> = command
        .iter()
        .map(|word| word.to_str().unwrap_or_default())
        .collect();
    let (program, mut rest) = words.split_first()?;
    let program = Path::new(program).file_stem().and_then(|stem| stem.to_str());
    // The subcommand and all words behind it are left.
    let at = |rest: &[&str]| words.len() - rest.len();
    match program {
        Some("cargo-nextest") => rest = rest.strip_prefix(&["nextest"]).unwrap_or(rest),
        Some("cargo") => match after_options(rest)? {
            words @ ["test" | "t", ..] => return Some((TestRunner::Cargo, at(words))),
            ["nextest", behind @ ..] => rest = behind,
            _ => return None,
        },
        _ => return None,
    }
    let words = after_options(rest)?;
    matches!(words, ["run" | "r", ..]).then(|| (TestRunner::Nextest, at(words)))
}

/// Returns whether the command ends at a failure: nextest starts no further test then, and `cargo test` no further program.
pub(super) fn stops_at_failure(command: &[OsString]) -> bool {
    let has = |words: &[&str]| command.iter().any(|word| words.iter().any(|one| word == one));
    (runner(command).is_some() || is_nextest(command)) && !has(&["--no-fail-fast", "--nff", "--max-fail=all"])
}

/// Returns whether the command runs nextest, also behind another program, such as `env`.
pub(super) fn is_nextest(command: &[OsString]) -> bool {
    match runner(command) {
        Some((runner, _)) => runner == TestRunner::Nextest,
        None => command.iter().any(|word| word == "nextest"),
    }
}

/// Returns whether cargo finds `cargo-nextest`, without starting it.
pub(super) fn has_nextest() -> bool {
    let program = format!("cargo-nextest{}", std::env::consts::EXE_SUFFIX);
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo searches there for its subcommands"
    )]
    let (path, home) = (std::env::var_os("PATH"), std::env::var_os("CARGO_HOME"));
    let dirs = path.iter().flat_map(std::env::split_paths);
    let of_cargo = home.map(|home| Path::new(&home).join("bin"));
    dirs.chain(of_cargo).any(|dir| dir.join(&program).is_file())
}

/// Returns whether the workspace at or above `dir` has locked a package of this name; `None` without a lock file.
pub(super) fn depends_on(dir: &Path, package: &str) -> Option<bool> {
    let locked = dir
        .ancestors()
        .find_map(|above| std::fs::read_to_string(above.join("Cargo.lock")).ok())?;
    let line = format!("name = \"{package}\"");
    Some(locked.lines().any(|locked| locked == line))
}

/// Returns whether the arguments make the command print something instead of running tests.
fn only_prints(words: &[&str]) -> bool {
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
    fn a_dependency_on_the_library_is_found_in_the_lock_file_above() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        for (packages, known) in [("shop", false), ("cofferdam-macros", false), ("cofferdam", true)] {
            let lock = format!("version = 4\n\n[[package]]\nname = \"{packages}\"\n");
            std::fs::write(dir.path().join("Cargo.lock"), lock).unwrap();
            assert_eq!(depends_on(&below, "cofferdam"), Some(known), "{packages}");
        }
    }

    #[test]
    fn a_test_command_is_recognized_by_its_arguments() {
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

    #[test]
    fn nextest_is_recognized_behind_another_program_and_a_filter_of_that_name_is_not_taken_for_it() {
        for (line, is_it) in [
            ("cargo nextest run", true),
            ("cargo-nextest run", true),
            ("env A=1 cargo nextest run", true),
            ("cargo test nextest", false),
            ("make test", false),
        ] {
            let command: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(is_nextest(&command), is_it, "{line}");
            assert_eq!(stops_at_failure(&command), line != "make test", "{line}");
        }
    }
}
