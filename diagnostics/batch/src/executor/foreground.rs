//! One command where we are: our streams, our process group, our signals.

use super::event::{Ending, Event};
use super::options::{MemoryLimits, Options, Place};
use crate::child::Ended;
use crate::executor::{self, policy::Policy};
use crate::jobs::spec;
use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::time::Duration;

/// Runs it to its end with these variables besides, and says what that was.
pub fn run(command: &[OsString], variables: Vec<(OsString, OsString)>) -> Result<Ended, Box<dyn Error>> {
    let options = Options {
        ceiling: NonZeroUsize::MIN,
        groups: BTreeMap::new(),
        interval: None,
        timeout: None,
        retries: 0,
        // Nobody stops it but a signal, and that reaches it as it reaches us.
        grace: Duration::ZERO,
        policy: Policy::default(),
        memory: MemoryLimits::default(),
        output: None,
        session: String::new(),
        variables,
        place: Place::Foreground,
        lock: None,
    };
    let job = spec::of_words(crate::executor::job::JobId(1), command.to_vec())?;
    let mut ending = None;
    executor::run(&options, &mut std::iter::once(job), &mut |event| {
        if let Event::Ended { ending: how, .. } = event {
            ending = Some(how.clone());
        }
    })?;
    match ending {
        Some(Ending::Passed) => Ok(Ended::Passed),
        Some(Ending::Failed { code, signal, .. }) => Ok(Ended::Failed { code, signal }),
        Some(Ending::NotStarted { error }) => Err(error.into()),
        _ => Ok(Ended::Failed {
            code: u8::MAX,
            signal: None,
        }),
    }
}
