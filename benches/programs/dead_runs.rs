//! The first test of a run that finds leftovers of earlier runs; prints the duration of its first access.

use std::time::Instant;

static NOTHING: cofferdam::Fixture<u32> = cofferdam::Fixture::per_run("nothing", |_| Ok(1));

#[test]
fn first() {
    let begun = Instant::now();
    cofferdam::Worker::current().dir().unwrap();
    let micros = begun.elapsed().as_micros();
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/first"), micros.to_string()).unwrap();
    // This starts the keeper.
    NOTHING.get();
}
