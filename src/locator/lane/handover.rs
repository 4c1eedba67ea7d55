//! The handover of a lane from one test to the next.

use super::retired::{self, Retired};
use crate::exit;
use crate::locator::instance::Instance;
use crate::locator::service::{Key, Service};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The work to do before a lane's next test gets its first service.
pub(crate) struct Handover {
    /// The services to reset, in the order in which they were built, with its numbers.
    pub(super) reset: Vec<(u64, Key)>,
    /// Instances left by work that outlived its test.
    pub(super) retired: Vec<Retired>,
}

/// Resets a service and returns the reason if that fails. Must be called without a lock.
pub(super) fn reset(service: &Service, instance: Instance) -> Option<String> {
    let reset = service.reset.as_ref()?;
    let run = || reset(&instance).err().map(|error| error.to_string());
    let failure = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(failure) => failure,
        Err(panic) => Some(exit::into_message(panic)),
    };
    // The cache may have lost the instance meanwhile, so this may be the last reference.
    let panicked = retired::drop_instance(instance);
    failure.or(panicked)
}
