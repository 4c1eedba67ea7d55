//! Recorded sessions, as readers get them. Times are microseconds since 1970.

use super::session::{JobNumber, JobState, SessionId, SessionOwner, Status, Trigger};
use crate::processes::NamedProcess;
use serde::{Serialize, Serializer};
use std::path::PathBuf;

/// A recorded session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedSession {
    pub id: SessionId,
    pub name: String,
    pub namespace: String,
    pub scope: String,
    #[serde(rename = "triggered_by")]
    pub trigger: Trigger,
    /// `Abandoned` also if the session is dead and no writer has marked it yet.
    pub status: Status,
    /// The processes of a killed session that still run.
    #[serde(rename = "remaining_processes")]
    pub remaining: Vec<NamedProcess>,
    pub concurrent: bool,
    pub owner: SessionOwner,
    pub revision: Option<String>,
    pub started: u64,
    pub ended: Option<u64>,
    /// Recording failed for a while: jobs or results are missing.
    pub incomplete: bool,
    /// The session that this one continued.
    pub resumes: Option<SessionId>,
    pub jobs: JobCounts,
    /// The number of conflicts found; `None` before the end.
    pub conflicts: Option<u64>,
}

/// The number of jobs in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JobCounts {
    pub total: u64,
    pub pending: u64,
    pub running: u64,
    pub completed: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub interrupted: u64,
}

impl JobCounts {
    pub fn ended(&self) -> u64 {
        self.completed + self.failed + self.cancelled + self.interrupted
    }
}

/// A recorded job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedJob {
    pub number: JobNumber,
    pub name: String,
    /// The part of its command that cannot be secret; `None` if an older version recorded it.
    pub command: Option<String>,
    pub group: Option<String>,
    pub state: JobState,
    /// Whether another process submitted it.
    pub submitted: bool,
    /// Whether it had ended in the session that this one continued.
    pub carried_over: bool,
    /// Its attempts, in order.
    pub attempts: Vec<RecordedAttempt>,
}

/// A recorded attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedAttempt {
    pub number: u32,
    pub state: JobState,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    pub reason: Option<String>,
    pub started: u64,
    pub ended: Option<u64>,
    pub memory: Option<u64>,
    #[serde(serialize_with = "lossy")]
    pub log: Option<PathBuf>,
}

/// The number of times that jobs of one name passed and failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassRate {
    pub name: String,
    pub sessions: u64,
    pub completed: u64,
    pub failed: u64,
}

/// A selection of the newest sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFilter {
    pub namespace: Option<String>,
    pub limit: u32,
}

/// Serializes a path; bytes that are no text are replaced.
fn lossy<S: Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.to_string_lossy()).serialize(to)
}
