//! The limits of a session.

use super::{output_of, report};
use serde_json::Value;
use std::io::Write as _;
use std::net::TcpListener;
use std::time::Duration;

/// A job that passes only while no other one is in the directory `alone`.
const ALONE: &str =
    r#"{"group": "alone", "command": ["sh", "-c", "mkdir alone || exit 9; true; rmdir alone"]}"#;

#[test]
fn the_limits_of_jobs_at_once_hold_for_the_session_and_for_a_group() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = report(dir.path(), &["sleep 0.05"; 12], &["--jobs", "3"]);
    assert_eq!((&jobs["passed"], &jobs["most_at_once"]), (&12.into(), &3.into()));
    let jobs = report(
        dir.path(),
        &[ALONE; 30],
        &["--jobs", "4", "--group-limit", "alone=1"],
    );
    assert_eq!((&jobs["passed"], &jobs["most_at_once"]), (&30.into(), &1.into()));
}

#[test]
fn a_low_limit_of_open_files_lowers_the_number_of_jobs_at_once_and_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    for (files, least) in [(20, 1), (32, 2)] {
        let batch = super::batch(dir.path(), &["sleep 0.02"; 50], &["--jobs", "50"]);
        let limit = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
        let mut limited = crate::recording::by_way_of(&["bash", "-c", &limit], &batch);
        let output: crate::recording::CommandOutput = limited.output().unwrap().into();
        assert!(
            output.out.ends_with("; 50 jobs passed\n"),
            "{}{}",
            output.out,
            output.err
        );
        let said = |line: &&str| line.contains("at once: no more files can be open (`ulimit -n`");
        let said: Vec<&str> = output.err.lines().filter(said).collect();
        assert_eq!(said.len(), 1, "{}", output.err);
        let most: u32 = said[0]
            .split_whitespace()
            .find_map(|word| word.parse().ok())
            .unwrap();
        assert!(most >= least && most < files, "{}", said[0]);
        assert!(!output.err.contains("warning"), "{}", output.err);
    }
}

#[test]
fn with_hardly_any_open_files_no_job_passes_without_running() {
    for files in (6..20).step_by(2) {
        let dir = tempfile::tempdir().unwrap();
        let batch = super::batch(
            dir.path(),
            &["sh -c 'echo x >> ran'"; 5],
            &["--jobs", "4", "--quiet"],
        );
        let limit = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
        let mut limited = crate::recording::by_way_of(&["bash", "-c", &limit], &batch);
        let output: crate::recording::CommandOutput = limited.output().unwrap().into();
        let ran = std::fs::read_to_string(dir.path().join("ran")).unwrap_or_default();
        let ran = ran.lines().count();
        if output.code == Some(0) {
            assert_eq!(ran, 5, "{files} files: {}{}", output.out, output.err);
        } else {
            assert!(output.err.contains("Too many open files") || output.out.contains("Too many open files"));
            assert!(
                !output.err.contains("cofferdam: Too many"),
                "{files} files: {}",
                output.err
            );
        }
    }
}

#[test]
fn a_full_group_does_not_hold_up_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let waits = r#"{"group": "g", "command": ["sh", "-c", "until [ -e done ]; do sleep 0.01; done"]}"#;
    let jobs = report(
        dir.path(),
        &[waits, waits, waits, "touch done"],
        &["--jobs", "2", "--group-limit", "g=1"],
    );
    assert_eq!((&jobs["passed"], &jobs["most_at_once"]), (&4.into(), &2.into()));
}

#[test]
fn starts_are_kept_apart_by_the_rate() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = report(dir.path(), &["true"; 11], &["--jobs", "4", "--rate", "50"]);
    // Ten intervals, one of which may be caught up. A longer time is a delay of the machine.
    assert!(jobs["seconds"].as_f64().unwrap() >= 0.18, "{jobs}");
}

