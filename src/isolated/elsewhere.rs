//! Systems on which no process is started: a test needs nextest, which has started one for it.

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// A process that would start another one.
pub struct Parent(Infallible);

#[expect(missing_docs, reason = "the Unix version has the texts")]
impl Parent {
    #[track_caller]
    pub(super) fn new(_: &str, _: bool) -> Self {
        panic!("{}", super::UNIX_ONLY)
    }

    pub fn tmp(&self) -> PathBuf {
        match self.0 {}
    }

    pub fn env<V: ?Sized>(self, _: &str, _: &V) -> Self {
        self
    }

    pub fn env_remove(self, _: &str) -> Self {
        self
    }

    pub fn dir<P: ?Sized>(self, _: &P) -> Self {
        self
    }

    pub fn umask(self, _: u32) -> Self {
        self
    }

    pub fn open_files(self, _: u64) -> Self {
        self
    }

    pub fn file_size(self, _: u64) -> Self {
        self
    }

    pub fn memory(self, _: u64) -> Self {
        self
    }

    pub fn timeout(self, _: Duration) -> Self {
        self
    }

    pub fn run(self) -> ExitCode {
        match self.0 {}
    }
}

/// Runs the body. No process reports here.
pub(super) fn run(body: impl FnOnce() -> ExitCode) -> ExitCode {
    body()
}
