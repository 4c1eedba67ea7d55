//! What a test says it uses, so that reports can name who else does.

use super::Worker;
use super::current::{self, Guarded};
use crate::event::Event;
use crate::journal;
use crate::resource::{Access, Resource};
use crate::sys::{clock, stderr};
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};

/// Declares that the current test uses `resource` until the claim is dropped.
///
/// Two claims of different workers on one resource, one of them a write and no lock in common, are a conflict, and
/// `cargo cofferdam run` names both places. It locks nothing. While nothing is recorded it costs one atomic load;
/// on a thread without a worker it warns once and is not recorded, because recording never fails a test.
///
/// ```
/// use cofferdam::{Access, Resource, claim};
/// let _uses = claim(Resource::name("queue orders"), Access::Write);
/// ```
#[track_caller]
pub fn claim(resource: Resource, access: Access) -> Claim {
    if !journal::is_on() {
        return Claim { made: None };
    }
    let worker = match Worker::try_current() {
        Ok(worker) => worker,
        Err(error) => {
            static TOLD: AtomicBool = AtomicBool::new(false);
            if !TOLD.swap(true, Ordering::Relaxed) {
                stderr::line(&format!("a claim on {resource} is not recorded: {error}"));
            }
            return Claim { made: None };
        }
    };
    let claim = clock::unique();
    let place = Location::caller().to_string();
    worker.record(|| Event::Claimed {
        execution: worker.life(),
        claim,
        instance: 0,
        resource,
        access,
        guards: current::guards(access),
        place,
    });
    Claim {
        made: Some((worker, claim)),
    }
}

/// A claim that is in force: see [`claim`].
#[must_use = "the claim is over when this is dropped"]
#[derive(Debug)]
pub struct Claim {
    made: Option<(Worker, u64)>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some((worker, claim)) = self.made.take() {
            worker.record(|| Event::Released { claim });
        }
    }
}

/// Declares that this thread holds a lock that cofferdam cannot see, until the guard is dropped.
///
/// For suites that exclude each other by other means: a `Mutex`, `#[serial_test::serial(report)]`. Claims made, and
/// services used, meanwhile are guarded by `name`; claims with a guard in common never conflict. It locks nothing,
/// and believes you: under nextest `#[serial]` excludes nobody.
///
/// ```
/// use cofferdam::{Access, Resource, claim, guarded_by};
/// let _held = guarded_by("report");
/// let _uses = claim(Resource::file("report.csv"), Access::Write);
/// ```
pub fn guarded_by(name: &str) -> Guarded {
    Guarded::new(name)
}