#[test]
fn a_server_with_a_rate_limit_refuses_no_start() {
    const RATE: usize = 40;
    const JOBS: usize = 80;
    // When a second begins, as many are on their way as may run at once; one start more may be caught up with in it.
    const AT_ONCE: usize = 4;
    const MOST: usize = RATE + 1 + AT_ONCE;
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let serving = std::thread::spawn(move || {
        let mut came = Vec::new();
        for _ in 0..JOBS {
            let (mut who, _) = server.accept().unwrap();
            #[expect(clippy::disallowed_methods, reason = "this server has a rate")]
            let now = std::time::Instant::now();
            came.push(now);
            let within = came.iter().filter(|at| now - **at < Duration::from_secs(1));
            let answer: &[u8] = if within.count() > MOST { b"no\n" } else { b"yes\n" };
            who.write_all(answer).unwrap();
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let asks = format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}; read -r answer <&3; test $answer = yes'");
    let (rate, at_once) = (RATE.to_string(), AT_ONCE.to_string());
    let jobs = report(
        dir.path(),
        &[asks.as_str(); JOBS],
        &["--jobs", &at_once, "--rate", &rate],
    );
    serving.join().unwrap();
    assert_eq!(counts(&jobs), [JOBS as u64, 0, 0], "{jobs}");
}

#[test]
fn a_failed_job_is_retried_up_to_its_limit() {
    let dir = tempfile::tempdir().unwrap();
    let third = "sh -c 'echo x >> tries; test $(wc -l < tries) -ge 3'";
    let output = output_of(dir.path(), &[third], &["--retries", "5"]);
    assert!(
        output
            .err
            .contains("j1 sh failed, attempt 2: exit code 1, after "),
        "{}",
        output.err
    );
    assert!(output.out.ends_with("; 1 job passed\n"), "{}", output.out);
    let own = r#"{"command": "false", "retries": 1}"#;
    let jobs = report(dir.path(), &[own], &["--retries", "5"]);
    assert_eq!(jobs["failures"][0]["attempts"], 2);
}

fn counts(jobs: &Value) -> [u64; 3] {
    ["passed", "failed", "cancelled"].map(|name| jobs[name].as_u64().unwrap())
}

#[test]
fn each_policy_stops_for_its_own_reason() {
    let dir = tempfile::tempdir().unwrap();
    let lines = ["true", "sh -c 'echo out of disk; exit 3'", "false", "true"];
    let run = |args: &[&str]| report(dir.path(), &lines, &[&["--jobs", "1"], args].concat());
    for (args, wanted) in [
        (&[][..], [2, 2, 0]),
        (&["--on-error", "continue"], [2, 2, 0]),
        (&["--on-error", "stop"], [1, 1, 2]),
        (&["--on-error", "stop-critical"], [2, 2, 0]),
        (
            &["--on-error", "stop-critical", "--critical-exit", "1"],
            [1, 2, 1],
        ),
        (
            &[
                "--on-error",
                "stop-critical",
                "--critical-pattern",
                "out of (disk|memory)",
            ],
            [1, 1, 2],
        ),
        (&["--max-fail", "2"], [1, 2, 1]),
    ] {
        assert_eq!(counts(&run(args)), wanted, "{args:?}");
    }
    // A critical failure is not tried again.
    let jobs = run(&[
        "--on-error",
        "stop-critical",
        "--critical-exit",
        "3",
        "--retries",
        "4",
    ]);
    assert_eq!(
        (counts(&jobs), &jobs["failures"][0]["attempts"]),
        ([1, 1, 2], &1.into())
    );
}

#[test]
fn a_job_that_exceeds_its_time_limit_is_stopped_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let long = r#"{"name": "long", "command": "sleep 600", "timeout": "100ms"}"#;
    let output = output_of(dir.path(), &[long, "true"], &[]);
    assert!(
        output
            .out
            .contains("failed: j1 long: stopped: ran longer than 0.1 s"),
        "{}",
        output.out
    );
    assert_eq!(output.code, Some(4));
}

#[cfg(target_os = "linux")]
#[test]
fn a_job_is_measured_with_all_its_processes_and_stopped_at_its_memory_limit() {
    let dir = tempfile::tempdir().unwrap();
    // `tail` keeps the last line, which does not end.
    let heavy = r#"{"name": "heavy", "command": ["sh", "-c", "(head -c 200M /dev/zero; sleep 600) | tail"]}"#;
    let one = output_of(dir.path(), &[heavy, "true"], &["--job-memory", "50M"]);
    assert!(
        one.out.contains("failed: j1 heavy: stopped: used "),
        "{}",
        one.out
    );
    assert!(one.out.contains("the limit is 50.0 MiB"), "{}", one.out);
    let all = output_of(dir.path(), &[heavy, "sleep 0.1"], &["--memory", "50M"]);
    assert!(
        all.out
            .contains("failed: j1 heavy: stopped as the largest: all jobs used "),
        "{}",
        all.out
    );
}

#[cfg(target_os = "linux")]
#[test]
fn while_memory_is_short_only_one_job_runs() {
    let dir = tempfile::tempdir().unwrap();
    let output = output_of(
        dir.path(),
        &["sleep 0.2"; 2],
        &["--jobs", "2", "--keep-free", "1000T"],
    );
    assert!(output.err.contains("no job starts for now: "), "{}", output.err);
    assert!(output.out.ends_with("; 2 jobs passed\n"), "{}", output.out);
}

#[test]
fn limits_apply_to_a_single_command_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = crate::recording::cofferdam(dir.path(), &["run", "--timeout", "100ms", "--"]);
    let output: crate::recording::CommandOutput = command.args(["sleep", "600"]).output().unwrap().into();
    assert!(
        output.err.contains("sleep: stopped: ran longer than 0.1 s"),
        "{}",
        output.err
    );
    assert!(
        output
            .out
            .ends_with("; the command was stopped because it exceeded a limit\n"),
        "{}",
        output.out
    );
    assert_eq!(output.code, Some(4));
}
