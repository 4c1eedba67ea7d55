//! The test process: collects what the process of an isolated test gets, and fails as that failed.

use super::child_process::{Plan, result_of};
use super::report::Verdict;
use crate::error::Error;
use crate::lease::{self, DirLease};
use crate::run;
use crate::sys::preparation::Limits;
use crate::sys::{process, stderr};
use crate::worker::mark_failed;
use once_cell::unsync::OnceCell;
use std::ffi::OsStr;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// The test process, before it starts the process of its test.
pub struct Parent {
    plan: Box<Plan>,
    /// Whether the test should panic.
    panics: bool,
    /// The test's temporary directory, if an argument asked for it.
    tmp: OnceCell<Result<DirLease, Error>>,
}

impl Parent {
    pub(super) fn new(test: &'static str, panics: bool) -> Self {
        let program = run::facts().exe.clone().unwrap_or_default();
        Self {
            plan: Box::new(Plan {
                test,
                command: process::command_in_our_group(program.as_os_str()),
                umask: None,
                limits: Limits::default(),
                timeout: None,
            }),
            panics,
            tmp: OnceCell::new(),
        }
    }

    /// Returns a new directory, which is removed after the test unless the test fails.
    pub fn tmp(&self) -> PathBuf {
        let leased = self.tmp.get_or_init(lease::dir);
        let path = leased.as_ref().map(|leased| leased.path().to_owned());
        path.unwrap_or_default()
    }

    /// Sets a variable.
    pub fn env<V: AsRef<OsStr> + ?Sized>(mut self, name: &str, value: &V) -> Self {
        self.plan.command.env(name, value.as_ref());
        self
    }

    /// Removes a variable.
    pub fn env_remove(mut self, name: &str) -> Self {
        self.plan.command.env_remove(name);
        self
    }

    /// Sets the working directory.
    pub fn dir<P: AsRef<Path> + ?Sized>(mut self, dir: &P) -> Self {
        self.plan.command.current_dir(dir.as_ref());
        self
    }

    /// Sets the permissions that new files do not get.
    pub fn umask(mut self, mask: u32) -> Self {
        self.plan.umask = Some(mask);
        self
    }

    /// Limits the number of open files.
    pub fn open_files(mut self, count: u64) -> Self {
        self.plan.limits.open_files = Some(count);
        self
    }

    /// Limits the size of files in bytes.
    pub fn file_size(mut self, bytes: u64) -> Self {
        self.plan.limits.file_size = Some(bytes);
        self
    }

    /// Limits the address space in bytes.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.plan.limits.memory = Some(bytes);
        self
    }

    /// Limits the time of the test.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.plan.timeout = Some(timeout);
        self
    }

    /// Runs the test in its process, and returns or panics as the test did.
    #[track_caller]
    pub fn run(self) -> ExitCode {
        let result = match self.tmp.get() {
            Some(Err(error)) => Verdict::Broken(error.to_string()),
            _ => result_of(*self.plan),
        };
        match result {
            Verdict::Returned { success: true } => ExitCode::SUCCESS,
            Verdict::Returned { success: false } => {
                mark_failed();
                if let Some(Ok(tmp)) = self.tmp.into_inner() {
                    let kept = tmp.keep();
                    stderr::line(&format!(
                        "the test failed, and its directory is kept until a later run: {}",
                        kept.display()
                    ));
                }
                ExitCode::FAILURE
            }
            Verdict::Panicked { message, .. } => {
                if self.panics {
                    // Removed before the panic, which is no failure.
                    drop(self.tmp);
                }
                // The child's hook has printed it, so no hook runs here.
                resume_unwind(Box::new(message))
            }
            // A test that should panic must not pass by it.
            Verdict::Broken(why) if self.panics => {
                stderr::line(&format!("the test ends without a panic: {why}"));
                ExitCode::FAILURE
            }
            Verdict::Broken(why) => panic!("{why}"),
        }
    }
}
