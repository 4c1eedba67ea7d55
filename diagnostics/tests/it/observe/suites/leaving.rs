//! A program whose test fails because of leftovers of another program.

use std::fs;

const LEFT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/met/left");

#[test]
fn minds_what_it_finds() {
    let found = fs::read_to_string(LEFT).unwrap_or_default();
    fs::write(LEFT, "first").unwrap();
    assert_ne!(found, "second");
}

#[test]
fn minds_nothing() {
    let _ = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/met/unminded"));
}
