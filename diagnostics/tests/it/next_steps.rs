//! The command without a subcommand.

use crate::recording::{json_of, output_of};
use std::fs;
use std::path::Path;

fn project(dir: &Path, locked: &[&str]) {
    fs::write(dir.join("Cargo.toml"), "[package]\nname = \"shop\"\n").unwrap();
    let packages = locked
        .iter()
        .map(|name| format!("[[package]]\nname = \"{name}\"\n"));
    fs::write(dir.join("Cargo.lock"), packages.collect::<String>()).unwrap();
}

/// The commands that a report proposes.
fn commands(dir: &Path) -> Vec<String> {
    let output = output_of(dir, &[]);
    assert_eq!((output.code, output.err.as_str()), (Some(0), ""));
    assert!(output.out.lines().count() <= 8, "{}", output.out);
    let lines = output.out.lines().filter_map(|line| line.strip_prefix("  "));
    let command = |line: &str| line.split("  #").next().unwrap().trim_end().to_owned();
    lines.map(command).collect()
}

#[test]
fn a_new_project_is_to_be_observed() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path(), &["shop", "serial_test"]);
    let output = output_of(dir.path(), &[]);
    assert!(
        output
            .out
            .contains("depends on serial_test, not on cofferdam; cargo-nextest is "),
        "{}",
        output.out
    );
    assert!(output.out.contains("nothing is recorded yet"), "{}", output.out);
    let wanted = [
        "cargo cofferdam observe --confirm -- cargo test --no-fail-fast",
        "cargo cofferdam hunt -- cargo test --no-fail-fast",
    ];
    assert_eq!(commands(dir.path())[..2], wanted);
    let (_, report) = json_of(dir.path(), &["--format", "json"]);
    assert_eq!(report["next"][0]["command"][2], "observe");
    assert_eq!(report["project"]["depends_on_serial_test"], true);
    // Nothing was written.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn a_failure_is_to_be_hunted_and_conflicts_are_to_be_fixed() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path(), &["shop", "cofferdam"]);
    let page = include_str!("../../../docs/reference/findings.md");
    let example = page
        .split("```json\n")
        .nth(1)
        .unwrap()
        .split("\n```")
        .next()
        .unwrap();
    fs::create_dir(dir.path().join("observed")).unwrap();
    fs::write(dir.path().join("observed/last.json"), example).unwrap();
    let wanted = [
        "cargo cofferdam hunt c -- cargo test --no-fail-fast",
        "cargo cofferdam fix",
        "cargo cofferdam run -- cargo test --no-fail-fast",
    ];
    assert_eq!(commands(dir.path()), wanted);
    // An hour of tests is worth shards.
    let example = example.replacen("\"micros\": {", "\"micros\": {\"slow\": 3600000000, ", 1);
    fs::write(dir.path().join("observed/last.json"), example).unwrap();
    assert_eq!(commands(dir.path()).last().unwrap(), "cargo cofferdam shards 4");
    let output = output_of(dir.path(), &[]);
    assert!(
        output.out.contains("12 tests, 1 failed (shop::c), 1 conflict"),
        "{}",
        output.out
    );
}

#[test]
fn outside_of_a_project_it_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let output = output_of(dir.path(), &[]);
    assert_eq!(output.code, Some(0));
    assert!(
        output.out.contains("no Cargo.toml here or above"),
        "{}",
        output.out
    );
}
