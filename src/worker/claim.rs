//! Claims: declarations that a test uses a resource.

use super::Worker;
use super::current::{self, Guarded, PanicWitness};
use crate::event::Event;
use crate::journal;
use crate::resource::{Access, Resource};
use crate::sys::{clock, stderr};
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};

/// Declares that the current test uses `resource` until the claim is dropped.
///
/// Two claims of different workers on one resource conflict if one of them is a write and no lock protects both;
/// `cargo cofferdam run` reports both source lines. A claim locks nothing. While recording is off it costs one atomic load.
/// On a thread without a worker it is not recorded, with one warning, because recording never fails a test.
///
/// ```
/// use cofferdam::{Access, Resource, claim};
/// let _uses = claim(Resource::name("queue orders"), Access::Write);
/// ```
#[track_caller]
pub fn claim(resource: Resource, access: Access) -> Claim {
    if !journal::is_on() {
        return Claim::new(None);
    }
    let worker = match Worker::try_current() {
        Ok(worker) => worker,
        Err(error) => {
            static WARNED: AtomicBool = AtomicBool::new(false);
            if !WARNED.swap(true, Ordering::Relaxed) {
                stderr::line(&format!("a claim on {resource} is not recorded: {error}"));
            }
            return Claim::new(None);
        }
    };
    let claim = clock::unique();
    let place = Location::caller().to_string();
    worker.record(|| Event::Claimed {
        execution: worker.execution(),
        claim,
        instance: 0,
        resource,
        access,
        guards: current::guards(access),
        place,
    });
    Claim::new(Some((worker, claim)))
}

/// A claim in force; see [`claim`].
#[must_use = "the claim ends when this is dropped"]
#[derive(Debug)]
pub struct Claim {
    made: Option<(Worker, u64)>,
    _witness: PanicWitness,
}

impl Claim {
    fn new(made: Option<(Worker, u64)>) -> Self {
        Self {
            made,
            _witness: PanicWitness,
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some((worker, claim)) = self.made.take() {
            worker.record(|| Event::Released { claim });
        }
    }
}

/// Declares that this thread holds a lock unknown to cofferdam, until the guard is dropped.
///
/// For tests that exclude each other by other means: a `Mutex`, `#[serial_test::serial(report)]`. Claims made and services
/// used meanwhile are guarded by `name`, and claims with a common guard never conflict. It locks nothing, and the
/// declaration is not checked: under nextest, serial_test's `#[serial]` excludes no other test.
///
/// ```
/// use cofferdam::{Access, Resource, claim};
/// use cofferdam::lock::guarded_by;
/// let _held = guarded_by("report");
/// let _uses = claim(Resource::file("report.csv"), Access::Write);
/// ```
pub fn guarded_by(name: &str) -> Guarded {
    Guarded::new(name)
}
