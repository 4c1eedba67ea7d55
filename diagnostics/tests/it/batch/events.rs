//! The output of a running session.

use super::{batch, events, output_of};
use std::process::Stdio;

#[test]
fn events_come_in_order_as_lines_of_json_and_the_report_is_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let output = output_of(
        dir.path(),
        &["true", "sh -c 'echo hello; exit 3'"],
        &["--jobs", "1", "--json"],
    );
    let events = events(&output);
    let kinds: Vec<_> = events
        .iter()
        .map(|event| event["event"].as_str().unwrap_or("report"))
        .collect();
    assert_eq!(
        kinds,
        [
            "session", "started", "ended", "started", "ended", "finished", "report"
        ]
    );
    assert_eq!(
        (&events[0]["version"], &events[0]["session"], &events[0]["jobs"]),
        (&2.into(), &1.into(), &2.into())
    );
    let ended = &events[4];
    assert_eq!(
        (&ended["job"], &ended["exit_code"], &ended["log_bytes"]),
        (&"j2".into(), &3.into(), &6.into())
    );
    assert_eq!(
        std::fs::read_to_string(ended["log"].as_str().unwrap()).unwrap(),
        "hello\n"
    );
    assert_eq!(events[6]["exit_code"]["process"], 4);
}

#[test]
fn output_to_a_pipe_is_lines_without_control_sequences() {
    let dir = tempfile::tempdir().unwrap();
    let output = output_of(
        dir.path(),
        &["true", "sh -c 'echo why; exit 1'"],
        &["--jobs", "1"],
    );
    assert!(!output.err.contains(['\u{1b}', '\r']), "{:?}", output.err);
    assert!(output.err.contains("j1 true passed in "), "{}", output.err);
    assert!(output.err.contains("; 1 of 2 (50 %), "), "{}", output.err);
    assert!(
        output.err.contains("j2 sh failed: exit code 1, after ") && output.err.contains("  | why\n"),
        "{}",
        output.err
    );
    assert!(
        output.err.contains("2 of 2 (100 %), 1 failed, "),
        "{}",
        output.err
    );
}

#[test]
fn quiet_output_is_the_report_alone() {
    let dir = tempfile::tempdir().unwrap();
    let output = output_of(dir.path(), &["true", "false"], &["--quiet"]);
    assert_eq!(output.err.lines().count(), 1, "{}", output.err);
    assert!(output.out.ends_with("; 1 of 2 jobs failed\n"), "{}", output.out);
}

#[test]
fn a_session_continues_without_a_reader_of_its_output() {
    let dir = tempfile::tempdir().unwrap();
    let lines = ["sh -c 'echo x >> ran'"; 50];
    for args in [&[][..], &["--json"]] {
        let mut child = batch(dir.path(), &lines, args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}");
    }
    let ran = std::fs::read_to_string(dir.path().join("ran")).unwrap();
    assert_eq!(ran.lines().count(), 100);
}
