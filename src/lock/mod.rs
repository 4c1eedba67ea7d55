//! Locks that exclude tests from each other: threads, processes and runs.

mod file;
pub(crate) mod list;
pub(crate) mod machine;
mod owner;
#[cfg(feature = "macros")]
#[doc(hidden)]
pub mod serial;
mod table;
mod wait;

pub use crate::worker::claim::guarded_by;
pub use crate::worker::current::Guarded;

use self::file::{LockFile, Taker};
use self::owner::{EncodedOwner, LockOwner};
use self::table::{Answer, Requester, Table};
use crate::error::{self, Error};
use crate::event::Event;
use crate::resource::Access;
#[cfg(all(feature = "macros", unix, not(miri)))]
use crate::run::InheritedLock;
use crate::sys::file_lock::{Locked, Mode};
use crate::sys::{clock, process};
use crate::worker::Worker;
use crate::worker::current::PanicWitness;
use crate::{journal, run};
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// Waits for the lock `name` and holds it exclusively until the guard is dropped. It excludes tests on other threads, in
/// other processes, and in other runs of this workspace.
///
/// ```
/// let _alone = cofferdam::lock("schema");       // `let _ =` would release it at once
/// ```
///
/// Any text is a name. The same thread may take its lock again; another thread or task of the same test gets an error,
/// because it would wait for its own test forever. The lock of a killed process is free. After a second of waiting, one
/// line on standard error names the holder.
///
/// While the lock is held, claims and services are guarded by `name`, so reports know that two tests cannot conflict there.
/// It costs some microseconds: a file is opened and locked, and the holder's identity is written into it.
///
/// # Panics
/// When the lock is not free within 300 seconds, with its holder and the time since when; when it would wait for its own
/// test; on a thread without a worker; and when its file cannot be opened. [`LockOptions::lock`] returns these errors.
/// A panic would let a `#[should_panic]` test pass: use `#[serial]` there, or an `expected` text.
#[track_caller]
pub fn lock(name: &str) -> LockGuard {
    error::or_panic(LockOptions::new().lock(name))
}

/// Waits for the lock `name` and holds it shared: other shared holders do not exclude it, an exclusive one does.
///
/// It protects reads. A claim to write is not guarded by it.
///
/// # Panics
/// Like [`lock`].
#[track_caller]
pub fn lock_shared(name: &str) -> LockGuard {
    error::or_panic(LockOptions::new().shared().lock(name))
}

/// Takes the lock `name` without waiting; `None` while it is held elsewhere, including by another thread of this test.
///
/// ```
/// let held = cofferdam::lock::try_lock("cache")?;
/// assert!(held.is_some());
/// # Ok::<(), cofferdam::Error>(())
/// ```
///
/// # Errors
/// On a thread without a worker, and when the lock's file cannot be opened.
#[track_caller]
pub fn try_lock(name: &str) -> Result<Option<LockGuard>, Error> {
    LockOptions::new().try_lock(name)
}

/// Takes the lock `name` shared without waiting; `None` while it is held exclusively.
///
/// # Errors
/// Like [`try_lock`].
#[track_caller]
pub fn try_lock_shared(name: &str) -> Result<Option<LockGuard>, Error> {
    LockOptions::new().shared().try_lock(name)
}

/// Like [`lock`], without blocking the thread while it waits. It needs no runtime, because a separate thread waits.
///
/// A second task of the same test that requests the same lock gets an error, even on the same thread; a task may take a
/// lock that its own thread holds by [`lock`]. Dropping the future cancels the wait.
///
/// # Panics
/// Like [`lock`], when it is awaited.
#[cfg(feature = "tokio")]
#[track_caller]
pub fn lock_async(name: &str) -> impl Future<Output = LockGuard> + Send + use<> {
    let (waiting, place) = (LockOptions::new().lock_async(name), Location::caller());
    async move {
        // `#[track_caller]` does not reach into a future, so the message has the caller's line.
        waiting
            .await
            .unwrap_or_else(|error| panic!("{error}\nThe lock was requested at {place}"))
    }
}

/// The options of a lock: exclusive or shared, the timeout, and the scope.
///
/// ```
/// use cofferdam::lock::LockOptions;
/// use std::time::Duration;
/// // One printer for all checkouts on this machine:
/// let _held = LockOptions::new().machine().timeout(Duration::from_secs(20)).lock("printer")?;
/// # Ok::<(), cofferdam::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LockOptions {
    mode: Mode,
    machine: bool,
    timeout: Duration,
}

impl LockOptions {
    /// Returns the defaults: exclusive, within the workspace, with a timeout of 300 seconds.
    pub const fn new() -> Self {
        Self {
            mode: Mode::Exclusive,
            machine: false,
            timeout: Duration::from_secs(300),
        }
    }

    /// Takes the lock shared.
    pub const fn shared(mut self) -> Self {
        self.mode = Mode::Shared;
        self
    }

    /// Extends the lock to all of this user's checkouts on this machine. A workspace's lock of the same name is a different
    /// one.
    ///
    /// Its file is in the temporary directory, below a directory that only this user may read: processes with another `TMPDIR` and
    /// other users are not excluded.
    pub const fn machine(mut self) -> Self {
        self.machine = true;
        self
    }

