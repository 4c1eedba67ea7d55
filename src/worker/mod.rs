//! Workers: the lane of tests that a thread works for, and how it is passed to other threads.

pub(crate) mod claim;
pub(crate) mod current;
mod execution;
mod identity;
mod instrumented;
mod member;
#[cfg(feature = "tokio")]
#[doc(hidden)]
pub mod runtime;
#[cfg(feature = "tokio")]
mod runtime_threads;
mod slots;
pub(crate) mod test_folder;
mod test_outcome;

pub use claim::{Claim, claim};
pub use current::{BegunTest, Entered};
#[doc(hidden)]
pub use current::{mark_failed, mark_panicked, mark_passed};
pub(crate) use execution::{AtEnd, at_test_end};
pub use instrumented::Instrumented;

use crate::error::{self, Error};
use crate::event::Event;
use crate::resource::Access;
use crate::{journal, run};
use execution::Execution;
use member::Member;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use test_outcome::Outcome;

/// One of several workers that execute a run's tests; the tests of one worker never overlap.
///
/// Under nextest the worker is the runner's slot. Under `cargo test` it is the smallest number that no other running test
/// uses, leased at the test's first use of this crate and returned when its thread ends. The [`id`](Self::id) is `w0`,
/// `w1`, … and unique among the tests of a run that run at the same time. Together with [`run`](Self::run) it names a
/// database or a directory that no other test uses.
///
/// Only a test's own thread and `main` are assigned a worker automatically. Threads that a test starts have none, because
/// guessing could hand them another worker's services: start them with [`spawn`](Self::spawn) or [`wrap`](Self::wrap), or
/// call [`enter`](Self::enter) on them. (Under nextest the whole process is one worker and its threads need none of that;
/// a suite that passes under both runners does it anyway.)
///
/// ```
/// use cofferdam::Worker;
/// let worker = Worker::current();
/// let child = worker.spawn(|| Worker::current().id().to_owned());
/// assert_eq!(child.join().unwrap(), worker.id());
/// ```
///
/// A clone costs one reference count. The idea comes from Playwright's `parallelIndex` and pytest-xdist's `gw0`.
#[derive(Clone)]
pub struct Worker(Arc<Execution>);

impl Worker {
    /// Returns the worker that this thread works for.
    ///
    /// # Panics
    /// On the error that [`try_current`](Self::try_current) returns.
    #[track_caller]
    pub fn current() -> Self {
        error::or_panic(Self::try_current())
    }

    /// Returns the worker that this thread works for.
    ///
    /// The first call on a test's thread leases a worker, which takes a few microseconds, and a lock file in the run's
    /// directory if other processes of the run may be running. Later calls cost a thread-local lookup.
    ///
    /// # Errors
    /// On a thread that no worker was passed to, after the test's end, or when `COFFERDAM_WORKER` or `COFFERDAM_JOB` has a
    /// value that cannot be part of a name.
    pub fn try_current() -> Result<Self, Error> {
        current::current()
    }

    /// Begins a test on this thread, for harnesses that do not start a thread named after each test: libtest-mimic, cucumber,
    /// a `main` of your own. The test ends when the guard is dropped.
    ///
    /// The test gets a worker as libtest's tests do, whatever the name of the thread. Under nextest, and with
    /// `COFFERDAM_WORKER`, that is the worker of the process. Tests that run interleaved on one thread cannot use the guard's
    /// thread: pass the [worker](BegunTest::worker) to their futures.
    ///
    /// ```
    /// use cofferdam::Worker;
    /// let pool_thread = std::thread::spawn(|| {
    ///     let test = Worker::begin("orders::stores_one");
    ///     assert_eq!(Worker::current().id(), test.worker().id());
    ///     let result: Result<(), String> = Ok(());
    ///     test.end(result.is_ok());
    /// });
    /// pool_thread.join().unwrap();
    /// ```
    ///
    /// # Panics
    /// When `COFFERDAM_WORKER` or `COFFERDAM_JOB` has a value that cannot be part of a name.
    #[track_caller]
    pub fn begin(test: &str) -> BegunTest {
        error::or_panic(BegunTest::new(test))
    }

