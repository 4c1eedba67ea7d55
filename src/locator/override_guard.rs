//! A fake in the place of a service, for one worker and one test.

use super::instance::Instance;
use super::lane::Lane;
use super::lane::all;
use super::lane::cache::About;
use super::registry::{Scope, Service};
use super::resolve;
use crate::worker::Worker;
use std::fmt;
use std::sync::Arc;

/// While this guard lives its worker is handed the fake; then the service is as it was before.
///
/// Services built from the real one are set aside meanwhile and built anew from the fake; they come back afterwards,
/// and what was built from the fake goes. A guard that is forgotten ends with its test.
///
/// It may be sent to another thread, unlike [`Entered`](crate::Entered): it belongs to the worker and not to the
/// thread that made it.
#[must_use = "the override ends when the guard is dropped"]
pub struct OverrideGuard {
    lane: Arc<Lane>,
    id: u64,
    service: Arc<Service>,
}

impl OverrideGuard {
    #[track_caller]
    pub(super) fn new(service: &Arc<Service>, fake: Instance) -> Self {
        let worker = Worker::current();
        // What is shared is overridden for this worker only, in its own lane.
        let lane = all::of(service.scope.min(Scope::Worker), &worker);
        lane.arrive(&worker);
        let mut about = About::new(service, &fake, lane.epoch(), &worker);
        about.is_fake = true;
        resolve::tell_built(&worker, &about);
        let (id, settled) = lane.add_layer(service.key.clone(), worker.life(), fake, about);
        resolve::let_go(&lane, settled);
        Self {
            lane,
            id,
            service: Arc::clone(service),
        }
    }
}

impl Drop for OverrideGuard {
    fn drop(&mut self) {
        let leaving = self.lane.remove_layer(self.id);
        resolve::let_go(&self.lane, leaving);
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
