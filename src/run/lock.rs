//! Locks between tests: threads, processes and runs.

use super::held::{Answer, Asker, Table};
use super::owner::Owner;
use super::{host, wait};
use crate::error::Error;
use crate::event::Event;
use crate::resource::Access;
use crate::sys::clock;
use crate::sys::file_lock::{self, Locked, Mode};
use crate::sys::{process, stderr};
use crate::worker::Worker;
use crate::{journal, place};
use once_cell::sync::OnceCell;
use std::io::{self, ErrorKind};
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// Waits until this test alone has the lock `name`, and keeps every other test from having it until the guard is
/// dropped: on other threads, in other processes, in other runs of this workspace.
///
/// ```
/// let _alone = cofferdam::lock("schema");       // `let _ =` would give it back at once
/// ```
///
/// Any text is a name. The same thread may take its lock again; another thread or task of the same test gets an error
/// instead of waiting for its own test for ever. Whoever is killed holds nothing any more. After a second of waiting
/// one line on standard error names who has it.
///
/// While it is held, claims and services are guarded by `name`, so reports know that two tests cannot meet there. It
/// costs some microseconds: a file is opened and locked, and who holds it is written into it.
///
/// # Panics
/// When it was not free within 300 seconds, with who holds it and since when; when it would wait for its own test; on a
/// thread without a worker; and when its file cannot be opened. [`LockOptions::lock`] returns all that as an error.
/// A panic would make a test pass that is `#[should_panic]`: give that one `#[serial]`, or an `expected` text.
#[track_caller]
pub fn lock(name: &str) -> LockGuard {
    told(LockOptions::new().lock(name))
}

/// As [`lock`], but together with others who share it: they wait only for who has it alone, and it for them.
///
/// It guards reading. A claim to write that is made under it is guarded by nothing.
///
/// # Panics
/// As [`lock`].
#[track_caller]
pub fn lock_shared(name: &str) -> LockGuard {
    told(LockOptions::new().shared().lock(name))
}

/// As [`lock`], without waiting: `None` while anybody else has it, be it another thread of this test.
///
/// ```
/// let alone = cofferdam::try_lock("cache")?;
/// assert!(alone.is_some());
/// # Ok::<(), cofferdam::Error>(())
/// ```
///
/// # Errors
/// On a thread without a worker, and when the lock's file cannot be opened.
#[track_caller]
pub fn try_lock(name: &str) -> Result<Option<LockGuard>, Error> {
    LockOptions::new().try_lock(name)
}

/// As [`lock_shared`], without waiting: `None` while somebody has it alone.
///
/// # Errors
/// As [`try_lock`].
#[track_caller]
pub fn try_lock_shared(name: &str) -> Result<Option<LockGuard>, Error> {
    LockOptions::new().shared().try_lock(name)
}

/// As [`lock`], without blocking the thread while it waits. It needs no runtime: a thread of its own waits.
///
/// A second task of the same test that wants the same lock gets an error, also on the same thread; a task may take
/// what its own thread holds by [`lock`]. Dropping the future gives up.
///
/// # Panics
/// As [`lock`], when it is awaited.
#[cfg(feature = "tokio")]
#[track_caller]
pub fn lock_async(name: &str) -> impl Future<Output = LockGuard> + Send + use<> {
    let waiting = LockOptions::new().lock_async(name);
    async { told(waiting.await) }
}

#[track_caller]
fn told(locked: Result<LockGuard, Error>) -> LockGuard {
    locked.unwrap_or_else(|error| panic!("{error}"))
}

/// How a lock is taken: alone or shared, how long it is waited for, and how far it reaches.
///
/// ```
/// use cofferdam::LockOptions;
/// use std::time::Duration;
/// // One printer for all checkouts on this machine:
/// let _mine = LockOptions::new().host().timeout(Duration::from_secs(20)).lock("printer")?;
/// # Ok::<(), cofferdam::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LockOptions {
    mode: Mode,
    host: bool,
    timeout: Duration,
}

impl LockOptions {
    /// Alone, within the workspace, for 300 seconds at most.
    pub const fn new() -> Self {
        Self {
            mode: Mode::Exclusive,
            host: false,
            timeout: Duration::from_secs(300),
        }
    }

    /// Together with others who share it.
    pub const fn shared(mut self) -> Self {
        self.mode = Mode::Shared;
        self
    }

