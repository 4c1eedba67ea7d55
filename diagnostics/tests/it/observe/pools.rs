//! Threads that work for several tests.

use super::package::Package;
use super::{CARGO, NEXTEST, agree};

const POOLING: &str = include_str!("suites/pooling.rs");

#[test]
fn a_thread_of_a_pool_or_a_runtime_uses_files_for_the_test_that_it_works_for_under_both_runners() {
    let package = Package::with_library("pooling", POOLING);
    let manifest = std::fs::read_to_string(package.path().join("Cargo.toml")).unwrap();
    let manifest = manifest.replace("\"fixtures\", \"macros\"", "\"macros\", \"tokio\"");
    let tokio = "tokio = { version = \"1\", features = [\"rt-multi-thread\"] }\n";
    package.write("Cargo.toml", &format!("{manifest}{tokio}"));
    let wanted = ["blocking", "nested", "pool", "runtime"].map(|file| format!("file {file}: 2 × 0"));
    let wanted = wanted.each_ref().map(String::as_str);
    // In one worker, whose tests share a runtime.
    let in_turn = [&CARGO[..], &["--", "--test-threads=1"]].concat();
    agree(&package.met(&in_turn, &[]), &wanted);
    if crate::suites::has_nextest() {
        agree(&package.met(&NEXTEST, &[]), &wanted);
    }
}
