//! How long it is remembered what a cache let go of.

use super::script::Lane;
use crate::diagnostics::{Evidence, Kind};
use crate::event::Why;
use std::path::Path;

fn told(lane: &Lane) -> Vec<Kind> {
    let mut evidence = Evidence::new();
    evidence.take_in(Path::new("w0.ndjson"), lane.text.as_bytes());
    evidence.conflicts().iter().map(|told| told.kind).collect()
}

#[test]
fn what_a_test_held_beyond_a_clear_and_then_dropped_is_not_held_in_the_next_one() {
    let mut w0 = Lane::new("r", "w0", 7);
    w0.test(1, 1, "a").built(2, 1, "Db", 1);
    w0.dropped(3, "Db", 1, Why::Cleared, 1).end(4, 1);
    w0.test(5, 2, "b").built_in(6, 2, "Db", 2, 1, false).end(7, 2);
    assert_eq!(told(&w0), []);

    let mut w0 = Lane::new("r", "w0", 7);
    w0.test(1, 1, "a").built(2, 1, "Db", 1);
    w0.dropped(3, "Db", 1, Why::Cleared, 1);
    w0.built_in(4, 1, "Db", 2, 1, false).end(5, 1);
    assert_eq!(told(&w0), [Kind::TwoEpochs]);
}
