//! Custom harnesses that begin their tests with the library.

use super::package::Package;
#[cfg(target_arch = "x86_64")]
use super::statics;
use super::{CARGO, NEXTEST};
use crate::recording::CommandOutput;

const BEGINNING: &str = include_str!("suites/beginning.rs");

fn package() -> Package {
    let package = Package::with_library("beginning", BEGINNING);
    let manifest = std::fs::read_to_string(package.path().join("Cargo.toml")).unwrap();
    let harness = "[[test]]\nname = \"beginning\"\nharness = false\n";
    package.write("Cargo.toml", &format!("{manifest}{harness}"));
    package
}

/// Observes the suite, and returns the report with the exit code.
fn observe(package: &Package, command: &[&str], variable: &str, value: &str) -> (serde_json::Value, i32) {
    let mut observe = package.command(&["--format", "json"], command);
    let output: CommandOutput = observe.env(variable, value).output().unwrap().into();
    (output.report(), output.code.unwrap())
}

#[test]
fn a_test_that_a_harness_begins_is_observed_by_its_name_under_both_runners() {
    let package = package();
    for command in [&CARGO[..], &NEXTEST] {
        if command == NEXTEST && !crate::suites::has_nextest() {
            continue;
        }
        let (report, code) = observe(&package, command, "BEGINNING", "");
        assert_eq!(code, 0, "{report}");
        assert_eq!(report["watched"]["tests"], 4, "{report}");
        if crate::suites::observes_past_libc() {
            assert_eq!(
                report["account"]["out_of_reach"],
                serde_json::json!([]),
                "{report}"
            );
        }
        let (report, code) = observe(&package, command, "BEGINNING_SHARES", "1");
        assert_eq!(code, 1, "{report}");
        let conflicts = report["conflicts"].as_array().unwrap();
        let [shared] = &conflicts[..] else {
            panic!("{report}")
        };
        let name = shared["resource"]["name"].as_str().unwrap();
        assert!(name.ends_with("met/shared"), "{report}");
        let mut tests: Vec<&str> = shared["tests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|test| test["name"].as_str().unwrap())
            .collect();
        tests.sort_unstable();
        assert_eq!(tests, ["adds::one", "adds::two"]);
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn each_test_that_a_harness_begins_uses_the_statics_that_it_shares() {
    let options = ["--format", "json", "--memory", "require", "--list-statics"];
    let report = statics::observe(&package(), &options, &CARGO).report();
    let list = report["observed"]["statics"]["list"].as_array().unwrap();
    let shared = list.iter().find(|one| one["name"] == "beginning::USED");
    let writers = shared.and_then(|shared| shared["writers"].as_array());
    assert_eq!(writers.map(Vec::len), Some(4), "{report}");
}

#[test]
fn a_test_that_a_harness_does_not_begin_is_out_of_reach() {
    let package = package();
    let (report, code) = observe(&package, &CARGO, "BEGINNING_WITHOUT", "keeps_a_file");
    assert_eq!(report["watched"]["tests"], 3, "{report}");
    let out_of_reach = report["account"]["out_of_reach"].to_string();
    assert!(
        out_of_reach.contains("did not begin with `cofferdam::Worker::begin`"),
        "{report}"
    );
    assert_eq!(code, 0, "{report}");
}
