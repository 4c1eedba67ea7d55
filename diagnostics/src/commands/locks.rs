//! `locks`: which locks are held, by whom, and who died while holding one.

use cofferdam::diagnostics::{Lock, LockState};
use std::error::Error;
use std::path::PathBuf;

/// What was found of locks.
#[derive(Debug)]
pub(crate) struct Locks {
    /// Where was looked, besides the folder of the whole machine's.
    pub(crate) place: PathBuf,
    pub(crate) all: Vec<Lock>,
}

impl Locks {
    pub(crate) fn in_state(&self, states: &[LockState]) -> impl Iterator<Item = &Lock> {
        self.all.iter().filter(move |lock| states.contains(&lock.state))
    }
}

pub(crate) fn locks() -> Result<Locks, Box<dyn Error>> {
    let base = cofferdam::diagnostics::base_dir(Some(&super::here::working_dir()))?;
    Ok(Locks {
        all: cofferdam::diagnostics::locks(&base)?,
        place: base.join("locks"),
    })
}
