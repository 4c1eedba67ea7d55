//! The library's guards of variables and the working directory.

use super::CARGO;
use super::package::Package;
use crate::recording::CommandOutput;

const GUARDING: &str = include_str!("suites/guarding.rs");

#[test]
fn tests_with_guards_of_the_environment_do_not_conflict_and_one_without_does() {
    let package = Package::with_library("guarding", GUARDING);
    // One thread for each test, on any machine.
    let command = [&CARGO[..], &["--", "--test-threads=5"]].concat();
    for (variable, wanted) in [
        ("GUARDING", &[][..]),
        ("GUARDING_READS", &["env GUARDING_MODE: 2 × 1"]),
    ] {
        let mut observe = package.command(&["--format", "json"], &command);
        let output: CommandOutput = observe.env(variable, "1").output().unwrap().into();
        super::agree(&package.conflicts(&output), wanted);
    }
}