    /// For all of this user's checkouts on this machine. A lock of the workspace with the same name is another one.
    ///
    /// Its file lies in the temporary folder, below one that only this user may read: processes with another `TMPDIR`
    /// and other users are not kept away.
    pub const fn host(mut self) -> Self {
        self.host = true;
        self
    }

    /// How long it is waited for.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Waits for the lock.
    ///
    /// # Errors
    /// When it was not free in time, when it would wait for its own test, on a thread without a worker, and when its
    /// file cannot be opened.
    #[track_caller]
    pub fn lock(&self, name: &str) -> Result<LockGuard, Error> {
        match self.ask(name, Asker::Thread(thread::current().id()), Location::caller())? {
            Asked::Had(guard) => Ok(guard),
            Asked::Busy(pending) => {
                let got = pending.file.wait(self.timeout);
                pending.granted(got, self.timeout)
            }
            Asked::Own(error) => Err(error),
        }
    }

    /// Takes the lock if nobody else has it.
    ///
    /// # Errors
    /// On a thread without a worker, and when the lock's file cannot be opened.
    #[track_caller]
    pub fn try_lock(&self, name: &str) -> Result<Option<LockGuard>, Error> {
        match self.ask(name, Asker::Thread(thread::current().id()), Location::caller())? {
            Asked::Had(guard) => Ok(Some(guard)),
            Asked::Busy(_) | Asked::Own(_) => Ok(None),
        }
    }

    /// Waits for the lock without blocking the thread; see [`lock_async`](crate::lock_async).
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    #[cfg(feature = "tokio")]
    #[track_caller]
    pub fn lock_async(&self, name: &str) -> impl Future<Output = Result<LockGuard, Error>> + Send + use<> {
        let (options, name, place) = (self.clone(), name.to_owned(), Location::caller());
        async move {
            match options.ask(&name, Asker::Task(thread::current().id()), place)? {
                Asked::Had(guard) => Ok(guard),
                Asked::Busy(pending) => {
                    let (file, timeout) = (pending.file.clone(), options.timeout);
                    let got = super::wait::elsewhere(move || file.wait(timeout)).await;
                    pending.granted(got, options.timeout)
                }
                Asked::Own(error) => Err(error),
            }
        }
    }

    fn ask(
        &self,
        name: &str,
        asker: Asker<ThreadId>,
        place: &'static Location<'static>,
    ) -> Result<Asked, Error> {
        let begun = clock::now();
        let worker = Worker::try_current()?;
        let file = LockFile::new(name, self)?;
        let answer = held().ask(worker.life(), &file.key, self.mode == Mode::Shared, asker);
        let number = match answer {
            Answer::Again(number) => {
                let label = file.label;
                return Ok(Asked::Had(LockGuard { number, label }));
            }
            Answer::Own => {
                let who = format!("another thread or task of test {} holds it", test(&worker));
                return Ok(Asked::Own(Error::own_lock(file.label, who)));
            }
            Answer::Ask(number) => number,
        };
        let pending = Pending {
            number: Some(number),
            worker,
            file,
            begun,
            place,
        };
        match pending.file.try_lock() {
            Ok(None) => Ok(Asked::Busy(pending)),
            Ok(Some(locked)) => pending.granted(Ok(Some(locked)), self.timeout).map(Asked::Had),
            Err(error) => Err(Error::io("lock", &pending.file.path, error)),
        }
    }
}

impl Default for LockOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// The locks of this process.
static HELD: Mutex<Table<ThreadId, Held>> = Mutex::new(Table::new());

fn held() -> MutexGuard<'static, Table<ThreadId, Held>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Asked {
    Had(LockGuard),
    Busy(Pending),
    Own(Error),
}

/// The file whose kernel lock it is.
#[derive(Clone, Debug)]
struct LockFile {
    path: PathBuf,
    mode: Mode,
    /// What reports call the lock.
    label: String,
    /// What it is told from others by, in this process.
    key: String,
}

impl LockFile {
    fn new(name: &str, options: &LockOptions) -> Result<Self, Error> {
        static LOCKS: OnceCell<PathBuf> = OnceCell::new();
        static HOST: OnceCell<PathBuf> = OnceCell::new();
        let (folder, label) = if options.host {
            (HOST.get_or_try_init(host::folder)?, format!("{name} (host)"))
        } else {
            let folder = LOCKS.get_or_try_init(|| place::base_dir(None).map(|base| base.join("locks")))?;
            (folder, name.to_owned())
        };
        let file = format!("{}.lock", place::file_name(name));
        Ok(Self {
            path: folder.join(&file),
            mode: options.mode,
            key: format!("{}{file}", if options.host { "host/" } else { "" }),
            label,
        })
    }

