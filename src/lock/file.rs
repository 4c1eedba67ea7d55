//! Lock files, found by the names of the locks.

use super::owner::{EncodedOwner, LockOwner};
use super::{machine, wait};
use crate::error::Error;
use crate::run;
use crate::sys::file_lock::{self, Folder, Locked, Mode};
use crate::sys::stderr;
use once_cell::sync::OnceCell;
use std::collections::HashMap;
use std::ffi::CString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The number of names that are cached. With more, the cache starts over.
const KNOWN: usize = 1024;

/// The file of a lock.
pub(super) struct LockFile {
    /// The name of the lock in reports.
    pub(super) label: Arc<str>,
    /// The identity of the lock in this process.
    pub(super) key: Arc<str>,
    pub(super) path: PathBuf,
    name: CString,
    scope: &'static LockScope,
    /// The encoded owner for the test that took the lock last.
    last_owner: Mutex<Option<(Taker, EncodedOwner)>>,
}

/// The identity of a holder: an execution of this process or of one forked from it, and the mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taker {
    pub(super) execution: u64,
    pub(super) pid: u32,
    pub(super) shared: bool,
}

/// The locks of the workspace, or those of the machine.
struct LockScope {
    folder: Folder,
    is_machine: bool,
    files: Mutex<HashMap<String, Arc<LockFile>>>,
}

impl LockScope {
    /// Returns the machine's scope or the workspace's.
    fn of(is_machine: bool) -> Result<&'static Self, Error> {
        static SCOPES: [OnceCell<LockScope>; 2] = [OnceCell::new(), OnceCell::new()];
        SCOPES[usize::from(is_machine)].get_or_try_init(|| {
            let folder = if is_machine {
                machine::folder()?
            } else {
                run::private_dir(&run::base_dir(None)?, "locks")?
            };
            Ok(Self {
                folder: Folder::new(folder),
                is_machine,
                files: Mutex::new(HashMap::new()),
            })
        })
    }

    /// Creates the directory.
    fn create_folder(&self) -> Result<(), Error> {
        let folder = self.folder.path();
        if self.is_machine {
            return machine::folder().map(drop);
        }
        run::private_dir(folder.parent().unwrap_or(folder), "locks").map(drop)
    }
}

impl LockFile {
    /// Returns the file of the lock `name`.
    pub(super) fn known(name: &str, is_machine: bool) -> Result<Arc<Self>, Error> {
        let scope = LockScope::of(is_machine)?;
        let mut files = scope.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = files.get(name) {
            return Ok(Arc::clone(known));
        }
        let file = format!("{}.lock", run::file_name(name));
        let known = Arc::new(Self {
            label: if is_machine {
                format!("{name} (machine)").into()
            } else {
                name.into()
            },
            key: format!("{}{file}", if is_machine { "machine/" } else { "" }).into(),
            path: scope.folder.path().join(&file),
            // A file name contains no zero byte.
            name: CString::new(file).unwrap_or_default(),
            scope,
            last_owner: Mutex::new(None),
        });
        if files.len() >= KNOWN {
            files.clear();
        }
        files.insert(name.to_owned(), Arc::clone(&known));
        Ok(known)
    }

    /// Locks the file, or returns `None` if it is locked in a way that excludes this mode.
    pub(super) fn try_lock(&self, mode: Mode) -> Result<Option<Locked>, Error> {
        match self.scope.folder.try_lock(&self.name, mode) {
            Ok(tried) => Ok(tried),
            // The file may not exist yet, or the folder may have been removed.
            Err(_) => self.open_by_path(|path| file_lock::try_lock(path, mode)),
        }
    }

    /// Waits for the lock, and names its holder on standard error after a while. Returns `None` after the timeout.
    pub(super) fn wait(self: &Arc<Self>, mode: Mode, timeout: Duration) -> Result<Option<Locked>, Error> {
        let theirs = Arc::clone(self);
        let queue = move || theirs.open_by_path(|path| file_lock::wait_lock(path, mode));
        let notify = || stderr::line(&format!("waiting for lock `{}`: {}", self.label, self.holder()));
        let failed = |source| Error::io("start a thread that waits for", &self.path, source);
        wait::wait(timeout, queue, notify).map_err(failed)?
    }

    /// Opens the file by its path, creating the directory if necessary.
    fn open_by_path<T>(&self, open: impl Fn(&Path) -> io::Result<T>) -> Result<T, Error> {
        let opened = match open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.scope.create_folder()?;
                open(&self.path)
            }
            opened => opened,
        };
        opened.map_err(|source| Error::io("lock", &self.path, source))
    }

    /// Returns the owner record of a holder. Calls `describe` only if another one held the lock last.
    pub(super) fn record(
        &self,
        taker: Taker,
        since: u64,
        describe: impl FnOnce() -> LockOwner,
    ) -> EncodedOwner {
        let mut known = self.last_owner.lock().unwrap_or_else(PoisonError::into_inner);
        let record = match &*known {
            Some((last, record)) if *last == taker => record,
            _ => &known.insert((taker, describe().encode())).1,
        };
        record.since(since)
    }

    /// Describes the holder for messages, as far as the file names it.
    pub(super) fn holder(&self) -> String {
        match LockOwner::read(&self.path) {
            None => "its holder is unknown".to_owned(),
            Some(owner) if !owner.holds => "its holder is unknown".to_owned(),
            Some(owner) if owner.has_ended(&run::facts().space) => {
                format!("its last holder, {owner}, has ended; a child that it forked may hold it")
            }
            Some(owner) if owner.shared => format!(
                "it is held by readers, most recently {owner}, for {} s",
                owner.seconds()
            ),
            Some(owner) => format!("it is held by {owner} for {} s", owner.seconds()),
        }
    }
}
