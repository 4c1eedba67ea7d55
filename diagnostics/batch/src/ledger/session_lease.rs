//! The kernel locks of a session: one that its owner holds, and one that its owner and the guard of its jobs hold.
//!
//! The owner takes its files exclusively. All others ask only whether they could share them, and release them at once,
//! so they are never in each other's way. The guard inherits the second lock: it stays held until the jobs of a killed
//! owner are gone.

use super::lock_holders::Holder;
use super::{CreateDir, Owner, SESSIONS, jobs_file, lease_file};
use crate::processes;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The locks of a session that this process owns.
#[derive(Debug)]
pub(super) struct Lease {
    owner: Lock,
    jobs: Lock,
}

impl Lease {
    /// Creates and locks the files of a session that no other process knows of yet.
    ///
    /// # Errors
    /// The path that could not be locked, and why.
    pub(super) fn take(
        base: &Path,
        create_dir: CreateDir,
        session: &str,
    ) -> Result<Self, (PathBuf, io::Error)> {
        let take = |path: PathBuf| Lock::take(&path).map_err(|error| (path, error));
        create_dir(base, Path::new(SESSIONS)).map_err(|error| (lease_file(base, session), error))?;
        Ok(Self {
            owner: take(lease_file(base, session))?,
            jobs: take(jobs_file(base, session))?,
        })
    }

    /// Returns the lock for the guard of the session's jobs to inherit.
    pub(super) fn jobs(&self) -> io::Result<File> {
        self.jobs.file.try_clone()
    }

    /// Releases both for good: no process asks for them any more.
    pub(super) fn end(self) {
        // One that cannot be removed now is removed together with what is old.
        let _ = std::fs::remove_file(&self.owner.path);
        let _ = std::fs::remove_file(&self.jobs.path);
    }
}

/// What keeps the namespace of an unfinished session taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remains {
    Nothing,
    Owner,
    /// The owner was killed, and its guard is stopping these processes.
    Guard(Vec<Holder>),
    /// Owner and guard were killed, or there was no guard, and these processes of the session still run.
    Processes(Vec<Holder>),
}

impl Remains {
    /// Returns what remains of the session. Costs two system calls each for both locks, and a look at all processes if
    /// the owner is gone.
    pub(super) fn of(base: &Path, session: &str) -> io::Result<Self> {
        if is_held(&lease_file(base, session))? {
            return Ok(Self::Owner);
        }
        let is_guarded = is_held(&jobs_file(base, session))?;
        let left = processes::of_session(session).into_iter().map(|process| Holder {
            pid: process.pid,
            program: Some(process.name),
        });
        let left: Vec<Holder> = left.collect();
        Ok(match (is_guarded, left.is_empty()) {
            (true, _) => Self::Guard(left),
            (false, false) => Self::Processes(left),
            (false, true) => Self::Nothing,
        })
    }
}

/// A locked file.
#[derive(Debug)]
struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    fn take(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        #[expect(clippy::disallowed_methods, reason = "the ledger's leases are kernel locks")]
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::from(io::ErrorKind::ResourceBusy),
            TryLockError::Error(error) => error,
        })?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone would leave it to a child that another thread is just starting.
        let _ = self.file.unlock();
    }
}

/// The right to make the ledger of a base folder. Whoever has it needs some milliseconds; there is no bound to the wait.
pub(super) fn creation(base: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(base.join("ledger.lock"))?;
    blocking(|| {
        #[expect(clippy::disallowed_methods, reason = "the ledger is made under a kernel lock")]
        file.lock()
    })?;
    Ok(file)
}

/// Whether a process holds the lock. A file that is not there has no holder.
pub(super) fn is_held(path: &Path) -> io::Result<bool> {
    let Some(file) = open(path)? else {
        return Ok(false);
    };
    #[expect(clippy::disallowed_methods, reason = "the ledger's leases are kernel locks")]
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Waits until every process that holds the lock has released it, or is dead.
pub(super) fn wait(path: &Path) -> io::Result<()> {
    let Some(file) = open(path)? else {
        return Ok(());
    };
    blocking(|| {
        #[expect(clippy::disallowed_methods, reason = "the ledger's leases are kernel locks")]
        file.lock_shared()
    })
}

fn blocking(lock: impl Fn() -> io::Result<()>) -> io::Result<()> {
    loop {
        match lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            told => return told,
        }
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match OpenOptions::new().read(true).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn own_pid() -> u32 {
    #[expect(clippy::disallowed_methods, reason = "the owner is this process")]
    std::process::id()
}

/// This process, as others are told of it.
pub(super) fn owner() -> Owner {
    Owner {
        pid: own_pid(),
        started: started().unwrap_or(0),
        host: host(),
    }
}

/// In the kernel's ticks since boot.
fn started() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name stands in brackets and may hold anything.
    stat.rsplit_once(')')?
        .1
        .split_ascii_whitespace()
        .nth(19)?
        .parse()
        .ok()
}

#[cfg(unix)]
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host() -> String {
    String::new()
}
