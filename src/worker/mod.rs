//! Who asks: the lane of tests that a piece of code works for, and how it is handed to other threads.

mod claim;
mod identity;
pub(crate) mod seat;
mod slots;

pub use claim::{Claim, claim, guarded_by};
pub use seat::{Entered, Guarded};

use crate::error::Error;
use crate::event::Event;
use crate::place;
use crate::sys::file_lock::{self, Locked};
use crate::sys::{clock, process, stderr};
use crate::{exit, journal};
use identity::{Asker, Lane, identify};
use once_cell::sync::{Lazy, OnceCell};
use seat::Member;
use slots::{Lease, Slots};
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

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

/// One life in a lane: a test from its first touch to its end.
#[derive(Debug)]
pub(crate) struct Life {
    /// Unique in this process, never 0; also the number of the execution.
    life: u64,
    id: String,
    index: Option<u32>,
    test: Option<String>,
    pid: u32,
    lease: Lease,
    over: AtomicBool,
}

/// How long the end of a test waits for threads it started. Measured: with 50 ms the lanes stay as few as the test
/// threads; without, 136 were in use at 16 threads.
const PATIENCE: Duration = Duration::from_millis(50);

impl Worker {
    /// The worker that this thread works for.
    ///
    /// # Panics
    /// On a thread that no worker was handed to, with what to do about it. [`try_current`](Self::try_current)
    /// returns that as an error.
    #[track_caller]
    pub fn current() -> Self {
        Self::try_current().unwrap_or_else(|error| panic!("{error}"))
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
        seat::current()
    }

    /// The lane's name: `w0`, `w1`, …; `j2.w0` in job 2 of a session; `w0.w1` for a process below a nextest test.
    ///
    /// Unique only together with [`run`](Self::run): two runs at once both have a `w0`.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The lane's number, to compute with (`9000 + index`); `None` when `COFFERDAM_WORKER` gave it a name.
    pub fn index(&self) -> Option<u32> {
        self.0.index
    }

