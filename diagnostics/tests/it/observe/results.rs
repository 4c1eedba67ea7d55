//! The failed tests that a report names.

use super::package::Package;
use super::{CARGO, FAILING, NEXTEST};

const RESULTING: &str = include_str!("suites/resulting.rs");
const OWN_HARNESS: &str = include_str!("suites/own_harness.rs");

/// The failed tests in the report, sorted.
fn failed(package: &Package, command: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    let mut observe = package.command(&["--no-explain", "--format", "json"], command);
    let output = observe.envs(variables.iter().copied()).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    // A program that broke off has left its last line open.
    let line = out.lines().last().unwrap();
    let (_, report) = line.split_at(line.find("{\"version\"").unwrap());
    let report: serde_json::Value = serde_json::from_str(report).unwrap();
    assert_eq!(report["account"]["lost"], serde_json::json!([]), "{report}");
    let failed = report["observed"]["failed"].as_array().unwrap();
    failed
        .iter()
        .map(|test| {
            let word = |key: &str| test[key].as_str().unwrap().to_owned();
            format!("{} of {}", word("test"), word("binary"))
        })
        .collect()
}

const FAILED: [&str; 3] = ["does_not_panic", "größe_fails", "poisons"];

#[test]
fn each_failed_test_is_named_in_each_format() {
    let package = Package::new("resulting", RESULTING);
    let wanted = FAILED.map(|name| format!("{name} of resulting"));
    for options in [
        &[][..],
        &["-q"],
        &["--test-threads=1"],
        &["--nocapture"],
        &["--show-output"],
        &["--color=always"],
    ] {
        let command = [&CARGO[..], &["--"], options].concat();
        assert_eq!(failed(&package, &command, &[]), wanted, "{options:?}");
    }
    for (options, begin) in [
        (&["--no-explain"][..], "failed: "),
        (
            &["--no-explain", "--github", "always"],
            "::error title=cofferdam%3A failed::",
        ),
    ] {
        let output = package.observe(options, &CARGO);
        for name in FAILED {
            let line = format!("{begin}{name} (resulting)");
            assert!(
                output
                    .out
                    .lines()
                    .chain(output.err.lines())
                    .any(|printed| printed == line),
                "{}{}",
                output.out,
                output.err
            );
        }
    }
}

#[test]
fn a_failed_test_is_named_though_another_one_prints_more_than_is_kept() {
    let package = Package::new("resulting", RESULTING);
    let named = failed(&package, &CARGO, &[("MUCH", "1")]);
    let wanted = ["does_not_panic", "größe_fails", "poisons", "prints_much"];
    assert_eq!(named, wanted.map(|name| format!("{name} of resulting")));
}

#[test]
fn under_nextest_the_status_of_its_process_is_a_test_s_result() {
    if !crate::suites::has_nextest() {
        return;
    }
    let package = Package::new("resulting", RESULTING);
    let manifest = "[package]\nname = \"resulting\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
                    [[test]]\nname = \"own\"\nharness = false\n";
    package.write("Cargo.toml", manifest);
    package.write("tests/own.rs", OWN_HARNESS);
    let command = [&NEXTEST[..], &["--no-fail-fast"]].concat();
    let mut wanted = FAILED
        .map(|name| format!("{name} of resulting::resulting"))
        .to_vec();
    wanted.extend(["fails", "is killed"].map(|name| format!("{name} of resulting::own")));
    wanted.sort();
    let mut named = failed(&package, &command, &[]);
    named.sort();
    assert_eq!(named, wanted);
}

#[test]
fn no_test_fails_by_the_end_of_another() {
    let package = Package::new("failing", FAILING);
    for (ends, wanted) in [
        ("panic", &["c_ends of failing"][..]),
        ("abort", &[]),
        ("exit", &[]),
        ("kill", &[]),
        ("", &[]),
    ] {
        let command = [&CARGO[..], &["--", "--test-threads=3"]].concat();
        assert_eq!(failed(&package, &command, &[("ENDS", ends)]), wanted, "{ends}");
    }
}
