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
pub(crate) struct Options {
    /// So many at once.
    pub(crate) ceiling: NonZeroUsize,
    /// So many of a group at once.
    pub(crate) groups: BTreeMap<String, usize>,
    /// One start for each interval.
    pub(crate) interval: Option<Duration>,
    /// For each attempt of a job that names none.
    pub(crate) timeout: Option<Duration>,
    /// For a job that names none.
    pub(crate) retries: u32,
    /// From being told to stop to being killed.
    pub(crate) grace: Duration,
    pub(crate) policy: Policy,
    pub(crate) memory: MemoryLimits,
    /// So many bytes of output a job may write.
    pub(crate) output: Option<u64>,
    /// The session's name. If there are folders, all processes of its jobs carry it in `COFFERDAM_RECORD`.
    pub(crate) session: String,
    /// What every job is handed besides.
    pub(crate) variables: Vec<(OsString, OsString)>,
    pub(crate) place: Place,
    /// The lock that the guard keeps until the jobs of a killed session are gone.
    pub(crate) lock: Option<Arc<File>>,
}

/// Where a job's streams and folders are.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// One job, with our own streams and folders and in our process group, as if we were not there.
    Foreground,
    /// Each job has a file for its output and folders of its own, below these.
    Folders(Folders),
}

/// Folders for the jobs of a session.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    /// `j1.log` is the output of the first job.
    pub(crate) logs: PathBuf,
    /// `j1/` is the first job's temporary folder, gone after its end. Its path is short: sockets are put there.
    pub(crate) temp: PathBuf,
    /// `j1/` is where the first job puts what is to stay.
    pub(crate) output: PathBuf,
    /// What a job's number is put behind: the name of the job that we are in, if we are in one.
    pub(crate) prefix: String,
}

/// What memory jobs may use, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MemoryLimits {
    /// One job, with all its processes: it is stopped.
    pub(crate) job: Option<u64>,
    /// All of them together: at nine tenths nothing more is started, above it the largest is stopped.
    pub(crate) in_all: Option<u64>,
    /// While less than this is available, nothing more is started as long as a job runs.
    pub(crate) keep_free: u64,
}
