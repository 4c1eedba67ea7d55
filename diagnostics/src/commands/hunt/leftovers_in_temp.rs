//! Tests that fail always, because an earlier run left something in the temporary directory.

use crate::hunt::{Class, HuntReport, Scenes};
use crate::scene::{Arrangement, Outcome, Scene, TestId};
use std::env;

/// The number of runs with an empty temporary directory that must pass.
const RUNS: u32 = 2;
/// No more tests are tried: the rest most likely fails for another reason.
const TESTS: usize = 20;

/// Runs each test that always failed with an empty temporary directory. One that passes then is a leftover.
pub(super) fn enter(report: &mut HuntReport, scenes: &mut dyn Scenes) {
    let failing = report
        .verdicts
        .iter_mut()
        .filter(|verdict| verdict.class == Class::Failing);
    for verdict in failing.take(TESTS) {
        let scene = Scene {
            tests: vec![verdict.test.clone()],
            arrangement: Arrangement::Alone,
            load: 0,
            twice: false,
            empty_temp: true,
        };
        let passes = (0..RUNS).all(|_| {
            let result = scenes.run(&scene);
            result.is_some_and(|result| result.outcome(&verdict.test) == Outcome::Passed)
        });
        if passes {
            verdict.class = Class::Leftover;
            verdict.reruns += RUNS;
        }
    }
}

/// Returns the paths below the temporary directory that the test changed, from the observer's list of accesses.
pub(super) fn changed_paths(test: &TestId, accesses: &str) -> Vec<String> {
    // The tests had the same one.
    let temp = env::temp_dir();
    let mut paths: Vec<String> = Vec::new();
    for line in accesses.lines() {
        let Ok(access) = serde_json::from_str::<serde_json::Value>(line) else {
            continue;
        };
        let is = |key: &str, value: &str| access[key] == value;
        let path = access["name"].as_str().unwrap_or_default();
        let is_own = is("test", &test.name) && is("access", "write");
        if is_own && std::path::Path::new(path).starts_with(&temp) && !paths.iter().any(|known| known == path)
        {
            paths.push(path.to_owned());
        }
    }
    paths
}