    /// Sets the timeout.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Waits for the lock.
    ///
    /// # Errors
    /// When the lock is not free in time, when it would wait for its own test, on a thread without a worker, and when its
    /// file cannot be opened.
    #[track_caller]
    pub fn lock(&self, name: &str) -> Result<LockGuard, Error> {
        match self.attempt(
            name,
            Requester::Thread(thread::current().id()),
            Location::caller(),
        )? {
            Attempt::Held(guard) => Ok(guard),
            Attempt::Busy(pending) => {
                let got = pending.file.wait(self.mode, self.timeout)?;
                pending.finish(got, self.timeout)
            }
            Attempt::OwnTest(error) => Err(error),
        }
    }

    /// Takes the lock if it is free.
    ///
    /// # Errors
    /// On a thread without a worker, and when the lock's file cannot be opened.
    #[track_caller]
    pub fn try_lock(&self, name: &str) -> Result<Option<LockGuard>, Error> {
        match self.attempt(
            name,
            Requester::Thread(thread::current().id()),
            Location::caller(),
        )? {
            Attempt::Held(guard) => Ok(Some(guard)),
            Attempt::Busy(_) | Attempt::OwnTest(_) => Ok(None),
        }
    }

    /// Waits for the lock without blocking the thread; see [`lock_async`].
    ///
    /// # Errors
    /// Like [`lock`](Self::lock).
    #[cfg(feature = "tokio")]
    #[track_caller]
    pub fn lock_async(&self, name: &str) -> impl Future<Output = Result<LockGuard, Error>> + Send + use<> {
        let (options, name, place) = (self.clone(), name.to_owned(), Location::caller());
        async move {
            match options.attempt(&name, Requester::Task(thread::current().id()), place)? {
                Attempt::Held(guard) => Ok(guard),
                Attempt::Busy(pending) => {
                    let (file, mode, timeout) = (Arc::clone(&pending.file), options.mode, options.timeout);
                    let waited = wait::elsewhere(move || file.wait(mode, timeout)).await;
                    let failed =
                        |source| Error::io("start a thread that waits for", &pending.file.path, source);
                    let got = waited.map_err(failed)??;
                    pending.finish(got, timeout)
                }
                Attempt::OwnTest(error) => Err(error),
            }
        }
    }

    fn attempt(
        &self,
        name: &str,
        requester: Requester<ThreadId>,
        place: &'static Location<'static>,
    ) -> Result<Attempt, Error> {
        // The time of the wait is needed only while recording is on.
        let begun = journal::is_on().then(clock::now);
        let worker = Worker::try_current()?;
        let file = LockFile::known(name, self.machine)?;
        let (execution, shared) = (worker.execution(), self.mode == Mode::Shared);
        adopt(&worker);
        let answer = held(execution).request(execution, &file.key, shared, requester);
        let number = match answer {
            Answer::Again(number) => {
                return Ok(Attempt::Held(LockGuard {
                    number,
                    execution,
                    file,
                    _witness: PanicWitness,
                }));
            }
            Answer::OwnTest => {
                let holder = format!(
                    "another thread or task of test {} holds it",
                    worker.test_or_main()
                );
                return Ok(Attempt::OwnTest(Error::own_lock(file.label.to_string(), holder)));
            }
            Answer::AskKernel(number) => number,
        };
        let pending = PendingLock {
            entry: TableEntry { number, execution },
            worker,
            file,
            shared,
            begun,
            place,
        };
        match pending.file.try_lock(self.mode)? {
            None => Ok(Attempt::Busy(pending)),
            Some(locked) => Ok(Attempt::Held(pending.granted(locked))),
        }
    }
}

impl Default for LockOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// The locks of this process, in several tables so that tests on different threads seldom contend for one.
static HELD: [TableMutex; 16] = [const { TableMutex(Mutex::new(Table::new())) }; 16];

/// On a cache line of its own.
#[repr(align(128))]
struct TableMutex(Mutex<Table<ThreadId, HeldLock>>);

/// Returns the table with the locks of a test.
fn held(execution: u64) -> MutexGuard<'static, Table<ThreadId, HeldLock>> {
    let tests = &HELD[execution as usize % HELD.len()];
    tests.0.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Attempt {
    Held(LockGuard),
    Busy(PendingLock),
    /// It would wait for its own test.
    OwnTest(Error),
}

/// Enters the locks that the parent of an isolated test holds for it. They count as taken by the first thread that requests a
/// lock, which is the test's own.
fn adopt(worker: &Worker) {
    static ADOPTED: Once = Once::new();
    let Some(inherited) = run::inherited() else { return };
    ADOPTED.call_once(|| {
        for lock in &inherited.locks {
            let adopted = HeldLock {
                locked: None,
                label: lock.label.as_str().into(),
                worker: worker.clone(),
                access: if lock.shared { Access::Read } else { Access::Write },
                pid: process::id(),
                shared: None,
                guards: false,
            };
            let (execution, thread) = (worker.execution(), thread::current().id());
            held(execution).adopt(
                execution,
                lock.key.as_str().into(),
                lock.shared,
                Requester::Thread(thread),
                adopted,
            );
        }
    });
}

