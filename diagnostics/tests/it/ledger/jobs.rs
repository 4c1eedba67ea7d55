//! The records of jobs.

use super::role::{Played, command};
use super::{add, create_dir, end, folder, reader, sessions, start};
use cofferdam_batch::ledger::{
    JobState, Ledger, NewJob, RecordedAttempt, RecordedConflict, SessionFilter, Status, SubmitError,
};

#[test]
fn a_session_is_read_back_as_it_was_recorded() {
    let base = tempfile::tempdir().unwrap();
    let mut session = start(base.path(), "night");
    add(&mut session, &["build", "test", "lint", "never"]);
    session.job_started(1, 1, 5).unwrap();
    session.job_finished(&end(1, JobState::Completed)).unwrap();
    let mut failed = end(2, JobState::Failed);
    failed.retried = true;
    failed.reason = Some("timeout".to_owned());
    failed.log = Some(folder(base.path(), &session).join("2.log"));
    session.job_started(2, 1, 6).unwrap();
    session.job_finished(&failed).unwrap();
    session.job_started(2, 2, 7).unwrap();
    let mut again = end(2, JobState::Completed);
    again.attempt = 2;
    session.job_finished(&again).unwrap();
    session.job_started(3, 1, 8).unwrap();

    let reader = reader(base.path());
    let running = reader.jobs(session.id(), Some(JobState::Running)).unwrap();
    assert_eq!(running.len(), 1);
    assert_eq!(
        (running[0].name.as_str(), running[0].attempts[0].started),
        ("lint", 8)
    );
    let (id, log) = (session.id(), failed.log.clone());
    let conflict = RecordedConflict {
        kind: "shared-resource".to_owned(),
        severity: "conflict".to_owned(),
        message: "two tests met".to_owned(),
        help: "give each its own".to_owned(),
    };
    let finished = session
        .finish(Status::Failed, std::slice::from_ref(&conflict))
        .unwrap();
    assert_eq!(finished.readers, []);

    let found = reader.session("latest").unwrap().unwrap();
    assert_eq!(
        (found.id, found.status, found.conflicts, found.incomplete),
        (id, Status::Failed, Some(1), false)
    );
    assert_eq!(found.revision.as_deref(), Some("4fd5263"));
    assert_eq!(
        (found.jobs.completed, found.jobs.cancelled, found.jobs.total),
        (2, 2, 4)
    );
    assert_eq!(reader.conflicts(id).unwrap(), [conflict]);
    let jobs = reader.jobs(id, None).unwrap();
    let states: Vec<_> = jobs
        .iter()
        .map(|job| (job.name.as_str(), job.state, job.attempts.len()))
        .collect();
    assert_eq!(
        states,
        [
            ("build", JobState::Completed, 1),
            ("test", JobState::Completed, 2),
            ("lint", JobState::Cancelled, 1),
            ("never", JobState::Cancelled, 0)
        ]
    );
    let first = RecordedAttempt {
        number: 1,
        state: JobState::Failed,
        exit_code: Some(7),
        signal: None,
        reason: Some("timeout".to_owned()),
        started: failed.started,
        ended: Some(failed.ended),
        memory: failed.memory,
        log,
    };
    assert_eq!(jobs[1].attempts[0], first);
}

#[test]
fn the_pass_rate_spans_sessions_and_the_lowest_comes_first() {
    let base = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let mut session = start(base.path(), "night");
        add(&mut session, &["solid", "flaky", "not run"]);
        session.job_finished(&end(1, JobState::Completed)).unwrap();
        let state = if round == 0 {
            JobState::Failed
        } else {
            JobState::Completed
        };
        session.job_finished(&end(2, state)).unwrap();
        session.finish(Status::Passed, &[]).unwrap();
    }
    let rates = |limit| {
        let filter = SessionFilter {
            namespace: Some("night".to_owned()),
            limit,
        };
        let jobs = reader(base.path()).pass_rates(&filter).unwrap().into_iter();
        jobs.map(|job| (job.name, job.completed, job.failed))
            .collect::<Vec<_>>()
    };
    let (flaky, solid) = ("flaky".to_owned(), "solid".to_owned());
    assert_eq!(rates(10), [(flaky.clone(), 3, 1), (solid.clone(), 4, 0)]);
    assert_eq!(rates(2), [(flaky, 2, 0), (solid, 2, 0)]);
}

#[test]
fn every_submitted_job_reaches_the_owner() {
    let base = tempfile::tempdir().unwrap();
    let job = NewJob {
        command: "true",
        name: "late",
        group: Some("io"),
    };
    let submit = || {
        Ledger::open(base.path(), create_dir)
            .unwrap()
            .submit("night", &job, b"--password=hunter2")
    };
    assert!(matches!(submit(), Err(SubmitError::NoSession)));
    let mut session = start(base.path(), "night");
    add(&mut session, &["first"]);
    assert_eq!(session.submitted().unwrap(), []);
    let (id, number) = submit().unwrap();
    assert_eq!((id, number), (session.id(), 2));
    let late = session.submitted().unwrap().remove(0);
    assert_eq!(
        (late.number, late.name.as_str(), late.group.as_deref()),
        (2, "late", Some("io"))
    );
    assert_eq!(late.spec.as_deref(), Some(&b"--password=hunter2"[..]));
    assert_eq!(session.submitted().unwrap(), []);

    submit().unwrap();
    assert_eq!(
        session.close().unwrap()[0].number,
        3,
        "it came at the last moment"
    );
    let (next, _) = session.add_jobs(&[job]);
    assert_eq!(next, 4, "numbers are given once");
    assert_eq!(session.close().unwrap(), []);
    assert!(
        matches!(submit(), Err(SubmitError::NoSession)),
        "it is about to end"
    );
    for number in 1..=4 {
        session.job_finished(&end(number, JobState::Completed)).unwrap();
    }
    let folder = folder(base.path(), &session);
    session.finish(Status::Passed, &[]).unwrap();
    assert_eq!(std::fs::read_dir(folder.join("submitted")).unwrap().count(), 0);
    let bytes = std::fs::read(base.path().join("ledger.sqlite3")).unwrap();
    let secret = b"hunter2";
    assert!(!bytes.windows(secret.len()).any(|window| window == secret));
}

