//! The counters of services, read back after the process has ended.

use crate::role::{play, plays, role};
use cofferdam::ServiceLocator;
use cofferdam_conflicts::Evidence;
use std::sync::{Arc, OnceLock};

const PATH: &str = "locator::counting::role_counts";

struct One;
struct Two;

#[test]
fn the_hits_of_each_service_include_those_of_evicted_instances() {
    let base = tempfile::tempdir().unwrap();
    let mut role = role(PATH, "counts");
    let role = role
        .env("COFFERDAM_DIR", base.path())
        .env("COFFERDAM_RECORD", "counts");
    play(role).end().passed();
    let mut evidence = Evidence::new();
    evidence.read(base.path());
    assert_eq!(evidence.problem_count(), 0, "{:?}", evidence.problems());
    let services: Vec<_> = evidence
        .service_counts()
        .into_iter()
        .map(|service| (service.service, service.builds, service.evictions, service.hits))
        .collect();
    let name = |what: &str| services.iter().position(|service| service.0.ends_with(what));
    assert_eq!(services.len(), 2, "{services:?}");
    let (one, two) = (&services[name("One").unwrap()], &services[name("Two").unwrap()]);
    assert_eq!((one.1, one.2, one.3), (2, 1, 3), "{one:?}");
    assert_eq!((two.1, two.2, two.3), (1, 1, 1), "{two:?}");
    let hits: u64 = evidence.cache_counts().iter().map(|cache| cache.hits).sum();
    assert_eq!(hits, one.3 + two.3);
}

#[test]
#[ignore = "a role"]
fn role_counts() {
    static LOCATOR: OnceLock<ServiceLocator> = OnceLock::new();
    if !plays(PATH) {
        return;
    }
    let locator = LOCATOR.get_or_init(|| {
        ServiceLocator::builder()
            .capacity(1)
            .register::<One>(|_| Ok(Arc::new(One)))
            .register::<Two>(|_| Ok(Arc::new(Two)))
            .build()
    });
    for _ in 0..3 {
        locator.get::<One>();
    }
    for _ in 0..2 {
        locator.get::<Two>();
    }
    for _ in 0..2 {
        locator.get::<One>();
    }
}
