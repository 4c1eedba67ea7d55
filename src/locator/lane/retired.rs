//! Instances that a lane gives up: dropped outside its lock, and tracked while anything still holds them.

use super::cache::InstanceInfo;
use crate::event::Why;
use crate::exit;
use crate::locator::instance::Instance;
use crate::locator::service::{Key, Service};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::Thread;

/// An instance that its cache has given up.
///
/// First the lane has yet to drop its reference; afterwards it is kept in the lane's list for as long as other
/// references exist.
pub(crate) struct Retired {
    pub(crate) key: Key,
    pub(crate) info: InstanceInfo,
    /// The lane's reference, until it is dropped.
    pub(crate) instance: Option<Instance>,
    pub(crate) why: Why,
    /// The number of times that its cache had been cleared by then.
    pub(crate) clears: u64,
    /// The number of its entry among the drops in progress.
    pub(crate) ticket: u64,
}

/// A drop in progress. Requests for the next instance of the key wait for its end.
pub(crate) struct Dropping {
    pub(crate) ticket: u64,
    pub(crate) key: Key,
    pub(crate) thread: Thread,
}

/// A dropped reference, reported once the remaining holders are known.
pub(crate) struct DropReport {
    pub(crate) service: Arc<Service>,
    pub(crate) worker: String,
    pub(crate) number: u64,
    pub(crate) why: Why,
    pub(crate) hits: u64,
}

/// Drops an instance and returns the message of a panic in its `Drop`. Must be called without a lock.
pub(crate) fn drop_instance(instance: Instance) -> Option<String> {
    catch_unwind(AssertUnwindSafe(|| drop(instance)))
        .err()
        .map(exit::into_message)
}

/// Returns the name of a thread for messages.
pub(crate) fn name_of(thread: &Thread) -> String {
    thread
        .name()
        .map_or_else(|| format!("{:?}", thread.id()), |name| format!("thread {name:?}"))
}
