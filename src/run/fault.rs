//! What can go wrong with a fixture, in words.

use crate::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub(super) enum Fault {
    /// Nobody can be asked to start it.
    NoKeeper {
        fixture: String,
        reason: String,
    },
    /// The keeper went away in the middle.
    Lost {
        fixture: String,
    },
    Failed {
        fixture: String,
        reason: String,
    },
    /// Another definition has the name.
    Other {
        fixture: String,
        here: String,
        there: String,
    },
    Ended {
        fixture: String,
        how: String,
        tail: String,
    },
    Busy {
        fixture: String,
        pid: u32,
        waited: Duration,
    },
    Handle {
        fixture: String,
        path: PathBuf,
        handle: &'static str,
        reason: String,
    },
    /// A step of a start, which the reason of the failed start goes on with.
    Step {
        tried: String,
        reason: String,
    },
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::told(fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKeeper { fixture, reason } => write!(
                f,
                "fixture `{fixture}` has no keeper to start it: {reason}. See whether the run's folder can be written \
                 to, and whether test binaries may be started again"
            ),
            Self::Lost { fixture } => write!(
                f,
                "the keeper went away while fixture `{fixture}` was being started, and took its processes along. The \
                 next call starts both anew"
            ),
            Self::Failed { fixture, reason } => write!(
                f,
                "fixture `{fixture}` could not be started: {reason}\nWhat it had started is gone. All tests of this \
                 attempt are told so; a retry by the runner, and the next run, start it anew"
            ),
            Self::Other { fixture, here, there } => write!(
                f,
                "two fixtures are called `{fixture}`: {here}, and {there}, which this run started first. Give one of \
                 them another name, or define it once in a module that both use"
            ),
            Self::Ended { fixture, how, tail } => write!(
                f,
                "fixture `{fixture}` stands no more: {how}. It is not started a second time in one run, for its data \
                 would be gone without a word{tail}"
            ),
            Self::Busy { fixture, pid, waited } => write!(
                f,
                "fixture `{fixture}` is still being started by process {pid} after {} s. See what that process waits \
                 for; `start_within` sets the limit",
                waited.as_secs_f64()
            ),
            Self::Handle {
                fixture,
                path,
                handle,
                reason,
            } => write!(
                f,
                "the handle of fixture `{fixture}` in {} cannot be read as {handle}: {reason}. It has to come back \
                 from JSON as it was written; a run that is named by COFFERDAM_RUN_ID needs a new name after a change",
                path.display()
            ),
            Self::Step { tried, reason } => write!(f, "could not {tried}: {reason}"),
        }
    }
}

/// The end of a log, as the end of a message; nothing if there is none.
pub(super) fn tail(log: &[u8]) -> String {
    const LONGEST: usize = 2000;
    let text = String::from_utf8_lossy(&log[log.len().saturating_sub(LONGEST)..]);
    let lines: Vec<_> = text.trim_end().lines().collect();
    match &lines[lines.len().saturating_sub(20)..] {
        [] => String::new(),
        last => format!("\nIts log ends:\n    {}", last.join("\n    ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Fault> {
        let fixture = || "postgres".to_owned();
        vec![
            Fault::NoKeeper {
                fixture: fixture(),
                reason: "target/cofferdam/runs/r/keeper: Permission denied (os error 13)".to_owned(),
            },
            Fault::Lost { fixture: fixture() },
            Fault::Failed {
                fixture: fixture(),
                reason: "port 5432 did not open within 60 s".to_owned() + &tail(b"FATAL: no disk\n"),
            },
            Fault::Other {
                fixture: fixture(),
                here: "Pg at tests/a.rs:3:27".to_owned(),
                there: "Url at tests/b.rs:9:30".to_owned(),
            },
            Fault::Ended {
                fixture: fixture(),
                how: "its process postgres (pid 77) ended by itself with signal 9".to_owned(),
                tail: tail(b"LOG: ready\n"),
            },
            Fault::Busy {
                fixture: fixture(),
                pid: 77,
                waited: Duration::from_secs(60),
            },
            Fault::Handle {
                fixture: fixture(),
                path: "target/cofferdam/runs/r/fixtures/postgres/handle.jsonl".into(),
                handle: "shop::Pg",
                reason: "missing field `url`".to_owned(),
            },
            Fault::Step {
                tried: "start postgres".to_owned(),
                reason: "No such file or directory (os error 2)".to_owned(),
            },
        ]
    }

    #[test]
    fn every_message_stands_in_the_list_of_errors() {
        let messages: Vec<_> = all().iter().map(|fault| fault.to_string()).collect();
        crate::error::page::hold(&messages, true);
    }

    #[test]
    fn a_long_log_is_cut_to_its_last_lines() {
        let log = (0..1000).map(|line| format!("line {line}\n")).collect::<String>();
        let tail = tail(log.as_bytes());
        assert_eq!(tail.lines().count(), 22);
        assert!(tail.ends_with("    line 999"), "{tail}");
        assert_eq!(super::tail(b"\n"), "");
    }
}
