//! The files whose kernel locks they are, known by the locks' names.

use super::owner::{Owner, Record};
use super::{machine, wait};
use crate::error::Error;
use crate::run;
use crate::sys::file_lock::{self, Folder, Locked, Mode};
use crate::sys::{stderr, sync};
use dashmap::DashMap;
use once_cell::sync::OnceCell;
use std::ffi::CString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How many names are remembered; a suite that makes new ones for ever forgets the old.
const KNOWN: usize = 1024;

/// A lock's file.
pub(super) struct LockFile {
    /// What reports call the lock.
    pub(super) label: Arc<str>,
    /// What it is told from others by, in this process.
    pub(super) key: Arc<str>,
    pub(super) path: PathBuf,
    name: CString,
    reach: &'static Reach,
    /// How the test that took it last is written.
    known_owner: Mutex<Option<(Taker, Record)>>,
}

/// A test of this process, or of one that was forked from it, and whether it shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taker {
    pub(super) life: u64,
    pub(super) pid: u32,
    pub(super) shared: bool,
}

/// The locks that reach equally far.
struct Reach {
    folder: Folder,
    is_host: bool,
    files: DashMap<String, Arc<LockFile>>,
}

impl Reach {
    /// The workspace's or the machine's.
    fn of(is_host: bool) -> Result<&'static Self, Error> {
        static REACHES: [OnceCell<Reach>; 2] = [OnceCell::new(), OnceCell::new()];
        REACHES[usize::from(is_host)].get_or_try_init(|| {
            let folder = if is_host {
                machine::folder()?
            } else {
                run::private_dir(&run::base_dir(None)?, "locks")?
            };
            Ok(Self {
                folder: Folder::new(folder),
                is_host,
                files: sync::map(),
            })
        })
    }

    /// Makes the folder that is not there.
    fn make(&self) -> Result<(), Error> {
        let folder = self.folder.path();
        if self.is_host {
            return machine::folder().map(drop);
        }
        run::private_dir(folder.parent().unwrap_or(folder), "locks").map(drop)
    }
}

impl LockFile {
    /// The file of the lock called `name`.
    pub(super) fn known(name: &str, is_host: bool) -> Result<Arc<Self>, Error> {
        let reach = Reach::of(is_host)?;
        if let Some(known) = reach.files.get(name) {
            return Ok(Arc::clone(&known));
        }
        let file = format!("{}.lock", run::file_name(name));
        let known = Arc::new(Self {
            label: if is_host {
                format!("{name} (host)").into()
            } else {
                name.into()
            },
            key: format!("{}{file}", if is_host { "host/" } else { "" }).into(),
            path: reach.folder.path().join(&file),
            // A file name holds no zero.
            name: CString::new(file).unwrap_or_default(),
            reach,
            known_owner: Mutex::new(None),
        });
        if reach.files.len() >= KNOWN {
            reach.files.clear();
        }
        reach.files.insert(name.to_owned(), Arc::clone(&known));
        Ok(known)
    }

    /// Locks it unless somebody has it, who excludes this one.
    pub(super) fn try_lock(&self, mode: Mode) -> Result<Option<Locked>, Error> {
        match self.reach.folder.try_lock(&self.name, mode) {
            Ok(tried) => Ok(tried),
            // It may be that nobody made it yet, or that somebody removed the folder.
            Err(_) => self.made(|path| file_lock::try_lock(path, mode)),
        }
    }

    /// Waits for it, and says once for whom if that takes a while; `None` when the time is over.
    pub(super) fn wait(self: &Arc<Self>, mode: Mode, timeout: Duration) -> Result<Option<Locked>, Error> {
        let theirs = Arc::clone(self);
        let queue = move || theirs.made(|path| file_lock::wait_lock(path, mode));
        let say = || stderr::line(&format!("waiting for lock `{}`: {}", self.label, self.holder()));
        let failed = |source| Error::io("start a thread that waits for", &self.path, source);
        wait::wait(timeout, queue, say).map_err(failed)?
    }

    /// Opens it by its path, in a folder that is made if need be.
    fn made<T>(&self, open: impl Fn(&Path) -> io::Result<T>) -> Result<T, Error> {
        let opened = match open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.reach.make()?;
                open(&self.path)
            }
            opened => opened,
        };
        opened.map_err(|source| Error::io("lock", &self.path, source))
    }

    /// What says that the lock is this test's from now on; `write_out` is asked if another had it last.
    pub(super) fn record(&self, taker: Taker, since: u64, write_out: impl FnOnce() -> Owner) -> Record {
        let mut known = self.known_owner.lock().unwrap_or_else(PoisonError::into_inner);
        let written = match &*known {
            Some((last, record)) if *last == taker => record,
            _ => &known.insert((taker, write_out().encode())).1,
        };
        written.since(since)
    }

    /// Who holds it, in words, as far as the file tells.
    pub(super) fn holder(&self) -> String {
        match Owner::read(&self.path) {
            Some(owner) if !owner.holds => "its holder has not said who it is".to_owned(),
            None => "its holder has not said who it is".to_owned(),
            Some(owner) if owner.is_gone(&run::facts().space) => {
                format!("its last holder, {owner}, is gone; a child that it forked may hold it")
            }
            Some(owner) if owner.shared => format!(
                "it is held by readers, the last that came {owner}, for {} s",
                owner.seconds()
            ),
            Some(owner) => format!("it is held by {owner} for {} s", owner.seconds()),
        }
    }
}
