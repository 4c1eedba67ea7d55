//! Isolated tests that fail, run by real runners.

use crate::stranger::{Suite, text};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Returns the command without backtraces, which repeat the messages' words.
fn cargo(suite: &Suite, args: &str) -> Command {
    let mut cargo = suite.cargo(args);
    cargo.env("RUST_BACKTRACE", "0");
    cargo
}

fn suite() -> Suite {
    let files = [
        ("src/lib.rs", ""),
        ("tests/suite.rs", include_str!("suite/isolated.rs")),
    ];
    Suite::new("isolated-tests", &["macros"], "", &files)
}

const FAILING: &str = "panics panics_with_a_quiet_hook panics_quietly_from_the_start panics_with_a_number returns_an_error exits exits_with_a_code aborts ends_badly \
     takes_too_long should_panic_otherwise should_panic_and_returns should_panic_and_aborts should_panic_and_exits \
     returns_an_error_with_a_directory panics_with_a_directory should_panic_and_takes_too_long has_no_directory closes_everything_and_passes_not waits_for_the_lock_of_a_wrapper";
const PASSING: &str = "passes leaves_a_process_and_passes prints_much_and_passes ignored_and_passes should_panic_with_a_directory_and_passes";

/// Returns the part of the output of `cargo test` about one failed test.
fn about<'a>(output: &'a str, test: &str) -> &'a str {
    let Some((_, about)) = output.split_once(&format!("---- {test} stdout ----\n")) else {
        panic!("nothing about {test} in\n{output}");
    };
    about.split("\n---- ").next().unwrap()
}

#[test]
fn under_cargo_test_each_fails_as_it_would_in_the_test_process() {
    let suite = suite();
    let args = "test --test suite -- --test-threads 2 --include-ignored --skip meets";
    let ended = cargo(&suite, args).output().unwrap();
    let output = text(&ended);
    for test in FAILING.split_whitespace() {
        let failed = [
            format!("test {test} ... FAILED"),
            format!("test {test} - should panic ... FAILED"),
        ];
        assert!(
            failed.iter().any(|line| output.contains(line)),
            "{test} in\n{output}"
        );
    }
    for test in PASSING.split_whitespace() {
        let passed = [
            format!("test {test} ... ok"),
            format!("test {test} - should panic ... ok"),
        ];
        assert!(
            passed.iter().any(|line| output.contains(line)),
            "{test} in\n{output}"
        );
    }
    assert!(output.contains("5 passed; 20 failed; 0 ignored"), "{output}");
    let says = |test: &str, parts: &[&str]| {
        let about = about(&output, test);
        for part in parts {
            assert!(
                about.contains(part),
                "{part:?} in what is said about {test}:\n{about}"
            );
        }
    };
    says(
        "panics",
        &[
            "printed before the panic\n",
            "tests/suite.rs:17:5:\nthe message of the test",
        ],
    );
    assert_eq!(
        about(&output, "panics")
            .matches("the message of the test")
            .count(),
        1,
        "{output}"
    );
    says("panics_with_a_quiet_hook", &["the test panicked: quietly"]);
    says(
        "panics_quietly_from_the_start",
        &["the test panicked at tests/suite.rs:178:9: quietly"],
    );
    says("panics_with_a_number", &["tests/suite.rs:30:5"]);
    says("returns_an_error", &["Error: \"the error's text\""]);
    says(
        "exits",
        &["the test's process exited with code 0 before the test returned"],
    );
    says(
        "exits_with_a_code",
        &["the test's process exited with code 7 before the test returned"],
    );
    says(
        "aborts",
        &["the test's process was ended by signal 6 (SIGABRT) before the test returned"],
    );
    says(
        "ends_badly",
        &["the test returned, but then its process was ended by signal 6 (SIGABRT)"],
    );
    says(
        "takes_too_long",
        &[
            "printed before the timeout\n",
            "the test did not end within 300ms",
        ],
    );
    says("should_panic_otherwise", &["the message"]);
    says("should_panic_and_returns", &["test did not panic as expected"]);
    says("should_panic_and_aborts", &["test did not panic as expected"]);
    says("should_panic_and_exits", &["test did not panic as expected"]);
    says(
        "should_panic_and_takes_too_long",
        &["test did not panic as expected"],
    );
    says("has_no_directory", &["could not start a process for the test"]);
    says(
        "waits_for_the_lock_of_a_wrapper",
        &[
            "the test's process did not reach the test within 10s",
            "cofferdam::serial",
        ],
    );
    // One for each that failed, and none for the one that should panic.
    assert_eq!(output.matches("and its directory is kept").count(), 2, "{output}");
    let why = "cofferdam: the test ends without a panic: the test's process exited with code 0 before the test returned";
    assert!(output.contains(why), "{output}");
    for never in ["the body's line", "the body's error line", "running 1 test\n"] {
        assert!(!output.contains(never), "{never} in\n{output}");
    }
}

