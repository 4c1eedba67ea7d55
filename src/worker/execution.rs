//! The execution of a test in a lane: how it gets its worker, and what happens at its end.

use super::Worker;
use super::identity::{Identity, LaneSource, ThreadKind, identify};
use super::slots::{Lease, Slots};
use super::test_folder::TestFolder;
use super::test_outcome::KnownOutcome;
use crate::error::{Error, ThreadOrigin};
use crate::event::Event;
use crate::exit;
use crate::resource::Access;
use crate::run::{self, Inherited, Runner};
use crate::sys::file_lock::{self, Locked};
use crate::sys::observer::ObservedTest;
use crate::sys::{clock, process, stderr};
use once_cell::sync::{Lazy, OnceCell};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// One execution of a test, from its first use of a worker to its end.
#[derive(Debug)]
pub(crate) struct Execution {
    /// Unique in this process, never 0.
    pub(super) number: u64,
    pub(super) id: String,
    pub(super) index: Option<u32>,
    pub(super) test: Option<String>,
    pub(super) lease: Lease,
    pub(super) attempt: u64,
    /// The observer's test; `None` without an observer, and if the process runs a single test.
    pub(super) observed: Option<ObservedTest>,
    /// The name of the test's thread, where only that identifies the test.
    thread: Option<String>,
    pid: u32,
    is_over: AtomicBool,
    pub(super) outcome: KnownOutcome,
    /// The directory of the test, from its first use on.
    folder: Mutex<Option<TestFolder>>,
    /// The locks that the test holds, each for reading or for writing.
    pub(super) locks: Mutex<Vec<(String, Access)>>,
}

impl Execution {
    /// Returns the directory of the test, creating it at the first call.
    pub(super) fn folder(&self, worker: &Worker) -> Result<PathBuf, Error> {
        let mut folder = lock(&self.folder);
        if let Some(folder) = &*folder {
            return Ok(folder.path().to_owned());
        }
        // The end of the test has removed it or will not look again.
        if self.is_over.load(Ordering::Acquire) {
            return Err(Error::test_over());
        }
        Ok(folder.insert(TestFolder::new(worker)?).path().to_owned())
    }
}

/// The time that the end of a test waits for the threads that the test started. Measured with 16 test threads: with 50 ms
/// at most 16 lanes are in use, without it 136.
const PATIENCE: Duration = Duration::from_millis(50);

/// The parts with a hook at the end of a test, in the order of the hooks.
#[derive(Clone, Copy)]
pub(crate) enum AtEnd {
    Services,
    #[cfg(feature = "tokio")]
    Runtime,
}

/// The hooks at the end of a test.
static AT_END: [OnceCell<fn(&Worker)>; 2] = [const { OnceCell::new() }; 2];

/// Calls `hook` at the end of every test, before its lane is given back.
pub(crate) fn at_test_end(what: AtEnd, hook: fn(&Worker)) {
    let _ = AT_END[what as usize].set(hook);
}

/// The role of a thread in its test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The test ends with the thread.
    Owner,
    /// The test waits for the thread for a while.
    Child,
    /// The test does not know the thread, and the worker is that of the process.
    None,
}

/// Returns a worker for the calling thread, and the thread's role in its test.
pub(super) fn begin() -> Result<(Worker, Part), Error> {
    let thread = thread::current();
    let kind = match thread.name() {
        Some("main") => ThreadKind::Main,
        Some(name) => ThreadKind::Named(name),
        None => ThreadKind::Unnamed,
    };
    if let Some(inherited) = run::inherited() {
        let owns_test = match kind {
            ThreadKind::Main => true,
            ThreadKind::Named(name) => name == inherited.test,
            ThreadKind::Unnamed => false,
        };
        let part = if owns_test { Part::Owner } else { Part::None };
        return Ok((continued(inherited), part));
    }
    let identity = identify(run::facts(), run::run(), kind).map_err(|error| match is_of_runtime(kind) {
        true => error.on_thread_of(ThreadOrigin::Runtime),
        false => error,
    })?;
    let part = if identity.owns_test {
        Part::Owner
    } else {
        Part::None
    };
    let thread = match (&identity.lane, kind) {
        (LaneSource::Leased { .. }, ThreadKind::Named(name)) => Some(name),
        _ => None,
    };
    let Some(name) = thread else {
        return Ok((worker_of(identity, None), part));
    };
    if let Some(first) = first_named(name)? {
        return Ok((first, Part::Child));
    }
    let worker = worker_of(identity, Some(name.to_owned()));
    if let Some((_, test)) = lock(&THREADS).iter_mut().find(|(known, _)| known == name) {
        *test = Arc::downgrade(&worker.0);
    }
    Ok((worker, part))
}

