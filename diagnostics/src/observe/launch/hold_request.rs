//! A request to pause at resources: a variable that the observer reads.

use crate::observe::format::Target;
use std::ffi::{OsStr, OsString};

/// The variable with the request.
const HOLD: &str = "COFFERDAM_HOLD";

/// A request to pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HoldRequest {
    text: OsString,
}

impl HoldRequest {
    /// Creates a request for pauses, each as the first and each later one in milliseconds: `held` for the test named as
    /// [`Target::Test`] and for processes that tests start, `usual` for the other tests.
    pub(crate) fn new(usual: (u64, u64), held: (u64, u64)) -> Self {
        Self {
            text: format!("{},{},{},{};", usual.0, usual.1, held.0, held.1).into(),
        }
    }

    /// Adds a target.
    pub(crate) fn add(&mut self, target: Target, name: &OsStr) {
        self.text.push(format!("{},{};", target as u8, name.len()));
        self.text.push(name);
    }

    /// Returns the variable to set for the program.
    pub(crate) fn variable(self) -> (&'static str, OsString) {
        (HOLD, self.text)
    }

    #[cfg(test)]
    pub(crate) fn text(self) -> OsString {
        self.text
    }
}
