//! The sources of jobs.

use super::{batch, output_of, report};
use crate::recording::{CommandOutput, cofferdam};
use std::io::Write as _;
use std::process::Stdio;

#[test]
fn a_session_is_shown_with_its_commands_but_without_anything_that_may_be_secret() {
    let dir = tempfile::tempdir().unwrap();
    let named = r#"{"name": "schema", "command": ["sh", "-c", "true", "hunter2"]}"#;
    let output = output_of(
        dir.path(),
        &[named, "cargo --version --verbose", "git version hunter2"],
        &[],
    );
    assert_eq!(output.code, Some(0), "{}", output.err);
    let shown = crate::recording::output_of(dir.path(), &["show", "latest"]);
    for name in [" schema (sh) ", " cargo ", " git version "] {
        assert!(shown.out.contains(name), "{name}: {}", shown.out);
    }
    assert!(!shown.out.contains("hunter2"), "{}", shown.out);
    let (_, report) = crate::recording::json_of(dir.path(), &["show", "latest", "--format", "json"]);
    assert_eq!(report["jobs"][0]["command"], "sh");
}

#[test]
fn the_jobs_of_a_file_run_and_the_last_line_counts_them() {
    let dir = tempfile::tempdir().unwrap();
    let passed = output_of(dir.path(), &["true", "# a note", "", "sh -c 'exit 0'"], &[]);
    assert!(passed.out.ends_with("; 2 jobs passed\n"), "{}", passed.out);
    assert_eq!(passed.code, Some(0), "{}", passed.err);
    let failed = output_of(
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
fn a_junit_report_has_a_case_for_each_job_with_its_end_and_the_end_of_its_output() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = [
        "true",
        r#"{"name": "docs", "command": "sh -c 'echo \"broken & link\"; exit 3'", "group": "site"}"#,
        "false",
        "false",
    ];
    let cases = |options: &[&str]| {
        let options = [&["--report", "junit=junit.xml", "--jobs", "1"], options].concat();
        let output = output_of(dir.path(), &jobs, &options);
        assert_eq!(output.code, Some(4), "{}", output.err);
        let xml = std::fs::read_to_string(dir.path().join("junit.xml")).unwrap();
        let document = roxmltree::Document::parse(&xml).unwrap();
        let is_jobs = |node: &roxmltree::Node<'_, '_>| node.attribute("name") == Some("cofferdam jobs");
        let suite = document.descendants().find(is_jobs).unwrap();
        let cases = suite
            .children()
            .filter(|node| node.has_tag_name("testcase"))
            .map(|case| {
                assert!(
                    case.attribute("time").is_some()
                        || case.children().any(|node| node.has_tag_name("skipped"))
                );
                let ends = case.children().filter(|node| node.is_element()).map(|end| {
                    let message = end.attribute("message").unwrap_or_default();
                    format!(
                        " {} {message} {}",
                        end.tag_name().name(),
                        end.text().unwrap_or_default().trim()
                    )
                });
                let [class, name] = ["classname", "name"].map(|one| case.attribute(one).unwrap());
                format!("{class}: {name};{}", ends.collect::<String>())
            });
        cases.collect::<Vec<_>>()
    };
    assert_eq!(
        cases(&[]),
        [
            "jobs: true;",
            "site: docs; failure ended with code 3 broken & link",
            "jobs: false (j3); failure ended with code 1 ",
            "jobs: false (j4); failure ended with code 1 ",
        ]
    );
    assert_eq!(
        cases(&["--on-error", "stop", "--retries", "1"])[1..],
        [
            "site: docs; failure ended with code 3 broken & link rerunFailure ended with code 3 ",
            "jobs: false (j3); skipped cancelled ",
            "jobs: false (j4); skipped cancelled ",
        ]
    );
}

#[test]
fn an_invalid_line_is_reported_with_its_place_and_nothing_starts() {
    let dir = tempfile::tempdir().unwrap();
    let lines = [
        "sh -c 'echo x >> ran'",
        "true | false",
        r#"{"command": "a", "color": 1}"#,
    ];
    let refused = output_of(dir.path(), &lines, &[]);
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
        let output: CommandOutput = cofferdam(dir.path(), args).output().unwrap().into();
        assert!(output.err.contains(reason), "{args:?}: {}", output.err);
        assert_eq!(output.code, Some(2), "{args:?}");
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
    let output: CommandOutput = cofferdam(dir.path(), &["run"])
        .current_dir(below)
        .output()
        .unwrap()
        .into();
    assert!(
        output.out.contains("failed: j1 one: exit code 1, 3 attempts"),
        "{}{}",
        output.out,
        output.err
    );
    assert!(output.out.ends_with("; 1 of 2 jobs failed\n"), "{}", output.out);
    let once: CommandOutput = cofferdam(dir.path(), &["run", "--retries", "0"])
        .output()
        .unwrap()
        .into();
    assert!(once.out.contains("failed: j1 one: exit code 1\n"), "{}", once.out);
    let named: CommandOutput = cofferdam(dir.path(), &["run", "--no-config", "--from", "cofferdam.toml"])
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
    let bad: CommandOutput = cofferdam(dir.path(), &["run", "--", "true"])
        .output()
        .unwrap()
        .into();
    assert!(
        bad.err
            .contains("cofferdam.toml:2: `jobs` in [run]: invalid value `0`"),
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
    let output = output_of(dir.path(), &["sh -c 'rm -rf runs; touch runs; exit 3'"], &[]);
    assert!(
        output.out.contains("runs: Not a directory"),
        "{}{}",
        output.out,
        output.err
    );
    assert!(output.out.contains("; 1 of 1 job failed"), "{}", output.out);
    assert_eq!(output.code, Some(4));
}