    /// Returns the worker's name: `w0`, `w1`, …; `j2.w0` in job 2 of a session; `w0.w1` in a process that a nextest test
    /// started.
    ///
    /// Unique only together with [`run`](Self::run): two concurrent runs both have a `w0`.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Returns the worker's number, for computations such as `9000 + index`. It is as unique as the ID. `None` when
    /// `COFFERDAM_WORKER` names the worker, and in a process that a nextest test started, whose ID is `w0.w1`.
    pub fn index(&self) -> Option<u32> {
        self.0.index
    }

    /// Returns the run: one invocation of the runner, with all its processes.
    pub fn run(&self) -> &'static str {
        &run::run().id
    }

    /// Returns the path of the test (`orders::stores_one`), if it is known; that of a doctest is not.
    pub fn test(&self) -> Option<&str> {
        self.0.test.as_deref()
    }

    /// Returns the path of the test, or names the program whose `main` the test is, for messages.
    pub(crate) fn test_or_main(&self) -> String {
        self.test()
            .map_or_else(|| format!("main of {}", journal::binary()), str::to_owned)
    }

    /// Returns this worker's directory in this run, creating it at the first call. It is kept for the run: the worker's next
    /// test finds the files that this one leaves.
    ///
    /// # Errors
    /// When the base directory is unknown or the directory cannot be created.
    pub fn dir(&self) -> Result<PathBuf, Error> {
        run::private_dir(&run::worker_dir(self.id())?, "dir")
    }

    /// Returns the directory of this test, new and empty at the first call, and the same one in all of the test's threads.
    ///
    /// It is removed when the test has passed. If the test has failed, it is moved to `failed/` in the [base
    /// directory](crate::diagnostics::base_dir) and stays until the test uses a directory again; a line on standard error says
    /// where it is. A failure is known when a panic drops a handle or guard of this crate, such as a
    /// [`ServiceHandle`](crate::locator::ServiceHandle), and under nextest by the exit code of the process (Linux with glibc).
    /// Otherwise the directory stays until the process ends with success, or a later run removes it.
    ///
    /// [`lease::dir`](crate::lease::dir()) is for a part of a test: a new directory for each call, removed when its lease is
    /// dropped.
    ///
    /// ```
    /// use cofferdam::Worker;
    /// let folder = Worker::current().test_dir().unwrap();
    /// std::fs::write(folder.join("orders.csv"), "7,tea").unwrap();
    /// assert_eq!(Worker::current().test_dir().unwrap(), folder);
    /// ```
    ///
    /// # Errors
    /// After the test's end, and when the directory cannot be created.
    pub fn test_dir(&self) -> Result<PathBuf, Error> {
        self.0.folder(self)
    }

    /// Makes this thread work for the worker until the guard is dropped. Scopes nest, and the innermost applies.
    ///
    /// In a work-stealing pool (rayon), enter in the innermost closure: the pool may run any other closure between two of
    /// yours. Guards may be dropped in any order; each ends its own scope.
    ///
    /// ```
    /// use cofferdam::Worker;
    /// let worker = Worker::current();
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| {
    ///         let _scope = worker.enter();
    ///         assert_eq!(Worker::current().id(), worker.id());
    ///     });
    /// });
    /// ```
    ///
    /// # Panics
    /// When the test has ended and the worker may belong to another test.
    #[track_caller]
    pub fn enter(&self) -> Entered {
        // A factory that enters still runs its build.
        Entered::new(self, current::builds(), Some(self.member()))
    }

    /// Wraps a closure so that it runs for this worker on any thread: for pools, scoped threads, callbacks.
    ///
    /// The worker stays reserved for this test until the closure is dropped. In a factory it also passes on the build, so
    /// that a cycle is detected across threads.
    ///
    /// ```
    /// use cofferdam::Worker;
    /// let worker = Worker::current();
    /// std::thread::scope(|scope| {
    ///     scope.spawn(worker.wrap(|| assert_eq!(Worker::current().id(), worker.id())));
    /// });
    /// ```
    ///
    /// # Panics
    /// When the test has ended and the worker may belong to another test.
    #[track_caller]
    pub fn wrap<F, R>(&self, work: F) -> impl FnOnce() -> R + use<F, R>
    where
        F: FnOnce() -> R,
    {
        let (worker, builds, member) = (self.clone(), current::builds(), self.member());
        move || {
            let _entered = Entered::new(&worker, builds, Some(member));
            work()
        }
    }

    /// Starts a thread that works for this worker, like [`std::thread::spawn`].
    ///
    /// The test's end waits 50 ms for the thread. Afterwards the worker stays reserved until the thread ends, and with
    /// recording on the report names the test.
    ///
    /// # Panics
    /// When no thread can be started, or when the test has ended.
    #[track_caller]
    pub fn spawn<F, R>(&self, work: F) -> thread::JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        thread::spawn(self.wrap(work))
    }

    /// Wraps a future so that it is polled and dropped for this worker on any thread of the runtime. The future is boxed.
    ///
    /// The worker stays reserved for this test until the future is dropped.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Runtime::new().unwrap();
    /// use cofferdam::Worker;
    /// let worker = Worker::current();
    /// let task = runtime.spawn(worker.instrument(async { Worker::current().id().to_owned() }));
    /// assert_eq!(runtime.block_on(task).unwrap(), worker.id());
    /// ```
    ///
    /// # Panics
    /// When the test has ended and the worker may belong to another test.
    #[track_caller]
    pub fn instrument<F: Future>(&self, future: F) -> Instrumented<F> {
        Instrumented::new(self, future, self.member())
    }

    #[track_caller]
    fn member(&self) -> Member {
        let Some(member) = Member::new(self) else {
            panic!(
                "worker {} of {} cannot be entered: the test has ended, and the worker may belong to another test. Call \
                 `Worker::current()` in each test",
                self.id(),
                self.test().unwrap_or("an unnamed test"),
            )
        };
        member
    }

    /// Returns the number of the execution: unique in this process, never 0.
    pub(crate) fn execution(&self) -> u64 {
        self.0.number
    }

    /// Returns the number of this attempt at the test, from 1.
    pub(crate) fn attempt(&self) -> u64 {
        self.0.attempt
    }

    /// Returns whether an attribute saw the test fail. Its handles were dropped before, without a panic.
    pub(crate) fn has_failed(&self) -> bool {
        self.0.outcome.get() == Outcome::Failed
    }

    /// Returns whether an attribute saw the test fail, or a handle saw it panic.
    #[cfg(feature = "tokio")]
    fn is_known_to_fail(&self) -> bool {
        matches!(self.0.outcome.get(), Outcome::Failed | Outcome::Panicked)
    }

    /// Records that the test holds a lock: exclusively to write, or shared to read.
    pub(crate) fn add_lock(&self, lock: &str, access: Access) {
        execution::lock(&self.0.locks).push((lock.to_owned(), access));
    }

    /// Records that the test no longer holds the lock.
    pub(crate) fn remove_lock(&self, lock: &str, access: Access) {
        let mut locks = execution::lock(&self.0.locks);
        let last = locks
            .iter()
            .rposition(|(name, held)| name == lock && *held == access);
        if let Some(index) = last {
            locks.remove(index);
        }
    }

    /// Returns the locks of the test that protect such an access.
    fn locks(&self, access: Access) -> Vec<String> {
        let locks = execution::lock(&self.0.locks);
        let guarding = locks
            .iter()
            .filter(|(_, held)| access != Access::Write || *held == Access::Write);
        guarding.map(|(name, _)| name.clone()).collect()
    }

    /// Records an event of this worker, if recording is on.
    pub(crate) fn record(&self, event: impl FnOnce() -> Event) {
        journal::write(self.id(), event);
    }
}

impl fmt::Display for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("id", &self.id())
            .field("test", &self.test())
            .finish_non_exhaustive()
    }
}
