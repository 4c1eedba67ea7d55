//! A job: one command and the conditions under which it runs.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The number of a job in its session, from 1. Displayed as `j1`, it prefixes the worker names of the job's tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "j{}", self.0)
    }
}

/// A command to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub id: JobId,
    /// The user's name for the job, or the part of its command that cannot be secret. It is displayed and stored.
    pub name: String,
    /// The group whose limit the job counts toward.
    pub group: Option<String>,
    /// The program and its arguments; no shell is involved.
    pub command: Vec<OsString>,
    /// Variables in addition to those that all jobs inherit.
    pub env: Vec<(OsString, OsString)>,
    /// The working folder; without it, that of this process.
    pub cwd: Option<PathBuf>,
    /// The time limit of one attempt; without it, that of the session.
    pub timeout: Option<Duration>,
    /// The number of further attempts after a failure; without it, that of the session.
    pub retries: Option<u32>,
    /// Whether the job uses the temporary folder of this process instead of an empty one of its own.
    pub inherits_temp: bool,
}
