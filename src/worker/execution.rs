//! The execution of a test in a lane: how it gets its worker, and what happens at its end.

use super::Worker;
use super::identity::{LaneSource, ThreadKind, identify};
use super::slots::{Lease, Slots};
use crate::error::Error;
use crate::event::Event;
use crate::resource::Access;
use crate::run::{self, Runner};
use crate::sys::file_lock::{self, Locked};
use crate::sys::{clock, process, stderr};
use crate::{exit, journal};
use once_cell::sync::{Lazy, OnceCell};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    attempt: u64,
    /// The name of the test's thread, where only that identifies the test.
    thread: Option<String>,
    pid: u32,
    is_over: AtomicBool,
    /// The locks that the test holds, each for reading or for writing.
    pub(super) locks: Mutex<Vec<(String, Access)>>,
}

/// The time that the end of a test waits for the threads that the test started. Measured with 16 test threads: with 50 ms
/// at most 16 lanes are in use, without it 136.
const PATIENCE: Duration = Duration::from_millis(50);

/// What ends with a test, in this order.
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

/// Returns a worker for the calling thread, and whether the test ends with the thread.
pub(super) fn begin() -> Result<(Worker, bool), Error> {
    let thread = thread::current();
    let kind = match thread.name() {
        Some("main") => ThreadKind::Main,
        Some(name) => ThreadKind::Named(name),
        None => ThreadKind::Unnamed,
    };
    let identity = identify(run::facts(), run::run(), kind).map_err(|error| match is_of_runtime(kind) {
        true => error.on_runtime(),
        false => error,
    })?;
    let new = |id, index, lease, thread| {
        start(Execution {
            number: clock::unique(),
            id,
            index,
            test: identity.test,
            lease,
            attempt: identity.attempt,
            thread,
            pid: process::id(),
            is_over: AtomicBool::new(false),
            locks: Mutex::new(Vec::new()),
        })
    };
    let worker = match identity.lane {
        // One execution for the whole process.
        LaneSource::Fixed { id, index } => {
            static PROCESS: OnceCell<Worker> = OnceCell::new();
            PROCESS
                .get_or_init(|| new(id, index, Lease::fixed(), None))
                .clone()
        }
        LaneSource::Leased { prefix, numbered } => {
            let named = match kind {
                ThreadKind::Named(name) => Some(only_one_named(name)?),
                _ => None,
            };
            static SLOTS: Lazy<Arc<Slots>> = Lazy::new(|| Arc::new(Slots::new()));
            let lease = SLOTS.lease(|slot| is_free_in_run(&format!("{prefix}{slot}"), slot));
            let slot = lease.slot().unwrap_or_default();
            let index = u32::try_from(slot).ok().filter(|_| numbered);
            new(format!("{prefix}{slot}"), index, lease, named)
        }
    };
    Ok((worker, identity.owns_test))
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
        test: worker
            .test()
            .map_or_else(|| format!("main of {}", journal::binary()), str::to_owned),
        attempt: worker.0.attempt,
    });
    worker
}

/// The names of the threads whose tests have a lane.
static THREADS: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// Checks that no other running thread has this name. A runner starts no second thread with the name of a running test; a
/// pool does, and so does a test that runs its body on a thread with its own name.
fn only_one_named(name: &str) -> Result<String, Error> {
    if !lock(&THREADS).get_or_insert_default().insert(name.to_owned()) {
        return Err(Error::no_worker(format!("a second thread {name:?}")));
    }
    if run::run().runner == Runner::Alone {
        static WARNED: AtomicBool = AtomicBool::new(false);
        warn_once(
            &WARNED,
            "no known runner started this test process, so it counts as a run of its own; set COFFERDAM_RUN_ID to \
             one value in all processes of a run to join them",
        );
    }
    Ok(name.to_owned())
}

/// The lanes of the run that this process may use. A lane stays granted until the process ends.
struct GrantedLanes {
    pid: u32,
    /// `None`: granted without a lock, because the lock file could not be used.
    lanes: HashMap<usize, Option<Locked>>,
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
            lanes: HashMap::new(),
        }),
    };
    if granted.lanes.contains_key(&slot) {
        return true;
    }
    let locked = run::lane_file(lane).and_then(|path| {
        file_lock::try_exclusive(&path).map_err(|source| Error::io("lock the lane file", &path, source))
    });
    match locked {
        Ok(None) => false,
        Ok(Some(locked)) => {
            granted.lanes.insert(slot, Some(locked));
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
            granted.lanes.insert(slot, None);
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
    if let (Some(thread), Some(threads)) = (&execution.thread, &mut *lock(&THREADS)) {
        threads.remove(thread);
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
        worker.record(|| Event::End {
            execution: execution.number,
        });
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
