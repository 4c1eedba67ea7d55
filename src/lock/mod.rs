//! Locks between tests: threads, processes and runs.

mod file;
pub(crate) mod list;
pub(crate) mod machine;
mod owner;
#[cfg(feature = "serial")]
pub mod serial;
mod table;
mod wait;

use self::file::{LockFile, Taker};
use self::owner::{Owner, Record};
use self::table::{Answer, Asker, Table};
use crate::error::{self, Error};
use crate::event::Event;
use crate::resource::Access;
use crate::sys::file_lock::{Locked, Mode};
use crate::sys::{clock, process};
use crate::worker::Worker;
use crate::{journal, run};
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
/// costs some microseconds: a file is locked (and opened, the first time), and who holds it is written into it.
///
/// # Panics
/// When it was not free within 300 seconds, with who holds it and since when; when it would wait for its own test; on a
/// thread without a worker; and when its file cannot be opened. [`LockOptions::lock`] returns all that as an error.
/// A panic would make a test pass that is `#[should_panic]`: give that one `#[serial]`, or an `expected` text.
#[track_caller]
pub fn lock(name: &str) -> LockGuard {
    error::or_panic(LockOptions::new().lock(name))
}

/// As [`lock`], but together with others who share it: they wait only for who has it alone, and it for them.
///
/// It guards reading. A claim to write that is made under it is guarded by nothing.
///
/// # Panics
/// As [`lock`].
#[track_caller]
pub fn lock_shared(name: &str) -> LockGuard {
    error::or_panic(LockOptions::new().shared().lock(name))
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
    let (waiting, place) = (LockOptions::new().lock_async(name), Location::caller());
    async move {
        // The panic itself is at a line of ours: nothing carries a caller's into a future.
        waiting
            .await
            .unwrap_or_else(|error| panic!("{error}\nThe lock was asked for at {place}"))
    }
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
                let got = pending.file.wait(self.mode, self.timeout)?;
                pending.ended(got, self.timeout)
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
                    let (file, mode, timeout) = (Arc::clone(&pending.file), options.mode, options.timeout);
                    let waited = wait::elsewhere(move || file.wait(mode, timeout)).await;
                    let failed =
                        |source| Error::io("start a thread that waits for", &pending.file.path, source);
                    let got = waited.map_err(failed)??;
                    pending.ended(got, timeout)
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
        // Nobody asks for how long was waited unless it is recorded.
        let begun = journal::is_on().then(clock::now);
        let worker = Worker::try_current()?;
        let file = LockFile::known(name, self.host)?;
        let (life, shared) = (worker.execution(), self.mode == Mode::Shared);
        let answer = held(life).ask(life, &file.key, shared, asker);
        let number = match answer {
            Answer::Again(number) => return Ok(Asked::Had(LockGuard { number, life, file })),
            Answer::Own => {
                let who = format!("another thread or task of test {} holds it", test(&worker));
                return Ok(Asked::Own(Error::own_lock(file.label.to_string(), who)));
            }
            Answer::Ask(number) => number,
        };
        let pending = Pending {
            entry: Entry { number, life },
            worker,
            file,
            shared,
            begun,
            place,
        };
        match pending.file.try_lock(self.mode)? {
            None => Ok(Asked::Busy(pending)),
            Some(locked) => Ok(Asked::Had(pending.granted(locked))),
        }
    }
}

impl Default for LockOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// The locks of this process, so many tables that tests on several threads seldom meet at one.
static HELD: [Tests; 16] = [const { Tests(Mutex::new(Table::new())) }; 16];

/// On a cache line of its own.
#[repr(align(128))]
struct Tests(Mutex<Table<ThreadId, Held>>);

/// The table in which the locks of a test stand.
fn held(life: u64) -> MutexGuard<'static, Table<ThreadId, Held>> {
    let tests = &HELD[life as usize % HELD.len()];
    tests.0.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Asked {
    Had(LockGuard),
    Busy(Pending),
    Own(Error),
}

