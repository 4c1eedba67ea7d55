//! Owners that were killed.

use super::role::Played;
use super::{create_dir, end, new, reader, sessions, start};
use cofferdam_batch::ledger::{JobState, Ledger, NewJob, ResumedSpec, Status, WaitPolicy};

#[test]
fn the_session_of_a_killed_owner_is_marked_and_the_next_one_is_admitted() {
    let base = tempfile::tempdir().unwrap();
    let owner = Played::new(base.path(), "own");
    let reader = reader(base.path());
    let running = reader.active().unwrap().remove(0);
    assert_eq!(
        (running.status, running.owner.pid),
        (Status::Running, owner.pid())
    );
    assert_eq!(
        (running.jobs.completed, running.jobs.running, running.jobs.pending),
        (1, 1, 1)
    );
    owner.kill();

    assert_eq!(
        reader.active().unwrap(),
        [],
        "who looks sees it before anybody has marked it"
    );
    let next = start(base.path(), "night");
    let dead = reader.session(&running.id.to_string()).unwrap().unwrap();
    assert_eq!(dead.status, Status::Abandoned);
    assert_eq!(
        (dead.jobs.completed, dead.jobs.interrupted, dead.jobs.pending),
        (1, 1, 1)
    );
    let states: Vec<_> = reader
        .jobs(dead.id, None)
        .unwrap()
        .iter()
        .map(|job| job.state)
        .collect();
    assert_eq!(
        states,
        [JobState::Completed, JobState::Interrupted, JobState::Pending]
    );
    next.finish(Status::Passed, &[]).unwrap();
}

#[test]
fn a_process_killed_inside_a_transaction_leaves_no_row_and_no_lock() {
    let base = tempfile::tempdir().unwrap();
    start(base.path(), "day").finish(Status::Passed, &[]).unwrap();
    let torn = Played::new(base.path(), "change");
    torn.kill();
    start(base.path(), "night").finish(Status::Passed, &[]).unwrap();
    let names: Vec<_> = sessions(base.path())
        .into_iter()
        .map(|session| session.namespace)
        .collect();
    assert_eq!(names, ["night", "day"]);
}

#[test]
fn the_jobs_of_a_killed_owner_are_taken_over_exactly_once_even_after_a_second_crash() {
    let base = tempfile::tempdir().unwrap();
    Played::new(base.path(), "own").kill();
    let mut resume = new("night");
    resume.resume = true;
    let resumed = |new: &cofferdam_batch::ledger::NewSession| {
        Ledger::open(base.path(), create_dir)
            .unwrap()
            .start_session(new, WaitPolicy::Never, |_| {})
            .unwrap()
    };
    let states = |session: &super::SessionWriter| -> Vec<_> {
        let jobs = &session.resumed().unwrap().jobs;
        jobs.iter()
            .map(|job| (job.number, job.name.clone(), job.state))
            .collect()
    };
    let mut second = resumed(&resume);
    let (first_job, second_job, third_job) = ("first".to_owned(), "second".to_owned(), "third".to_owned());
    assert_eq!(
        states(&second),
        [
            (1, first_job.clone(), JobState::Completed),
            (2, second_job.clone(), JobState::Pending),
            (3, third_job.clone(), JobState::Pending)
        ]
    );
    second.job_finished(&end(2, JobState::Failed)).unwrap();
    drop(second);

    resume.name.push_str("-again");
    let mut third = resumed(&resume);
    assert_eq!(
        states(&third),
        [
            (1, first_job, JobState::Completed),
            (2, second_job, JobState::Failed),
            (3, third_job, JobState::Pending)
        ]
    );
    third.job_finished(&end(3, JobState::Completed)).unwrap();
    third.finish(Status::Passed, &[]).unwrap();

    resume.name.push_str("-and-again");
    assert_eq!(resumed(&resume).resumed(), None, "what ended is not resumed");
    let all = super::SessionFilter {
        namespace: None,
        limit: 10,
    };
    let success = reader(base.path()).pass_rates(&all).unwrap();
    assert!(
        success.iter().all(|job| job.completed + job.failed == 1),
        "{success:?}"
    );
}

#[test]
fn a_submitted_job_that_did_not_run_is_resumed_with_its_description() {
    let base = tempfile::tempdir().unwrap();
    let owner = Played::new(base.path(), "own");
    let job = NewJob {
        command: "true",
        name: "late",
        group: None,
    };
    Ledger::open(base.path(), create_dir)
        .unwrap()
        .submit("night", &job, b"what to run")
        .unwrap();
    owner.kill();
    let mut resume = new("night");
    resume.resume = true;
    let ledger = Ledger::open(base.path(), create_dir).unwrap();
    let mut session = ledger.start_session(&resume, WaitPolicy::Never, |_| {}).unwrap();
    let late = session.resumed().unwrap().jobs.last().unwrap().clone();
    let ResumedSpec::Submitted { file, spec } = late.spec else {
        panic!("{late:?}");
    };
    assert_eq!((late.number, spec.as_slice()), (4, &b"what to run"[..]));
    assert_eq!(session.submitted().unwrap(), [], "it is not handed out twice");
    assert!(base.path().join(&file).exists());
    session.job_finished(&end(4, JobState::Completed)).unwrap();
    assert!(
        !base.path().join(&file).exists(),
        "it is kept no longer than needed"
    );
}