#[cfg(unix)]
#[test]
fn only_this_user_can_read_the_description_of_a_submitted_job() {
    use std::os::unix::fs::PermissionsExt as _;
    let base = tempfile::tempdir().unwrap();
    let session = start(base.path(), "night");
    let job = NewJob {
        command: "true",
        name: "late",
        group: None,
    };
    Ledger::open(base.path(), create_dir)
        .unwrap()
        .submit("night", &job, b"secret")
        .unwrap();
    let mut specs = std::fs::read_dir(folder(base.path(), &session).join("submitted")).unwrap();
    let mode = specs
        .next()
        .unwrap()
        .unwrap()
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn ten_thousand_jobs_leave_a_small_log_and_none_after_the_end() {
    let base = tempfile::tempdir().unwrap();
    let mut session = start(base.path(), "night");
    add(&mut session, &["a job"; 10_000]);
    let log = || std::fs::metadata(base.path().join("ledger.sqlite3-wal")).map_or(0, |known| known.len());
    let mut longest = 0;
    for number in 1..=10_000 {
        session.job_started(number, 1, 1).unwrap();
        session.job_finished(&end(number, JobState::Completed)).unwrap();
        longest = longest.max(log());
    }
    assert!(longest <= 4_000_000, "{longest}");
    let finished = session.finish(Status::Passed, &[]).unwrap();
    assert_eq!((finished.bytes, log()), (0, 0));
    assert_eq!(sessions(base.path())[0].jobs.completed, 10_000);
}

#[test]
fn old_sessions_are_removed_with_their_folders() {
    let base = tempfile::tempdir().unwrap();
    let mut folders = Vec::new();
    for _ in 0..3 {
        let mut session = start(base.path(), "night");
        add(&mut session, &["a job"]);
        std::fs::create_dir_all(folder(base.path(), &session)).unwrap();
        std::fs::write(folder(base.path(), &session).join("1.log"), "output").unwrap();
        folders.push(folder(base.path(), &session));
        session.finish(Status::Passed, &[]).unwrap();
    }
    drop(start(base.path(), "dead"));
    // The lease of a process that was killed before its session was recorded.
    std::fs::write(base.path().join("sessions/unborn.lease"), "").unwrap();
    std::fs::write(base.path().join("sessions/unborn.jobs"), "").unwrap();
    let running = start(base.path(), "day");
    let removed = Ledger::open(base.path(), create_dir).unwrap().retain(2).unwrap();
    assert_eq!((removed.names.len(), removed.left), (2, vec![]));
    let kept: Vec<_> = sessions(base.path())
        .into_iter()
        .map(|session| session.namespace)
        .collect();
    assert_eq!(kept, ["day", "dead", "night"]);
    let there: Vec<_> = folders.iter().map(|folder| folder.exists()).collect();
    assert_eq!(there, [false, false, true]);
    let mut leases: Vec<_> = std::fs::read_dir(base.path().join("sessions"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some())
        .collect();
    leases.sort();
    assert_eq!(
        leases.len(),
        4,
        "two of the one that runs and two of the one that died: {leases:?}"
    );
    running.finish(Status::Passed, &[]).unwrap();
}

#[test]
fn short_sessions_do_not_displace_a_long_one_that_began_before_them() {
    let base = tempfile::tempdir().unwrap();
    let long = start(base.path(), "long");
    let logs = folder(base.path(), &long);
    std::fs::create_dir_all(&logs).unwrap();
    for _ in 0..3 {
        start(base.path(), "short").finish(Status::Passed, &[]).unwrap();
    }
    long.finish(Status::Failed, &[]).unwrap();
    let removed = Ledger::open(base.path(), create_dir).unwrap().retain(2).unwrap();
    assert_eq!(removed.names.len(), 2);
    let kept: Vec<_> = sessions(base.path())
        .into_iter()
        .map(|session| session.namespace)
        .collect();
    assert_eq!(kept, ["short", "long"]);
    assert!(logs.exists());
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_reported_once_and_the_session_continues() {
    let base = tempfile::tempdir().unwrap();
    let role = command(base.path(), "full");
    // The signal is ignored, so that a write fails as on a full disk.
    #[expect(clippy::disallowed_methods, reason = "only a shell sets limits")]
    let mut shell = std::process::Command::new("bash");
    shell
        .args(["-c", "trap '' XFSZ; ulimit -f 400; exec \"$0\" \"$@\""])
        .arg(role.get_program())
        .args(role.get_args());
    shell.envs(role.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped());
    let mut played = Played::start(shell);
    played.wait_for("errors 1");
}
