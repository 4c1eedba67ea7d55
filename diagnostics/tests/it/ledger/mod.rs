//! The ledger: processes that write to it are roles of this binary.

mod admission;
mod damage;
mod jobs;
mod killed;
mod looking;
#[cfg(unix)]
mod read_only;
pub(crate) mod role;

use cofferdam_batch::ledger::{
    JobEnd, JobState, Ledger, NewJob, NewSession, Reader, RecordedSession, SessionFilter, SessionWriter,
    Trigger, WaitPolicy,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Returns a session that is not admitted yet.
pub(crate) fn new(namespace: &str) -> NewSession {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    #[expect(clippy::disallowed_methods, reason = "roles are processes of their own")]
    let pid = std::process::id();
    NewSession {
        name: format!("{pid}-{}", NEXT.fetch_add(1, Ordering::Relaxed)),
        namespace: namespace.to_owned(),
        scope: "batch".to_owned(),
        takes_jobs: true,
        trigger: Trigger::User,
        concurrent: false,
        resume: false,
        revision: Some("4fd5263".to_owned()),
    }
}

/// The ledger in a base folder.
pub(crate) fn open(base: &Path) -> Ledger {
    Ledger::open(base, create_dir).unwrap()
}

/// Creates folders as the command does.
pub(crate) fn create_dir(base: &Path, below: &Path) -> std::io::Result<PathBuf> {
    cofferdam::diagnostics::private_dir(base, below).map_err(std::io::Error::other)
}

/// Begins a session at once.
pub(crate) fn start(base: &Path, namespace: &str) -> SessionWriter {
    open(base)
        .start_session(&new(namespace), WaitPolicy::Never, |_| {
            panic!("there is no session to wait for")
        })
        .unwrap()
}

/// Returns the folder of the session's logs.
pub(crate) fn folder(base: &Path, session: &SessionWriter) -> PathBuf {
    let known = reader(base).session(&session.id().to_string()).unwrap();
    cofferdam_batch::ledger::folder(base, &known.unwrap().name)
}

/// Adds these jobs.
pub(crate) fn add(session: &mut SessionWriter, names: &[&str]) {
    let jobs: Vec<_> = names
        .iter()
        .map(|name| NewJob {
            name,
            command: "true",
            group: None,
        })
        .collect();
    let (_, added) = session.add_jobs(&jobs);
    added.unwrap();
}

/// The end of a job that took 2 s.
pub(crate) fn end(job: u64, state: JobState) -> JobEnd {
    JobEnd {
        job,
        attempt: 1,
        state,
        retried: false,
        exit_code: Some(if state == JobState::Completed { 0 } else { 7 }),
        signal: None,
        reason: None,
        started: 1_700_000_000_000_000,
        ended: 1_700_000_002_000_000,
        memory: Some(1 << 20),
        log: None,
    }
}

pub(crate) fn reader(base: &Path) -> Reader {
    Reader::open(base).unwrap().unwrap()
}

/// All sessions, the newest first.
pub(crate) fn sessions(base: &Path) -> Vec<RecordedSession> {
    let all = SessionFilter {
        namespace: None,
        limit: u32::MAX,
    };
    reader(base).sessions(&all).unwrap()
}
