//! Jobs that are submitted to a running session.

use super::{Pipe, batch, ended, started};
use crate::recording::{CommandOutput, cofferdam};

/// Waits for the job that is submitted.
const WAITS: &str = "sh -c 'exec 3>pipe; echo READY >&3; until [ -e submitted ]; do sleep 0.01; done'";

fn submit(dir: &std::path::Path, args: &[&str], command: &[&str]) -> CommandOutput {
    let mut submit = cofferdam(dir, &["submit"]);
    submit.args(args).arg("--").args(command).output().unwrap().into()
}

#[test]
fn a_submitted_job_runs_in_the_session_and_counts() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let child = started(&batch(dir.path(), &[WAITS], &["--jobs", "2", "--json"]));
    let held = pipe.wait_for("READY");
    let output = submit(
        dir.path(),
        &["--name", "late", "--group", "g"],
        &["sh", "-c", "touch submitted", "hunter2"],
    );
    assert!(
        output.out.contains("j2 late is pending in session 1, namespace "),
        "{}{}",
        output.out,
        output.err
    );
    assert_eq!(output.code, Some(0));
    drop(held);
    let output = ended(child);
    let events = super::events(&output);
    let late = events
        .iter()
        .find(|event| event["event"] == "ended" && event["name"] == "late")
        .unwrap();
    assert_eq!(
        (&late["job"], &late["group"], &late["state"]),
        (&"j2".into(), &"g".into(), &"completed".into())
    );
    assert_eq!(events.last().unwrap()["jobs"]["total"], 2);
    assert!(!output.out.contains("hunter2"), "{}", output.out);
}

#[test]
fn a_submission_without_a_session_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = submit(dir.path(), &[], &["true"]);
    assert!(nobody.err.contains("no session is active in "), "{}", nobody.err);
    assert_eq!(nobody.code, Some(3));
    let named = submit(dir.path(), &["--run-namespace", "nightly"], &["true"]);
    assert!(
        named
            .err
            .contains("no session takes jobs in namespace \"nightly\""),
        "{}",
        named.err
    );

    let pipe = Pipe::new(dir.path());
    let mut one = cofferdam(dir.path(), &["run", "--", "sh", "-c"]);
    let child = started(one.arg("exec 3>pipe; echo READY >&3; until [ -e submitted ]; do sleep 0.01; done"));
    let _held = pipe.wait_for("READY");
    let refused = submit(dir.path(), &[], &["true"]);
    assert!(
        refused
            .err
            .contains("a single command and a session that is about to end take none"),
        "{}",
        refused.err
    );
    std::fs::write(dir.path().join("submitted"), "").unwrap();
    assert_eq!(ended(child).code, Some(0));
}

#[test]
fn a_submitted_job_whose_description_is_gone_has_failed() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let child = started(&batch(dir.path(), &[WAITS], &["--jobs", "1"]));
    let held = pipe.wait_for("READY");
    let output = submit(dir.path(), &["--name", "late"], &["true"]);
    assert_eq!(output.code, Some(0), "{}", output.err);
    let sessions = std::fs::read_dir(dir.path().join("sessions")).unwrap();
    let lost = sessions.map(|session| session.unwrap().path().join("submitted"));
    let lost: Vec<_> = lost.filter(|folder| folder.exists()).collect();
    assert_eq!(lost.len(), 1);
    std::fs::remove_dir_all(&lost[0]).unwrap();
    std::fs::write(dir.path().join("submitted"), "").unwrap();
    drop(held);
    let output = ended(child);
    assert!(
        output
            .err
            .contains("submitted job j2 cannot run: the file with its command is gone"),
        "{}",
        output.err
    );
    assert!(output.out.ends_with("; 1 of 2 jobs failed\n"), "{}", output.out);
    assert_eq!(output.code, Some(4));
}

#[test]
fn a_submitted_job_runs_between_endless_rounds() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let round = "test -e begun || { touch begun; echo READY > pipe; }; test ! -e late";
    let rounds = cofferdam(dir.path(), &["run", "--until-fail", "--", "sh", "-c", round]);
    let child = started(&rounds);
    let _held = pipe.wait_for("READY");
    let output = submit(dir.path(), &["--name", "late"], &["touch", "late"]);
    assert_eq!(output.code, Some(0), "{}", output.err);
    let output = ended(child);
    assert!(
        output.out.contains(" jobs failed (a job failed)\n"),
        "{}",
        output.out
    );
    assert!(dir.path().join("late").exists());
}
