//! Sessions and jobs as callers describe them, and the words that stand for their states.

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use serde::Serialize;
use std::path::PathBuf;

/// The number of a session in its ledger; no number is used twice.
pub type SessionId = i64;

/// The number of a job in its session: 1, 2, …, without gaps.
pub type JobNumber = u64;

/// A session before it is admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// The unique name that recordings have in `COFFERDAM_RECORD`.
    pub name: String,
    pub namespace: String,
    /// The kind of work: `command`, `batch` or `rounds`.
    pub scope: String,
    /// Whether other processes may submit jobs to it.
    pub takes_jobs: bool,
    pub trigger: Trigger,
    /// Whether it may run beside other sessions of its namespace: with `COFFERDAM_RUN_LOCK=off`, or inside of a job of
    /// another session.
    pub concurrent: bool,
    /// Whether it continues the jobs of the namespace's last session, if the owner of that one died.
    pub resume: bool,
    /// The commit that is checked out, if it is known.
    pub revision: Option<String>,
}

/// The initiator of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A person at a terminal.
    User,
    /// A CI system.
    Ci,
    /// Another program.
    Program,
}

/// The state of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Admitted, without jobs so far.
    Pending,
    Running,
    Passed,
    Failed,
    Cancelled,
    /// The owner died.
    Abandoned,
}

impl Status {
    pub fn is_active(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }
}

/// The process that runs a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionOwner {
    pub pid: u32,
    /// Clock ticks from boot to its start; 0 if they are unknown.
    pub started: u64,
    /// The machine's name; empty if it is unknown.
    pub host: String,
}

/// A job before it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewJob<'a> {
    /// The user's name for it.
    pub name: &'a str,
    /// The part of its command that cannot be secret.
    pub command: &'a str,
    pub group: Option<&'a str>,
}

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobState {
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
    /// The owner of the session died before the end of the job was known.
    Interrupted,
}

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEnd {
    pub job: JobNumber,
    /// Counted from 1.
    pub attempt: u32,
    /// `Completed`, `Failed` or `Cancelled`.
    pub state: JobState,
    /// Whether another attempt follows: the job is pending again.
    pub retried: bool,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    /// The cause, if the command did not end by itself: `timeout`, `memory`, `not-started`, …
    pub reason: Option<String>,
    /// In microseconds since 1970, like `ended`.
    pub started: u64,
    pub ended: u64,
    /// The highest memory use in bytes, if it was measured.
    pub memory: Option<u64>,
    /// The log file; stored relative to the base folder if it is below it.
    pub log: Option<PathBuf>,
}

/// A conflict that a session found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedConflict {
    pub kind: String,
    pub severity: String,
    pub message: String,
    pub help: String,
}

/// Implements the conversions between an enum and the words for it in the database and in reports.
macro_rules! words {
    ($name:ident { $($variant:ident $word:literal)* }) => {
        impl $name {
            const ALL: &'static [(Self, &'static str)] = &[$((Self::$variant, $word)),*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }

        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let word = value.as_str()?;
                let known = Self::ALL.iter().find(|(_, known)| *known == word);
                known.map(|(found, _)| *found).ok_or(FromSqlError::InvalidType)
            }
        }
    };
}

words!(Trigger { User "user" Ci "ci" Program "program" });
words!(Status {
    Pending "pending" Running "running" Passed "passed" Failed "failed" Cancelled "cancelled" Abandoned "abandoned"
});
words!(JobState {
    Pending "pending" Running "running" Completed "completed" Failed "failed" Cancelled "cancelled"
    Interrupted "interrupted"
});
