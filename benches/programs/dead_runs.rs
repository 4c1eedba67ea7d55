//! The first test of a run that finds what earlier runs left, and says how long its first touch took.

use std::time::Instant;

static NOTHING: cofferdam::Fixture<u32> = cofferdam::Fixture::per_run("nothing", |_| Ok(1));

#[test]
fn first() {
    let begun = Instant::now();
    cofferdam::Worker::current().dir().unwrap();
    let micros = begun.elapsed().as_micros();
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/first"), micros.to_string()).unwrap();
    // So there is a keeper.
    NOTHING.get();
}
