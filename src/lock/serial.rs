//! The functions that `#[serial]` and `#[parallel]` call at the beginning of a test's body.
//!
//! Only the attributes call them.

use super::{LockGuard, LockOptions};
use crate::error::{self, Error};
use crate::exit::{self, Cleanup};
use crate::run;
use crate::sys::{clock, stderr};
use std::sync::{Mutex, PoisonError};

/// The locks of a test, released at its end, last first.
///
/// Under nextest and in an isolated test that is the end of its process, because its services hold resources such as ports until then.
#[must_use]
#[derive(Debug)]
pub struct Serial {
    guards: Vec<LockGuard>,
    /// The time of the request. Services are built later and so dropped earlier.
    order: u64,
}

/// The locks to release when the process ends.
static KEPT: Mutex<Vec<Serial>> = Mutex::new(Vec::new());

impl Drop for Serial {
    fn drop(&mut self) {
        let is_process_per_test = || {
            run::inherited().is_some()
                || run::nextest(run::facts()).is_some_and(|nextest| nextest.is_the_test)
        };
        if !self.guards.is_empty() && is_process_per_test() {
            let kept = Self {
                guards: std::mem::take(&mut self.guards),
                order: self.order,
            };
            KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
            exit::register(release_kept);
        } else {
            self.release();
        }
    }
}

impl Serial {
    fn release(&mut self) {
        while let Some(guard) = self.guards.pop() {
            drop(guard);
        }
    }
}

fn release_kept() -> Vec<Cleanup> {
    let kept = std::mem::take(&mut *KEPT.lock().unwrap_or_else(PoisonError::into_inner));
    let cleanup = |mut serial: Serial| Cleanup {
        order: serial.order,
        what: "the locks of #[serial]".to_owned(),
        run: Box::new(move || serial.release()),
    };
    kept.into_iter().map(cleanup).collect()
}

/// Takes the locks in the given order. Each is a name and whether it is shared.
///
/// # Panics
/// When one cannot be taken, like [`lock`](crate::lock()).
#[track_caller]
pub fn hold(keys: &[(&str, bool)]) -> Serial {
    error::or_panic(take(keys))
}

/// Like [`hold`], for a `#[should_panic]` test: returns `None` instead of panicking and writes the error to standard error.
/// The test then ends without a panic, and so it fails.
#[track_caller]
pub fn hold_or_warn(keys: &[(&str, bool)]) -> Option<Serial> {
    let taken = take(keys);
    taken
        .map_err(|error| {
            stderr::line(&format!(
                "the test did not begin, and ends without a panic: {error}"
            ))
        })
        .ok()
}

#[track_caller]
fn take(keys: &[(&str, bool)]) -> Result<Serial, Error> {
    let mut serial = Serial {
        guards: Vec::new(),
        order: clock::unique(),
    };
    for (key, shared) in keys {
        let options = LockOptions::new();
        let options = if *shared { options.shared() } else { options };
        serial.guards.push(options.lock(key)?);
    }
    Ok(serial)
}
