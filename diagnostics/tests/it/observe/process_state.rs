//! State that a process has once for all its threads: tests of one process conflict on it, tests of several do not.

use super::confirm::graded;
use super::package::Package;
use super::{CARGO, NEXTEST, agree};

const SIGNALS: &str = include_str!("suites/signals.rs");
const CLOSING: &str = include_str!("suites/closing.rs");
const EXECUTING: &str = include_str!("suites/executing.rs");
const WAITING: &str = include_str!("suites/waiting.rs");

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

#[test]
fn a_test_that_executes_what_it_writes_conflicts_with_those_that_start_processes() {
    let package = Package::new("executing", EXECUTING);
    check(&package, &["executable : 3 × 3"]);
}

#[test]
fn a_test_that_waits_for_any_child_conflicts_with_those_that_wait_for_their_own() {
    let package = Package::new("waiting", WAITING);
    check(&package, &["children : 4 × 4"]);
}

#[test]
fn a_test_that_closes_a_descriptor_twice_conflicts_with_those_that_open_files() {
    let package = Package::new("closing", CLOSING);
    check(&package, &["descriptors : 2 × 3"]);
}

/// The signal is ignored by default, and the program is run by a shell if its file is busy.
const PAIRS: &str = r##"
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::{fs, sync::RwLock};
unsafe extern "C" {
    fn raise(signal: i32) -> i32;
    fn signal(signal: i32, handler: usize) -> usize;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
}
static LOCK: RwLock<()> = RwLock::new(());
fn writes_and_runs(path: &str) {
    fs::write(path, "#!/bin/sh").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    let done = Command::new(path).status().or_else(|_| Command::new("sh").arg(path).status());
    assert!(done.unwrap().success());
}
#[test]
fn a_writes_and_runs() { WRITING; writes_and_runs("met/a") }
#[test]
fn b_runs() { READING; assert!(Command::new("true").status().unwrap().success()) }
#[test]
fn c_ignores_and_resets() { WRITING; assert_eq!(unsafe { signal(28, 1) + signal(28, 0) }, 1) }
#[test]
fn d_raises() { READING; assert_eq!(unsafe { raise(28) }, 0) }
/// The child of another kind is none of those that there are.
#[test]
fn e_waits_for_any() { WRITING; unsafe { waitpid(-1, std::ptr::null_mut(), 1 << 31 | 1); } }
"##;

#[test]
fn a_lock_around_the_state_of_a_process_guards_it() {
    for (writing, reading, grade) in [
        ("let _lock = LOCK.write()", "let _lock = LOCK.read()", "guarded"),
        ("", "", "unguarded"),
    ] {
        let source = PAIRS.replace("WRITING", writing).replace("READING", reading);
        let package = Package::new("pairs", &source);
        let (found, report) = graded(&package, &[], &[&CARGO[..], &["--", "--test-threads=1"]].concat());
        let wanted = ["children", "executable", "signal SIGWINCH"].map(|name| format!("{grade} {name}"));
        assert_eq!(found, wanted, "{report}");
    }
}

/// Each test sets the state of its process before it depends on it, to a value of its own with `OTHER` for the second.
const ALIKE: &str = r##"
use std::ffi::{c_char, c_int};
use std::{env, fs};
unsafe extern "C" {
    fn setlocale(category: c_int, name: *const c_char) -> *mut c_char;
    fn umask(mask: u32) -> u32;
}
fn set(directory: &str, mask: u32, category: c_int) {
    env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/").to_owned() + directory).unwrap();
    unsafe { umask(mask) };
    assert!(!unsafe { setlocale(category, c"C.UTF-8".as_ptr()) }.is_null());
}
fn depend(name: &str) {
    assert!(fs::exists(".").unwrap());
    fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/").to_owned() + name, "").unwrap();
    assert!(!unsafe { setlocale(0, std::ptr::null()) }.is_null());
}
#[test]
fn a_sets_and_depends() { set("src", 0o27, 0); depend("a") }
#[test]
fn b_sets_and_depends() { OTHER; depend("b") }
"##;

#[test]
fn tests_that_set_the_state_of_their_process_alike_before_they_depend_on_it_do_not_conflict() {
    let alike = r#"set("src", 0o27, 0)"#;
    let different = r#"set(".", 0o77, 1)"#;
    let both = ["cwd : 2 × 0", "locale : 2 × 0", "umask : 2 × 0"];
    let one = ["cwd : 1 × 1", "locale : 1 × 1", "umask : 1 × 1"];
    for (other, wanted) in [(alike, &[][..]), (different, &both[..]), ("", &one[..])] {
        check(&Package::new("alike", &ALIKE.replace("OTHER", other)), wanted);
    }
}

#[test]
fn a_program_that_is_executed_while_another_test_starts_a_process_is_busy() {
    if !crate::suites::is_native() {
        return;
    }
    let source = PAIRS.replace("WRITING; ", "").replace("READING; ", "");
    let source = source.replace(
        ".status().or_else(|_| Command::new(\"sh\").arg(path).status())",
        ".status()",
    );
    let (source, _) = source.split_once("#[test]\nfn c_").unwrap();
    let package = Package::new("forge", source);
    let (found, report) = graded(&package, &[], &[&CARGO[..], &["--", "--test-threads=1"]].concat());
    assert_eq!(found, ["reproduced executable"], "{report}");
}
