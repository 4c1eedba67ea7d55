//! Tests of a program that accepts no arguments, which read those of their process.

use std::{env, fs};

const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/met/shared");

/// Ends the process if there is an argument, as parsers of command lines do.
fn start() {
    if env::args().len() > 1 {
        std::process::exit(2);
    }
}

#[test]
fn a_starts() {
    start();
    fs::write(SHARED, "a").unwrap();
}

#[test]
fn b_starts() {
    start();
    fs::write(SHARED, "b").unwrap();
}
