//! The tests that a `cargo test` would run: cargo builds the programs, and each lists its tests.

use super::output_of;
use crate::observe::launch::{StartedProgram, has_libtest};
use crate::shards::{ListedProgram, Tests};
use serde::Deserialize;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// A line of `cargo test --message-format json`.
#[derive(Deserialize)]
struct Artifact {
    package_id: String,
    manifest_path: PathBuf,
    target: Target,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
    #[serde(default)]
    doctest: bool,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Options of `cargo test` with a value in the next word. Other words without a dash are names of tests.
const WITH_VALUE: [&str; 20] = [
    "-p",
    "--package",
    "--exclude",
    "--bin",
    "--test",
    "--example",
    "--bench",
    "-F",
    "--features",
    "--target",
    "--target-dir",
    "--manifest-path",
    "--lockfile-path",
    "--profile",
    "-j",
    "--jobs",
    "--config",
    "-Z",
    "-C",
    "--color",
];
/// Options that choose targets: with one of them, cargo runs no documentation tests.
const OF_TARGETS: [&str; 10] = [
    "--lib",
    "--bins",
    "--bin",
    "--tests",
    "--test",
    "--examples",
    "--example",
    "--benches",
    "--bench",
    "--all-targets",
];

/// Returns the programs of the command, whose word `test` is at index `at`.
pub(super) fn list(command: &[OsString], at: usize) -> Result<Vec<ListedProgram>, Box<dyn Error>> {
    let (ours, harness) = split(&command[at + 1..]);
    let mut build = command[..=at].to_vec();
    build.extend(["--no-run", "--message-format", "json-render-diagnostics"].map(OsString::from));
    build.extend(ours.iter().cloned());
    let runs_doctests = !ours.iter().any(|word| is_option(word, &OF_TARGETS));
    let only_doctests = ours.iter().any(|word| word == "--doc");
    let mut programs = Vec::new();
    for line in output_of(&build)?.split(|byte| *byte == b'\n') {
        // Other messages are not artifacts.
        let Ok(artifact) = serde_json::from_slice::<Artifact>(line) else {
            continue;
        };
        if artifact.profile.test && !only_doctests {
            programs.extend(program(&artifact, &harness));
        }
        if artifact.profile.test && artifact.target.doctest && runs_doctests {
            programs.push(doctests(&artifact, &harness));
        }
    }
    // cargo reports them in the order of compilation, which varies.
    programs.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(programs)
}

/// Splits the words after `test` into cargo's, and those of the test programs: names, and all after `--`.
fn split(words: &[OsString]) -> (Vec<OsString>, Vec<OsString>) {
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let (mut ours, mut harness) = (Vec::new(), Vec::new());
    let mut takes_value = false;
    for word in &words[..end] {
        if takes_value || word.as_encoded_bytes().starts_with(b"-") {
            takes_value = !takes_value && WITH_VALUE.iter().any(|option| word == option);
            ours.push(word.clone());
        } else {
            harness.push(word.clone());
        }
    }
    harness.extend(words.iter().skip(end + 1).cloned());
    (ours, harness)
}

fn is_option(word: &OsStr, options: &[&str]) -> bool {
    let text = word.to_str().unwrap_or_default();
    let name = text.split_once('=').map_or(text, |(name, _)| name);
    options.contains(&name)
}

/// Returns the test program of an artifact with the tests that it lists; `None` if it has none to run.
fn program(artifact: &Artifact, harness: &[OsString]) -> Option<ListedProgram> {
    let path = artifact.executable.as_deref()?;
    let dir = artifact.manifest_path.parent().unwrap_or(Path::new(""));
    let (id, selection) = names(artifact);
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo starts test programs with its own variables"
    )]
    let variables = std::env::vars_os().collect();
    let started = StartedProgram {
        program: path.into(),
        arguments: harness.to_vec(),
        dir: dir.to_owned(),
        variables,
    };
    // A harness that is not libtest might run its tests when it is asked to list them.
    let listed = if has_libtest(path) {
        started.tests_to_run()
    } else {
        None
    };
    let texts = |words: &[OsString]| {
        words
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    };
    let (tests, harness_arguments) = match listed {
        Some(tests) if tests.is_empty() => return None,
        Some(tests) if started.takes_several_names(&tests) && tests.iter().all(|test| is_plain(test)) => {
            let ignored = started.ignored().cloned();
            (Tests::Each(tests), texts(ignored.as_slice()))
        }
        listed => (Tests::Together(listed.unwrap_or_default()), texts(harness)),
    };
    Some(ListedProgram {
        is_filtered: false,
        id,
        binary: artifact.target.name.replace('-', "_"),
        dir: dir.to_owned(),
        selection,
        harness_arguments,
        tests,
    })
}

