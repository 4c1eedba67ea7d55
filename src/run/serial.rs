//! What `#[serial]` and `#[parallel]` put first into a test's body.
//!
//! The attributes write these calls; nobody else is meant to.

use super::lock::{LockGuard, LockOptions};
use crate::error::Error;
use crate::sys::stderr;

/// The locks of a test, given back with its end, the last first.
#[must_use]
#[derive(Debug)]
pub struct Serial {
    guards: Vec<LockGuard>,
}

impl Drop for Serial {
    fn drop(&mut self) {
        while let Some(guard) = self.guards.pop() {
            drop(guard);
        }
    }
}

/// Takes the locks one after the other, as they stand: each a name and whether it is shared.
///
/// # Panics
/// When one cannot be had, as [`lock`](crate::lock).
#[track_caller]
pub fn hold(keys: &[(&str, bool)]) -> Serial {
    take(keys).unwrap_or_else(|error| panic!("{error}"))
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
    let mut serial = Serial { guards: Vec::new() };
    for (key, shared) in keys {
        let options = LockOptions::new();
        let options = if *shared { options.shared() } else { options };
        serial.guards.push(options.lock(key)?);
    }
    Ok(serial)
}
