//! One active session in a namespace.

use super::role::{Played, command};
use super::{add, create_dir, end, new, reader, sessions, start};
use cofferdam_batch::ledger::{AdmissionError, JobState, Ledger, Status, WaitPolicy};
use std::path::Path;
use std::time::Duration;

fn refused(base: &Path, wait: WaitPolicy) -> String {
    let ledger = Ledger::open(base, create_dir).unwrap();
    match ledger.start_session(&new("night"), wait, |_| {}) {
        Err(AdmissionError::Blocked(other)) => other.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn sixteen_processes_with_a_hundred_attempts_each_never_have_two_active_sessions() {
    let base = tempfile::tempdir().unwrap();
    // They also create the ledger.
    let mut roles: Vec<_> = (0..16)
        .map(|_| Played::start(command(base.path(), "contend")))
        .collect();
    for role in &mut roles {
        role.wait_for("READY");
    }
    for role in &mut roles {
        role.go_on();
    }
    let mut sum = [0, 0];
    for role in &mut roles {
        let line = role.line();
        let counts: Vec<u32> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        sum = [sum[0] + counts[0], sum[1] + counts[1]];
    }
    assert_eq!(sum[0] + sum[1], 1_600);
    let sessions = sessions(base.path());
    assert_eq!(
        sessions.len(),
        sum[0] as usize,
        "one row for each that was admitted, none for the others"
    );
    assert!(sessions.iter().all(|session| session.status == Status::Passed));
    let left = std::fs::read_dir(base.path().join("sessions")).unwrap().count();
    assert_eq!(left, 0, "no lease is left");
}

#[test]
fn a_refusal_names_the_active_session_its_start_and_the_next_steps() {
    let base = tempfile::tempdir().unwrap();
    let mut first = start(base.path(), "night");
    add(&mut first, &["a", "b"]);
    first.job_finished(&end(1, JobState::Failed)).unwrap();
    let message = refused(base.path(), WaitPolicy::Never);
    let own = format!(
        "session {} is active in namespace \"night\": batch, process {}",
        first.id(),
        own_pid()
    );
    assert!(message.starts_with(&own), "{message}");
    for part in [
        ", since 20",
        "Z (",
        "1 of 2 jobs ended",
        "`--wait`",
        "`--run-namespace NAME`",
        "cargo cofferdam status",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    first.finish(Status::Passed, &[]).unwrap();
    start(base.path(), "night");
}

fn own_pid() -> u32 {
    #[expect(clippy::disallowed_methods, reason = "the owner is this process")]
    std::process::id()
}

#[test]
fn other_namespaces_and_concurrent_sessions_are_admitted() {
    let base = tempfile::tempdir().unwrap();
    let _first = start(base.path(), "night");
    let _other = start(base.path(), "day");
    let mut beside = new("night");
    beside.concurrent = true;
    let _beside = Ledger::open(base.path(), create_dir)
        .unwrap()
        .start_session(&beside, WaitPolicy::Never, |_| {})
        .unwrap();
    assert_eq!(reader(base.path()).active().unwrap().len(), 3);
}

#[test]
fn the_database_itself_refuses_a_second_active_session() {
    let base = tempfile::tempdir().unwrap();
    let _first = start(base.path(), "night");
    let conn = rusqlite::Connection::open(base.path().join("ledger.sqlite3")).unwrap();
    let again = conn.execute(
        "INSERT INTO sessions (name, namespace, scope, triggered_by, status, beside, pid, pid_started, host, started)
         SELECT 'again', namespace, scope, triggered_by, status, beside, pid, pid_started, host, started FROM sessions",
        [],
    );
    let code = again.unwrap_err().sqlite_error().unwrap().extended_code;
    assert_eq!(code, rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE);
}

#[test]
fn a_waiting_session_reports_the_wait_once_and_is_admitted_when_the_other_one_ends() {
    let base = tempfile::tempdir().unwrap();
    for wait in [WaitPolicy::Forever, WaitPolicy::AtMost(Duration::from_secs(600))] {
        let mut first = Some(start(base.path(), "night"));
        let ledger = Ledger::open(base.path(), create_dir).unwrap();
        let mut reports = 0;
        let second = ledger.start_session(&new("night"), wait, |other| {
            reports += 1;
            let first = first.take().unwrap();
            assert_eq!(other.id, first.id());
            first.finish(Status::Failed, &[]).unwrap();
        });
        second.unwrap().finish(Status::Passed, &[]).unwrap();
        assert_eq!(reports, 1);
    }
}

#[test]
fn a_wait_ends_at_its_limit() {
    let base = tempfile::tempdir().unwrap();
    let _first = start(base.path(), "night");
    let message = refused(base.path(), WaitPolicy::AtMost(Duration::from_millis(50)));
    assert!(message.contains("is active in namespace"), "{message}");
}

#[test]
fn a_session_that_is_dropped_without_an_end_is_abandoned() {
    let base = tempfile::tempdir().unwrap();
    drop(start(base.path(), "night"));
    assert_eq!(sessions(base.path())[0].status, Status::Abandoned);
    start(base.path(), "night").finish(Status::Passed, &[]).unwrap();
    let status: Vec<_> = sessions(base.path())
        .iter()
        .map(|session| session.status)
        .collect();
    assert_eq!(status, [Status::Passed, Status::Abandoned]);
}
