//! The slowest of 8 shards beside nextest's partitions, for a suite of 1,000 tests with log-normal times.
//!
//! `cargo bench -p cargo-cofferdam --bench shards`; needs cargo-nextest, which lists the tests of each shard and partition.
//! Each number is the time of the slowest divided by the least possible: an eighth of all times, or the longest test.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made is none")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const PROGRAMS: usize = 4;
const TESTS: usize = 250;
const SHARDS: usize = 8;

/// Seconds by test, as `suite::program0 t17`.
type Times = BTreeMap<String, f64>;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let mut times = suite(dir.path());
    let partitions = ["hash", "slice"].map(|kind| {
        let one = |shard| list(dir.path(), &["--partition", &format!("{kind}:{shard}/{SHARDS}")]);
        (kind, (1..=SHARDS).map(one).collect::<Vec<_>>())
    });
    compare(dir.path(), "1,000 tests", &times, &partitions);
    // One test as long as a quarter of all.
    let sum: f64 = times.values().sum();
    times.insert("suite::program1 t100".to_owned(), sum / 4.0);
    compare(dir.path(), "one of them too long", &times, &partitions);
}

fn compare(dir: &Path, name: &str, times: &Times, partitions: &[(&str, Vec<Vec<String>>)]) {
    write_junit(dir, times);
    let begun = now();
    let report = shards(dir);
    let lasted = begun.elapsed();
    let ours: Vec<Vec<String>> = report["shards"]
        .as_array()
        .unwrap()
        .iter()
        .map(|shard| list(dir, &["-E", shard["filterset"].as_str().unwrap()]))
        .collect();
    let (slowest, covered) = slowest(&ours, times);
    assert_eq!(covered, times.len(), "each test is in one shard");
    let theirs: Vec<String> = partitions
        .iter()
        .map(|(kind, parts)| format!("{kind}: {:.3}", self::slowest(parts, times).0))
        .collect();
    println!(
        "{name}: {slowest:.3} (to reach: at most 1.1), nextest's {}; {} named as too long; listed and divided in {:.2} s",
        theirs.join(", "),
        report["too_long"].as_array().unwrap().len(),
        lasted.as_secs_f64()
    );
}

/// Returns the time of the slowest part relative to the least possible, and the number of tests in all parts.
fn slowest(parts: &[Vec<String>], times: &Times) -> (f64, usize) {
    let sum: f64 = times.values().sum();
    let longest = times.values().copied().fold(0.0, f64::max);
    let of_part = |part: &Vec<String>| part.iter().map(|test| times[test]).sum::<f64>();
    let slowest = parts.iter().map(of_part).fold(0.0, f64::max);
    let tests = parts.iter().map(Vec::len).sum();
    (slowest / longest.max(sum / SHARDS as f64), tests)
}

/// Writes the suite, and returns its times.
fn suite(dir: &Path) -> Times {
    let manifest = "[package]\nname = \"suite\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
    std::fs::create_dir_all(dir.join("src")).unwrap();
    std::fs::create_dir_all(dir.join("tests")).unwrap();
    std::fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(dir.join("src/lib.rs"), "").unwrap();
    let mut times = Times::new();
    let mut state = 1;
    for program in 0..PROGRAMS {
        let mut source = String::new();
        for test in 0..TESTS {
            writeln!(source, "#[test] fn t{test}() {{}}").unwrap();
            // The median is 0.1 s; one of a hundred tests takes more than 1.6 s.
            let seconds = 0.1 * (1.2 * normal(&mut state)).exp();
            times.insert(format!("suite::program{program} t{test}"), seconds);
        }
        std::fs::write(dir.join(format!("tests/program{program}.rs")), source).unwrap();
    }
    times
}

/// Returns a normally distributed number (Box and Muller).
fn normal(state: &mut u64) -> f64 {
    let mut uniform = || {
        // Knuth's generator; its upper bits are the good ones.
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((*state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    };
    let (radius, angle) = (uniform(), uniform());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

fn write_junit(dir: &Path, times: &Times) {
    let mut report = "<testsuites><testsuite name=\"all\">\n".to_owned();
    for (test, seconds) in times {
        let (program, name) = test.split_once(' ').unwrap();
        writeln!(
            report,
            "<testcase classname=\"{program}\" name=\"{name}\" time=\"{seconds:.6}\"/>"
        )
        .unwrap();
    }
    report.push_str("</testsuite></testsuites>\n");
    std::fs::write(dir.join("junit.xml"), report).unwrap();
}

fn shards(dir: &Path) -> Value {
    let count = SHARDS.to_string();
    let mut command = command(env!("CARGO_BIN_EXE_cargo-cofferdam"), dir);
    command.args(["shards", &count, "--times", "junit.xml", "--format", "json"]);
    let output = command.args(["--", "cargo", "nextest", "run"]).output().unwrap();
    assert!(output.status.success(), "the suite was not divided");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns the tests that nextest would run with these arguments.
fn list(dir: &Path, arguments: &[&str]) -> Vec<String> {
    let mut command = command("cargo", dir);
    command.args(["nextest", "list", "--message-format", "json"]);
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "nextest did not list the tests");
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut tests = Vec::new();
    for (id, suite) in list["rust-suites"].as_object().unwrap() {
        for (name, case) in suite["testcases"].as_object().unwrap() {
            if case["filter-match"]["status"] == "matches" {
                tests.push(format!("{id} {name}"));
            }
        }
    }
    tests
}

#[expect(
    clippy::disallowed_methods,
    reason = "the program that is measured, and the one that it is measured by"
)]
fn command(program: &str, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(dir)
        .env("CARGO_TARGET_DIR", dir.join("target"))
        .env("COFFERDAM_DIR", dir.join("cofferdam"))
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    command
}

#[expect(clippy::disallowed_methods, reason = "time is what is measured")]
fn now() -> Instant {
    Instant::now()
}
