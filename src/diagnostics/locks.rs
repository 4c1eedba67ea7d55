//! Which locks are held, by whom, and who died while holding one.

use crate::error::Error;
use crate::lock::list;
use crate::run;
use crate::sys::file_lock::Mode;
use std::path::{Path, PathBuf};

/// A lock that was ever taken: see [`locks`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lock {
    /// Its name as it was asked for, with ` (host)` behind it when it is the whole machine's. Of a very long one the end;
    /// the file's name when nobody stands in the file.
    pub name: String,
    /// The file whose kernel lock it is.
    pub file: PathBuf,
    /// Whether it is for the whole machine, not for one workspace.
    pub host: bool,
    /// Whether it is held now.
    pub state: LockState,
    /// Whoever took it last, if anybody is known.
    pub holder: Option<LockHolder>,
}

/// Whether a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockState {
    /// By one test alone.
    Exclusive,
    /// By one test or more, together; the holder is the one that came last.
    Shared,
    /// By nobody, and whoever had it gave it back.
    Free,
    /// By nobody: whoever had it was killed, or left without giving it back.
    Left,
}

impl LockState {
    /// The word for it: `exclusive`, `shared`, `free` or `left`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
            Self::Free => "free",
            Self::Left => "left",
        }
    }
}

/// Who holds a lock, or held it last.
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
    /// Since when, in microseconds since 1970.
    pub since: u64,
    /// For how long by now, in whole seconds.
    pub seconds: u64,
    /// Whether the process is known to be gone. Of another machine's or container's, and where the system does not tell, it is not.
    pub is_gone: bool,
}

/// The locks of a workspace, by its [base folder](crate::base_dir), and then those of the whole machine.
///
/// Each is tried for a moment: a test that wants it just then and does not wait
/// ([`try_lock`](crate::try_lock)) may find it taken.
///
/// ```
/// use cofferdam::diagnostics::{LockState, locks};
/// let _alone = cofferdam::lock("printer");
/// let all = locks(&cofferdam::base_dir(None)?)?;
/// let held = all.iter().find(|lock| lock.name == "printer" && !lock.host).unwrap();
/// assert_eq!(held.state, LockState::Exclusive);
/// assert_eq!(held.holder.as_ref().map(|holder| holder.pid), Some(std::process::id()));
/// # Ok::<(), cofferdam::Error>(())
/// ```
///
/// # Errors
/// When a folder or file of locks cannot be read, or when the machine's folder is not this user's own.
pub fn locks(base: &Path) -> Result<Vec<Lock>, Error> {
    let space = &run::facts().space;
    let seen = list::locks(base)?;
    let told = seen.into_iter().map(|seen| {
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
            host: seen.host,
            state,
            holder: seen.owner.map(|owner| LockHolder {
                seconds: owner.seconds(),
                is_gone: owner.is_gone(space),
                run: owner.run,
                worker: owner.worker,
                test: owner.test,
                pid: owner.pid,
                since: owner.since,
            }),
            file: seen.file,
        }
    });
    Ok(told.collect())
}