    /// The run: one invocation of the runner with all its processes.
    pub fn run(&self) -> &'static str {
        &place::run().id
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
        let dir = place::worker_dir(self.id())?.join("dir");
        std::fs::create_dir_all(&dir).map_err(|source| Error::io("create", &dir, source))?;
        Ok(dir)
    }

    /// Makes this thread work for the worker until the guard is dropped. Scopes nest, and the innermost counts.
    ///
    /// In a work-stealing pool (rayon) the guard belongs into the innermost closure: the pool may run any other
    /// closure between two of yours.
    ///
    /// # Panics
    /// When the worker's test is over and its lane may be another test's.
    #[track_caller]
    pub fn enter(&self) -> Entered {
        Entered::new(self, Vec::new(), Some(self.member()))
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
        let (worker, builds, member) = (self.clone(), seat::builds(), self.member());
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

    /// `future`, polled inside this worker wherever the runtime polls it. The future is boxed.
    ///
    /// # Panics
    /// When the worker's test is over and its lane may be another test's.
    #[cfg(feature = "tokio")]
    #[track_caller]
    pub fn instrument<F: Future>(&self, future: F) -> Instrumented<F> {
        Instrumented {
            worker: self.clone(),
            builds: seat::builds(),
            _member: self.member(),
            future: Box::pin(future),
        }
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

/// A future that enters its worker at each poll: see [`Worker::instrument`].
#[cfg(feature = "tokio")]
#[derive(Debug)]
pub struct Instrumented<F> {
    future: std::pin::Pin<Box<F>>,
    worker: Worker,
    builds: Vec<u64>,
    _member: Member,
}

#[cfg(feature = "tokio")]
impl<F: Future> Future for Instrumented<F> {
    type Output = F::Output;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        // The member in the future keeps the lane; a poll needs none of its own.
        let _entered = Entered::new(&self.worker, self.builds.clone(), None);
        self.future.as_mut().poll(context)
    }
}

/// What else ends with a test. One subscriber is enough: the locators.
static AT_END: OnceCell<fn(&Worker)> = OnceCell::new();

/// Calls `hook` at the end of every test, while its lane is still its own.
pub(crate) fn at_test_end(hook: fn(&Worker)) {
    let _ = AT_END.set(hook);
}

/// A worker for the thread that asks, and whether its test ends with it.
fn begin() -> Result<(Worker, bool), Error> {
    let thread = thread::current();
    let name = thread.name();
    let asker = match name {
        Some("main") => Asker::Main,
        Some(name) => Asker::Thread(name),
        None => Asker::Nameless,
    };
    let identity = identify(place::facts(), place::run(), asker)?;
    let owns_test = identity.owns_test;
    let worker = match identity.lane {
        // One life for the whole process, whoever asks first.
        Lane::Fixed(id) => {
            static PROCESS: OnceCell<Worker> = OnceCell::new();
            let index = id.rsplit_once('w').and_then(|(_, number)| number.parse().ok());
            PROCESS
                .get_or_init(|| live(id, index, identity.test, identity.attempt, Lease::fixed()))
                .clone()
        }
        Lane::Leased { prefix } => {
            static SLOTS: Lazy<Arc<Slots>> = Lazy::new(|| Arc::new(Slots::new()));
            let lease = SLOTS.lease(|slot| is_free_in_run(&format!("{prefix}{slot}"), slot));
            let slot = lease.slot().unwrap_or_default();
            let index = u32::try_from(slot).ok();
            live(
                format!("{prefix}{slot}"),
                index,
                identity.test,
                identity.attempt,
                lease,
            )
        }
    };
    Ok((worker, owns_test))
}

fn live(id: String, index: Option<u32>, test: Option<String>, attempt: u64, lease: Lease) -> Worker {
    let life = clock::unique();
    let worker = Worker(Arc::new(Life {
        life,
        id,
        index,
        test,
        pid: process::id(),
        lease,
        over: AtomicBool::new(false),
    }));
    worker.record(|| Event::Test {
        execution: life,
        test: worker
            .test()
            .map_or_else(|| format!("main of {}", journal::binary()), str::to_owned),
        attempt,
    });
    worker
}

/// Whether no other process of the run works in this lane. What was granted once stays this process's to the end.
fn is_free_in_run(lane: &str, slot: usize) -> bool {
    static OURS: Mutex<Option<HashMap<usize, Option<Locked>>>> = Mutex::new(None);
    if !place::run().runner.may_overlap() {
        return true;
    }
    let mut ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
    let ours = ours.get_or_insert_default();
    if ours.contains_key(&slot) {
        return true;
    }
    let locked = place::lane_file(lane).and_then(|path| {
        file_lock::try_exclusive(&path).map_err(|source| Error::io("lock the lane file", &path, source))
    });
    match locked {
        Ok(None) => false,
        Ok(Some(locked)) => {
            ours.insert(slot, Some(locked));
            true
        }
        Err(error) => {
            static TOLD: AtomicBool = AtomicBool::new(false);
            if !TOLD.swap(true, Ordering::Relaxed) {
                stderr::line(&format!(
                    "{error}; worker IDs are unique within this process only, which is enough where the test \
                     binaries of a run do not overlap"
                ));
            }
            ours.insert(slot, None);
            true
        }
    }
}

/// The test is over: its services end, then its lane is given back.
fn end(worker: &Worker) {
    let life = &worker.0;
    // A forked child has a copy of this thread, not the test.
    if life.pid != process::id() || life.over.swap(true, Ordering::AcqRel) {
        return;
    }
    let children = life.lease.end(PATIENCE, || {
        if let Some(hook) = AT_END.get() {
            let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hook(worker)));
            if let Err(panic) = told {
                stderr::line(&format!(
                    "a service panicked at the end of its test: {}",
                    exit::message(&*panic)
                ));
            }
        }
        worker.record(|| Event::End { execution: life.life });
    });
    if children > 0 {
        worker.record(|| Event::Quarantined {
            execution: life.life,
            children: children as u64,
        });
    }
}
