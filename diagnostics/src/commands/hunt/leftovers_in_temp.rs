//! Tests that fail always, because an earlier run left something in the temporary directory.

use crate::hunt::{Class, HuntReport, Scenes};
use crate::rates::FailureRate;
use crate::scene::{Arrangement, Outcome, Scene, TestId};
use std::env;
use std::path::Path;

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
            verdict.with.failed += verdict.without.failed;
            verdict.with.runs += verdict.without.runs;
            verdict.without = FailureRate {
                failed: 0,
                runs: RUNS,
            };
            verdict.reruns += RUNS;
        }
    }
}

/// Returns the paths below the temporary directory that the test changed, from the observer's list of accesses; if it failed
/// before it changed any, those that it looked at.
pub(super) fn used_paths(test: &TestId, accesses: &str) -> Vec<String> {
    // The tests had the same one.
    let temp = env::temp_dir();
    let (mut changed, mut others): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for line in accesses.lines() {
        let Ok(access) = serde_json::from_str::<serde_json::Value>(line) else {
            continue;
        };
        let is = |key: &str, value: &str| access[key] == value;
        let path = access["name"].as_str().unwrap_or_default();
        let is_below = Path::new(path).starts_with(&temp) && Path::new(path) != temp;
        let binary = access["binary"].as_str().unwrap_or_default();
        if !is("test", &test.name) || !test.binary.ends_with(binary) || !is_below {
            continue;
        }
        let paths = if is("access", "write") {
            &mut changed
        } else {
            &mut others
        };
        if !paths.iter().any(|known| known == path) {
            paths.push(path.to_owned());
        }
    }
    if changed.is_empty() { others } else { changed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_of_a_leftover_are_those_that_its_test_changed_or_else_looked_at() {
        let temp = env::temp_dir();
        let line = |test: &str, access: &str, name: &str| {
            let name = temp.join(name);
            let line = serde_json::json!({ "test": test, "binary": "shop", "access": access, "name": name });
            format!("{line}\n")
        };
        let id = TestId {
            binary: "desk::shop".to_owned(),
            name: "opens".to_owned(),
        };
        let path = |name: &str| temp.join(name).display().to_string();
        let looked =
            line("opens", "read", "db") + &line("opens", "read", "") + &line("other", "write", "else");
        assert_eq!(used_paths(&id, &looked), [path("db")]);
        let changed = looked + &line("opens", "write", "db/log");
        assert_eq!(used_paths(&id, &changed), [path("db/log")]);
    }
}
