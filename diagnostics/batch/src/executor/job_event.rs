//! Events of a session, as plain data: the contract between the executor and those that record and display them.

use super::job::JobId;
use super::shortage::Shortage;
use std::path::PathBuf;
use std::time::Duration;

/// A step of a session. Names are those that users chose; events contain no argument, no variable and no output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An attempt began.
    Started {
        job: JobId,
        name: String,
        group: Option<String>,
        /// Counted from 1.
        attempt: u32,
        pid: u32,
        /// The file that receives its output; `None` if it inherited the streams of this process.
        log: Option<PathBuf>,
    },
    /// An attempt ended, and with it the job unless `retry` is set.
    Ended {
        job: JobId,
        name: String,
        group: Option<String>,
        attempt: u32,
        outcome: AttemptOutcome,
        duration: Duration,
        /// The file with its output; `None` if it wrote nothing or inherited the streams of this process.
        log: Option<PathBuf>,
        log_bytes: u64,
        /// Processes that outlived the job's first process and were stopped.
        stopped_processes: u32,
        /// The highest memory use measured, in bytes; `None` if memory is not limited.
        memory: Option<u64>,
        retry: bool,
    },
    /// No job starts until memory is available again.
    StartsPaused { reason: MemoryHold },
    /// Fewer jobs run at once than requested, because of this shortage. Reported once for each kind.
    Limited { shortage: Shortage, at_once: usize },
    /// The guard could not be started: jobs survive if this process is killed.
    Unguarded { error: String },
    /// Jobs start again.
    StartsResumed,
    /// No further job starts, and running jobs are stopped.
    Stopping { reason: StopReason },
    /// A job was removed from the queue because the session stops.
    Dropped {
        job: JobId,
        name: String,
        group: Option<String>,
    },
    /// Nothing happened for a moment, or a second passed since the last of these events: an occasion for deferred work.
    Idle,
    /// A process that a job detached outlives the session.
    Detached {
        pid: u32,
        /// The program's name.
        name: String,
    },
}

impl Event {
    /// Returns whether a job is over with this event.
    pub fn is_end_of_job(&self) -> bool {
        matches!(self, Self::Ended { retry: false, .. } | Self::Dropped { .. })
    }
}

/// The outcome of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    Passed,
    Failed {
        code: u8,
        /// The signal that ended it, if there was one.
        signal: Option<i32>,
        /// The failure is critical by its exit code or its output.
        critical: bool,
    },
    NotStarted {
        error: String,
    },
    /// Stopped at its time limit.
    TimedOut {
        limit: Duration,
    },
    /// Stopped because the job exceeded its memory limit.
    OverMemory {
        used: u64,
        limit: u64,
    },
    /// Stopped because all jobs together exceeded the memory limit and this one used most.
    OverTotalMemory {
        used: u64,
        limit: u64,
    },
    /// Stopped together with the session.
    Cancelled,
}

impl AttemptOutcome {
    pub fn passed(&self) -> bool {
        matches!(self, Self::Passed)
    }

    /// Returns whether the job failed, by itself or by exceeding a limit.
    pub fn failed(&self) -> bool {
        !matches!(self, Self::Passed | Self::Cancelled)
    }

    /// Returns a keyword for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed { critical: true, .. } => "critical",
            Self::Failed { .. } => "failed",
            Self::NotStarted { .. } => "not-started",
            Self::TimedOut { .. } => "timeout",
            Self::OverMemory { .. } => "memory",
            Self::OverTotalMemory { .. } => "total-memory",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns the state of a job whose last attempt ended like this: `completed`, `failed` or `cancelled`.
    pub fn state(&self) -> &'static str {
        match self {
            Self::Passed => "completed",
            Self::Cancelled => "cancelled",
            _ => "failed",
        }
    }
}

/// The reason why no job starts for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryHold {
    /// The machine, or the container, has less memory available than it is to keep free.
    MachineShort { available: u64, keep_free: u64 },
    /// The jobs together use nearly as much as they may.
    NearLimit { used: u64, limit: u64 },
}

/// The reason why a session stops before its jobs are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// This process received a signal.
    Signal(i32),
    /// A job failed, and the policy is to stop then.
    Failed(JobId),
    /// A job failed critically.
    Critical(JobId),
    /// This number of jobs failed.
    MaxFail(u32),
}

/// The counts of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    /// Jobs that were stopped with the session, or never started.
    pub cancelled: u64,
    /// The highest number of jobs that ran at the same time.
    pub most_at_once: u32,
    pub stopped: Option<StopReason>,
}
