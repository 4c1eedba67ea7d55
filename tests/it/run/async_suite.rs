//! A suite of async tests under real runners.

use crate::stranger::{Suite, text};
use std::collections::HashSet;

fn suite() -> Suite {
    let files = [
        ("src/lib.rs", ""),
        ("tests/suite.rs", include_str!("suite/async_tests.rs")),
    ];
    Suite::new("async-suite", &["macros", "tokio"], "", &files)
}

/// Runs the suite, and returns the workers that built a pool, once for each build.
fn builds(suite: &Suite, command: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let builds = dir.path().join("builds");
    let output = suite.cargo(command).env("BUILDS", &builds).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("200 passed"), "{}", text(&output));
    assert!(!text(&output).contains("cofferdam:"), "{}", text(&output));
    let lines = std::fs::read_to_string(builds).unwrap();
    lines.lines().map(str::to_owned).collect()
}

#[test]
fn two_hundred_async_tests_share_a_pool_by_worker_under_cargo_test() {
    let workers = builds(&suite(), "test --test suite -- --test-threads 2");
    let distinct: HashSet<_> = workers.iter().collect();
    assert!(
        workers.len() <= 2 && distinct.len() == workers.len(),
        "{workers:?}"
    );
}

#[test]
fn two_hundred_async_tests_pass_under_nextest() {
    let suite = suite();
    if suite.has_nextest() {
        let workers = builds(&suite, "nextest run --test suite --test-threads 2");
        assert_eq!(workers.len(), 200);
    }
}

#[test]
fn an_error_and_a_panic_fail_an_async_test() {
    let output = suite()
        .cargo("test --test suite -- --ignored --test-threads 2")
        .output()
        .unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(101), "{text}");
    assert!(
        text.contains("2 failed") && text.contains("Error: \"as it should\""),
        "{text}"
    );
    assert!(text.contains("panicked at tests/suite.rs"), "{text}");
}
