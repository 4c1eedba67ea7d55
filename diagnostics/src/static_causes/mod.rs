//! Experiments that show the static through which tests make another one fail.
//!
//! For a failure after other tests, the cause is the static that, put back after these, changes the test's result (`put_back`).
//! For a race it is the static at one of whose uses by one test the other has to run for a failure (`paused_use`).

mod paused_use;
mod put_back;

pub(crate) use paused_use::{Pair, UseOfStatic};
pub(crate) use put_back::Order;

use crate::rates::FailureRate;
use crate::scene::{Arrangement, Scene, SceneResult, StaticsPlan, Stopped, TestId};

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

    /// Runs one of two tests alone until there are that many results.
    pub(crate) fn add_alone(&mut self, pair: &mut Pair, test: usize, runs: u32) -> Result<(), Stopped> {
        let id = &pair.tests[test];
        let scene = Scene::of(vec![id.clone()], Arrangement::Alone);
        self.add_runs(&mut pair.alone[test], runs, id, (&scene, &StaticsPlan::default()))
    }
}
