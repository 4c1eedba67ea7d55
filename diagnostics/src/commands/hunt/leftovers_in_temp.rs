//! Tests that fail always, because an earlier run left something in the temporary directory.

use crate::hunt::{Class, HuntReport, Scenes};
use crate::rates::FailureRate;
use crate::scene::{Arrangement, Outcome, Scene};

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
