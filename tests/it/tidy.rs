//! Rules for sources, manifests and documents that no compiler checks.

use crate::files::{self, hold};
use crate::source::{Token, tokens, without_tests};
use crate::{markdown, rooms};
use std::path::Path;

/// The maximum length of a file in lines, with its tests.
const LONGEST: usize = 800;

/// The dependencies of the library, which every suite compiles. A new one needs a decision in adr/.
const DEPENDENCIES: [&str; 8] = [
    "cofferdam-macros",
    "dashmap",
    "libc",
    "lru",
    "once_cell",
    "serde_core",
    "serde_json",
    "tokio",
];

/// Returns all Rust files of the repository, including tests, benches and examples.
fn rust() -> Vec<(String, String)> {
    files::all("", "rs")
}

fn is_source(path: &str) -> bool {
    [
        "src/",
        "diagnostics/src/",
        "diagnostics/batch/src/",
        "diagnostics/conflicts/src/",
        "macros/src/",
    ]
    .iter()
    .any(|folder| path.starts_with(folder))
}

fn below(folder: &str) -> Vec<(String, String)> {
    let sources = files::all(folder, "rs").into_iter();
    sources
        .map(|(path, text)| (path[folder.len() + 1..].to_owned(), text))
        .collect()
}

fn hold_rooms(heading: &str, folder: &str) -> Vec<rooms::Room> {
    hold_rooms_of(heading, &below(folder))
}

fn hold_rooms_of(heading: &str, sources: &[(String, String)]) -> Vec<rooms::Room> {
    let rooms = rooms::read(&files::read("docs/design/architecture.md"), heading);
    assert!(
        !rooms.is_empty(),
        "docs/design/architecture.md has no list below {heading:?}"
    );
    let advice =
        format!("Imports go down the list below {heading:?} in docs/design/architecture.md, never up.");
    hold(&rooms::breaches(&rooms, sources), &advice);
    rooms
}

#[test]
fn the_library_keeps_to_its_rooms() {
    let rooms = hold_rooms("## Rooms of the library", "src");
    assert_eq!(rooms[0].name, "lib.rs");
    assert_eq!(
        rooms[rooms.len() - 1].name,
        "sys/",
        "sys serves all and knows nobody"
    );
}

#[test]
fn the_reader_keeps_to_its_rooms() {
    let rooms = hold_rooms("## Rooms of the reader", "diagnostics/conflicts/src");
    assert_eq!(rooms[0].name, "lib.rs");
}

#[test]
fn the_binary_keeps_to_its_rooms() {
    let rooms = hold_rooms("## Rooms of the binary", "diagnostics/src");
    assert_eq!(rooms[0].name, "main.rs");
}

#[test]
fn the_observer_keeps_to_its_rooms() {
    let rooms = hold_rooms("## Rooms of the observer", "diagnostics/observer");
    assert_eq!(rooms[0].name, "lib.rs");
    assert_eq!(rooms[rooms.len() - 1].name, "sys/");
}

#[test]
fn the_runner_keeps_to_its_rooms() {
    let mut sources = below("diagnostics/runner");
    let shared = "account_layout.rs";
    sources.push((
        shared.to_owned(),
        files::read(&format!("diagnostics/observer/{shared}")),
    ));
    let rooms = hold_rooms_of("## Rooms of the runner", &sources);
    assert_eq!(rooms[0].name, "lib.rs");
    assert_eq!(rooms[rooms.len() - 1].name, "sys/");
}

#[test]
fn the_batch_crate_keeps_to_its_rooms_and_depends_on_no_other_of_ours() {
    let rooms = hold_rooms("## Rooms of the batch crate", "diagnostics/batch/src");
    assert_eq!(rooms[0].name, "lib.rs");
    let manifest = files::read("diagnostics/batch/Cargo.toml");
    let ours = manifest.lines().filter(|line| line.contains("path = "));
    hold(
        &ours.map(str::to_owned).collect::<Vec<_>>(),
        "cofferdam-batch depends on no other package of this workspace.",
    );
}

#[test]
fn the_root_of_the_library_has_no_logic() {
    let root = tokens(&files::read("src/lib.rs"));
    let logic = root
        .iter()
        .filter(|token| matches!(token.text.as_str(), "fn" | "impl" | "struct" | "enum" | "static"));
    let breaches: Vec<_> = logic
        .map(|token| format!("src/lib.rs:{}: {}", token.line, token.text))
        .collect();
    hold(&breaches, "src/lib.rs explains and re-exports; it does nothing.");
}