fn test(worker: &Worker) -> String {
    worker
        .test()
        .map_or_else(|| format!("main of {}", journal::binary()), str::to_owned)
}

/// What stands in the table for a lock that is asked for: nobody else of the test may ask meanwhile.
struct Entry {
    number: u64,
    life: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        held(self.life).leave(self.number);
    }
}

/// A lock that is asked for.
struct Pending {
    entry: Entry,
    worker: Worker,
    file: Arc<LockFile>,
    shared: bool,
    begun: Option<std::time::Instant>,
    place: &'static Location<'static>,
}

impl Pending {
    /// The waiting is over.
    fn ended(self, got: Option<Locked>, timeout: Duration) -> Result<LockGuard, Error> {
        let Some(locked) = got else {
            let (label, holder) = (self.file.label.to_string(), self.file.holder());
            return Err(Error::busy(label, timeout, holder));
        };
        Ok(self.granted(locked))
    }

    /// The kernel granted it: it is written down who has it.
    fn granted(self, locked: Locked) -> LockGuard {
        let Self {
            entry,
            worker,
            file,
            shared,
            begun,
            place,
        } = self;
        let (pid, life) = (process::id(), worker.execution());
        let taker = Taker { life, pid, shared };
        // Who holds it is a courtesy: a full disk is no reason to fail a test.
        let since = clock::micros();
        let record = file.record(taker, since, || owner(&worker, &file.label, shared, pid));
        let _ = record.write(&locked);
        let access = if shared { Access::Read } else { Access::Write };
        if begun.is_some() {
            worker.add_lock(&file.label, access);
        }
        worker.record(|| Event::Locked {
            execution: life,
            lock: file.label.to_string(),
            access,
            waited: begun.map_or(0, |begun| begun.elapsed().as_micros() as u64),
            place: place.to_string(),
        });
        let granted = Held {
            locked,
            worker,
            access,
            pid,
            shared: shared.then(|| Box::new(record)),
            guards: begun.is_some(),
        };
        let number = entry.number;
        held(life).got(number, granted);
        // It is the guard's now.
        std::mem::forget(entry);
        LockGuard { number, life, file }
    }
}

fn owner(worker: &Worker, lock: &str, shared: bool, pid: u32) -> Owner {
    let facts = run::facts();
    Owner {
        holds: true,
        shared,
        pid,
        started: facts.started,
        since: 0,
        space: facts.space.clone(),
        lock: lock.to_owned(),
        run: worker.run().to_owned(),
        worker: worker.id().to_owned(),
        test: test(worker),
    }
}

/// A lock that a test of this process has.
struct Held {
    locked: Locked,
    worker: Worker,
    access: Access,
    pid: u32,
    /// Of one that is shared: it is released only if it still stands in the file.
    shared: Option<Box<Record>>,
    /// Whether the test's claims are guarded by it, which matters only if they are recorded.
    guards: bool,
}

impl Held {
    fn end(self, file: &LockFile) {
        let lock = &*file.label;
        if self.guards {
            self.worker.remove_lock(lock, self.access);
        }
        // A forked child has a copy of the guard, not the lock.
        if self.pid == process::id() {
            let _ = match &self.shared {
                Some(record) => record.release_shared(&self.locked),
                None => owner::release(&self.locked),
            };
            let _ = self.locked.unlock();
            self.worker.record(|| Event::Unlocked {
                execution: self.worker.execution(),
                lock: lock.to_owned(),
            });
        }
    }
}

/// A lock that this test has until the guard is dropped: see [`lock`].
///
/// It may be moved to another thread, and be held while a future waits.
#[must_use = "the lock is given back when the guard is dropped, and `let _ =` drops it at once"]
pub struct LockGuard {
    number: u64,
    life: u64,
    file: Arc<LockFile>,
}

impl LockGuard {
    /// The lock's name as reports have it.
    pub fn name(&self) -> &str {
        &self.file.label
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LockGuard").field(&self.name()).finish()
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        let last = held(self.life).leave(self.number); // Outside, for the journal is written to.
        if let Some(held) = last {
            held.end(&self.file);
        }
    }
}
