//! What was counted, for whoever keeps measures over time.

use super::super::names::{Name, Names};
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
    pub(super) fn cache(&mut self, worker: Name, locator: Name, counted: [u64; 4]) {
        add(self.caches.entry((worker, locator)).or_default(), counted);
    }

    /// Builds, their microseconds, evictions and hits of a service.
    pub(super) fn service(&mut self, worker: Name, locator: Name, service: Name, counted: [u64; 4]) {
        add(
            self.services.entry((worker, locator, service)).or_default(),
            counted,
        );
    }

    pub(super) fn of_caches(&self, names: &Names) -> Vec<CacheCount> {
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

    pub(super) fn of_services(&self, names: &Names) -> Vec<ServiceCount> {
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

#[cfg(test)]
mod tests {
    use crate::diagnostics::Evidence;
    use std::path::Path;

    const JOURNAL: &str = r#"
{"at":1,"pid":10,"event":"process","version":1,"run":"r1","session":"s","runner":"cargo","binary":"shop","worker":"w0","started":1,"boot":"b"}
{"at":2,"pid":10,"event":"test","execution":1,"test":"a","attempt":1}
{"at":3,"pid":10,"event":"built","execution":1,"locator":"shop","service":"Db","instance":1,"epoch":0,"micros":300,"shared":false,"asked":[],"parts":[],"place":"x:1"}
{"at":4,"pid":10,"event":"dropped","locator":"shop","service":"Db","instance":1,"why":"evicted","holders":0,"hits":4}
{"at":5,"pid":10,"event":"built","execution":1,"locator":"shop","service":"Db","instance":2,"epoch":0,"micros":200,"shared":false,"asked":[],"parts":[],"place":"x:1"}
{"at":6,"pid":10,"event":"end","execution":1}
{"at":7,"pid":10,"event":"counters","locator":"shop","hits":5,"misses":2,"builds":2,"evictions":1,"capacity":50}
"#;

    #[test]
    fn counts_are_summed_up_over_the_processes_of_a_worker() {
        let mut evidence = Evidence::new();
        evidence.take_in(Path::new("one"), JOURNAL.as_bytes());
        let again = JOURNAL.replace("\"pid\":10", "\"pid\":11");
        evidence.take_in(Path::new("two"), again.as_bytes());
        let caches = evidence.cache_counts();
        let cache = &caches[0];
        assert_eq!(
            (caches.len(), cache.worker.as_str(), cache.locator.as_str()),
            (1, "w0", "shop")
        );
        assert_eq!(
            (cache.hits, cache.misses, cache.builds, cache.evictions),
            (10, 4, 4, 2)
        );
        let services = evidence.service_counts();
        let service = &services[0];
        assert_eq!((services.len(), service.service.as_str()), (1, "Db"));
        assert_eq!(
            (
                service.builds,
                service.build_micros,
                service.evictions,
                service.hits
            ),
            (4, 1_000, 2, 8)
        );
    }
}
