//! The further runs of tests that failed while they were observed.

use super::package::Package;
use super::{CARGO, NEXTEST};
use crate::recording::CommandOutput;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

const EXPLAINING: &str = include_str!("suites/explaining.rs");

/// Tests run one after the other, in the order of their names.
const IN_ORDER: [&str; 5] = ["cargo", "test", "--offline", "--", "--test-threads=1"];

fn observed(
    package: &Package,
    options: &[&str],
    command: &[&str],
    variable: Option<(&str, &str)>,
) -> CommandOutput {
    let mut observe = package.command(options, command);
    observe.envs(variable).output().unwrap().into()
}

#[test]
fn each_failed_test_says_how_it_does_alone_and_after_those_before_it() {
    let package = Package::new("explaining", EXPLAINING);
    let output = observed(&package, &[], &IN_ORDER, Some(("SECOND", "1")));
    for line in [
        "failed: b_is_closed_at_first (explaining): passes alone, fails after the tests before it",
        "failed: c_fails (explaining): fails alone too",
        "failed: e_passes_the_second_time (explaining): passes alone and after the tests before it",
        "  hunt: cargo cofferdam hunt b_is_closed_at_first c_fails e_passes_the_second_time -- cargo test --offline -- \
         '--test-threads=1'",
    ] {
        assert!(
            output.out.lines().any(|printed| printed == line),
            "{line}: {}",
            output.out
        );
    }
}