#[test]
fn no_file_has_grown_too_long() {
    let long = rust()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()));
    let long = long.filter(|(_, lines)| *lines > LONGEST);
    let breaches: Vec<_> = long
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    hold(
        &breaches,
        "A file holds one noun and at most 800 lines with its tests. Which two are in here?",
    );
}

/// Names in headers that are no modules: functions of libc and Rust, a variable of libc, and a term of the library.
const NOT_MODULES: [&str; 5] = ["abort", "atexit", "errno", "main", "reset"];

/// The bare names in backticks in a file's `//!` lines: `log` and `observed_tests`, but not `Log` or `log::Log`. Links
/// are left out, because rustdoc checks them.
fn names_in_header(text: &str) -> Vec<String> {
    let header = text.lines().map_while(|line| line.strip_prefix("//!"));
    let header = header.collect::<Vec<_>>().join("\n");
    let parts: Vec<&str> = header.split('`').collect();
    let quoted = parts.windows(2).skip(1).step_by(2);
    let is_bare = |name: &str| {
        name.starts_with(|sign: char| sign.is_ascii_lowercase())
            && name
                .chars()
                .all(|sign| sign.is_ascii_alphanumeric() || sign == '_')
    };
    quoted
        .filter(|pair| is_bare(pair[0]) && !pair[1].starts_with(']'))
        .map(|pair| pair[0].to_owned())
        .collect()
}

/// The compiler does not read headers, so a renamed module would keep its old name there.
#[test]
fn the_header_of_a_folder_names_modules_that_exist() {
    let is_checked = |path: &str| is_source(path) || path.starts_with("diagnostics/observer/");
    let mut breaches = Vec::new();
    for (path, text) in rust() {
        let is_folder = path.ends_with("/mod.rs") || path.ends_with("/lib.rs");
        if !is_folder || !is_checked(&path) || path == "src/lib.rs" {
            continue;
        }
        let code = tokens(&text);
        let is_module = |name: &str| {
            let mut declared = code.windows(2).filter(|pair| pair[0].text == "mod");
            declared.any(|pair| pair[1].text == name)
        };
        let is_command = |name: &str| {
            let command = files::root().join("diagnostics/src/commands").join(name);
            command.exists() || command.with_extension("rs").exists()
        };
        let names = names_in_header(&text).into_iter();
        let unknown = names
            .filter(|name| !is_module(name) && !is_command(name) && !NOT_MODULES.contains(&name.as_str()));
        breaches.extend(unknown.map(|name| format!("{path}: `{name}`")));
    }
    hold(
        &breaches,
        "These headers name modules that are not in their folder.",
    );
}

/// Returns the places where these tokens follow each other.
fn places(path: &str, text: &str, words: &[&str]) -> Vec<String> {
    let found = tokens(text);
    let here = |window: &&[Token]| {
        window
            .iter()
            .map(|token| token.text.as_str())
            .eq(words.iter().copied())
    };
    found
        .windows(words.len())
        .filter(here)
        .map(|window| format!("{path}:{}", window[0].line))
        .collect()
}

/// The one module whose users have to promise what no function can check: that no other thread reads the environment.
const UNSAFE_API: &str = "src/environment.rs";

#[test]
fn unsafe_stands_in_sys_only() {
    let elsewhere = rust()
        .into_iter()
        .filter(|(path, _)| is_source(path) && !path.starts_with("src/sys/") && path != UNSAFE_API);
    let breaches: Vec<_> = elsewhere
        .flat_map(|(path, text)| places(&path, &text, &["unsafe"]))
        .collect();
    hold(
        &breaches,
        "`unsafe` belongs in src/sys/, behind a function that is safe to call.",
    );
}

#[test]
fn no_lint_is_switched_off_for_good() {
    let mut breaches = Vec::new();
    for (path, text) in rust() {
        for before in ["[", ","] {
            breaches.extend(places(&path, &text, &[before, "allow", "("]));
        }
    }
    hold(
        &breaches,
        "`#[expect(lint, reason = \"…\")]` says why, and says when it is needed no more.",
    );
}

/// Prefixes of paths that depend on the machine.
const MACHINES: [&str; 5] = ["/tmp/", "/home/", "/root/", "/Users/", ":\\Users\\"];

/// Returns whether the line names a path that begins at `place`. `target/tmp/` does not begin at `/tmp/`.
fn names(line: &str, place: &str) -> bool {
    let is_inner =
        |before: &str| before.ends_with(|sign: char| sign.is_alphanumeric() || "_-.~}".contains(sign));
    line.match_indices(place)
        .any(|(at, _)| place.starts_with(':') || !is_inner(&line[..at]))
}

