//! The limits of a session.

use super::policy::Policy;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How jobs are run.
#[derive(Clone, Debug)]
pub struct Options {
    /// So many at once.
    pub ceiling: NonZeroUsize,
    /// So many of a group at once.
    pub groups: BTreeMap<String, usize>,
    /// One start for each interval.
    pub interval: Option<Duration>,
    /// For each attempt of a job that names none.
    pub timeout: Option<Duration>,
    /// For a job that names none.
    pub retries: u32,
    /// From being told to stop to being killed.
    pub grace: Duration,
    pub policy: Policy,
    pub memory: MemoryLimits,
    /// So many bytes of output a job may write.
    pub output: Option<u64>,
    /// The session's name. If there are folders, all processes of its jobs carry it in `COFFERDAM_RECORD`.
    pub session: String,
    /// What every job is handed besides.
    pub variables: Vec<(OsString, OsString)>,
    pub place: Place,
    /// The lock that the guard keeps until the jobs of a killed session are gone.
    pub lock: Option<Arc<File>>,
}

/// Where a job's streams and folders are.
#[derive(Clone, Debug)]
pub enum Place {
    /// One job, with our own streams and folders and in our process group, as if we were not there.
    Foreground,
    /// Each job has a file for its output and folders of its own, below these.
    Folders(Folders),
}

/// Folders for the jobs of a session.
#[derive(Clone, Debug)]
pub struct Folders {
    /// `j1.log` is the output of the first job.
    pub logs: PathBuf,
    /// `j1/` is the first job's temporary folder, gone after its end. Its path is short: sockets are put there.
    pub temp: PathBuf,
    /// `j1/` is where the first job puts what is to stay.
    pub output: PathBuf,
    /// What a job's number is put behind: the name of the job that we are in, if we are in one.
    pub prefix: String,
}

/// What memory jobs may use, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryLimits {
    /// One job, with all its processes: it is stopped.
    pub job: Option<u64>,
    /// All of them together: at nine tenths nothing more is started, above it the largest is stopped.
    pub in_all: Option<u64>,
    /// While less than this is available, nothing more is started as long as a job runs.
    pub keep_free: u64,
}
