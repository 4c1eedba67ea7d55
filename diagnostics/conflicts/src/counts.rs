//! The counters of caches and services, for metrics.

use crate::interned_names::{Name, Names};
use std::collections::BTreeMap;

/// The counters of one worker's cache of one locator, over all processes and runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheCount {
    /// The worker's ID.
    pub worker: String,
    /// The locator's name; for a static, its source place.
    pub locator: String,
    /// Calls that found an instance.
    pub hits: u64,
    /// Calls that found no instance.
    pub misses: u64,
    /// Factories that returned an instance.
    pub builds: u64,
    /// Instances that were evicted because the cache was full.
    pub evictions: u64,
}

/// The counters of one service in one worker, over all processes and runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceCount {
    /// The worker's ID.
    pub worker: String,
    /// The locator's name; for a static, its source place.
    pub locator: String,
    /// The service, as it was registered.
    pub service: String,
    /// Instances that its factory made.
    pub builds: u64,
    /// The time that the factory took in all, without the services that it asked for, in microseconds.
    pub build_micros: u64,
    /// Instances that were evicted because the cache was full.
    pub evictions: u64,
    /// Calls that found an instance, counted for instances that were dropped: all of them, in a process that ended by
    /// itself.
    pub hits: u64,
}

/// Counters by worker, locator and, for services, service.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    caches: BTreeMap<(Name, Name), [u64; 4]>,
    services: BTreeMap<(Name, Name, Name), [u64; 4]>,
}

impl Counts {
    /// Adds hits, misses, builds and evictions of a worker's cache.
    pub(crate) fn cache(&mut self, worker: Name, locator: Name, counted: [u64; 4]) {
        add(self.caches.entry((worker, locator)).or_default(), counted);
    }

    /// Adds builds, their microseconds, evictions and hits of a service.
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
