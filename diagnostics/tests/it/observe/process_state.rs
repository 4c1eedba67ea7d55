//! State that a process has once for all its threads: tests of one process conflict on it, tests of several do not.

use super::package::Package;
use super::{CARGO, NEXTEST, agree};

const SIGNALS: &str = include_str!("suites/signals.rs");

/// Checks the conflicts between the tests of one process, and that there are none between processes.
fn check(package: &Package, wanted: &[&str]) {
    for options in [&[][..], &["--no-backtrace"]] {
        agree(&package.met(&CARGO, options), wanted);
    }
    if crate::suites::has_nextest() {
        agree(&package.met(&NEXTEST, &[]), &[]);
    }
}

#[test]
fn a_test_that_changes_a_signal_s_disposition_conflicts_with_those_that_depend_on_it() {
    let package = Package::new("signals", SIGNALS);
    check(&package, &["signal SIGRTMIN+1: 2 × 0", "signal SIGWINCH: 2 × 5"]);
}
