//! The kernel locks of a session: the owner's, and one that the owner shares with the guard of its jobs.
//!
//! The owner locks its files exclusively. Other processes only test whether they could share a lock, and release it at
//! once, so they never block each other. The guard inherits the second lock: it stays taken until the jobs of a killed
//! owner are gone.

use super::session::SessionOwner;
use super::{CreateDir, SESSIONS, jobs_file, lease_file};
use crate::proc;
use crate::processes::{self, NamedProcess, own_pid};
#[cfg(unix)]
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The locks of a session that this process owns.
#[derive(Debug)]
pub(super) struct SessionLease {
    owner: LockFile,
    jobs: LockFile,
}

impl SessionLease {
    /// Creates and locks the files of a session that no other process knows yet.
    ///
    /// # Errors
    /// Returns the path that could not be locked, and the cause.
    pub(super) fn take(
        base: &Path,
        create_dir: CreateDir,
        session: &str,
    ) -> Result<Self, (PathBuf, io::Error)> {
        let take = |path: PathBuf| LockFile::take(&path).map_err(|error| (path, error));
        create_dir(base, Path::new(SESSIONS)).map_err(|error| (lease_file(base, session), error))?;
        Ok(Self {
            owner: take(lease_file(base, session))?,
            jobs: take(jobs_file(base, session))?,
        })
    }

    /// Returns the lock that the guard of the session's jobs inherits.
    pub(super) fn jobs(&self) -> io::Result<File> {
        self.jobs.file.try_clone()
    }

    /// Releases both locks at the end of the session.
    pub(super) fn end(self) {
        // A file that cannot be removed now is removed together with old sessions.
        let _ = std::fs::remove_file(&self.owner.path);
        let _ = std::fs::remove_file(&self.jobs.path);
    }
}

/// The parts of an unfinished session that are still there, and keep its namespace taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Liveness {
    Dead,
    Owner,
    /// The owner was killed, and its guard is stopping these processes.
    Guard(Vec<NamedProcess>),
    /// Owner and guard were killed, or there was no guard, and these processes of the session still run.
    Processes(Vec<NamedProcess>),
}

impl Liveness {
    /// Checks the locks of a session, and searches for its processes if the owner is gone.
    pub(super) fn of(base: &Path, session: &str) -> io::Result<Self> {
        if is_held(&lease_file(base, session))? {
            return Ok(Self::Owner);
        }
        let is_guarded = is_held(&jobs_file(base, session))?;
        let left = processes::of_session(session);
        let left = left.into_iter().map(|process| NamedProcess {
            pid: process.pid,
            program: Some(process.name),
        });
        let left: Vec<NamedProcess> = left.collect();
        Ok(match (is_guarded, left.is_empty()) {
            (true, _) => Self::Guard(left),
            (false, false) => Self::Processes(left),
            (false, true) => Self::Dead,
        })
    }
}

/// A locked file.
#[derive(Debug)]
struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    fn take(path: &Path) -> io::Result<Self> {
        let file = create(path)?;
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

impl Drop for LockFile {
    fn drop(&mut self) {
        // Closing alone would leave the lock to a child that another thread is just starting.
        let _ = self.file.unlock();
    }
}

/// Takes the lock under which a ledger is created. Its holder needs some milliseconds; the wait has no limit.
pub(super) fn lock_creation(base: &Path) -> io::Result<File> {
    let file = create(&base.join("ledger.lock"))?;
    blocking(|| {
        #[expect(
            clippy::disallowed_methods,
            reason = "the ledger is created under a kernel lock"
        )]
        file.lock()
    })?;
    Ok(file)
}

/// Returns whether a process holds the lock. A missing file has no holder.
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

/// Waits until every holder of the lock has released it or is dead.
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
            done => return done,
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    refuse_links(&mut options).open(path)
}

/// Refuses symbolic links: opening one would create or lock its target, which another user may have chosen.
fn refuse_links(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        options,
        (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed(),
    );
    options
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match refuse_links(OpenOptions::new().read(true)).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Describes this process as the owner of a session.
pub(super) fn owner() -> SessionOwner {
    SessionOwner {
        pid: own_pid(),
        started: proc::process(own_pid()).map_or(0, |process| process.started),
        host: host(),
    }
}

#[cfg(unix)]
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host() -> String {
    String::new()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_in_place_of_a_lock_is_not_followed() {
        let create_dir: CreateDir = |base, below| Ok(base.join(below));
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("base");
        let victim = dir.path().join("victim");
        for lock in [
            base.join("ledger.lock"),
            lease_file(&base, "planted"),
            jobs_file(&base, "planted"),
        ] {
            std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
            symlink(&victim, &lock).unwrap();
        }
        for there in [false, true] {
            if there {
                std::fs::write(&victim, "").unwrap();
            }
            lock_creation(&base).unwrap_err();
            SessionLease::take(&base, create_dir, "planted").unwrap_err();
            Liveness::of(&base, "planted").unwrap_err();
            wait(&lease_file(&base, "planted")).unwrap_err();
            assert_eq!(victim.exists(), there);
        }
    }
}
