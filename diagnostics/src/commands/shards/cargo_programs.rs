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
    #[serde(default)]
    features: Vec<String>,
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
/// Options that choose packages, which each line does by itself.
const OF_PACKAGES: [&str; 5] = ["-p", "--package", "--workspace", "--all", "--exclude"];
/// Options that choose features, which each line takes from the build: another package may not have them.
const OF_FEATURES: [&str; 4] = ["-F", "--features", "--all-features", "--no-default-features"];

/// Returns the programs of the command, whose word `test` is at index `at`.
pub(super) fn list(command: &[OsString], at: usize) -> Result<Vec<ListedProgram>, Box<dyn Error>> {
    let (ours, harness) = split(&command[at + 1..]);
    let mut build = command[..=at].to_vec();
    build.extend(["--no-run", "--message-format", "json-render-diagnostics"].map(OsString::from));
    build.extend(ours.iter().cloned());
    let runs_doctests = !ours.iter().any(|word| is_option(word, &OF_TARGETS));
    let only_doctests = ours.iter().any(|word| word == "--doc");
    let kept = kept(&ours);
    let sets_features = ours.iter().any(|word| is_option(word, &OF_FEATURES));
    let options = |artifact: &Artifact| {
        let features = sets_features.then(|| features(&artifact.features));
        kept.iter()
            .cloned()
            .chain(features.into_iter().flatten())
            .collect::<Vec<_>>()
    };
    let mut programs = Vec::new();
    for line in output_of(&build)?.split(|byte| *byte == b'\n') {
        // Other messages are not artifacts.
        let Ok(artifact) = serde_json::from_slice::<Artifact>(line) else {
            continue;
        };
        if artifact.profile.test && !only_doctests {
            programs.extend(program(&artifact, &options(&artifact), &harness));
        }
        if artifact.profile.test && artifact.target.doctest && runs_doctests {
            programs.push(doctests(&artifact, &options(&artifact), &harness));
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

/// Returns cargo's words without those that choose packages, targets and features.
fn kept(ours: &[OsString]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = ours.iter();
    while let Some(word) = words.next() {
        let takes_value = WITH_VALUE.iter().any(|option| word == option);
        let value = takes_value.then(|| words.next()).flatten();
        let is_choice = [&OF_TARGETS[..], &OF_PACKAGES, &OF_FEATURES, &["--doc"]]
            .iter()
            .any(|options| is_option(word, options));
        if !is_choice {
            kept.extend([Some(word), value].into_iter().flatten().map(lossy));
        }
    }
    kept
}

/// Returns the options that build a package with these features and no others.
fn features(features: &[String]) -> Vec<String> {
    let some = (!features.is_empty()).then(|| ["--features".to_owned(), features.join(",")]);
    let none = "--no-default-features".to_owned();
    std::iter::once(none).chain(some.into_iter().flatten()).collect()
}

/// Returns whether a word is one of these options, with or without its value.
fn is_option(word: &OsStr, options: &[&str]) -> bool {
    let text = word.to_str().unwrap_or_default();
    let name = match text.split_once('=') {
        _ if !text.starts_with("--") => text.get(..2).unwrap_or(text),
        Some((name, _)) => name,
        None => text,
    };
    options.contains(&name)
}

fn lossy(word: &OsString) -> String {
    word.to_string_lossy().into_owned()
}

/// Returns the test program of an artifact with the tests that it lists; `None` if it has none to run.
fn program(artifact: &Artifact, options: &[String], harness: &[OsString]) -> Option<ListedProgram> {
    let path = artifact.executable.as_deref()?;
    let dir = artifact.manifest_path.parent().unwrap_or(Path::new(""));
    let (id, mut selection) = names(artifact);
    selection.extend_from_slice(options);
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
    let texts = |words: &[OsString]| words.iter().map(lossy).collect();
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
fn doctests(artifact: &Artifact, options: &[String], harness: &[OsString]) -> ListedProgram {
    let package = package(&artifact.package_id);
    let selection = ["-p", package, "--doc"].map(str::to_owned);
    ListedProgram {
        is_filtered: false,
        id: format!("{package}::doc"),
        binary: String::new(),
        dir: PathBuf::new(),
        selection: selection.iter().chain(options).cloned().collect(),
        harness_arguments: harness.iter().map(lossy).collect(),
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
    fn each_line_keeps_cargo_s_options_except_those_that_choose_packages_targets_and_features() {
        for (command, wanted) in [
            (
                "--workspace --exclude till --release --target-dir t",
                "--release --target-dir t",
            ),
            ("-pshop -p core --test=api --locked", "--locked"),
            (
                "-Fa --features b --lib -j 2 -q --config=net.offline=true",
                "-j 2 -q --config=net.offline=true",
            ),
            (
                "--doc --all-features --manifest-path x/Cargo.toml",
                "--manifest-path x/Cargo.toml",
            ),
        ] {
            assert_eq!(kept(&words(command)).join(" "), wanted, "{command}");
        }
        assert_eq!(features(&[]), ["--no-default-features"]);
        assert_eq!(
            features(&["a".to_owned(), "default".to_owned()]),
            ["--no-default-features", "--features", "a,default"]
        );
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
                features: Vec::new(),
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
