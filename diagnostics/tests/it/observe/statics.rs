//! Statics that tests share: breakpoints under every condition, and which statics are reported.

use super::package::Package;
use super::{CARGO, HOSTILE, MASKS, STACKS};
use crate::recording::Told;
use std::fs;

const BREAKPOINTS: &str = include_str!("suites/breakpoints.rs");
const TIMED: &str = include_str!("suites/timed.rs");
const SENT_TRAPS: &str = include_str!("suites/sent_traps.rs");

/// Runs the suite with its variables described, observed with these options.
fn observe(package: &Package, options: &[&str], command: &[&str]) -> Told {
    let mut command = package.command(options, command);
    for profile in ["DEV", "TEST"] {
        command.env(format!("CARGO_PROFILE_{profile}_DEBUG"), "2");
    }
    command.output().unwrap().into()
}

fn assert_passed(told: &Told, results: &str) {
    assert!(told.out.contains(results), "{}{}", told.out, told.err);
    assert!(!told.out.contains("\nlost: "), "{}{}", told.out, told.err);
}

#[test]
fn statics_are_used_under_every_condition_of_signals_and_stacks() {
    let package = Package::new("breakpoints", BREAKPOINTS);
    assert_passed(&observe(&package, &["--memory", "off"], &CARGO), "20 passed; 0 failed");
    let accesses = package.path().join("accesses");
    let options = ["--memory", "require", "--accesses", accesses.to_str().unwrap()];
    assert_passed(&observe(&package, &options, &CARGO), "20 passed; 0 failed");
    let seen = fs::read_to_string(accesses).unwrap();
    for used in [
        "RAW", "MASKED", "POLLED", "SUSPENDED", "IN_SYS", "IN_TRAP", "STEPPED", "PROFILED", "LAST", "SMALL", "IGNORED",
        "ON_STACK", "IN_CONTEXT", "PAUSED", "EARLY", "LATE", "STARTED",
    ] {
        let name = format!("\"breakpoints::{used}\"");
        assert!(seen.lines().any(|line| line.contains(&name)), "{used} in {seen}");
    }
    // What copies of the process do, and processes that share its memory, is no test's access.
    for used in ["BY_VFORK", "COPIED", "TRACED", "EXECUTED"] {
        let is_written = |line: &str| line.contains(&format!("::{used}\"")) && line.contains("\"write\"");
        assert!(!seen.lines().any(is_written), "{used}");
    }
}

#[test]
fn a_signal_blocked_or_ignored_before_the_program_begins_stops_nothing() {
    for option in ["--block-signal=TRAP", "--ignore-signal=TRAP"] {
        let source = format!("{BREAKPOINTS}\n#[test]\nfn is_inherited() {{ {} }}\n", if option.starts_with("--block") {
            "assert_eq!(mask() & TRAP_BIT, TRAP_BIT)"
        } else {
            ""
        });
        let package = Package::new("inheriting", &source);
        let runner = format!("[target.'cfg(unix)']\nrunner = ['env', '{option}']\n");
        package.write(".cargo/config.toml", &runner);
        let command = [&CARGO[..], &["--", "--skip", "ends_it", "--skip", "ignored", "--skip", "observer_s", "--skip", "inherits", "--skip", "steps"]].concat();
        let told = observe(&package, &["--memory", "require"], &command);
        assert_passed(&told, "16 passed; 0 failed");
    }
}

#[test]
fn where_the_signal_has_to_be_blocked_statics_are_not_observed_any_more() {
    for (name, source, results) in [
        ("sent_traps", SENT_TRAPS, "3 passed; 0 failed"),
        ("timed", TIMED, "1 passed; 0 failed"),
    ] {
        let package = Package::new(name, source);
        let told = observe(&package, &[], &CARGO);
        assert_passed(&told, results);
        assert!(told.out.contains("from the moment on when"), "{}{}", told.out, told.err);
    }
}

#[test]
fn suites_that_need_their_signals_pass_while_statics_are_observed() {
    let of_trap = MASKS
        .replace("const SYS: c_int = 31;", "const SYS: c_int = 5;")
        .replace("const SYS_BIT: u64 = 1 << 30;", "const SYS_BIT: u64 = 1 << 4;");
    assert_ne!(of_trap, MASKS);
    let package = Package::new("cramped", STACKS);
    package.write("tests/hostile.rs", HOSTILE);
    package.write("tests/masks.rs", MASKS);
    package.write("tests/masks_of_trap.rs", &of_trap);
    let told = observe(&package, &[], &[&CARGO[..], &["--no-fail-fast"]].concat());
    for passed in ["7 passed; 0 failed", "14 passed; 0 failed"] {
        assert!(told.out.contains(passed), "{}{}", told.out, told.err);
    }
    assert_eq!(told.out.matches("11 passed; 0 failed").count(), 2, "{}{}", told.out, told.err);
}