/// Returns a worker for the test of that name, and whether the test ends before the process. A worker that is fixed for the
/// process executes one test, that of the process.
pub(super) fn begin_named(test: &str) -> Result<(Worker, bool), Error> {
    if let Some(inherited) = run::inherited() {
        return Ok((continued(inherited), true));
    }
    let mut identity = identify(run::facts(), run::run(), ThreadKind::Main)?;
    let is_leased = matches!(identity.lane, LaneSource::Leased { .. });
    if is_leased {
        identity.test = Some(test.to_owned());
    }
    let ends = is_leased || run::nextest(run::facts()).is_some_and(|nextest| nextest.is_the_test);
    Ok((worker_of(identity, None), ends))
}

fn worker_of(identity: Identity, thread: Option<String>) -> Worker {
    let new = |id, index, lease, thread, observed| {
        start(Execution {
            number: clock::unique(),
            id,
            index,
            test: identity.test,
            lease,
            attempt: identity.attempt,
            observed,
            thread,
            pid: process::id(),
            is_over: AtomicBool::new(false),
            outcome: KnownOutcome::default(),
            folder: Mutex::new(None),
            locks: Mutex::new(Vec::new()),
        })
    };
    match identity.lane {
        // One execution for the whole process.
        LaneSource::Fixed { id, index } => {
            static PROCESS: OnceCell<Worker> = OnceCell::new();
            PROCESS
                .get_or_init(|| new(id, index, Lease::fixed(), None, None))
                .clone()
        }
        LaneSource::Leased { prefix, numbered } => {
            static SLOTS: Lazy<Arc<Slots>> = Lazy::new(|| Arc::new(Slots::new()));
            let lease = SLOTS.lease(|slot| is_free_in_run(&format!("{prefix}{slot}"), slot));
            let slot = lease.slot().unwrap_or_default();
            let index = u32::try_from(slot).ok().filter(|_| numbered);
            new(
                format!("{prefix}{slot}"),
                index,
                lease,
                thread,
                ObservedTest::current(),
            )
        }
    }
}

/// Returns the worker of an isolated test, whose execution began in the parent process.
fn continued(inherited: &Inherited) -> Worker {
    static PROCESS: OnceCell<Worker> = OnceCell::new();
    let new = || {
        clock::continue_from(process::id());
        let worker = Worker(Arc::new(Execution {
            number: inherited.execution,
            id: inherited.worker.clone(),
            index: inherited.index,
            test: Some(inherited.test.clone()),
            lease: Lease::fixed(),
            attempt: inherited.attempt,
            observed: None,
            thread: None,
            pid: process::id(),
            is_over: AtomicBool::new(false),
            outcome: KnownOutcome::default(),
            folder: Mutex::new(None),
            locks: Mutex::new(Vec::new()),
        }));
        for lock in &inherited.locks {
            let access = if lock.shared { Access::Read } else { Access::Write };
            worker.add_lock(&lock.label, access);
        }
        worker
    };
    PROCESS.get_or_init(new).clone()
}

/// Returns whether the calling thread is one of an async runtime: by its name, or (with the feature `tokio`) as tokio says.
fn is_of_runtime(kind: ThreadKind<'_>) -> bool {
    #[cfg(feature = "tokio")]
    if super::runtime_threads::is_inside() {
        return true;
    }
    matches!(kind, ThreadKind::Named(name) if name.starts_with("tokio-"))
}

fn start(execution: Execution) -> Worker {
    let worker = Worker(Arc::new(execution));
    worker.record(|| Event::Test {
        execution: worker.0.number,
        test: worker.test_or_main(),
        attempt: worker.0.attempt,
    });
    worker
}

/// The tests that have a lane, with the names of their threads.
static THREADS: Mutex<Vec<(String, Weak<Execution>)>> = Mutex::new(Vec::new());

