//! The limits of a session, and the folders of its jobs.

use super::policy::ErrorPolicy;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The conditions under which the jobs of a session run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The highest number of jobs at the same time.
    pub at_once: NonZeroUsize,
    /// The same for single groups.
    pub groups: BTreeMap<String, usize>,
    /// The time between two starts.
    pub interval: Option<Duration>,
    /// The time limit of each attempt, unless the job has its own.
    pub timeout: Option<Duration>,
    /// The number of further attempts after a failure, unless the job has its own.
    pub retries: u32,
    /// The time between the request to stop and the kill.
    pub grace: Duration,
    pub policy: ErrorPolicy,
    pub memory: MemoryLimits,
    /// The session's name. Sandboxed jobs and all their processes have it in `COFFERDAM_RECORD`.
    pub session: String,
    /// Variables that every job receives.
    pub variables: Vec<(OsString, OsString)>,
    pub placement: Placement,
    /// The lock that the guard keeps open until the jobs of a killed session are gone.
    pub lock: Option<Arc<File>>,
}

/// The time in which a command in the foreground may end by itself after its time limit.
const FOREGROUND_GRACE: Duration = Duration::from_secs(2);

impl Options {
    /// Returns the options for one command in the foreground, without limits besides those of the command.
    pub fn foreground(variables: Vec<(OsString, OsString)>) -> Self {
        Self {
            at_once: NonZeroUsize::MIN,
            groups: BTreeMap::new(),
            interval: None,
            timeout: None,
            retries: 0,
            // For a time limit of the command: a signal is forwarded as it came.
            grace: FOREGROUND_GRACE,
            policy: ErrorPolicy::default(),
            memory: MemoryLimits::default(),
            session: String::new(),
            variables,
            placement: Placement::Foreground,
            lock: None,
        }
    }
}

/// The streams and folders that jobs get.
#[derive(Clone, Debug)]
pub enum Placement {
    /// One job with the streams, folders and process group of this process, as if it had been started by hand.
    Foreground,
    /// Jobs with a log file and folders of their own.
    Sandboxed(JobDirs),
}

/// The folders below which each job gets its own.
#[derive(Clone, Debug)]
pub struct JobDirs {
    /// `j1.log` here is the output of the first job.
    pub logs: PathBuf,
    /// `j1/` here is the temporary folder of the first job, removed after its end. The path is short, because jobs put
    /// sockets there.
    pub temp: PathBuf,
    /// `j1/` here receives the files that the first job leaves to its user.
    pub output: PathBuf,
    /// Prefixes the names of jobs: the name of the job that this session runs in, if any.
    pub prefix: String,
}

/// The memory that jobs may use, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryLimits {
    /// The limit of one job with all its processes; beyond it, the job is stopped.
    pub job: Option<u64>,
    /// The limit of all jobs together. At nine tenths no further job starts; beyond it, the largest is stopped.
    pub total: Option<u64>,
    /// While less memory is available, no further job starts as long as one runs.
    pub keep_free: u64,
}
