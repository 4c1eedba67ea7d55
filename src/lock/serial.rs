//! What `#[serial]` and `#[parallel]` put first into a test's body.
//!
//! The attributes write these calls; nobody else is meant to.

use super::{LockGuard, LockOptions};
use crate::error::{self, Error};
use crate::exit::{self, Cleanup};
use crate::run;
use crate::sys::{clock, stderr};
use std::sync::{Mutex, PoisonError};

/// The locks of a test, given back with its end, the last first.
///
/// Under nextest that is the end of its process: what its services hold, a port say, they hold until then.
#[must_use]
#[derive(Debug)]
pub struct Serial {
    guards: Vec<LockGuard>,
    /// When it was asked for: services are built later, and so dropped before.
    order: u64,
}

/// What is given back when the process ends.
static KEPT: Mutex<Vec<Serial>> = Mutex::new(Vec::new());

impl Drop for Serial {
    fn drop(&mut self) {
        let is_a_process = || run::nextest(run::facts()).is_some_and(|nextest| nextest.is_the_test);
        if !self.guards.is_empty() && is_a_process() {
            let kept = Self {
                guards: std::mem::take(&mut self.guards),
                order: self.order,
            };
            KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
            exit::register(kept_so_far);
        } else {
            self.give_back();
        }
    }
}

impl Serial {
    fn give_back(&mut self) {
        while let Some(guard) = self.guards.pop() {
            drop(guard);
        }
    }
}

fn kept_so_far() -> Vec<Cleanup> {
    let kept = std::mem::take(&mut *KEPT.lock().unwrap_or_else(PoisonError::into_inner));
    let cleanup = |mut serial: Serial| Cleanup {
        order: serial.order,
        what: "the locks of #[serial]".to_owned(),
        run: Box::new(move || serial.give_back()),
    };
    kept.into_iter().map(cleanup).collect()
}

/// Takes the locks one after the other, as they stand: each a name and whether it is shared.
///
/// # Panics
/// When one cannot be had, as [`lock`](crate::lock).
#[track_caller]
pub fn hold(keys: &[(&str, bool)]) -> Serial {
    error::or_panic(take(keys))
}

/// As [`hold`], for a test that is meant to panic: `None` instead of a panic, and the story on standard error. The test
/// then ends without panicking, and so it fails.
#[track_caller]
pub fn hold_or_say(keys: &[(&str, bool)]) -> Option<Serial> {
    let taken = take(keys);
    taken
        .map_err(|error| stderr::line(&format!("the test did not begin and does not panic: {error}")))
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
