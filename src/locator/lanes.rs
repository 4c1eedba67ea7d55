//! Every lane of this process: one for each worker, one for what is shared.

use super::lane::Lane;
use super::registry::Scope;
use super::resolve;
use crate::event::Event;
use crate::exit::{self, Cleanup};
use crate::journal;
use crate::sys::env;
use crate::worker::{self, Worker};
use dashmap::DashMap;
use once_cell::sync::Lazy;
use std::sync::Arc;

static LANES: Lazy<DashMap<String, Arc<Lane>>> = Lazy::new(|| {
    exit::register(clean);
    worker::at_test_end(end_test);
    DashMap::new()
});

/// The name of the lane of what all workers share; no worker's ID has a blank.
const SHARED: &str = "all workers";

/// Where a worker's services of that scope lie.
pub(crate) fn of(scope: Scope, worker: &Worker) -> Arc<Lane> {
    let is_shared = scope == Scope::Shared || (scope == Scope::Worker && !is_isolated());
    let name = if is_shared { SHARED } else { worker.id() };
    if let Some(lane) = LANES.get(name) {
        return Arc::clone(&lane);
    }
    Arc::clone(
        &LANES
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(Lane::new(name.to_owned(), !is_shared))),
    )
}

/// The switch for comparison: with `COFFERDAM_ISOLATION=off` all workers share one cache.
fn is_isolated() -> bool {
    static ISOLATED: Lazy<bool> =
        Lazy::new(|| env::var("COFFERDAM_ISOLATION").is_none_or(|value| value != "off"));
    *ISOLATED
}

/// All of them, in no order.
pub(crate) fn all() -> Vec<Arc<Lane>> {
    LANES.iter().map(|lane| Arc::clone(&lane)).collect()
}

/// A test is over: what lives for it alone goes, its overrides end.
fn end_test(worker: &Worker) {
    // Not `of`: a test that asked for nothing needs no lane.
    let Some(lane) = LANES.get(worker.id()).map(|lane| Arc::clone(&lane)) else {
        return;
    };
    let leaving = {
        let mut state = lane.lock();
        let leaving = state.end_test(|life| life == worker.life());
        if !leaving.is_empty() {
            lane.next_epoch(&mut state);
        }
        leaving
    };
    resolve::let_go(&lane, leaving);
}

/// Everything that is left, for the end of the process.
fn clean() -> Vec<Cleanup> {
    let mut cleanups = Vec::new();
    for lane in all() {
        tell_counters(&lane);
        for leaving in lane.close() {
            let about = &leaving.entry.about;
            let what = format!("{} of {}", about.service.label(), lane.name);
            let (order, lane) = (about.order, Arc::clone(&lane));
            let run = Box::new(move || resolve::let_go(&lane, vec![leaving]));
            cleanups.push(Cleanup { order, what, run });
        }
    }
    cleanups
}

fn tell_counters(lane: &Lane) {
    if !journal::is_on() {
        return;
    }
    for view in lane.views(None) {
        // What is shared has no worker to tell it; any that used it would do, and the snapshot names it.
        if lane.name == SHARED {
            continue;
        }
        journal::write(&lane.name, || Event::Counters {
            locator: view.locator.clone(),
            hits: view.hits,
            misses: view.misses,
            builds: view.builds,
            evictions: view.evictions,
            capacity: view.capacity.map_or(0, |capacity| capacity as u64),
        });
    }
}