    fn try_lock(&self) -> io::Result<Option<Locked>> {
        match file_lock::try_lock(&self.path, self.mode) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
                file_lock::try_lock(&self.path, self.mode)
            }
            tried => tried,
        }
    }

    fn wait(&self, timeout: Duration) -> io::Result<Option<Locked>> {
        wait::wait(&self.path, self.mode, timeout, || {
            stderr::line(&format!(
                "waiting for lock `{}`: {}",
                self.label,
                holder(&self.path)
            ));
        })
    }
}

/// Who holds the lock, in words, as far as its file tells.
fn holder(path: &Path) -> String {
    match Owner::read(path) {
        Some(owner) if !owner.holds => "its holder has not said who it is".to_owned(),
        None => "its holder has not said who it is".to_owned(),
        Some(owner) if owner.is_gone(&place::facts().boot) => {
            format!("its last holder, {owner}, is gone; a child that it forked may hold it")
        }
        Some(owner) if owner.shared => format!(
            "it is held by readers, the last that came {owner}, for {} s",
            owner.seconds()
        ),
        Some(owner) => format!("it is held by {owner} for {} s", owner.seconds()),
    }
}

fn test(worker: &Worker) -> String {
    worker
        .test()
        .map_or_else(|| format!("main of {}", journal::binary()), str::to_owned)
}

/// A lock that is asked for: nobody else of the test may ask meanwhile.
struct Pending {
    /// Taken when it becomes a guard's.
    number: Option<u64>,
    worker: Worker,
    file: LockFile,
    begun: std::time::Instant,
    place: &'static Location<'static>,
}

impl Pending {
    fn granted(mut self, got: io::Result<Option<Locked>>, timeout: Duration) -> Result<LockGuard, Error> {
        let path = &self.file.path;
        let locked = got.map_err(|source| Error::io("lock", path, source))?;
        let label = self.file.label.clone();
        let Some(locked) = locked else {
            return Err(Error::busy(label, timeout, holder(path)));
        };
        let number = self.number.take().unwrap_or_default();
        let granted = Held::new(locked, &self);
        held().got(number, granted);
        Ok(LockGuard { number, label })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            held().leave(number);
        }
    }
}

/// A lock that a test of this process has.
struct Held {
    locked: Locked,
    owner: Owner,
    worker: Worker,
    label: String,
    access: Access,
}

impl Held {
    fn new(locked: Locked, asked: &Pending) -> Self {
        let (worker, label) = (asked.worker.clone(), asked.file.label.clone());
        let facts = place::facts();
        let owner = Owner {
            holds: true,
            shared: asked.file.mode == Mode::Shared,
            pid: process::id(),
            started: facts.started,
            since: clock::micros(),
            boot: facts.boot.clone(),
            lock: label.clone(),
            run: worker.run().to_owned(),
            worker: worker.id().to_owned(),
            test: test(&worker),
        };
        // Who holds it is a courtesy: a full disk is no reason to fail a test.
        let _ = owner.write(&locked);
        let access = if owner.shared { Access::Read } else { Access::Write };
        worker.holds(&label, access);
        worker.record(|| Event::Locked {
            execution: worker.life(),
            lock: label.clone(),
            access,
            waited: asked.begun.elapsed().as_micros() as u64,
            place: asked.place.to_string(),
        });
        Self {
            locked,
            owner,
            worker,
            label,
            access,
        }
    }

    fn end(self) {
        self.worker.lets_go(&self.label, self.access);
        // A forked child has a copy of the guard, not the lock.
        if self.owner.pid == process::id() {
            let _ = self.owner.release(&self.locked);
            let _ = self.locked.unlock();
            self.worker.record(|| Event::Unlocked {
                execution: self.worker.life(),
                lock: self.label.clone(),
            });
        }
    }
}

/// A lock that this test has until the guard is dropped: see [`lock`].
///
/// It may be moved to another thread, and be held while a future waits.
#[must_use = "the lock is given back when the guard is dropped, and `let _ =` drops it at once"]
#[derive(Debug)]
pub struct LockGuard {
    number: u64,
    label: String,
}

impl LockGuard {
    /// The lock's name as reports have it.
    pub fn name(&self) -> &str {
        &self.label
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        let last = held().leave(self.number); // Outside, for the journal is written to.
        if let Some(held) = last {
            held.end();
        }
    }
}
