//! Directories of tests, which outlive the tests that fail.

use super::Worker;
use super::test_outcome::Outcome;
use crate::error::Error;
use crate::exit::{self, Cleanup};
use crate::sys::{clock, exit_hook, folder, process, stderr};
use crate::{journal, run};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{fs, io};

/// A new directory of one test.
#[derive(Debug)]
pub(crate) struct TestFolder {
    path: PathBuf,
    /// The directory that it is moved to if the test fails.
    failed: PathBuf,
    /// The time of its creation. What is built later may use it, and is dropped earlier.
    order: u64,
}

impl TestFolder {
    /// Creates the directory, and removes those that the worker's test left when it failed earlier.
    pub(crate) fn new(worker: &Worker) -> Result<Self, Error> {
        let folder = Self::beside_others(worker)?;
        let _ = fs::remove_dir_all(&folder.failed);
        Ok(folder)
    }

    /// Creates the directory.
    pub(crate) fn beside_others(worker: &Worker) -> Result<Self, Error> {
        let test = format!("{}::{}", journal::binary(), worker.test().unwrap_or("main"));
        let run = run::run_dir()?;
        // The run's folder is `runs/RUN` in the base folder.
        let base = run.ancestors().nth(2).unwrap_or(run);
        let failed = base.join("failed").join(run::file_name(&test));
        let parent = run::private_dir(&run::worker_dir(worker.id())?, "leased")?;
        loop {
            let order = clock::unique();
            let path = parent.join(format!("{}-{order}", process::id()));
            match folder::make_new(&path) {
                Ok(()) => return Ok(Self { path, failed, order }),
                // An earlier process of the run had this process number and left its folder.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("create a directory in", &parent, error)),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the directory. What cannot be removed goes with the run's directory.
    pub(crate) fn remove(&self) {
        let _ = fs::remove_dir_all(&self.path);
    }

    /// Moves the directory to a place where it outlives the run, and names it on standard error.
    pub(crate) fn keep(&self) {
        // If it cannot be moved, it stays as long as the run's folder.
        let kept = self.move_away().unwrap_or_else(|_| self.path.clone());
        stderr::line(&format!(
            "the test failed, and its directory is kept: {}",
            kept.display()
        ));
    }

    fn move_away(&self) -> io::Result<PathBuf> {
        // Below the base folder, as `failed/TEST`.
        let base = self.failed.ancestors().nth(2).unwrap_or(&self.failed);
        let below = self.failed.strip_prefix(base).unwrap_or(&self.failed);
        let kept = folder::make(base, below)?.join(self.path.file_name().unwrap_or_default());
        fs::rename(&self.path, &kept)?;
        Ok(kept)
    }

    /// Removes or keeps the directory at the end of its test, or waits for the exit code of the process.
    pub(super) fn end(self, outcome: Outcome) {
        match outcome {
            Outcome::Passed => self.remove(),
            Outcome::Failed => self.keep(),
            // The test may have expected the panic, or caught it.
            Outcome::Panicked if !(is_process_per_test() && exit_hook::HAS_CODE) => self.keep(),
            Outcome::Panicked | Outcome::Unknown => {
                exit::register(end_undecided);
                undecided().push(self);
            }
        }
    }
}

/// The directories of tests that are over, until the exit code says whether these passed.
fn undecided() -> std::sync::MutexGuard<'static, Vec<TestFolder>> {
    static UNDECIDED: Mutex<Vec<TestFolder>> = Mutex::new(Vec::new());
    UNDECIDED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end_undecided() -> Vec<Cleanup> {
    let folders = std::mem::take(&mut *undecided());
    let cleanup = |folder: TestFolder| Cleanup {
        order: folder.order,
        what: format!("the directory {}", folder.path.display()),
        run: Box::new(move || match exit_hook::code() {
            Some(0) => folder.remove(),
            Some(_) if is_process_per_test() => folder.keep(),
            // Another test may have failed, or the code is unknown: it stays as long as the run's folder.
            _ => {}
        }),
    };
    folders.into_iter().map(cleanup).collect()
}

fn is_process_per_test() -> bool {
    run::nextest(run::facts()).is_some_and(|nextest| nextest.is_the_test)
}
