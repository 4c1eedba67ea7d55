//! Tests of how long dropped instances are remembered.

use super::script::Lane;
use crate::conflict::Kind;
use crate::evidence::Evidence;
use cofferdam::format::Why;
use std::path::Path;

fn kinds(lane: &Lane) -> Vec<Kind> {
    let mut evidence = Evidence::new();
    evidence.take_in(Path::new("w0.ndjson"), lane.text.as_bytes());
    let kinds = evidence.conflicts().into_iter().map(|conflict| conflict.kind);
    kinds.filter(|kind| *kind != Kind::Rebuilt).collect()
}

#[test]
fn an_instance_dropped_by_its_test_is_not_held_by_the_next_one() {
    let mut w0 = Lane::new("r", "w0", 7);
    w0.test(1, 1, "a").built(2, 1, "Db", 1);
    w0.dropped(3, "Db", 1, Why::Cleared, 1).end(4, 1);
    w0.test(5, 2, "b").built_in(6, 2, "Db", 2, 1, false).end(7, 2);
    assert_eq!(kinds(&w0), []);

    let mut w0 = Lane::new("r", "w0", 7);
    w0.test(1, 1, "a").built(2, 1, "Db", 1);
    w0.dropped(3, "Db", 1, Why::Cleared, 1);
    w0.built_in(4, 1, "Db", 2, 1, false).end(5, 1);
    assert_eq!(kinds(&w0), [Kind::TwoEpochs]);
}

/// Four tests in one lane. Each has `Db` evicted, and `Big` dropped for the given reason.
fn evicting(why: Option<Why>) -> Lane {
    let mut w0 = Lane::new("r", "w0", 7);
    for execution in 1..5 {
        let at = execution * 10;
        w0.test(at, execution, &format!("t{execution}"))
            .built(at + 1, execution, "Db", execution)
            .built(at + 2, execution, "Big", execution + 50);
        w0.dropped(at + 3, "Db", execution, Why::Evicted, 0);
        if let Some(why) = why {
            w0.dropped(at + 4, "Big", execution + 50, why, 0);
        }
        w0.end(at + 5, execution);
    }
    w0
}

#[test]
fn an_eviction_by_another_locator_of_the_same_name_does_not_count_as_thrashing() {
    assert_eq!(kinds(&evicting(Some(Why::Locator))), []);
    assert_eq!(kinds(&evicting(Some(Why::Cleared))), []);
    // One cache that goes on is too small, also for tests one after the other.
    assert_eq!(kinds(&evicting(None)), [Kind::Thrashing]);
    assert_eq!(kinds(&evicting(Some(Why::Overridden))), [Kind::Thrashing]);
}
