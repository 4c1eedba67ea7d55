//! Processes that write to a ledger: an ignored test of this binary that acts only on request.

use super::{add, create_dir, end, new, start};
use crate::run::variable;
use cofferdam_batch::ledger::{AdmissionError, JobState, Ledger, WaitPolicy};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

#[test]
#[ignore = "a role, played for the tests beside it"]
fn role() {
    let Some(role) = variable("LEDGER_ROLE") else {
        return;
    };
    let base = PathBuf::from(variable("COFFERDAM_DIR").unwrap());
    match role.as_str() {
        "contend" => contend(&base),
        // A session with a job that has ended, one that runs and one that waits.
        "own" => {
            let mut session = start(&base, "night");
            add(&mut session, &["first", "second", "third"]);
            session.job_started(1, 1, 1).unwrap();
            session.job_finished(&end(1, JobState::Completed)).unwrap();
            session.job_started(2, 1, 2).unwrap();
            ready();
            drop(session);
        }
        // Stops in the middle of a transaction.
        "change" => {
            let conn = rusqlite::Connection::open(base.join("ledger.sqlite3")).unwrap();
            conn.execute_batch(
                "BEGIN IMMEDIATE;
                 INSERT INTO sessions (name, namespace, scope, triggered_by, status, beside, pid, pid_started, host,
                                       started)
                 VALUES ('torn', 'night', 'batch', 'user', 'running', 0, 1, 1, '', 1);",
            )
            .unwrap();
            ready();
        }
        // Keeps a read transaction open.
        "read" => {
            let conn = rusqlite::Connection::open(base.join("ledger.sqlite3")).unwrap();
            conn.execute_batch("BEGIN; SELECT count(*) FROM sessions;")
                .unwrap();
            ready();
        }
        // A disk that is full after some hundred kilobytes: the kernel refuses to let files grow.
        "full" => {
            let mut session = start(&base, "full");
            let names = vec!["a job whose name is long enough to fill some pages"; 200];
            let mut errors = Vec::new();
            for _ in 0..100 {
                let jobs: Vec<_> = names
                    .iter()
                    .map(|name| super::NewJob {
                        name,
                        command: "true",
                        group: None,
                    })
                    .collect();
                let (first, added) = session.add_jobs(&jobs);
                errors.extend(added.err());
                errors.extend(session.job_finished(&end(first, JobState::Completed)).err());
            }
            print(&format!("errors {}", errors.len()));
        }
        // Prints why the ledger cannot be written.
        "try" => {
            let tried = Ledger::open(&base, create_dir).and_then(|ledger| ledger.retain(10));
            print(&tried.unwrap_err().to_string());
        }
        other => panic!("no role {other}"),
    }
}

/// Begins a session a hundred times; each time it is the only active one, or refused.
fn contend(base: &Path) {
    let (mut admitted, mut refused) = (0, 0);
    ready();
    for _ in 0..100 {
        let ledger = Ledger::open(base, create_dir).unwrap();
        match ledger.start_session(&new("night"), WaitPolicy::Never, |_| {}) {
            Ok(session) => {
                let alone = base.join("alone");
                drop(File::create_new(&alone).expect("two are active"));
                admitted += 1;
                std::fs::remove_file(&alone).unwrap();
                session
                    .finish(cofferdam_batch::ledger::Status::Passed, &[])
                    .unwrap();
            }
            Err(AdmissionError::Blocked(other)) => {
                assert_eq!(other.namespace, "night");
                refused += 1;
            }
            Err(AdmissionError::Ledger(error)) => panic!("{error}"),
        }
    }
    print(&format!("{admitted} {refused}"));
}

/// Reports that the role is ready, and continues when its standard input is closed.
fn ready() {
    print("READY");
    let _ = std::io::stdin().read(&mut [0]);
}

fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// Returns the command that plays a role.
pub(crate) fn command(base: &Path, role: &str) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the role is a test of this binary")]
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "ledger::role::role",
            "--ignored",
            "--nocapture",
            "--quiet",
        ])
        .env("LEDGER_ROLE", role)
        .env("COFFERDAM_DIR", base)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// A process that plays a role, killed at the latest on drop.
pub(crate) struct Played {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Played {
    /// Starts it and waits until it is ready.
    pub(crate) fn new(base: &Path, role: &str) -> Self {
        let mut played = Self::start(command(base, role));
        played.wait_for("READY");
        played
    }

    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn wait_for(&mut self, wanted: &str) {
        while self.line() != wanted {}
    }

    /// Returns the next line of the role, without those of the harness.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(
            self.lines.read_line(&mut line).unwrap() > 0,
            "the role ended early"
        );
        line.trim_end().to_owned()
    }

    /// Lets it continue.
    pub(crate) fn go_on(&mut self) {
        drop(self.child.stdin.take());
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
