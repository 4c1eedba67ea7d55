//! Jobs that do not end, or do not end completely.

use super::{Pipe, batch, ended, events, output_of, signal, started, wait_for_end};
use crate::recording::{by_way_of, cofferdam};
use std::process::Command;

/// A job that ignores signals, leaves a process behind that does too, and keeps the pipe open with both.
pub(super) const STUBBORN: &str =
    "sh -c 'trap \"\" TERM INT HUP; exec 3>pipe; sleep 600 & echo READY >&3; wait; sleep 600'";

#[test]
fn a_signal_stops_a_job_and_all_its_descendants_within_the_grace_period() {
    let dir = tempfile::tempdir().unwrap();
    for number in ["-INT", "-TERM", "-HUP"] {
        let _ = std::fs::remove_file(dir.path().join("pipe"));
        let pipe = Pipe::new(dir.path());
        let child = started(&batch(
            dir.path(),
            &[STUBBORN, "true"],
            &["--jobs", "1", "--grace", "200ms"],
        ));
        let held = pipe.wait_for("READY");
        signal(&child, number);
        let output = ended(child);
        wait_for_end(held);
        assert!(output.err.contains("stopping: signal "), "{}", output.err);
        assert!(
            output.out.contains("; 2 of 2 jobs cancelled (signal "),
            "{}",
            output.out
        );
        assert_eq!(output.code, Some(4));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_process_that_left_its_group_and_its_parent_is_stopped_too() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let away = "sh -c 'exec 3>pipe; (setsid sh -c \"sleep 600; true\" &); setsid sh -c \"echo READY >&3; sleep 600; true\"'";
    let child = started(&batch(dir.path(), &[away], &["--grace", "5s"]));
    let held = pipe.wait_for("READY");
    signal(&child, "-INT");
    wait_for_end(held);
    assert_eq!(ended(child).code, Some(4));
}

#[test]
fn processes_that_outlive_a_job_in_its_group_are_stopped_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let leaves = "sh -c 'exec 3>pipe; sleep 600 & sleep 600 & echo READY >&3'";
    let child = started(&batch(dir.path(), &[leaves], &[]));
    wait_for_end(pipe.wait_for("READY"));
    let output = ended(child);
    let wanted = if cfg!(target_os = "linux") {
        "left 2 processes running"
    } else {
        "running"
    };
    assert!(output.err.contains(wanted), "{}", output.err);
    assert!(output.out.ends_with("; 1 job passed\n"), "{}", output.out);
}

#[cfg(target_os = "linux")]
#[test]
fn a_detached_process_survives_and_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let detaches =
        "sh -c 'exec 3>pipe; setsid sh -c \"echo READY >&3; sleep 600; true\" & sleep 0.1; exit 0'";
    let child = started(&batch(dir.path(), &[detaches], &["--json"]));
    let held = pipe.wait_for("READY");
    let output = ended(child);
    let events = events(&output);
    let left = events.iter().find(|event| event["event"] == "detached").unwrap();
    let reported = &events.last().unwrap()["jobs"]["detached"][0];
    assert_eq!(
        (&reported["pid"], &reported["program"]),
        (&left["pid"], &"sh".into())
    );
    #[expect(clippy::disallowed_methods, reason = "the test has to end it")]
    let killed = Command::new("kill")
        .arg("--")
        .arg(format!("-{}", left["pid"]))
        .status();
    assert!(killed.unwrap().success());
    wait_for_end(held);
    assert_eq!(output.code, Some(0));
}

#[test]
fn a_policy_that_stops_the_session_stops_running_jobs() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let fails = "sh -c 'until [ -e ready ]; do sleep 0.01; done; exit 1'";
    let args = ["--jobs", "2", "--on-error", "stop", "--grace", "200ms"];
    let child = started(&batch(dir.path(), &[STUBBORN, fails, "true"], &args));
    let held = pipe.wait_for("READY");
    std::fs::write(dir.path().join("ready"), "").unwrap();
    wait_for_end(held);
    let output = ended(child);
    assert!(
        output
            .out
            .contains("; 1 of 3 jobs failed, 2 cancelled (j2 failed)"),
        "{}",
        output.out
    );
}

#[test]
fn a_single_command_that_exceeds_its_time_limit_is_stopped_with_its_descendants() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let mut command = cofferdam(
        dir.path(),
        &["run", "--timeout", "300ms", "--grace", "200ms", "--", "sh", "-c"],
    );
    command.arg("exec 3>pipe; sleep 600 & echo READY >&3; trap '' TERM; wait; sleep 600");
    let child = started(&command);
    let held = pipe.wait_for("READY");
    if cfg!(target_os = "linux") {
        wait_for_end(held);
    }
    assert_eq!(ended(child).code, Some(4));
}

#[test]
fn very_many_failing_and_cancelled_jobs_come_to_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let lines: Vec<String> = (0..400)
        .map(|number| format!("sh -c 'exit {}'", number % 3))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for args in [
        &["--jobs", "1", "--retries", "1"][..],
        &["--jobs", "7", "--max-fail", "50", "--rate", "2000"],
        &["--jobs", "400"],
    ] {
        let output = output_of(dir.path(), &lines, &[args, &["--quiet"]].concat());
        assert_eq!(output.code, Some(4), "{args:?}: {}", output.err);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_size_limit_ends_the_job_and_not_the_session() {
    let dir = tempfile::tempdir().unwrap();
    let mut lines = vec!["true"; 400];
    lines.push("head -c 1M /dev/zero");
    let batch = batch(dir.path(), &lines, &["--quiet"]);
    let mut shell = by_way_of(&["bash", "-c", "ulimit -c 0 -f 700; exec \"$0\" \"$@\""], &batch);
    let output: crate::recording::CommandOutput = shell.output().unwrap().into();
    let warning = "warning: this session is not recorded from here on: could not read or write the ledger ";
    assert!(output.err.contains(warning), "{}", output.err);
    // SIGXFSZ, as if it had been started by hand.
    assert!(
        output.out.contains("failed: j401 head: ended by signal 25"),
        "{}",
        output.out
    );
    assert_eq!(output.code, Some(4));

    // A report that is larger than a file may be is an error, too.
    let args = ["check", "--report", "json=report.json"];
    let mut shell = by_way_of(
        &["bash", "-c", "ulimit -c 0 -f 0; exec \"$0\" \"$@\""],
        &cofferdam(dir.path(), &args),
    );
    let output: crate::recording::CommandOutput = shell.output().unwrap().into();
    assert!(
        output.err.contains("could not write the report to report.json: "),
        "{}",
        output.err
    );
    assert_eq!(output.code, Some(3));
}

#[test]
fn a_full_disk_is_reported_once_and_all_jobs_run() {
    let dir = tempfile::tempdir().unwrap();
    let batch = batch(dir.path(), &["true"; 400], &["--quiet"]);
    // No file may grow beyond this size, and the signal for it is ignored, so that writes fail.
    let limits = "trap '' XFSZ; ulimit -f 700; exec \"$0\" \"$@\"";
    let mut shell = by_way_of(&["bash", "-c", limits], &batch);
    let output: crate::recording::CommandOutput = shell.output().unwrap().into();
    assert_eq!(output.err.matches("warning: ").count(), 1, "{}", output.err);
    let warning = "warning: this session is not recorded from here on: could not read or write the ledger ";
    assert!(output.err.contains(warning), "{}", output.err);
    assert!(output.out.ends_with("; 400 jobs passed\n"), "{}", output.out);
    assert_eq!(output.code, Some(0));
}
