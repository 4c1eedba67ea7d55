//! Locks in statics of the suite: what they guard, what they do not, and what is left open.

use super::CARGO;
use super::package::Package;
use super::statics::observe;

const STATIC_LOCKS: &str = include_str!("suites/static_locks.rs");

/// Returns `name: grade` of each conflict.
fn grades(package: &Package, options: &[&str], command: &[&str]) -> Vec<String> {
    let options = [&["--format", "json", "--memory", "require"], options].concat();
    let output = observe(package, &options, &[&CARGO[..], command].concat());
    let report = output.report();
    let conflicts = report["conflicts"].as_array().unwrap();
    let mut grades: Vec<String> = conflicts
        .iter()
        .map(|conflict| {
            let name = conflict["resource"]["name"].as_str().unwrap();
            let name = name.rsplit('/').next().unwrap_or_default();
            format!("{name}: {}", conflict["grade"].as_str().unwrap_or("known"))
        })
        .collect();
    grades.sort();
    assert!(!grades.is_empty(), "{}{}", output.out, output.err);
    grades
}

#[test]
fn a_lock_in_a_static_guards_what_its_thread_does_between_taking_and_releasing_it() {
    let package = Package::new("static_locks", STATIC_LOCKS);
    let wanted = [
        "FREE: known",
        "free_after_drop: known",
        "free_after_many: known",
        "free_at_once: known",
        "free_for_the_second: known",
        "free_in_a_loop: known",
        "free_under_another: known",
        "free_under_readers: known",
        "perhaps_after_many: potential",
        "perhaps_in_a_thread: potential",
        "perhaps_leaked: potential",
    ];
    for threads in ["8", "1"] {
        let skipped: &[&str] = if threads == "1" {
            &[]
        } else {
            &["--include-ignored"]
        };
        let threads = format!("--test-threads={threads}");
        let command = [&["--", threads.as_str()], skipped].concat();
        assert_eq!(grades(&package, &[], &command), wanted, "{threads}");
    }
}
