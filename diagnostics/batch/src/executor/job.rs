//! What is to be run: one command, with what it needs.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A job's number in its session, from 1. Written `j1`, it prefixes the lanes of the job's tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "j{}", self.0)
    }
}

/// One command, and how it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub id: JobId,
    /// As its user named it, else what is known to be harmless of its command. It is shown and kept.
    pub name: String,
    /// Jobs of one group may have a ceiling of their own.
    pub group: Option<String>,
    /// The program and its arguments, started without a shell.
    pub command: Vec<OsString>,
    /// Set in addition to what all jobs inherit.
    pub env: Vec<(OsString, OsString)>,
    /// Where it starts; without one, where we were started.
    pub cwd: Option<PathBuf>,
    /// For one attempt. Without one, that of all jobs.
    pub timeout: Option<Duration>,
    /// So many attempts more when it fails. Without a number, that of all jobs.
    pub retries: Option<u32>,
    /// It keeps the temporary directory that we were started with, instead of an empty one of its own.
    pub keeps_temp: bool,
}
