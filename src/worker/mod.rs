//! Who asks: the lane of tests that a piece of code works for, and how it is handed to other threads.

mod claim;
pub(crate) mod current;
mod execution;
mod identity;
#[cfg(feature = "tokio")]
mod instrumented;
mod slots;

pub use claim::{Claim, claim, guarded_by};
pub use current::{Entered, Guarded};
pub(crate) use execution::at_test_end;
#[cfg(feature = "tokio")]
pub use instrumented::Instrumented;

use crate::error::{self, Error};
use crate::event::Event;
use crate::resource::Access;
use crate::{journal, run};
use current::Member;
use execution::Life;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

/// One lane of tests that never overlap, as the test that runs in it now sees it.
///
/// Under nextest the lane is the runner's slot; under `cargo test` the smallest number that no other running test
/// holds, leased at a test's first touch and given back when its thread ends. Its [`id`](Self::id) is `w0`, `w1`,
/// … and unique among the tests of one run that run at the same time: with [`run`](Self::run) it names a database
/// or a folder that nobody else uses.
///
/// A test's own thread and `main` have a worker by themselves. Threads that a test starts have none, because a guess
/// would hand them another worker's services: start them with [`spawn`](Self::spawn) or [`wrap`](Self::wrap), or
/// [`enter`](Self::enter) on them. (Under nextest the whole process is one worker, and its threads need none of
/// that; a suite that is to pass under both does it anyway.)
///
/// ```
/// use cofferdam::Worker;
/// let worker = Worker::current();
/// let child = worker.spawn(|| Worker::current().id().to_owned());
/// assert_eq!(child.join().unwrap(), worker.id());
/// ```
///
/// Cloning costs one reference count. Where the idea comes from: Playwright's `parallelIndex`, pytest-xdist's `gw0`.
#[derive(Clone)]
pub struct Worker(Arc<Life>);

impl Worker {
    /// The worker that this thread works for.
    ///
    /// # Panics
    /// On a thread that no worker was handed to, with what to do about it. [`try_current`](Self::try_current)
    /// returns that as an error.
    #[track_caller]
    pub fn current() -> Self {
        error::or_panic(Self::try_current())
    }

    /// The worker that this thread works for.
    ///
    /// The first call on a test's thread leases its lane: a few microseconds, and a lock file in the run's folder
    /// where other processes of the run may be alive. Later calls cost a thread-local look-up.
    ///
    /// # Errors
    /// On a thread that no worker was handed to, after the test's end, or when `COFFERDAM_WORKER` or `COFFERDAM_JOB`
    /// hold what cannot be part of a name.
    pub fn try_current() -> Result<Self, Error> {
        current::current()
    }

    /// The lane's name: `w0`, `w1`, …; `j2.w0` in job 2 of a session; `w0.w1` for a process below a nextest test.
    ///
    /// Unique only together with [`run`](Self::run): two runs at once both have a `w0`.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The lane's number, to compute with (`9000 + index`), and as unique as the ID; `None` when `COFFERDAM_WORKER`
    /// gave the lane a name, and for a process below a nextest test, whose lane is `w0.w1`.
    pub fn index(&self) -> Option<u32> {
        self.0.index
    }

    /// The run: one invocation of the runner with all its processes.
    pub fn run(&self) -> &'static str {
        &run::run().id
    }

    /// The test, by its path (`orders::stores_one`), where it is known; a doctest's name is not.
    pub fn test(&self) -> Option<&str> {
        self.0.test.as_deref()
    }

    /// A folder of this worker's own in this run, made at the first call and kept for the run: what a test of this
    /// lane leaves there its next test finds.
    ///
    /// # Errors
    /// When there is no place for it or it cannot be made.
    pub fn dir(&self) -> Result<PathBuf, Error> {
        run::private_dir(&run::worker_dir(self.id())?, "dir")
    }

    /// Makes this thread work for the worker until the guard is dropped. Scopes nest, and the innermost counts.
    ///
    /// In a work-stealing pool (rayon) the guard belongs into the innermost closure: the pool may run any other
    /// closure between two of yours. Guards may be dropped in any order; each ends its own scope.
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
    /// When the worker's test is over and its lane may be another test's.
    #[track_caller]
    pub fn enter(&self) -> Entered {
        // Whoever enters in a factory still stands in that build.
        Entered::new(self, current::builds(), Some(self.member()))
    }

    /// `work`, made to run in this worker wherever it is called: for pools, scoped threads, callbacks.
    ///
    /// Until the closure is gone the lane stays this test's; one that is kept for ever keeps the lane for ever.
    /// Called in a factory it carries on whose behalf it builds, so a cycle is found across threads too.
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
    /// When the worker's test is over and its lane may be another test's.
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

    /// Starts a thread that works for this worker, as [`std::thread::spawn`] does otherwise.
    ///
    /// The test's end waits 50 ms for it; after that the lane is set aside until the thread ends, and with
    /// recording on the report names the test.
    ///
    /// # Panics
    /// When no thread can be started, or when the worker's test is over.
    #[track_caller]
    pub fn spawn<F, R>(&self, work: F) -> thread::JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        thread::spawn(self.wrap(work))
    }

    /// `future`, polled and dropped inside this worker wherever the runtime does that. The future is boxed.
    ///
    /// Until it is gone the lane stays this test's.
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
    /// When the worker's test is over and its lane may be another test's.
    #[cfg(feature = "tokio")]
    #[track_caller]
    pub fn instrument<F: Future>(&self, future: F) -> Instrumented<F> {
        Instrumented::new(self, future, self.member())
    }

    #[track_caller]
    fn member(&self) -> Member {
        let Some(member) = Member::new(self) else {
            panic!(
                "worker {} of {} cannot be entered: the test is over and its lane may be another test's. Take \
                 `Worker::current()` anew in each test",
                self.id(),
                self.test().unwrap_or("an unnamed test"),
            )
        };
        member
    }

    /// Unique in this process, never 0.
    pub(crate) fn life(&self) -> u64 {
        self.0.life
    }

    /// From now on the test holds a lock of that name: to write alone, or to read together with others.
    pub(crate) fn holds(&self, lock: &str, access: Access) {
        execution::lock(&self.0.locks).push((lock.to_owned(), access));
    }

    /// The test holds it no more.
    pub(crate) fn lets_go(&self, lock: &str, access: Access) {
        let mut locks = execution::lock(&self.0.locks);
        let last = locks
            .iter()
            .rposition(|(name, held)| name == lock && *held == access);
        if let Some(index) = last {
            locks.remove(index);
        }
    }

    /// The locks that keep others away from what is accessed so.
    fn locks(&self, access: Access) -> Vec<String> {
        let locks = execution::lock(&self.0.locks);
        let guarding = locks
            .iter()
            .filter(|(_, held)| access != Access::Write || *held == Access::Write);
        guarding.map(|(name, _)| name.clone()).collect()
    }

    /// Records what happened to this worker, if anything is recorded.
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
