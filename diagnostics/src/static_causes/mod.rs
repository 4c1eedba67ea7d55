//! Experiments that show the static through which tests make another one fail.
//!
//! For a failure after other tests, the cause is the static that, put back after these, changes the test's result (`put_back`).
//! For a race it is the static at one of whose uses by one test the other has to run for a failure (`paused_use`).

mod paused_use;
mod put_back;

pub(crate) use paused_use::{ProgramPair, UseOfStatic};
pub(crate) use put_back::Order;

use crate::rates::FailureRate;
use crate::scene::{Scene, SceneResult, StaticsPlan, Stopped, TestId};

/// Runs the scenes of experiments.
pub(crate) struct Experiments<'e> {
    run: &'e mut dyn FnMut(&Scene, &StaticsPlan) -> Result<SceneResult, Stopped>,
}

impl<'e> Experiments<'e> {
    pub(crate) fn new(run: &'e mut dyn FnMut(&Scene, &StaticsPlan) -> Result<SceneResult, Stopped>) -> Self {
        Self { run }
    }

    pub(crate) fn run(&mut self, scene: &Scene, plan: &StaticsPlan) -> Result<SceneResult, Stopped> {
        (self.run)(scene, plan)
    }

    /// Adds the results of a test in a scene until there are that many. A run without a result counts as an attempt.
    pub(crate) fn add_runs(
        &mut self,
        rate: &mut FailureRate,
        runs: u32,
        test: &TestId,
        (scene, plan): (&Scene, &StaticsPlan),
    ) -> Result<(), Stopped> {
        for _ in rate.runs..runs {
            if let Some(failed) = self.run(scene, plan)?.failed(test) {
                rate.add(failed);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{Outcome, StaticId};

    fn test(name: &str) -> TestId {
        TestId {
            binary: "shop".to_owned(),
            name: name.to_owned(),
        }
    }

    fn till() -> StaticId {
        StaticId {
            name: "shop::TILL".to_owned(),
            line: String::new(),
        }
    }

    fn pair() -> ProgramPair {
        ProgramPair {
            tests: [test("held"), test("late")],
            alone: [FailureRate { failed: 0, runs: 10 }; 2],
            lasted: std::time::Duration::ZERO,
        }
    }

    #[test]
    fn a_test_that_fails_in_a_pause_without_the_other_names_no_static() {
        for (fails_alone, is_found) in [(false, true), (true, false)] {
            let mut run = |scene: &Scene, plan: &StaticsPlan| {
                let fails = plan.pause.is_some() && (fails_alone || scene.tests.len() == 2);
                let outcome = if fails { Outcome::Failed } else { Outcome::Passed };
                let mut result = SceneResult::default();
                result.outcomes.insert(test("held"), outcome);
                result.statics.paused = true;
                Ok(result)
            };
            let found = pair().failing_use(&mut Experiments::new(&mut run), &[0, 1], &till(), 0, 1..4);
            assert_eq!(found.unwrap().is_some(), is_found);
        }
    }

    #[test]
    fn two_tests_that_wait_for_each_other_are_soon_left_alone() {
        let mut runs = 0;
        let mut run = |_: &Scene, _: &StaticsPlan| {
            runs += 1;
            let mut result = SceneResult::default();
            result.statics.paused = true;
            result.statics.has_overlapped = true;
            Ok(result)
        };
        let found = pair().failing_interleaving(&mut Experiments::new(&mut run), &till(), 0, [1..4, 1..4]);
        assert_eq!((found, runs), (Ok(None), 3));
    }
}