/// Returns whether a name can be an argument in one line.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('-') && !name.contains(char::is_control)
}

/// Returns the documentation tests of a library, as one program that is not divided.
fn doctests(artifact: &Artifact, harness: &[OsString]) -> ListedProgram {
    let package = package(&artifact.package_id);
    ListedProgram {
        is_filtered: false,
        id: format!("{package}::doc"),
        binary: String::new(),
        dir: PathBuf::new(),
        selection: ["-p", package, "--doc"].map(str::to_owned).to_vec(),
        harness_arguments: harness
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
        tests: Tests::Together(Vec::new()),
    }
}

/// Returns nextest's ID of a program, and the arguments of `cargo test` that select it.
fn names(artifact: &Artifact) -> (String, Vec<String>) {
    let package = package(&artifact.package_id);
    let name = &artifact.target.name;
    let kind = artifact.target.kind.first().map_or("lib", String::as_str);
    let (id, target) = match kind {
        "test" => (format!("{package}::{name}"), vec!["--test", name]),
        "bin" | "example" | "bench" => {
            let option = match kind {
                "bin" => "--bin",
                "example" => "--example",
                _ => "--bench",
            };
            (format!("{package}::{kind}/{name}"), vec![option, name])
        }
        "proc-macro" => (format!("{package}::{kind}/{name}"), vec!["--lib"]),
        _ => (package.to_owned(), vec!["--lib"]),
    };
    let words = ["-p", package].into_iter().chain(target);
    (id, words.map(str::to_owned).collect())
}

/// Returns the name of a package by its ID: `path+file:///w/shop#0.1.0` or `path+file:///w/dir#shop@0.1.0`.
fn package(id: &str) -> &str {
    let (url, fragment) = id.split_once('#').unwrap_or((id, ""));
    match fragment.split_once('@') {
        Some((name, _)) => name,
        None => url.rsplit('/').next().unwrap_or(url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn the_words_of_cargo_are_told_from_names_of_tests() {
        for (command, ours, harness) in [
            (
                "--features a -p shop stores -- --ignored",
                "--features a -p shop",
                "stores --ignored",
            ),
            ("--test api --release", "--test api --release", ""),
            (
                "-j 2 --manifest-path=x/Cargo.toml -- a b",
                "-j 2 --manifest-path=x/Cargo.toml",
                "a b",
            ),
        ] {
            assert_eq!(split(&words(command)), (words(ours), words(harness)), "{command}");
        }
    }

    #[test]
    fn a_program_has_nextest_s_id_and_the_arguments_that_select_it() {
        for (kind, name, id, arguments) in [
            ("lib", "shop_core", "shop", "-p shop --lib"),
            ("test", "web-api", "shop::web-api", "-p shop --test web-api"),
            ("bin", "till", "shop::bin/till", "-p shop --bin till"),
            ("proc-macro", "shop", "shop::proc-macro/shop", "-p shop --lib"),
        ] {
            let artifact = Artifact {
                package_id: "path+file:///w/dir#shop@0.1.0".to_owned(),
                manifest_path: "/w/dir/Cargo.toml".into(),
                target: Target {
                    kind: vec![kind.to_owned()],
                    name: name.to_owned(),
                    doctest: false,
                },
                profile: Profile { test: true },
                executable: None,
            };
            assert_eq!(
                names(&artifact),
                (id.to_owned(), arguments.split(' ').map(str::to_owned).collect())
            );
        }
        assert_eq!(package("path+file:///w/shop#0.1.0"), "shop");
    }
}
