//! `locks`: lists held locks, their owners, and locks left by killed processes.

use cofferdam::diagnostics::{Lock, LockState};
use std::error::Error;
use std::path::PathBuf;

/// The locks that were found.
#[derive(Debug)]
pub(crate) struct Locks {
    /// The directory that was searched, besides that of the machine's locks.
    pub(crate) place: PathBuf,
    pub(crate) all: Vec<Lock>,
}

impl Locks {
    pub(crate) fn in_state(&self, states: &[LockState]) -> impl Iterator<Item = &Lock> {
        self.all.iter().filter(move |lock| states.contains(&lock.state))
    }
}

pub(crate) fn locks() -> Result<Locks, Box<dyn Error>> {
    let base = cofferdam::base_dir(Some(&super::here::working_dir()))?;
    Ok(Locks {
        all: cofferdam::diagnostics::locks(&base)?,
        place: base.join("locks"),
    })
}