/// Returns the locks that a test holds, to be passed to its isolated process.
#[cfg(all(feature = "macros", unix, not(miri)))]
pub(crate) fn held_by(worker: &Worker) -> Vec<InheritedLock> {
    adopt(worker);
    let held = held(worker.execution());
    let locks = held.locks_of(worker.execution());
    locks
        .map(|(key, lock)| InheritedLock {
            key: key.to_owned(),
            label: lock.label.to_string(),
            shared: lock.access == Access::Read,
        })
        .collect()
}

/// The entry of a requested lock in its table. Meanwhile no other thread of the test may request the lock.
struct TableEntry {
    number: u64,
    execution: u64,
}

impl Drop for TableEntry {
    fn drop(&mut self) {
        held(self.execution).release(self.number);
    }
}

/// A requested lock.
struct PendingLock {
    entry: TableEntry,
    worker: Worker,
    file: Arc<LockFile>,
    shared: bool,
    begun: Option<std::time::Instant>,
    place: &'static Location<'static>,
}

impl PendingLock {
    /// Returns the outcome of the wait.
    fn finish(self, got: Option<Locked>, timeout: Duration) -> Result<LockGuard, Error> {
        let Some(locked) = got else {
            let (label, holder) = (self.file.label.to_string(), self.file.holder());
            return Err(Error::busy(label, timeout, holder));
        };
        Ok(self.granted(locked))
    }

    /// Completes a lock that the kernel has granted: writes the owner to its file, records it and enters it in the table.
    fn granted(self, locked: Locked) -> LockGuard {
        let Self {
            entry,
            worker,
            file,
            shared,
            begun,
            place,
        } = self;
        let (pid, execution) = (process::id(), worker.execution());
        let taker = Taker {
            execution,
            pid,
            shared,
        };
        // The owner is for messages only, so a full disk must not fail a test.
        let since = clock::micros();
        let record = file.record(taker, since, || owner(&worker, &file.label, shared, pid));
        let _ = record.write(&locked);
        let access = if shared { Access::Read } else { Access::Write };
        if begun.is_some() {
            worker.add_lock(&file.label, access);
        }
        worker.record(|| Event::Locked {
            execution,
            lock: file.label.to_string(),
            access,
            waited: begun.map_or(0, |begun| begun.elapsed().as_micros() as u64),
            place: place.to_string(),
        });
        let granted = HeldLock {
            locked: Some(locked),
            label: Arc::clone(&file.label),
            worker,
            access,
            pid,
            shared: shared.then(|| Box::new(record)),
            guards: begun.is_some(),
        };
        let number = entry.number;
        held(execution).grant(number, granted);
        // The guard releases it.
        std::mem::forget(entry);
        LockGuard {
            number,
            execution,
            file,
            _witness: PanicWitness,
        }
    }
}

fn owner(worker: &Worker, lock: &str, shared: bool, pid: u32) -> LockOwner {
    let facts = run::facts();
    LockOwner {
        holds: true,
        shared,
        pid,
        started: facts.started,
        since: 0,
        space: facts.space.clone(),
        lock: lock.to_owned(),
        run: worker.run().to_owned(),
        worker: worker.id().to_owned(),
        test: worker.test_or_main(),
    }
}

/// A lock that a test of this process holds.
struct HeldLock {
    /// `None` if the parent process of an isolated test holds it.
    locked: Option<Locked>,
    label: Arc<str>,
    worker: Worker,
    access: Access,
    pid: u32,
    /// The owner record of a shared lock, which is marked as free only if it is still in the file.
    shared: Option<Box<EncodedOwner>>,
    /// Whether the worker lists it as a guard, which it does only while recording is on.
    guards: bool,
}

impl HeldLock {
    fn release(self) {
        let lock = &*self.label;
        if self.guards {
            self.worker.remove_lock(lock, self.access);
        }
        // A forked child has a copy of the guard, but not the lock.
        if let Some(locked) = self.locked.as_ref().filter(|_| self.pid == process::id()) {
            let _ = match &self.shared {
                Some(record) => record.release_shared(locked),
                None => owner::release(locked),
            };
            let _ = locked.unlock();
            self.worker.record(|| Event::Unlocked {
                execution: self.worker.execution(),
                lock: lock.to_owned(),
            });
        }
    }
}

/// A held lock, released when the guard is dropped; see [`lock`].
///
/// It may be moved to another thread, and held across an `await`.
#[must_use = "the lock is released when the guard is dropped, and `let _ =` drops it at once"]
pub struct LockGuard {
    number: u64,
    execution: u64,
    file: Arc<LockFile>,
    _witness: PanicWitness,
}

impl LockGuard {
    /// Returns the lock's name in reports.
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
        // Released outside the table's mutex, because it writes to the journal.
        let last = held(self.execution).release(self.number);
        if let Some(held) = last {
            held.release();
        }
    }
}
