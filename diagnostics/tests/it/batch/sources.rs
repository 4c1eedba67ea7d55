//! The sources of jobs.

use super::{batch, report, told};
use crate::recording::{Told, cofferdam};
use std::io::Write as _;
use std::process::Stdio;

#[test]
fn a_session_is_shown_with_its_commands_but_without_anything_that_may_be_secret() {
    let dir = tempfile::tempdir().unwrap();
    let named = r#"{"name": "schema", "command": ["sh", "-c", "true", "hunter2"]}"#;
    let told = told(
        dir.path(),
        &[named, "cargo --version --verbose", "git version hunter2"],
        &[],
    );
    assert_eq!(told.code, Some(0), "{}", told.err);
    let shown = crate::recording::told(dir.path(), &["show", "latest"]);
    for name in [" schema (sh) ", " cargo ", " git version "] {
        assert!(shown.out.contains(name), "{name}: {}", shown.out);
    }
    assert!(!shown.out.contains("hunter2"), "{}", shown.out);
    let (_, report) = crate::recording::told_json(dir.path(), &["show", "latest", "--format", "json"]);
    assert_eq!(report["jobs"][0]["command"], "sh");
}

#[test]
fn the_jobs_of_a_file_run_and_the_last_line_counts_them() {
    let dir = tempfile::tempdir().unwrap();
    let passed = told(dir.path(), &["true", "# a note", "", "sh -c 'exit 0'"], &[]);
    assert!(passed.out.ends_with("; 2 jobs passed\n"), "{}", passed.out);
    assert_eq!(passed.code, Some(0), "{}", passed.err);
    let failed = told(
        dir.path(),
        &[
            "true",
            "false",
            r#"{"name": "third", "command": ["sh", "-c", "exit 7"]}"#,
        ],
        &[],
    );
    assert!(
        failed.out.contains("failed: j3 third: exit code 7\n"),
        "{}",
        failed.out
    );
    assert!(failed.out.ends_with("; 2 of 3 jobs failed\n"), "{}", failed.out);
    assert_eq!(failed.code, Some(4));
}

#[test]
fn an_invalid_line_is_reported_with_its_place_and_nothing_starts() {
    let dir = tempfile::tempdir().unwrap();
    let lines = [
        "sh -c 'echo x >> ran'",
        "true | false",
        r#"{"command": "a", "color": 1}"#,
    ];
    let refused = told(dir.path(), &lines, &[]);
    assert!(
        refused.err.contains("jobs.txt:2: `|` is shell syntax"),
        "{}",
        refused.err
    );
    assert!(
        refused.err.contains("jobs.txt:3: unknown field `color`"),
        "{}",
        refused.err
    );
    let columns: Vec<_> = refused
        .err
        .lines()
        .filter(|line| line.contains("at line"))
        .collect();
    assert_eq!(columns, [""; 0], "a line of a file has one number");
    assert!(refused.err.contains(", at column 24\n"), "{}", refused.err);
    assert_eq!((refused.code, dir.path().join("ran").exists()), (Some(2), false));
}

#[test]
fn empty_and_invalid_arguments_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (args, reason) in [
        (&["run"][..], "nothing to run"),
        (
            &["run", "--from", "none.txt"],
            "could not read jobs from none.txt",
        ),
        (&["run", "--repeat", "2"], "rounds need a command"),
        (
            &["run", "--critical-pattern", "(", "--", "true"],
            "--critical-pattern is not a regular expression: unclosed group\n",
        ),
        (&["run", "--workers", "4,0", "--", "true"], "1 or more"),
        (&["run", "--repeat", "often", "--", "true"], "1 or more"),
        (&["run", "--jobs", "0", "--", "true"], "1 or more"),
        (&["run", "--max-fail", "0", "--", "true"], "1 or more"),
        (
            &["run", "--timeout", "0", "--", "true"],
            "the time limit must be greater than zero",
        ),
        (&["run", "--config", "none.toml", "--", "true"], "none.toml: "),
    ] {
        let told: Told = cofferdam(dir.path(), args).output().unwrap().into();
        assert!(told.err.contains(reason), "{args:?}: {}", told.err);
        assert_eq!(told.code, Some(2), "{args:?}");
    }
}