#[test]
fn the_further_runs_are_in_json_and_the_command_is_not() {
    let package = Package::new("explaining", EXPLAINING);
    let options = [
        "--report",
        "json=report",
        "--report",
        "junit=junit",
        "--report",
        "sarif=sarif",
        "--report",
        "perfetto=trace",
    ];
    let output = observed(&package, &options, &IN_ORDER, None);
    assert!(
        output.out.contains("hunt: cargo cofferdam hunt "),
        "{}",
        output.out
    );
    let read = |file: &str| {
        let bytes = std::fs::read(package.path().join(file)).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    for file in ["report", "junit", "sarif", "trace"] {
        let text = read(file);
        assert!(!text.contains("cofferdam hunt"), "{text}");
    }
    let junit = read("junit");
    assert!(
        junit.contains("<failure message=\"failed; passes alone, fails after the tests before it\"/>"),
        "{junit}"
    );
    let text = read("report");
    let report: Value = serde_json::from_str(&text).unwrap();
    let test = |name: &str, failed: u32, after: &str| {
        json!({"test": name, "binary": "explaining", "alone": {"failed": failed, "runs": 3}, "after_preceding": after,
               "poisoned_by": null, "lock": null, "not_examined": null})
    };
    assert_eq!(
        report["observed"]["failed"],
        json!([
            test("b_is_closed_at_first", 0, "failed"),
            test("c_fails", 3, "failed")
        ])
    );
}

#[test]
fn after_a_signal_during_the_suite_no_test_runs_again() {
    let suite = "#[test] fn a_fails() { panic!() }\n#[test] fn b_waits() {\nprintln!(\"began\");\n\
                 std::thread::sleep(std::time::Duration::from_secs(2));\n}\n";
    let package = Package::new("interrupted", suite);
    let mut observe = package.command(&[], &[&IN_ORDER[..], &["--nocapture"]].concat());
    let mut observe = observe
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(observe.stdout.take().unwrap()).lines();
    assert!(out.any(|line| line.unwrap().contains("began")));
    let pid = rustix::process::Pid::from_child(&observe);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let lines: Vec<String> = out.map(Result::unwrap).collect();
    observe.wait().unwrap();
    let line = "failed: a_fails (interrupted): not examined: interrupted";
    assert!(lines.iter().any(|printed| printed == line), "{lines:#?}");
}

#[test]
fn without_further_runs_failed_tests_are_only_named() {
    let package = Package::new("explaining", EXPLAINING);
    let output = observed(&package, &["--no-explain"], &IN_ORDER, None);
    let named = "failed: c_fails (explaining)";
    assert!(output.out.lines().any(|line| line == named), "{}", output.out);
    let output = observed(&package, &["--no-explain", "--format", "json"], &IN_ORDER, None);
    assert_eq!(output.report()["observed"]["failed"][0]["alone"], Value::Null);
}

#[test]
fn a_test_that_ends_its_program_is_named_and_examined() {
    let package = Package::new("explaining", EXPLAINING);
    for ends in ["abort", "exit"] {
        let output = observed(&package, &[], &IN_ORDER, Some(("ENDS", ends)));
        let line = "unfinished: d_ends_the_process (explaining): fails alone too";
        assert!(
            output.out.lines().any(|printed| printed == line),
            "{ends}: {}",
            output.out
        );
    }
}

#[test]
fn under_nextest_a_failed_test_is_examined_with_a_process_for_each() {
    if !crate::suites::has_nextest() {
        return;
    }
    let package = Package::new("explaining", EXPLAINING);
    let output = observed(&package, &[], &NEXTEST, None);
    let line = "failed: c_fails (explaining::explaining): fails alone too";
    assert!(
        output.out.lines().any(|printed| printed == line),
        "{}",
        output.out
    );
}

#[test]
fn a_failed_documentation_test_is_named_with_the_reason_why_it_is_not_examined() {
    let package = Package::new("explaining", "");
    package.write(
        "src/lib.rs",
        "//! ```\n//! panic!();\n//! ```\n//! ```\n//! ```\n",
    );
    let output = observed(&package, &[], &CARGO, None);
    let line = "failed: src/lib.rs - (line 1) (rust_out): not examined: a documentation test: it cannot be started again";
    assert!(
        output.out.lines().any(|printed| printed == line),
        "{}",
        output.out
    );
    let line = "  hunt: cargo cofferdam hunt -- cargo test --offline";
    assert!(
        output.out.lines().any(|printed| printed == line),
        "{}",
        output.out
    );
}

#[test]
fn a_test_command_that_fails_while_it_is_recorded_leads_to_the_hunt() {
    let package = Package::new("explaining", EXPLAINING);
    let hunt = "; `cargo cofferdam hunt -- cargo test --offline -- '--test-threads=1'` looks for the reason";
    for (options, command, has_hunt) in [
        (&["run", "--no-records", "pass"][..], &IN_ORDER[..], true),
        (
            &["run", "--no-records", "pass", "--format", "json"],
            &IN_ORDER,
            false,
        ),
        (&["run"], &["sh", "-c", "exit 7"], false),
    ] {
        let output: CommandOutput = package.cofferdam(options, command).output().unwrap().into();
        assert!(output.code != Some(0), "{}", output.err);
        assert_eq!(output.out.trim_end().ends_with(hunt), has_hunt, "{}", output.out);
    }
}

/// Tests of which the first failure poisons the lock of the later ones.
const POISONING: &str = "\
use std::sync::Mutex;
static TILL: Mutex<u32> = Mutex::new(0);
#[test] fn a_pays() { *TILL.lock().unwrap() += 1 }
#[test] fn b_overdraws() { let mut till = TILL.lock().unwrap(); *till -= 2; }
#[test] fn c_counts() { assert!(*TILL.lock().unwrap() > 0) }
#[test] fn d_fails() { panic!() }
#[test] fn e_pays() { *TILL.lock().unwrap() += 1 }
";

#[test]
fn tests_that_failed_at_a_poisoned_lock_are_one_line_after_the_failure_that_poisoned_it() {
    if !crate::suites::observes_past_libc() {
        return;
    }
    let package = Package::new("poisoning", POISONING);
    let mut observe = package.command(&["--report", "json=report"], &IN_ORDER);
    observe
        .env("CARGO_PROFILE_DEV_DEBUG", "2")
        .env("CARGO_PROFILE_TEST_DEBUG", "2");
    let output: CommandOutput = observe.output().unwrap().into();
    let lines = "\
failed: b_overdraws (poisoning): fails alone too
failed: 2 other tests (poisoning): the lock poisoning::TILL was poisoned by b_overdraws
failed: d_fails (poisoning): fails alone too
  hunt: cargo cofferdam hunt b_overdraws d_fails -- cargo test --offline -- '--test-threads=1'
";
    assert!(output.out.contains(lines), "{}{}", output.out, output.err);
    let report = std::fs::read_to_string(package.path().join("report")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    let failed = report["observed"]["failed"].as_array().unwrap();
    let at_the_lock = failed.iter().filter(|test| test["lock"] == "poisoning::TILL");
    let at_the_lock: Vec<_> = at_the_lock
        .map(|test| (&test["test"], &test["poisoned_by"]))
        .collect();
    let by = &json!("b_overdraws");
    assert_eq!(at_the_lock, [(&json!("c_counts"), by), (&json!("e_pays"), by)]);
}
