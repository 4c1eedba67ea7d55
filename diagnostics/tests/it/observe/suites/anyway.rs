//! A test that fails regardless of the other one, which starts after the failure.

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
