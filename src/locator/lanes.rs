//! Every lane of this process: one for each worker, one for what is shared.

use super::lane::Lane;
use super::registry::Scope;
use super::resolve;
use crate::event::Event;
use crate::exit::{self, Cleanup};
use crate::journal;
use crate::sys::{env, sync};
use crate::worker::{self, Worker};
use dashmap::DashMap;
use once_cell::sync::Lazy;
use std::sync::{Arc, Mutex, PoisonError};

static LANES: Lazy<DashMap<String, Arc<Lane>>> = Lazy::new(|| {
    exit::register(clean);
    worker::at_test_end(end_test);
    sync::map()
});

/// The name of the lane of what is declared as shared; no worker's ID has a blank.
const SHARED: &str = "all workers";
/// The name of the one lane of what each worker would have of its own, where isolation is off.
const MIXED: &str = "all workers, isolation off";

/// Returns whether a worker's name in recordings stands for all workers of a process.
pub fn is_of_all(name: &str) -> bool {
    name == SHARED || name == MIXED
}

/// Where a worker's services of that scope lie.
pub(crate) fn of(scope: Scope, worker: &Worker) -> Arc<Lane> {
    let name = match scope {
        Scope::Shared => SHARED,
        Scope::Worker if !is_isolated() => MIXED,
        Scope::Worker | Scope::Test => worker.id(),
    };
    if let Some(lane) = LANES.get(name) {
        return Arc::clone(&lane);
    }
    let passes = name == worker.id();
    let new = || Arc::new(Lane::new(name.to_owned(), passes));
    Arc::clone(&LANES.entry(name.to_owned()).or_insert_with(new))
}

/// The lane of that name, if it is in use.
pub(crate) fn named(name: &str) -> Option<Arc<Lane>> {
    LANES.get(name).map(|lane| Arc::clone(&lane))
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

/// All of them, those that several workers share before the others.
pub(crate) fn shared_first() -> Vec<Arc<Lane>> {
    let mut lanes = all();
    lanes.sort_by_key(|lane| !is_of_all(&lane.name));
    lanes
}

/// Ends a test: what lives for it alone goes, its overrides end, and what a panic spoiled goes.
fn end_test(worker: &Worker) {
    // Not `of`: a test that asked for nothing needs no lane.
    for lane in [worker.id(), MIXED].into_iter().filter_map(named) {
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
}

/// Everything that is left, for the end of the process.
fn clean() -> Vec<Cleanup> {
    let gone = Arc::new(Mutex::new(Vec::new()));
    let mut cleanups = Vec::new();
    for lane in all() {
        tell_counters(&lane);
        for leaving in lane.close() {
            let about = &leaving.entry.about;
            let what = format!("{} of {}", about.service.label(), lane.name);
            let (order, lane, gone) = (about.order, Arc::clone(&lane), Arc::clone(&gone));
            let run = Box::new(move || {
                let now = lane.let_go(vec![leaving]);
                gone.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((lane, now));
            });
            cleanups.push(Cleanup { order, what, run });
        }
    }
    let tell = Box::new(move || {
        for (lane, gone) in std::mem::take(&mut *gone.lock().unwrap_or_else(PoisonError::into_inner)) {
            lane.tell(gone);
        }
    });
    // Before the oldest of all stands nobody.
    cleanups.push(Cleanup {
        order: 0,
        what: "the last of the journal".to_owned(),
        run: tell,
    });
    cleanups
}

fn tell_counters(lane: &Lane) {
    if !journal::is_on() {
        return;
    }
    // What is shared has no worker to tell it; any that used it would do, and the snapshot names it.
    if is_of_all(&lane.name) {
        return;
    }
    for view in lane.views(None) {
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
