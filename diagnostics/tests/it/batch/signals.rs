//! The effects of signals on a session.

use super::ending::STUBBORN;
use super::{Pipe, batch, ended, events, signal, started, wait_for_end};
use crate::recording::{CommandOutput, Journal, by_way_of, cofferdam, run_folder};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Stdio};

/// A job that waits for a file, and logs its end.
const WAITS: &str =
    "sh -c 'exec 3>pipe; echo READY >&3; until [ -e go ]; do sleep 0.01; done; echo done >> trace'";

/// A job that cleans up for a moment after the request to end, and logs that.
const TIDIES: &str = "sh -c 'trap \"sleep 0.3; echo done >> trace; exit 0\" TERM; exec 3>pipe; echo READY >&3; \
                      while :; do sleep 0.01; done'";

fn go(dir: &Path) {
    fs::write(dir.join("go"), "").unwrap();
}

fn trace(dir: &Path) -> String {
    fs::read_to_string(dir.join("trace")).unwrap_or_default()
}

/// Waits until the session reports that it stops its jobs, and returns the rest of its output.
fn stopping(child: &mut Child) -> BufReader<ChildStderr> {
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("stopping") {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0);
    }
    said
}

/// Returns the number of its children that have ended and were not reaped.
#[cfg(target_os = "linux")]
fn over(executor: u32) -> usize {
    let children = fs::read_to_string(format!("/proc/{executor}/task/{executor}/children")).unwrap();
    let is_over = |pid: &&str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(')').next().unwrap().starts_with(" Z")
    };
    children.split_whitespace().filter(is_over).count()
}

#[cfg(target_os = "linux")]
#[test]
fn a_job_that_ended_by_itself_is_not_cancelled_by_the_end_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let waits = |code: &str| WAITS.replace("echo done >> trace", code);
    let lines = [waits("exit 0"), waits("exit 3"), waits("exit 3")];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let child = started(&batch(
        dir.path(),
        &lines,
        &["--jobs", "3", "--on-error", "stop", "--json"],
    ));
    let mut held = pipe.wait_for("READY");
    for _ in 1..lines.len() {
        held.read_line(&mut String::new()).unwrap();
    }
    // So that it notices all ends at once.
    signal(&child, "-STOP");
    go(dir.path());
    wait_for_end(held);
    while over(child.id()) < lines.len() {
        std::thread::yield_now();
    }
    signal(&child, "-CONT");
    let output = ended(child);
    let jobs = &events(&output).pop().unwrap()["jobs"];
    let counts = ["passed", "failed", "cancelled"].map(|state| jobs[state].as_u64().unwrap());
    assert_eq!(counts, [1, 2, 0], "{}", output.out);
}

#[test]
fn a_single_command_that_a_signal_ended_is_not_retried() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let first =
        "echo x >> trace; test $(wc -l < trace) -eq 1 && { exec 3>pipe; echo READY >&3; exec sleep 600; }";
    let child = started(&cofferdam(
        dir.path(),
        &["run", "--retries", "3", "--", "sh", "-c", first],
    ));
    let held = pipe.wait_for("READY");
    signal(&child, "-INT");
    wait_for_end(held);
    assert_eq!(ended(child).code, Some(130));
    assert_eq!(trace(dir.path()), "x\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let batch = batch(dir.path(), &[WAITS], &[]);
    let mut nohup = by_way_of(&["env", "--ignore-signal=HUP"], &batch);
    let child = nohup
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let held = pipe.wait_for("READY");
    signal(&child, "-HUP");
    go(dir.path());
    wait_for_end(held);
    let output = ended(child);
    assert!(
        output.out.ends_with("; 1 job passed\n"),
        "{}{}",
        output.out,
        output.err
    );
    assert_eq!(trace(dir.path()), "done\n");
}

#[test]
fn a_second_signal_kills_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let mut child = started(&batch(dir.path(), &[STUBBORN], &["--grace", "1h"]));
    let held = pipe.wait_for("READY");
    signal(&child, "-INT");
    let _said = stopping(&mut child);
    signal(&child, "-INT");
    wait_for_end(held);
    assert_eq!(ended(child).code, Some(4));
}

#[test]
fn two_signals_of_one_event_count_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let child = started(&batch(dir.path(), &[TIDIES], &["--grace", "1h"]));
    let held = pipe.wait_for("READY");
    // As on closing a terminal: the shell sends one signal, the kernel the other.
    signal(&child, "-STOP");
    signal(&child, "-HUP");
    signal(&child, "-TERM");
    signal(&child, "-CONT");
    wait_for_end(held);
    assert_eq!(ended(child).code, Some(4));
    assert_eq!(trace(dir.path()), "done\n");
}

#[test]
fn a_first_signal_does_not_shorten_the_grace_period_of_a_policy() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let fails = "sh -c 'until [ -e fail ]; do sleep 0.01; done; exit 1'";
    let args = ["--jobs", "2", "--grace", "1h", "--on-error", "stop"];
    let mut child = started(&batch(dir.path(), &[TIDIES, fails], &args));
    let held = pipe.wait_for("READY");
    fs::write(dir.path().join("fail"), "").unwrap();
    let _said = stopping(&mut child);
    signal(&child, "-INT");
    wait_for_end(held);
    assert_eq!(ended(child).code, Some(4));
    assert_eq!(trace(dir.path()), "done\n");
}

/// So many conflicts that their report does not fit into a pipe.
fn much_to_tell(dir: &Path, session: &str) {
    let folder = run_folder(dir, "much", session, 100);
    for (execution, lane) in [(1, "w0"), (2, "w1")] {
        let mut journal = Journal::new("much", session, lane, 10);
        for number in 0..1_000 {
            let file = format!("file:/shop/report-{number}.csv");
            let test = 10 * number + execution;
            journal.test(test, &format!("on_{lane}_{number}"), &file, 10, 30);
        }
        journal.write(&folder);
    }
}

#[test]
fn after_the_last_job_a_signal_ends_the_command_like_any_program() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let says =
        "echo $COFFERDAM_RECORD > session; exec 3>pipe; echo READY >&3; until [ -e go ]; do sleep 0.01; done";
    let mut child = started(&cofferdam(dir.path(), &["run", "--", "sh", "-c", says]));
    let held = pipe.wait_for("READY");
    let session = fs::read_to_string(dir.path().join("session")).unwrap();
    much_to_tell(dir.path(), session.trim_end());
    go(dir.path());
    wait_for_end(held);
    // The report has begun, so signals have their default effect; and the pipe is full before the signal.
    let mut first = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    signal(&child, "-TERM");
    let output: CommandOutput = ended(child);
    assert_eq!(output.code, None, "{}", output.out.len());
}
