//! `#[isolated]` on each kind of test of this crate. `run/isolated_suites.rs` has tests that fail.

use cofferdam::{Worker, isolated, serial};
use std::fmt;

#[test]
#[isolated]
fn it_passes() {}

#[isolated]
#[test]
fn it_returns_a_result() -> Result<(), fmt::Error> {
    Ok(())
}

#[test]
#[should_panic(expected = "on purpose")]
#[isolated]
fn it_panics() {
    panic!("on purpose: {}", 1);
}