/// Prefixes of paths that some machine may have all the same.
const ABSENT: [&str; 4] = ["/absent", "/no/", "/nonexistent", "/nowhere"];

#[test]
fn what_is_absent_in_a_test_is_absent_in_its_own_directory() {
    let mut breaches = Vec::new();
    for (path, text) in rust() {
        let is_of_tests = path.contains("tests/") && path != "tests/it/tidy.rs";
        for line in text.lines().filter(|_| is_of_tests) {
            if ABSENT.iter().any(|place| names(line, place)) {
                breaches.push(format!("{path}: {line}"));
            }
        }
    }
    hold(&breaches, "Join a name to a temporary directory.");
}

#[test]
fn no_path_of_one_machine_is_written_down() {
    let sources = rust().into_iter().filter(|(path, _)| is_source(path));
    let sources = sources.map(|(path, text)| (path, without_tests(&text).to_owned()));
    let pages = files::all("", "md").into_iter().chain(files::all("", "toml"));
    // The directory at the top in which this checkout lies.
    let top = files::root().components().nth(1).unwrap();
    let here: &str = &format!("/{}/", top.as_os_str().to_str().unwrap());
    let mut breaches = Vec::new();
    for (path, text) in sources.chain(pages) {
        for (index, line) in text.lines().enumerate() {
            let found = MACHINES.iter().chain([&here]).filter(|place| names(line, place));
            breaches.extend(found.map(|place| format!("{path}:{}: {place}", index + 1)));
        }
    }
    hold(
        &breaches,
        "Ask for temporary and home folders; in a page, write `...`.",
    );
}

/// Returns the keys and values of a table of a manifest, such as `[dependencies]`.
fn table(manifest: &str, header: &str) -> Vec<(String, String)> {
    let section = manifest
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != header)
        .skip(1);
    let section = section.take_while(|line| !line.starts_with('['));
    let pairs = section
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='));
    pairs
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

#[test]
fn the_library_depends_on_what_was_decided() {
    let manifest = files::read("Cargo.toml");
    let mut names: Vec<String> = ["[dependencies]", "[target.'cfg(unix)'.dependencies]"]
        .iter()
        .flat_map(|header| table(&manifest, header))
        .map(|(name, _)| name)
        .collect();
    names.sort();
    assert_eq!(
        names, DEPENDENCIES,
        "every test suite that uses cofferdam compiles these: see adr/"
    );
}

#[test]
fn the_binary_sees_no_more_of_the_library_than_its_users_may() {
    let page = files::read("src/lib.rs");
    let manifest = files::read("diagnostics/Cargo.toml");
    let dependencies = table(&manifest, "[dependencies]");
    let (_, ours) = dependencies
        .iter()
        .find(|(name, _)| name == "cofferdam")
        .expect("the binary is made of the library");
    let features = ours
        .split_once("features = [")
        .map_or("", |(_, features)| features);
    let features = features.split_once(']').map_or("", |(features, _)| features);
    let breaches: Vec<String> = features
        .split(',')
        .map(|name| name.trim().trim_matches('"').to_owned())
        .filter(|name| !name.is_empty())
        .filter(|name| !page.contains(&format!("//! - `{name}`: ")))
        .collect();
    hold(
        &breaches,
        "cargo-cofferdam uses the public API: the features that the crate page offers to everybody.",
    );
}

#[test]
fn all_packages_of_the_workspace_keep_the_same_lints_and_licence() {
    let mut breaches = Vec::new();
    for path in [
        "Cargo.toml",
        "diagnostics/Cargo.toml",
        "diagnostics/batch/Cargo.toml",
        "diagnostics/conflicts/Cargo.toml",
        "macros/Cargo.toml",
    ] {
        let manifest = files::read(path);
        let wanted = ["version", "edition", "license", "repository"];
        let package = table(&manifest, "[package]");
        let inherits = |key: &str| {
            package
                .iter()
                .any(|(known, value)| *known == format!("{key}.workspace") && value == "true")
        };
        breaches.extend(
            wanted
                .iter()
                .filter(|key| !inherits(key))
                .map(|key| format!("{path}: {key}.workspace = true")),
        );
        if table(&manifest, "[lints]") != [("workspace".to_owned(), "true".to_owned())] {
            breaches.push(format!("{path}: [lints] workspace = true"));
        }
    }
    hold(&breaches, "These lines are missing.");
}