#[test]
fn its_output_is_shown_if_it_is_asked_for() {
    let suite = suite();
    let ended = suite
        .cargo("test --test suite -- --exact passes --nocapture")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(
        shown.contains("the body's line\n") && shown.matches("running 1 test").count() == 1,
        "{shown}"
    );
    assert!(String::from_utf8_lossy(&ended.stderr).contains("the body's error line\n"));
    let ended = suite
        .cargo("test --test suite -- --exact passes --show-output")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&ended.stdout);
    assert!(
        shown.contains("---- passes stdout ----\nthe body's line\nthe body's error line\n"),
        "{shown}"
    );
}

#[test]
fn under_nextest_the_same_tests_fail() {
    let suite = suite();
    if !suite.has_nextest() {
        return;
    }
    // Without arguments the lock of a wrapper is no obstacle, because there is no second process.
    let args = "nextest run --test suite --no-fail-fast --run-ignored all -E";
    let filter = "not test(meets) and not test(waits_for_the_lock)";
    let ended = cargo(&suite, args).arg(filter).output().unwrap();
    let output = text(&ended);
    for test in FAILING
        .split_whitespace()
        .filter(|test| !test.starts_with("waits") && !test.starts_with("exits"))
    {
        let failed = [format!("isolated-tests::suite {test}\n")];
        assert!(
            failed.iter().any(|line| output.contains(line)),
            "{test} in\n{output}"
        );
    }
    assert!(output.contains("the test did not end within 300ms"), "{output}");
}

/// Kills the process of the test by a signal that nothing can catch.
fn kill(pid: i32) {
    #[expect(unsafe_code, reason = "std kills only its own children")]
    // SAFETY: kill(2) takes two numbers and touches no memory.
    unsafe {
        assert_eq!(libc::kill(pid, libc::SIGKILL), 0);
    }
}

#[test]
fn its_process_ends_with_the_test_process_that_is_killed() {
    let suite = suite();
    let built = suite.cargo("test --test suite --no-run").output().unwrap();
    assert!(built.status.success(), "{}", text(&built));
    let meeting = TcpListener::bind("127.0.0.1:0").unwrap();
    for _ in 0..10 {
        let mut runner = suite.cargo("test --test suite -- --exact meets --ignored");
        let runner = runner.env("MEET", meeting.local_addr().unwrap().to_string());
        let mut runner = runner
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (stream, _) = meeting.accept().unwrap();
        let mut stream = BufReader::new(stream);
        let mut words = String::new();
        stream.read_line(&mut words).unwrap();
        let (child, parent) = words.trim().split_once(' ').unwrap();
        assert_ne!(child, parent);
        kill(parent.parse().unwrap());
        // The deadline can only fail the test. A reset connection is closed too.
        stream
            .get_ref()
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let closed = stream.read(&mut [0]);
        assert!(
            closed.is_ok_and(|read| read == 0) || !std::path::Path::new(&format!("/proc/{child}")).exists(),
            "it is still connected"
        );
        assert!(!runner.wait().unwrap().success());
    }
}

#[test]
fn many_at_once_do_not_disturb_each_other() {
    let suite = suite();
    for _ in 0..5 {
        let ended = suite
            .cargo("test --test suite -- passes --include-ignored --skip closes --test-threads 4")
            .output()
            .unwrap();
        assert!(text(&ended).contains("5 passed; 0 failed"), "{}", text(&ended));
    }
}
