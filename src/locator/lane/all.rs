//! All lanes of this process: one for each worker, and one for shared services.

use super::Lane;
use crate::event::Event;
use crate::exit::{self, Cleanup};
use crate::journal;
use crate::locator::service::Lifetime;
use crate::sys::{env, sorted, sync};
use crate::worker::{self, Worker};
use dashmap::DashMap;
use once_cell::sync::Lazy;
use std::sync::{Arc, Mutex, PoisonError};

static LANES: Lazy<DashMap<String, Arc<Lane>>> = Lazy::new(|| {
    exit::register(close_all);
    worker::at_test_end(worker::AtEnd::Services, end_test);
    #[cfg(feature = "tokio")]
    worker::runtime::of_services(worker::runtime::ServicesOfRuntime {
        exist: |worker, runtime| of_worker(worker).any(|lane| lane.has_services_of(runtime)),
        start_tasks: |worker, runtime, execution| {
            of_worker(worker).any(|lane| lane.starts_tasks(runtime, execution))
        },
        end: |worker, runtime| {
            of_worker(worker)
                .flat_map(|lane| lane.end_runtime(runtime))
                .collect()
        },
    });
    sync::map()
});

/// The lane of shared services. No worker's ID contains a space.
const SHARED: &str = "all workers";
/// The one lane of all workers' services while isolation is off.
const MIXED: &str = "all workers, isolation off";

/// Returns whether the lane of that name is shared by all workers of a process.
pub fn is_of_all(name: &str) -> bool {
    name == SHARED || name == MIXED
}

/// Returns the lane of a worker's services with that lifetime.
pub(crate) fn of(lifetime: Lifetime, worker: &Worker) -> Arc<Lane> {
    let name = match lifetime {
        Lifetime::Shared => SHARED,
        Lifetime::Worker if !is_isolated() => MIXED,
        Lifetime::Worker | Lifetime::Test => worker.id(),
    };
    if let Some(lane) = LANES.get(name) {
        return Arc::clone(&lane);
    }
    let is_worker_lane = name == worker.id();
    let new = || Arc::new(Lane::new(name.to_owned(), is_worker_lane));
    Arc::clone(&LANES.entry(name.to_owned()).or_insert_with(new))
}

/// Returns the lane of that name, if it is in use.
pub(crate) fn named(name: &str) -> Option<Arc<Lane>> {
    LANES.get(name).map(|lane| Arc::clone(&lane))
}

/// Returns whether each worker has a cache of its own; with `COFFERDAM_ISOLATION=off`, all workers share one.
fn is_isolated() -> bool {
    static ISOLATED: Lazy<bool> =
        Lazy::new(|| env::var("COFFERDAM_ISOLATION").is_none_or(|value| value != "off"));
    *ISOLATED
}

/// Returns all lanes, those that several workers share first.
pub(crate) fn shared_first() -> Vec<Arc<Lane>> {
    let mut lanes = Vec::new();
    let mut own = Vec::new();
    for lane in LANES.iter() {
        let list = if is_of_all(&lane.name) {
            &mut lanes
        } else {
            &mut own
        };
        list.push(Arc::clone(&lane));
    }
    lanes.append(&mut own);
    lanes
}

fn end_test(worker: &Worker) {
    for lane in of_worker(worker.id()) {
        lane.end_test(worker.execution(), worker.has_failed());
    }
}

/// Returns the lanes with a worker's services. Not by `of`: a test that requested no services needs no lane.
fn of_worker(id: &str) -> impl Iterator<Item = Arc<Lane>> {
    [id, MIXED].into_iter().filter_map(named)
}

/// Retires one locator's services in all lanes.
pub(crate) fn clear(locator: u64, for_good: bool) {
    let mut retired = Vec::new();
    // Shared services first, so that a service that is built from now on is built from the new ones.
    for lane in shared_first() {
        for one in lane.clear(locator, for_good) {
            sorted::insert(&mut retired, (Arc::clone(&lane), one), |(_, a), (_, b)| {
                a.info.order > b.info.order
            });
        }
    }
    let mut reports = Vec::new();
    for (lane, one) in retired {
        let report = lane.drop_retired(vec![one]);
        reports.push((lane, report));
    }
    for (lane, report) in reports {
        lane.report(report);
    }
}

/// Returns the cleanups for the end of the process.
fn close_all() -> Vec<Cleanup> {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let mut cleanups = Vec::new();
    for lane in shared_first() {
        record_counters(&lane);
        for retired in lane.close() {
            let info = &retired.info;
            let what = format!("{} of {}", info.service.label(), lane.name);
            let (order, lane, reports) = (info.order, Arc::clone(&lane), Arc::clone(&reports));
            let run = Box::new(move || {
                let report = lane.drop_retired(vec![retired]);
                let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
                reports.push((lane, report));
            });
            cleanups.push(Cleanup { order, what, run });
        }
    }
    let report_all = Box::new(move || {
        for (lane, report) in std::mem::take(&mut *reports.lock().unwrap_or_else(PoisonError::into_inner)) {
            lane.report(report);
        }
    });
    // After all others: cleanups run from high orders to low.
    cleanups.push(Cleanup {
        order: 0,
        what: "the last events of the journal".to_owned(),
        run: report_all,
    });
    cleanups
}

fn record_counters(lane: &Lane) {
    // A shared lane has no worker whose journal could hold the counters; the snapshot has them.
    if !journal::is_on() || is_of_all(&lane.name) {
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
