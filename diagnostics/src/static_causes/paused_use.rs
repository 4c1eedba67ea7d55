//! The uses of a static at which another test has to run for a failure.

use super::Experiments;
use crate::rates::{CHECKPOINTS, FailureRate, SOLO_RUNS, significance};
use crate::scene::{Arrangement, Scene, SceneResult, StaticId, StaticPause, StaticsPlan, Stopped, TestId};
use std::ops::Range;
use std::time::Duration;

/// The shortest and the longest pause in milliseconds. It ends with the test that runs in it, or when that one pauses itself; one
/// that waits for the paused test takes all of it and shows nothing. A longer one could itself make a test fail, by a timeout.
const PAUSE: (u32, u32) = (300, 2_500);

/// The number of interleavings in which a test waited for the other, after which no other is tried.
const MOST_WAITS: u32 = 3;

/// What the runs with a pause showed.
enum PauseOutcome {
    /// A test does not get that far.
    NoPause,
    /// A test waits for the other.
    Waits,
    Passed,
    Failed(UseOfStatic),
}

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
            late_skipped: None,
            most_millis: most.clamp(PAUSE.0, PAUSE.1),
        }
    }

    /// Returns whether a test failed, while no pause ended before its time: tests that overlap by chance may fail for any reason.
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
        for skipped in uses {
            match self.try_pause(experiments, victims, held, self.pause(at, held, skipped))? {
                PauseOutcome::NoPause => break,
                PauseOutcome::Failed(found) => return Ok(Some(found)),
                PauseOutcome::Waits | PauseOutcome::Passed => {}
            }
        }
        Ok(None)
    }

    /// Looks for an interleaving in which one of the tests fails: the test `held` pauses at a use of the static, the other runs up to
    /// one of its own uses and pauses there, and `held` goes on to its end before the other does. As many are tried, the failure has to
    /// be shown twice. Ends once the tests have waited for each other at [`MOST_WAITS`] of them.
    pub(crate) fn failing_interleaving(
        &mut self,
        experiments: &mut Experiments<'_>,
        at: &StaticId,
        held: usize,
        [uses, uses_of_other]: [Range<u32>; 2],
    ) -> Result<Option<UseOfStatic>, Stopped> {
        let mut waits = 0;
        for skipped in uses {
            for late_skipped in uses_of_other.clone() {
                let pause = StaticPause {
                    late_skipped: Some(late_skipped),
                    ..self.pause(at, held, skipped)
                };
                match self.try_pause(experiments, &[0, 1], held, pause)? {
                    PauseOutcome::NoPause => break,
                    // A use within a lock's guard, or a lock around both tests.
                    PauseOutcome::Waits => waits += 1,
                    PauseOutcome::Failed(found) => {
                        let again = self.try_pause(experiments, &[found.victim], held, found.pause)?;
                        if let PauseOutcome::Failed(found) = again {
                            return Ok(Some(found));
                        }
                    }
                    PauseOutcome::Passed => {}
                }
                if waits == MOST_WAITS {
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    /// Tries one use of the static by the test `held`.
    fn try_pause(
        &mut self,
        experiments: &mut Experiments<'_>,
        victims: &[usize],
        held: usize,
        pause: StaticPause,
    ) -> Result<PauseOutcome, Stopped> {
        let beside = Scene::of(self.tests.to_vec(), Arrangement::Parallel);
        let plan = StaticsPlan {
            pause: Some(pause.clone()),
            ..StaticsPlan::default()
        };
        let result = experiments.run(&beside, &plan)?;
        if !result.statics.paused {
            return Ok(PauseOutcome::NoPause);
        }
        if !victims.iter().any(|test| self.failed_in_pause(*test, &result)) {
            return Ok(if result.statics.has_overlapped {
                PauseOutcome::Waits
            } else {
                PauseOutcome::Passed
            });
        }
        let mut rates = [FailureRate::default(); 2];
        let mut alone_in_pause = [FailureRate::default(); 2];
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
            // With its own pause.
            let own_pause = match pause.late_skipped {
                _ if victim == held => Some(pause.clone()),
                Some(skipped) => Some(StaticPause {
                    held: pause.late.clone(),
                    late: pause.held.clone(),
                    skipped,
                    late_skipped: None,
                    ..pause.clone()
                }),
                None => None,
            };
            let alone = if own_pause.is_some() {
                let test = &self.tests[victim];
                let scene = Scene::of(vec![test.clone()], Arrangement::Parallel);
                let plan = StaticsPlan {
                    pause: own_pause,
                    ..StaticsPlan::default()
                };
                let rate = &mut alone_in_pause[victim];
                experiments.add_runs(rate, SOLO_RUNS, test, (&scene, &plan))?;
                *rate
            } else {
                self.add_alone(experiments, victim, SOLO_RUNS)?;
                self.alone[victim]
            };
            if significance(with, alone).is_some() {
                return Ok(PauseOutcome::Failed(UseOfStatic {
                    pause,
                    held,
                    victim,
                    with,
                    alone,
                }));
            }
        }
        Ok(PauseOutcome::Passed)
    }
}