/// Takes the name for this thread, or returns the worker of the test that a running thread of this name executes.
///
/// A runner starts no second thread with the name of a running test. rstest does for `#[timeout]`, and the body on it belongs
/// to the test; a pool may too, but no pool's name is a path of modules. Without such a path the difference is not known.
fn first_named(name: &str) -> Result<Option<Worker>, Error> {
    let mut threads = lock(&THREADS);
    if let Some((_, first)) = threads.iter().find(|(known, _)| known == name) {
        let first = first.upgrade().filter(|_| name.contains("::"));
        let second =
            || Error::no_worker(format!("a second thread {name:?}")).on_thread_of(ThreadOrigin::SecondOfName);
        return first.map(|first| Some(Worker(first))).ok_or_else(second);
    }
    threads.push((name.to_owned(), Weak::new()));
    drop(threads);
    if run::run().runner == Runner::Alone {
        static WARNED: AtomicBool = AtomicBool::new(false);
        warn_once(
            &WARNED,
            "no known runner started this test process, so it counts as a run of its own; set COFFERDAM_RUN_ID to \
             one value in all processes of a run to join them",
        );
    }
    Ok(None)
}

/// The lanes of the run that this process may use. A lane stays granted until the process ends.
struct GrantedLanes {
    pid: u32,
    /// `None`: granted without a lock, because the lock file could not be used.
    lanes: Vec<(usize, Option<Locked>)>,
}

/// Returns whether no other process of the run uses this lane.
fn is_free_in_run(lane: &str, slot: usize) -> bool {
    static GRANTED: Mutex<Option<GrantedLanes>> = Mutex::new(None);
    if !run::run().runner.may_overlap() {
        return true;
    }
    let mut granted = lock(&GRANTED);
    // A forked child has a copy of this list, but the locks remain its parent's.
    let granted = match &mut *granted {
        Some(granted) if granted.pid == process::id() => granted,
        granted => granted.insert(GrantedLanes {
            pid: process::id(),
            lanes: Vec::new(),
        }),
    };
    if granted.lanes.iter().any(|(known, _)| *known == slot) {
        return true;
    }
    let locked = run::lane_file(lane).and_then(|path| {
        file_lock::try_exclusive(&path).map_err(|source| Error::io("lock the lane file", &path, source))
    });
    match locked {
        Ok(None) => false,
        Ok(Some(locked)) => {
            granted.lanes.push((slot, Some(locked)));
            true
        }
        Err(error) => {
            static WARNED: AtomicBool = AtomicBool::new(false);
            warn_once(
                &WARNED,
                &format!(
                    "{error}; worker IDs are unique within this process only, which suffices if the test binaries of a \
                     run do not overlap"
                ),
            );
            granted.lanes.push((slot, None));
            true
        }
    }
}

/// Ends the test: its services end first, then its lane is given back.
pub(super) fn end(worker: &Worker) {
    let execution = &worker.0;
    // A forked child has a copy of this thread, not the test.
    if execution.pid != process::id() || execution.is_over.swap(true, Ordering::AcqRel) {
        return;
    }
    if let Some(thread) = &execution.thread {
        lock(&THREADS).retain(|(known, _)| known != thread);
    }
    let children = execution.lease.end(PATIENCE, || {
        for hook in AT_END.iter().filter_map(OnceCell::get) {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hook(worker)));
            if let Err(panic) = result {
                stderr::line(&format!(
                    "a service panicked at the end of its test: {}",
                    exit::message(&*panic)
                ));
                // Its drop may panic again.
                std::mem::forget(panic);
            }
        }
        // After the services, which may use it.
        if let Some(folder) = lock(&execution.folder).take() {
            folder.end(execution.outcome.get());
        }
        // The execution of an isolated test ends with its parent's part.
        if run::inherited().is_none() {
            worker.record(|| Event::End {
                execution: execution.number,
            });
        }
    });
    if children > 0 {
        worker.record(|| Event::Quarantined {
            execution: execution.number,
            children: children as u64,
        });
    }
}

fn warn_once(warned: &AtomicBool, text: &str) {
    if !warned.swap(true, Ordering::Relaxed) {
        stderr::line(text);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
