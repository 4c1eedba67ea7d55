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
    for arguments in [
        &["--", "--test-threads=8", "--include-ignored"][..],
        &["--", "--test-threads=1"],
    ] {
        assert_eq!(grades(&package, &[], arguments), wanted, "{arguments:?}");
    }
    let arguments = ["--", "perhaps", "free_at_once", "held_by_a_helper"];
    let output = observe(&package, &[], &[&CARGO[..], &arguments[..2]].concat());
    for text in [
        "perhaps guarded: file ",
        "; it is not known whether they held a lock in a static; `--confirm` looks whether something keeps them apart\n",
        "\ncofferdam: could not tell: 3 resources perhaps guarded; no other conflict in what was watched: 6 tests",
    ] {
        assert!(
            output.out.contains(text),
            "{text} in {}{}",
            output.out,
            output.err
        );
    }
    assert_eq!(output.code, Some(3), "{}", output.out);
    let confirmed = grades(&package, &["--confirm"], &arguments);
    assert_eq!(
        confirmed,
        ["free_at_once: unguarded", "perhaps_leaked: unguarded"]
    );
}
