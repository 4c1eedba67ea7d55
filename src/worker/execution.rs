//! One life in a lane: how a test gets its worker, and what happens at its end.

use super::Worker;
use super::identity::{Asker, Lane, identify};
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

/// A test from its first touch to its end.
#[derive(Debug)]
pub(crate) struct Life {
    /// Unique in this process, never 0; also the number of the execution.
    pub(super) life: u64,
    pub(super) id: String,
    pub(super) index: Option<u32>,
    pub(super) test: Option<String>,
    pub(super) lease: Lease,
    attempt: u64,
    /// The thread by whose name the test is known, where the name is all that is known.
    thread: Option<String>,
    pid: u32,
    over: AtomicBool,
    /// The locks that the test holds against others, each with whether others may read meanwhile.
    pub(super) locks: Mutex<Vec<(String, Access)>>,
}

/// How long the end of a test waits for threads it started. Measured: with 50 ms the lanes stay as few as the test
/// threads; without, 136 were in use at 16 threads.
const PATIENCE: Duration = Duration::from_millis(50);

/// What else ends with a test. One subscriber is enough: the locators.
static AT_END: OnceCell<fn(&Worker)> = OnceCell::new();

/// Calls `hook` at the end of every test, while its lane is still its own.
pub(crate) fn at_test_end(hook: fn(&Worker)) {
    let _ = AT_END.set(hook);
}

/// A worker for the thread that asks, and whether its test ends with it.
pub(super) fn begin() -> Result<(Worker, bool), Error> {
    let thread = thread::current();
    let asker = match thread.name() {
        Some("main") => Asker::Main,
        Some(name) => Asker::Thread(name),
        None => Asker::Nameless,
    };
    let identity = identify(run::facts(), run::run(), asker)?;
    let new = |id, index, lease, thread| {
        live(Life {
            life: clock::unique(),
            id,
            index,
            test: identity.test,
            lease,
            attempt: identity.attempt,
            thread,
            pid: process::id(),
            over: AtomicBool::new(false),
            locks: Mutex::new(Vec::new()),
        })
    };
    let worker = match identity.lane {
        // One life for the whole process, whoever asks first.
        Lane::Fixed { id, index } => {
            static PROCESS: OnceCell<Worker> = OnceCell::new();
            PROCESS
                .get_or_init(|| new(id, index, Lease::fixed(), None))
                .clone()
        }
        Lane::Leased { prefix, numbered } => {
            let named = match asker {
                Asker::Thread(name) => Some(only_one_named(name)?),
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

fn live(life: Life) -> Worker {
    let worker = Worker(Arc::new(life));
    worker.record(|| Event::Test {
        execution: worker.0.life,
        test: worker
            .test()
            .map_or_else(|| format!("main of {}", journal::binary()), str::to_owned),
        attempt: worker.0.attempt,
    });
    worker
}

/// The names of the threads whose tests have a lane now.
static THREADS: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// A runner starts no second thread of one name while the first runs; a pool does, and so does a test that runs
/// its body on a thread named like its own.
fn only_one_named(name: &str) -> Result<String, Error> {
    if !lock(&THREADS).get_or_insert_default().insert(name.to_owned()) {
        return Err(Error::no_worker(format!("a second thread {name:?}")));
    }
    if run::run().runner == Runner::Alone {
        static TOLD: AtomicBool = AtomicBool::new(false);
        say_once(
            &TOLD,
            "no runner is known to have started this test process, so it counts as a run of its own; \
             COFFERDAM_RUN_ID, the same for all processes of a run, says otherwise",
        );
    }
    Ok(name.to_owned())
}

/// The lanes of the run that this process may use: what was granted once stays its own to the end.
struct Ours {
    pid: u32,
    /// Without a lock where there is no place for one.
    lanes: HashMap<usize, Option<Locked>>,
}

/// Whether no other process of the run works in this lane.
fn is_free_in_run(lane: &str, slot: usize) -> bool {
    static OURS: Mutex<Option<Ours>> = Mutex::new(None);
    if !run::run().runner.may_overlap() {
        return true;
    }
    let mut ours = lock(&OURS);
    // A forked child has its parent's locks in its memory, and they stay its parent's.
    let ours = match &mut *ours {
        Some(ours) if ours.pid == process::id() => ours,
        ours => ours.insert(Ours {
            pid: process::id(),
            lanes: HashMap::new(),
        }),
    };
    if ours.lanes.contains_key(&slot) {
        return true;
    }
    let locked = run::lane_file(lane).and_then(|path| {
        file_lock::try_exclusive(&path).map_err(|source| Error::io("lock the lane file", &path, source))
    });
    match locked {
        Ok(None) => false,
        Ok(Some(locked)) => {
            ours.lanes.insert(slot, Some(locked));
            true
        }
        Err(error) => {
            static TOLD: AtomicBool = AtomicBool::new(false);
            say_once(
                &TOLD,
                &format!(
                    "{error}; worker IDs are unique within this process only, which is enough where the test \
                     binaries of a run do not overlap"
                ),
            );
            ours.lanes.insert(slot, None);
            true
        }
    }
}

/// The test is over: its services end, then its lane is given back.
pub(super) fn end(worker: &Worker) {
    let life = &worker.0;
    // A forked child has a copy of this thread, not the test.
    if life.pid != process::id() || life.over.swap(true, Ordering::AcqRel) {
        return;
    }
    if let (Some(thread), Some(threads)) = (&life.thread, &mut *lock(&THREADS)) {
        threads.remove(thread);
    }
    let children = life.lease.end(PATIENCE, || {
        if let Some(hook) = AT_END.get() {
            let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hook(worker)));
            if let Err(panic) = told {
                stderr::line(&format!(
                    "a service panicked at the end of its test: {}",
                    exit::message(&*panic)
                ));
                // Its own drop may panic again.
                std::mem::forget(panic);
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

fn say_once(told: &AtomicBool, text: &str) {
    if !told.swap(true, Ordering::Relaxed) {
        stderr::line(text);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