#[test]
fn the_files_that_the_package_ships_exist() {
    let manifest = files::read("Cargo.toml");
    let package = table(&manifest, "[package]");
    let mut paths: Vec<&str> = Vec::new();
    for (key, value) in &package {
        if key == "include" {
            paths.extend(value.split('"').skip(1).step_by(2));
        } else if key == "readme" {
            paths.push(value.trim_matches('"'));
        }
    }
    assert!(
        paths.len() > 1,
        "the library's manifest has no include list: its tests and documents would be shipped"
    );
    let mut breaches = Vec::new();
    for path in paths {
        let start = path.trim_start_matches('/').split('*').next().unwrap_or_default();
        let mut entries = std::fs::read_dir(files::root())
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        if !entries.any(|name| name.to_string_lossy().starts_with(start)) {
            breaches.push(path.to_owned());
        }
    }
    hold(&breaches, "The manifest names these, and they are not there.");
}

#[test]
fn what_is_installed_is_what_was_tested() {
    let pages = files::all("", "md");
    let lines = pages
        .iter()
        .flat_map(|(path, text)| text.lines().map(move |line| (path, line)));
    let unlocked =
        lines.filter(|(_, line)| line.starts_with("$ cargo install ") && !line.contains(" --locked "));
    let unlocked: Vec<_> = unlocked.map(|(path, line)| format!("{path}: {line}")).collect();
    hold(
        &unlocked,
        "With `--locked` the dependencies are those of Cargo.lock.",
    );
}

#[test]
fn the_alias_of_the_command_shows_that_it_compiles() {
    let config = files::read(".cargo/config.toml");
    let alias = config
        .lines()
        .find(|line| line.starts_with("cofferdam = "))
        .unwrap();
    assert!(!alias.contains(" -q") && !alias.contains(" --quiet"), "{alias}");
}

#[test]
fn the_changelog_knows_this_version() {
    let headings = markdown::headings(&files::read("CHANGELOG.md"));
    let manifest = files::read("Cargo.toml");
    let package = table(&manifest, "[workspace.package]");
    let version = package
        .iter()
        .find(|(key, _)| key == "version")
        .map(|(_, value)| value.trim_matches('"'));
    let released = format!("## [{}]", version.unwrap());
    let is_known =
        |heading: &String| heading.starts_with("## [Unreleased]") || heading.starts_with(&released);
    assert!(
        headings.iter().any(is_known),
        "CHANGELOG.md has neither `## [Unreleased]` nor `{released}`"
    );
    let kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];
    let other = headings.into_iter().filter(|heading| {
        heading
            .strip_prefix("### ")
            .is_some_and(|kind| !kinds.contains(&kind))
    });
    hold(
        &other.collect::<Vec<_>>(),
        &format!("Changes are {}.", kinds.join(", ")),
    );
}

#[test]
fn every_decision_says_what_was_refused() {
    let mut breaches = Vec::new();
    for (path, page) in files::all("adr", "md") {
        // An index of the decisions is not a decision.
        if !path["adr/".len()..].starts_with(|sign: char| sign.is_ascii_digit()) {
            continue;
        }
        let parts: Vec<_> = markdown::headings(&page)
            .into_iter()
            .filter(|heading| heading.starts_with("## "))
            .collect();
        let wanted = ["## Context", "## Decision", "## Refused", "## Consequences"];
        if !parts
            .iter()
            .map(String::as_str)
            .filter(|part| wanted.contains(part))
            .eq(wanted)
        {
            breaches.push(format!("{path}: {}", parts.join(", ")));
        }
    }
    hold(
        &breaches,
        "A decision has the parts Context, Decision, Refused, Consequences, in this order.",
    );
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut breaches = Vec::new();
    for (path, page) in files::all("", "md") {
        let here = Path::new(&path).parent().unwrap_or(Path::new(""));
        for (line, target) in markdown::links(&page) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let linked = if file.is_empty() {
                files::root().join(&path)
            } else {
                files::root().join(here).join(file)
            };
            let is_page = linked.extension().is_some_and(|extension| extension == "md");
            let has_anchor = || {
                let text = std::fs::read_to_string(&linked).unwrap_or_default();
                !is_page || anchor.is_empty() || markdown::anchors(&text).iter().any(|known| known == anchor)
            };
            if !linked.exists() || !has_anchor() {
                breaches.push(format!("{path}:{line}: {target}"));
            }
        }
    }
    hold(&breaches, "These links lead nowhere.");
}
