//! What happens to jobs, as plain data: the contract between those who run them and those who record and show it.

use super::job::JobId;
use super::shortage::Shortage;
use std::path::PathBuf;
use std::time::Duration;

/// What happened. Names are what users chose; there is no argument, no variable and no output in here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An attempt began.
    Started {
        job: JobId,
        name: String,
        group: Option<String>,
        /// From 1.
        attempt: u32,
        pid: u32,
        /// Where its output is written; `None` when it has our own streams.
        log: Option<PathBuf>,
    },
    /// An attempt is over, and so is the job unless it is `again`.
    Ended {
        job: JobId,
        name: String,
        group: Option<String>,
        attempt: u32,
        ending: Ending,
        took: Duration,
        /// Where its output is; `None` when it had our own streams, or wrote nothing.
        log: Option<PathBuf>,
        /// So many bytes are in the log.
        written: u64,
        /// Processes of the job that outlived its first one and were stopped.
        stopped: u32,
        /// The most memory that its processes were seen to use, in bytes; `None` where memory is not limited.
        memory: Option<u64>,
        /// Another attempt follows.
        again: bool,
    },
    /// Nothing is started for now.
    Held { why: Hold },
    /// No more than so many jobs run at once, for want of this. It is said once for each want.
    Short { of: Shortage, at_once: usize },
    /// No guard could be started: jobs go on if this process is killed.
    Unguarded { error: String },
    /// What was held back is started again.
    Released,
    /// No more jobs are started, and those that run are stopped.
    Stopping { why: Why },
    /// A job is no longer wanted, and never began.
    Dropped {
        job: JobId,
        name: String,
        group: Option<String>,
    },
    /// Nothing happened for a moment, or it was not said for a second: there is time for what could wait.
    Rest,
    /// A process that a job had detached from itself outlives the session.
    Left {
        pid: u32,
        /// The program's name.
        name: String,
    },
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    Passed,
    Failed {
        code: u8,
        /// The signal that ended it, if one did.
        signal: Option<i32>,
        /// Of the kind that the user called critical.
        critical: bool,
    },
    /// It could not be started.
    NotStarted {
        error: String,
    },
    /// It was stopped, for it ran longer than it may.
    TimedOut {
        limit: Duration,
    },
    /// It was stopped, for it used more memory than it may.
    OverMemory {
        used: u64,
        limit: u64,
    },
    /// It was stopped, for all jobs together used more memory than they may, and it used most.
    OverMemoryInAll {
        used: u64,
        limit: u64,
    },
    /// It was stopped, for it wrote more than it may.
    OverOutput {
        written: u64,
        limit: u64,
    },
    /// It was stopped with the session.
    Cancelled,
}

impl Ending {
    pub fn passed(&self) -> bool {
        matches!(self, Self::Passed)
    }

    /// In a word why it did not pass by itself, for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed { critical: true, .. } => "critical",
            Self::Failed { .. } => "failed",
            Self::NotStarted { .. } => "not-started",
            Self::TimedOut { .. } => "timeout",
            Self::OverMemory { .. } => "memory",
            Self::OverMemoryInAll { .. } => "memory-in-all",
            Self::OverOutput { .. } => "output",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state that a job is in after its last attempt: `completed`, `failed` or `cancelled`. Before, it is
    /// `pending` or `running`.
    pub fn state(&self) -> &'static str {
        match self {
            Self::Passed => "completed",
            Self::Cancelled => "cancelled",
            _ => "failed",
        }
    }
}

/// Why nothing is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The machine, or the container that we are in, has less memory left than it shall keep.
    MemoryShort { available: u64, wanted: u64 },
    /// The jobs together use nearly as much as they may.
    MemoryInAll { used: u64, limit: u64 },
}

/// Why a session stops before its jobs are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Somebody sent this signal.
    Signal(i32),
    /// A job failed, and that was to end it.
    Failed(JobId),
    /// A job failed in a way that was called critical.
    Critical(JobId),
    /// So many jobs failed.
    MaxFail(u32),
}

/// What a session came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    /// Stopped with the session, or never begun.
    pub cancelled: u64,
    /// Most jobs at one time.
    pub most_at_once: u32,
    pub stopped: Option<Why>,
}