#[test]
fn standard_input_is_read_only_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let piped = |mut command: std::process::Command| {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        child.spawn().unwrap()
    };
    let mut named = piped(cofferdam(dir.path(), &["run", "--from", "-"]));
    named.stdin.take().unwrap().write_all(b"true\ntrue").unwrap();
    assert!(super::ended(named).out.ends_with("; 2 jobs passed\n"));
    // This one stays open: a process that read it would wait forever.
    let mut other = piped(batch(dir.path(), &["cat"], &[]));
    let held = other.stdin.take();
    assert_eq!(super::ended(other).code, Some(0));
    drop(held);
}

#[test]
fn a_settings_file_provides_limits_and_jobs_and_the_command_line_takes_precedence() {
    let dir = tempfile::tempdir().unwrap();
    let settings = "[run]\njobs = 1\nretries = 2\n[[job]]\nname = \"one\"\ncommand = \"false\"\n[[job]]\ncommand = \"true\"";
    std::fs::write(dir.path().join("cofferdam.toml"), settings).unwrap();
    let below = dir.path().join("crate");
    std::fs::create_dir(&below).unwrap();
    let told: Told = cofferdam(dir.path(), &["run"])
        .current_dir(below)
        .output()
        .unwrap()
        .into();
    assert!(
        told.out.contains("failed: j1 one: exit code 1, 3 attempts"),
        "{}{}",
        told.out,
        told.err
    );
    assert!(told.out.ends_with("; 1 of 2 jobs failed\n"), "{}", told.out);
    let once: Told = cofferdam(dir.path(), &["run", "--retries", "0"])
        .output()
        .unwrap()
        .into();
    assert!(once.out.contains("failed: j1 one: exit code 1\n"), "{}", once.out);
    let named: Told = cofferdam(dir.path(), &["run", "--no-config", "--from", "cofferdam.toml"])
        .output()
        .unwrap()
        .into();
    assert!(
        named.out.ends_with("; 1 of 2 jobs failed\n"),
        "{}{}",
        named.out,
        named.err
    );
    std::fs::write(dir.path().join("cofferdam.toml"), "[run]\njobs = 0").unwrap();
    let bad: Told = cofferdam(dir.path(), &["run", "--", "true"])
        .output()
        .unwrap()
        .into();
    assert!(
        bad.err
            .contains("cofferdam.toml:2: invalid value, expected a nonzero"),
        "{}",
        bad.err
    );
    assert_eq!(bad.code, Some(2));
}

#[test]
fn a_missing_command_fails_its_own_job_only() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = report(
        dir.path(),
        &["no-such-command-here hunter2", "true"],
        &["--retries", "3"],
    );
    assert_eq!((&jobs["passed"], &jobs["failed"]), (&1.into(), &1.into()));
    let failure = &jobs["failures"][0];
    assert_eq!(failure["attempts"], 1, "what is not there is not tried again");
    let outcome = failure["outcome"].as_str().unwrap();
    assert!(
        outcome.starts_with("could not start \"no-such-command-here\": ") && !outcome.contains("hunter2")
    );
}

#[test]
fn the_outcome_of_jobs_counts_although_the_recording_is_unreadable() {
    let dir = tempfile::tempdir().unwrap();
    let told = told(dir.path(), &["sh -c 'rm -rf runs; touch runs; exit 3'"], &[]);
    assert!(
        told.out.contains("runs: Not a directory"),
        "{}{}",
        told.out,
        told.err
    );
    assert!(told.out.contains("; 1 of 1 job failed"), "{}", told.out);
    assert_eq!(told.code, Some(4));
}
