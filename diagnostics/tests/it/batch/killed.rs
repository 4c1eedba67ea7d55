//! A session that is killed, and the one that goes on with it.

use super::{Pipe, batch, ended, signal, started, told, wait_for_end};
use crate::recording::cofferdam;

/// Blocks the first time, and notes each run that came to its end.
const BLOCKS: &str = "sh -c 'if [ -e go ]; then echo second >> trace; else exec 3>pipe; sleep 600 & echo READY >&3; sleep 600; fi'";

const LINES: [&str; 3] = [
    "sh -c 'echo first >> trace'",
    BLOCKS,
    "sh -c 'echo third >> trace'",
];

#[cfg(target_os = "linux")]
#[test]
fn jobs_of_a_killed_session_end_and_the_rest_is_done_once() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let args = ["--jobs", "1", "--grace", "200ms"];
    let mut child = started(&mut batch(dir.path(), &LINES, &args));
    let held = pipe.wait_for("READY");
    child.kill().unwrap();
    wait_for_end(held);
    let told_by_guard = ended(child);
    assert!(
        told_by_guard.err.contains(" was killed; "),
        "{}",
        told_by_guard.err
    );

    std::fs::write(dir.path().join("go"), "").unwrap();
    let other = told(dir.path(), &["true"], &["--resume"]);
    assert!(
        other.err.contains("give `--resume` the jobs that session "),
        "{}",
        other.err
    );
    assert_eq!(other.code, Some(2));
    let resumed = told(dir.path(), &LINES, &["--resume"]);
    assert!(
        resumed.out.ends_with("; 3 jobs passed\n"),
        "{}{}",
        resumed.out,
        resumed.err
    );
    let trace = std::fs::read_to_string(dir.path().join("trace")).unwrap();
    let mut ran: Vec<&str> = trace.lines().collect();
    ran.sort_unstable();
    assert_eq!(ran, ["first", "second", "third"]);
    let again = told(dir.path(), &LINES, &["--resume"]);
    assert!(
        again.err.contains("there is no interrupted session"),
        "{}",
        again.err
    );
    assert!(again.out.ends_with("; 3 jobs passed\n"), "{}", again.out);
}

#[cfg(target_os = "linux")]
#[test]
fn what_failed_before_still_counts_after_resuming() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let lines = ["false", BLOCKS];
    let mut child = started(&mut batch(
        dir.path(),
        &lines,
        &["--jobs", "1", "--grace", "200ms"],
    ));
    let held = pipe.wait_for("READY");
    child.kill().unwrap();
    wait_for_end(held);
    ended(child);
    std::fs::write(dir.path().join("go"), "").unwrap();
    let resumed = told(dir.path(), &lines, &["--resume"]);
    assert!(resumed.out.ends_with("; 1 of 2 jobs failed\n"), "{}", resumed.out);
    assert_eq!(resumed.code, Some(4));
}

#[test]
fn who_waits_is_told_for_whom_and_goes_on_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let first = started(&mut batch(
        dir.path(),
        &[BLOCKS],
        &["--run-namespace", "one", "--grace", "200ms"],
    ));
    let held = pipe.wait_for("READY");
    let args = ["run", "--run-namespace", "one"];
    let bounded = cofferdam(dir.path(), &args)
        .args(["--wait=50ms", "--", "true"])
        .output()
        .unwrap();
    assert_eq!(bounded.status.code(), Some(3));
    let mut second = started(cofferdam(dir.path(), &args).args(["--wait", "--", "true"]));
    let mut said = std::io::BufReader::new(second.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    assert!(line.contains("waiting until session 1, process "), "{line}");
    signal(&first, "-INT");
    wait_for_end(held);
    ended(first);
    assert_eq!(ended(second).code, Some(0));
}
