//! A test that fails whatever the other does, which comes when it has failed.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

const USED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/met/used");

#[test]
fn fails_anyway() {
    fs::write(USED, "a").unwrap();
    panic!("as it was told");
}

#[test]
fn comes_later() {
    sleep(Duration::from_millis(200));
    let _ = fs::read(USED);
}
