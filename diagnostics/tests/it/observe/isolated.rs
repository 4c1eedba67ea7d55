//! Tests in processes of their own, which share nothing of a process.

use super::package::Package;
use super::{CARGO, NEXTEST, agree};

const SUITE: &str = r#"
use std::sync::atomic::{AtomicU32, Ordering};
unsafe extern "C" {
    fn umask(mask: u32) -> u32;
}
fn works(mode: &str) {
    static TESTS: AtomicU32 = AtomicU32::new(0);
    TESTS.fetch_add(1, Ordering::SeqCst);
    unsafe { std::env::set_var("ISOLATED_MODE", mode) };
    unsafe { umask(umask(0o77)) };
    std::env::set_current_dir(if mode == "a" { std::env::temp_dir() } else { "/".into() }).unwrap();
    assert!(std::env::var("ISOLATED_MODE").is_ok());
}
#[test]
ATTRIBUTE
fn a() { works("a") }
#[test]
ATTRIBUTE
fn b() { works("b") }
#[test]
#[cofferdam::isolated(env(HOME = tmp, ISOLATED_MODE = "c"), dir = tmp, umask = 0o77)]
fn c() { std::fs::write("file", std::env::var("HOME").unwrap()).unwrap() }
#[test]
#[cofferdam::isolated(env(HOME = tmp, ISOLATED_MODE = "d"), dir = tmp, umask = 0o7)]
fn d() { std::fs::write("file", std::env::var("HOME").unwrap()).unwrap() }
"#;

#[test]
fn tests_fixed_by_the_attribute_have_no_conflict() {
    let shared = Package::with_library("shared", &SUITE.replace("ATTRIBUTE", ""));
    agree(
        &shared.met(&CARGO, &[]),
        &["cwd : 2 × 0", "env ISOLATED_MODE: 2 × 0", "umask : 2 × "],
    );
    let isolated = Package::with_library("isolated", &SUITE.replace("ATTRIBUTE", "#[cofferdam::isolated]"));
    agree(&isolated.met(&CARGO, &[]), &[]);
    agree(&isolated.met(&CARGO, &["--confirm"]), &[]);
    if crate::suites::has_nextest() {
        agree(&isolated.met(&NEXTEST, &[]), &[]);
    }
}
