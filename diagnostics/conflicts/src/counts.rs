//! What was counted, for whoever keeps measures over time.

use crate::names::{Name, Names};
use std::collections::BTreeMap;

/// What one worker's cache of one locator counted, in all processes of all runs that were taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheCount {
    /// The worker's ID.
    pub worker: String,
    /// The locator's name; a static has its source place for one.
    pub locator: String,
    /// Calls answered with an instance that was there.
    pub hits: u64,
    /// Calls that found none.
    pub misses: u64,
    /// Factories that returned an instance.
    pub builds: u64,
    /// Instances let go of because the cache was full.
    pub evictions: u64,
}

/// What became of one service in one worker, in all processes of all runs that were taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceCount {
    /// The worker's ID.
    pub worker: String,
    /// The locator's name; a static has its source place for one.
    pub locator: String,
    /// The service, as it was registered.
    pub service: String,
    /// Instances that its factory made.
    pub builds: u64,
    /// What the factory took in all, without what it asked for, in microseconds.
    pub build_micros: u64,
    /// Instances let go of because the cache was full.
    pub evictions: u64,
    /// Calls answered with an instance that was there, of those instances that were let go of: all of them, in a process
    /// that came to its end.
    pub hits: u64,
}

/// Counters by worker, locator and, for services, service.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    caches: BTreeMap<(Name, Name), [u64; 4]>,
    services: BTreeMap<(Name, Name, Name), [u64; 4]>,
}

impl Counts {
    /// Hits, misses, builds and evictions of a worker's cache.
    pub(crate) fn cache(&mut self, worker: Name, locator: Name, counted: [u64; 4]) {
        add(self.caches.entry((worker, locator)).or_default(), counted);
    }

    /// Builds, their microseconds, evictions and hits of a service.
    pub(crate) fn service(&mut self, worker: Name, locator: Name, service: Name, counted: [u64; 4]) {
        add(
            self.services.entry((worker, locator, service)).or_default(),
            counted,
        );
    }

    pub(crate) fn of_caches(&self, names: &Names) -> Vec<CacheCount> {
        let text = |name: &Name| names.text(*name).to_owned();
        let counts = self.caches.iter().map(|((worker, locator), counted)| {
            let [hits, misses, builds, evictions] = *counted;
            CacheCount {
                worker: text(worker),
                locator: text(locator),
                hits,
                misses,
                builds,
                evictions,
            }
        });
        let mut counts: Vec<_> = counts.collect();
        counts.sort_by(|a, b| (&a.worker, &a.locator).cmp(&(&b.worker, &b.locator)));
        counts
    }

    pub(crate) fn of_services(&self, names: &Names) -> Vec<ServiceCount> {
        let text = |name: &Name| names.text(*name).to_owned();
        let counts = self.services.iter().map(|((worker, locator, service), counted)| {
            let [builds, build_micros, evictions, hits] = *counted;
            ServiceCount {
                worker: text(worker),
                locator: text(locator),
                service: text(service),
                builds,
                build_micros,
                evictions,
                hits,
            }
        });
        let mut counts: Vec<_> = counts.collect();
        counts.sort_by(|a, b| (&a.worker, &a.locator, &a.service).cmp(&(&b.worker, &b.locator, &b.service)));
        counts
    }
}

fn add<const N: usize>(sums: &mut [u64; N], counted: [u64; N]) {
    for (sum, number) in sums.iter_mut().zip(counted) {
        *sum = sum.saturating_add(number);
    }
}
