//! The uses of a static at which another test has to run for a failure.

use super::Experiments;
use crate::rates::{CHECKPOINTS, FailureRate, SOLO_RUNS, significance};
use crate::scene::{Arrangement, Scene, SceneResult, StaticId, StaticPause, StaticsPlan, Stopped, TestId};
use std::ops::Range;
use std::time::Duration;

/// The shortest and the longest pause in milliseconds. It ends with the test that runs in it; one that waits for the paused
/// test takes all of it and shows nothing. A longer one could itself make a test fail, by a timeout.
const PAUSE: (u32, u32) = (300, 2_500);

/// Two tests of one program.
pub(crate) struct ProgramPair {
    pub(crate) tests: [TestId; 2],
    /// Their failures alone.
    pub(crate) alone: [FailureRate; 2],
    /// The time that both take one after the other.
    pub(crate) lasted: Duration,
}

/// A use of a static by one of two tests, at which the other runs and one of them fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UseOfStatic {
    /// The pause there.
    pub(crate) pause: StaticPause,
    /// The test that pauses.
    pub(crate) held: usize,
    /// The test that fails.
    pub(crate) victim: usize,
    pub(crate) with: FailureRate,
    pub(crate) alone: FailureRate,
}

impl ProgramPair {
    /// Returns the pause of a test at one of its uses of a static.
    fn pause(&self, at: &StaticId, held: usize, skipped: u32) -> StaticPause {
        let most = u32::try_from(2 * self.lasted.as_millis()).unwrap_or(PAUSE.1);
        StaticPause {
            at: at.clone(),
            held: self.tests[held].clone(),
            skipped,
            late: self.tests[1 - held].clone(),
            most_millis: most.clamp(PAUSE.0, PAUSE.1),
        }
    }

    /// Returns whether a test failed, while the other ran entirely within the pause. Tests that overlap afterwards may fail
    /// for any reason.
    fn failed_in_pause(&self, test: usize, result: &SceneResult) -> bool {
        let seen = &result.statics;
        seen.paused && !seen.has_overlapped && result.failed(&self.tests[test]) == Some(true)
    }

    /// Runs one of the tests alone until there are that many results.
    pub(crate) fn add_alone(
        &mut self,
        experiments: &mut Experiments<'_>,
        test: usize,
        runs: u32,
    ) -> Result<(), Stopped> {
        let id = &self.tests[test];
        let scene = Scene::of(vec![id.clone()], Arrangement::Alone);
        let unchanged = (&scene, &StaticsPlan::default());
        experiments.add_runs(&mut self.alone[test], runs, id, unchanged)
    }

    /// Looks for a use of the static by the test `held` such that one of the `victims` fails more often if the other test runs
    /// there than alone, with the same pause if it is the one that pauses. The run that found the use does not count.
    pub(crate) fn failing_use(
        &mut self,
        experiments: &mut Experiments<'_>,
        victims: &[usize],
        at: &StaticId,
        held: usize,
        uses: Range<u32>,
    ) -> Result<Option<UseOfStatic>, Stopped> {
        let beside = Scene::of(self.tests.to_vec(), Arrangement::Parallel);
        for skipped in uses {
            let pause = self.pause(at, held, skipped);
            let plan = StaticsPlan {
                pause: Some(pause.clone()),
                ..StaticsPlan::default()
            };
            let result = experiments.run(&beside, &plan)?;
            if !result.statics.paused {
                break;
            }
            if !victims.iter().any(|test| self.failed_in_pause(*test, &result)) {
                continue;
            }
            let mut rates = [FailureRate::default(); 2];
            let mut alone_in_pause = FailureRate::default();
            for look in CHECKPOINTS {
                while rates[0].runs < look {
                    let result = experiments.run(&beside, &plan)?;
                    for (test, rate) in rates.iter_mut().enumerate() {
                        rate.add(self.failed_in_pause(test, &result));
                    }
                }
                let victim = victims
                    .iter()
                    .copied()
                    .max_by_key(|test| rates[*test].failed)
                    .unwrap_or(held);
                let with = rates[victim];
                if with.failed == 0 {
                    break;
                }
                let alone = if victim == held {
                    let test = &self.tests[held];
                    let alone = Scene::of(vec![test.clone()], Arrangement::Parallel);
                    experiments.add_runs(&mut alone_in_pause, SOLO_RUNS, test, (&alone, &plan))?;
                    alone_in_pause
                } else {
                    self.add_alone(experiments, victim, SOLO_RUNS)?;
                    self.alone[victim]
                };
                if significance(with, alone).is_some() {
                    return Ok(Some(UseOfStatic {
                        pause,
                        held,
                        victim,
                        with,
                        alone,
                    }));
                }
            }
        }
        Ok(None)
    }
}
