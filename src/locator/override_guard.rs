//! The guard of an override.

use super::instance::Instance;
use super::lane::cache::InstanceInfo;
use super::lane::{Lane, all};
use super::resolve::record_built;
use super::service::{Lifetime, Service};
use crate::worker::Worker;
use crate::worker::current::PanicWitness;
use std::fmt;
use std::sync::Arc;

/// An override in force: until this guard is dropped, its worker gets the fake in place of the service.
///
/// Services built from the real one are set aside and built anew from the fake. When the override ends they return, and
/// the services built from the fake are dropped. The override of a leaked guard ends with its test.
///
/// Unlike [`Entered`](crate::worker::Entered) it may be sent to another thread, because it belongs to the worker and not
/// to the thread.
#[must_use = "the override ends when the guard is dropped"]
pub struct OverrideGuard {
    lane: Arc<Lane>,
    id: u64,
    service: Arc<Service>,
    _witness: PanicWitness,
}

impl OverrideGuard {
    #[track_caller]
    pub(super) fn new(service: &Arc<Service>, fake: Instance) -> Self {
        let worker = Worker::current();
        // A shared service is overridden for this worker only, in its own lane.
        let lane = all::of(service.lifetime.min(Lifetime::Worker), &worker);
        lane.prepare_for(worker.execution());
        let mut info = InstanceInfo::new(service, &fake, lane.epoch(), &worker);
        info.is_fake = true;
        record_built(&worker, &info);
        let id = lane.add_override(service.key.clone(), worker.execution(), fake, info);
        Self {
            lane,
            id,
            service: Arc::clone(service),
            _witness: PanicWitness,
        }
    }
}

impl Drop for OverrideGuard {
    fn drop(&mut self) {
        self.lane.remove_override(self.id);
    }
}

impl fmt::Debug for OverrideGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverrideGuard")
            .field("service", &self.service.label())
            .field("worker", &self.lane.name)
            .finish_non_exhaustive()
    }
}
