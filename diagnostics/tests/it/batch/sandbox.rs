//! The sandbox of each job.

use super::{events, jobs, output_of};
use crate::recording::cofferdam;
use std::path::Path;

const PRINTS_VARIABLES: &str = "sh -c 'echo $COFFERDAM_JOB; echo $TMPDIR; echo $COFFERDAM_RUN_DIR; echo $COFFERDAM_MACHINE_DIR; \
                     test -z \"$(ls -A $TMPDIR)\" && touch $TMPDIR/x $COFFERDAM_RUN_DIR/y'";

#[test]
fn each_job_has_a_name_a_temporary_folder_and_an_output_folder() {
    let dir = tempfile::tempdir().unwrap();
    let output = output_of(
        dir.path(),
        &[PRINTS_VARIABLES; 3],
        &["--json", "--run-namespace", "here"],
    );
    let mut seen = Vec::new();
    for event in events(&output).iter().filter(|event| event["event"] == "ended") {
        assert_eq!(event["state"], "completed", "{event}");
        let text = std::fs::read_to_string(event["log"].as_str().unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let (job, temp, folder) = (lines[0], lines[1], lines[2]);
        assert_eq!(event["job"], job);
        assert!(!Path::new(temp).exists(), "{temp} is still there");
        assert_eq!(Path::new(folder), dir.path().join("run_here").join(job));
        assert!(Path::new(folder).join("y").exists());
        assert_eq!(Path::new(lines[3]), std::env::temp_dir());
        seen.push((job.to_owned(), temp.to_owned()));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 3);
}

#[test]
fn a_nested_job_has_both_names_and_shares_machine_wide_locks() {
    let dir = tempfile::tempdir().unwrap();
    jobs(dir.path(), &[PRINTS_VARIABLES]);
    let exe = env!("CARGO_BIN_EXE_cargo-cofferdam");
    let outer = format!("{exe} run --from jobs.txt --json");
    std::fs::write(dir.path().join("outer.txt"), outer).unwrap();
    let output: crate::recording::CommandOutput =
        cofferdam(dir.path(), &["run", "--from", "outer.txt", "--json"])
            .output()
            .unwrap()
            .into();
    let log = |events: &[serde_json::Value]| {
        let ended = events.iter().find(|event| event["event"] == "ended").unwrap();
        std::fs::read_to_string(ended["log"].as_str().unwrap()).unwrap()
    };
    let inner = crate::recording::CommandOutput {
        out: log(&events(&output))
            .lines()
            .filter(|line| line.starts_with('{'))
            .collect::<Vec<_>>()
            .join("\n"),
        ..output
    };
    let text = log(&events(&inner));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "j1.j1");
    assert_eq!(Path::new(lines[3]), std::env::temp_dir());
}

#[test]
fn a_job_has_its_own_variables_and_working_folder() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    let job = r#"{"command": ["sh", "-c", "test $A = 1 && test $(basename $PWD) = sub"], "env": {"A": "1"}, "cwd": "sub"}"#;
    let elsewhere = r#"{"command": "true", "cwd": "nowhere"}"#;
    let output = output_of(dir.path(), &[job, elsewhere], &[]);
    assert!(
        output
            .out
            .contains("failed: j2 true: could not start \"true\" in nowhere: "),
        "{}",
        output.out
    );
    assert!(output.out.ends_with("; 1 of 2 jobs failed\n"), "{}", output.out);
}

#[test]
fn a_bounded_tail_of_any_output_is_shown_and_all_of_it_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let much = "sh -c 'head -c 50M /dev/urandom; echo the end; exit 1'";
    let output = output_of(dir.path(), &[much], &["--json"]);
    let events = events(&output);
    let ended = events.iter().find(|event| event["event"] == "ended").unwrap();
    assert_eq!(ended["log_bytes"], (50 << 20) + 8);
    let shown = super::output_of(dir.path(), &[much], &[]);
    assert!(shown.err.len() < 300_000, "{} bytes", shown.err.len());
    assert!(
        !shown
            .err
            .contains(|letter: char| letter.is_control() && letter != '\n')
    );
    assert!(shown.err.contains("the end"));
}

#[test]
fn arguments_and_variables_appear_nowhere_but_in_the_output_of_a_job() {
    let dir = tempfile::tempdir().unwrap();
    let job = r#"{"command": ["sh", "-c", "exit 1", "hunter2"], "env": {"PASSWORD": "hunter2"}}"#;
    let line = "sh -c 'exit 1' hunter2";
    for args in [&[][..], &["--json"]] {
        let output = output_of(dir.path(), &[job, line, "none hunter2"], args);
        assert!(
            !output.out.contains("hunter2") && !output.err.contains("hunter2"),
            "{}{}",
            output.out,
            output.err
        );
    }
    std::fs::remove_file(dir.path().join("jobs.txt")).unwrap();
    let mut left = vec![dir.path().to_owned()];
    let mut files = 0;
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(
                std::fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else {
            let bytes = std::fs::read(&path).unwrap();
            assert!(
                !bytes.windows(7).any(|window| window == b"hunter2"),
                "{}",
                path.display()
            );
            files += 1;
        }
    }
    assert!(files > 0);
}
