//! The owner's kernel lock: as long as it is held, the owner lives.
//!
//! The owner has its file alone. All others ask only whether they could share it, and give it back at once, so they
//! are never in each other's way.

use super::Owner;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The lock of a session that this process owns.
#[derive(Debug)]
pub(super) struct Lease {
    file: File,
    path: PathBuf,
}

impl Lease {
    /// Makes the file, which nobody else knows of yet, and locks it.
    pub(super) fn take(path: &Path) -> io::Result<Self> {
        super::make_parent(path)?;
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

    /// Gives it back for good: nobody asks for it any more.
    pub(super) fn end(self) {
        // One that cannot be removed now is removed together with what is old.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Drop for Lease {
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

/// Whether the owner of the lease lives. A file that is not there has none.
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

/// Waits until the owner has given it back, or is dead.
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
