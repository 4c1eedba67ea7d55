//! The locks with their owners, also those of processes that died.

use crate::error::Error;
use crate::lock::list;
use crate::run;
use crate::sys::file_lock::Mode;
use std::path::{Path, PathBuf};

/// A lock that was taken at least once: see [`locks`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lock {
    /// Its name, followed by ` (machine)` if it is for the whole machine. A very long name is cut at its beginning; without
    /// a recorded owner it is the name of the file.
    pub name: String,
    /// The file that is locked.
    pub file: PathBuf,
    /// For the whole machine, not for one workspace.
    pub machine: bool,
    /// Its state.
    pub state: LockState,
    /// The last owner, if one is recorded.
    pub holder: Option<LockHolder>,
}

/// The state of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockState {
    /// Held by one test alone.
    Exclusive,
    /// Held by one test or several; the recorded owner is the last.
    Shared,
    /// Free: the last owner released it.
    Free,
    /// Free: the last owner was killed, or ended without releasing it.
    Left,
}

impl LockState {
    /// Returns the word for it: `exclusive`, `shared`, `free` or `left`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
            Self::Free => "free",
            Self::Left => "left",
        }
    }
}

/// The owner of a lock, or the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockHolder {
    /// The run.
    pub run: String,
    /// The worker, unique together with the run.
    pub worker: String,
    /// The test's path.
    pub test: String,
    /// The process.
    pub pid: u32,
    /// The moment at which it got the lock, in microseconds since 1970.
    pub since: u64,
    /// The time since then in whole seconds.
    pub seconds: u64,
    /// The process is known to be gone. Not known for processes of other machines and containers.
    pub is_gone: bool,
}

/// Returns the locks of a workspace, by its [base directory](crate::diagnostics::base_dir), and then those of the whole machine.
///
/// Each is tried for a moment: a test that tries it at that moment without waiting
/// ([`try_lock`](crate::lock::try_lock)) may find it taken.
///
/// ```
/// use cofferdam::diagnostics::{LockState, locks};
/// let _alone = cofferdam::lock("printer");
/// let all = locks(&cofferdam::diagnostics::base_dir(None)?)?;
/// let held = all.iter().find(|lock| lock.name == "printer" && !lock.machine).unwrap();
/// assert_eq!(held.state, LockState::Exclusive);
/// assert_eq!(held.holder.as_ref().map(|holder| holder.pid), Some(std::process::id()));
/// # Ok::<(), cofferdam::Error>(())
/// ```
///
/// # Errors
/// When a directory or file of locks cannot be read, or when the machine's directory is not this user's own.
#[inline]
pub fn locks(base: &Path) -> Result<Vec<Lock>, Error> {
    let space = &run::facts().space;
    let seen = list::locks(base)?;
    let locks = seen.into_iter().map(|seen| {
        let holds = seen.owner.as_ref().is_some_and(|owner| owner.holds);
        let state = match seen.mode {
            Some(Mode::Exclusive) => LockState::Exclusive,
            Some(Mode::Shared) => LockState::Shared,
            None if holds => LockState::Left,
            None => LockState::Free,
        };
        let stem = || {
            seen.file
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        Lock {
            name: seen.owner.as_ref().map_or_else(stem, |owner| owner.lock.clone()),
            machine: seen.machine,
            state,
            holder: seen.owner.map(|owner| LockHolder {
                seconds: owner.seconds(),
                is_gone: owner.has_ended(space),
                run: owner.run,
                worker: owner.worker,
                test: owner.test,
                pid: owner.pid,
                since: owner.since,
            }),
            file: seen.file,
        }
    });
    Ok(locks.collect())
}
