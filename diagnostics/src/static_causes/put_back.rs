//! The statics that, put back after other tests, change the result of a test.

use super::Experiments;
use crate::minimal_set::alternatives;
use crate::rates::FailureRate;
use crate::scene::{BY_SIGNAL, Scene, SceneResult, StaticId, StaticsPlan, Stopped};
use std::collections::{BTreeMap, BTreeSet};

/// The minimum and maximum number of runs with statics put back.
const CHANGED_RUNS: (u32, u32) = (2, 40);

/// An order in which the last test has another result than without the others.
pub(crate) struct Order<'o> {
    pub(crate) scene: Scene,
    /// Whether it fails in this order.
    pub(crate) fails: bool,
    /// Its failures in this order.
    pub(crate) rate: FailureRate,
    /// Returns whether it failed in a run; `None` if the run shows nothing.
    pub(crate) failed: &'o dyn Fn(&SceneResult) -> Option<bool>,
}

/// The sets of statics that change the result of an order.
pub(crate) struct CuringSets {
    /// By the positions of the candidates. Each set suffices; all of one set are needed.
    pub(crate) sets: Vec<Vec<usize>>,
    /// The failures with the first set put back.
    pub(crate) rate: FailureRate,
}

impl Order<'_> {
    /// Returns the minimal sets of candidates that, put back before the last test, change its result each time; `None` if there
    /// is none. A candidate is a static with those that have to be put back with it. All are tried if the first `likely`
    /// do not suffice.
    pub(crate) fn curing_sets(
        &self,
        experiments: &mut Experiments<'_>,
        candidates: &[BTreeSet<StaticId>],
        likely: usize,
    ) -> Result<Option<CuringSets>, Stopped> {
        let rate = self.rate;
        let usual = FailureRate {
            failed: if self.fails {
                rate.failed
            } else {
                rate.runs - rate.failed
            },
            ..rate
        };
        let Some(runs) = usual.runs_to_refute() else {
            return Ok(None);
        };
        let runs = runs.clamp(CHANGED_RUNS.0, CHANGED_RUNS.1);
        let mut rates = BTreeMap::new();
        let mut has_effect = |some: &[usize]| {
            let plan = StaticsPlan {
                put_back: some.iter().flat_map(|one| &candidates[*one]).cloned().collect(),
                ..StaticsPlan::default()
            };
            let mut rate = FailureRate::default();
            for _ in 0..runs {
                let result = experiments.run(&self.scene, &plan)?;
                match (self.failed)(&result).filter(|_| !self.has_crashed(&result)) {
                    Some(failed) if failed != self.fails => rate.add(failed),
                    _ => return Ok(false),
                }
            }
            rates.insert(some.to_vec(), rate);
            Ok(true)
        };
        let all: Vec<usize> = (0..candidates.len()).collect();
        let mut sets = alternatives(&all[..likely], &mut has_effect)?;
        if sets.is_empty() && likely < all.len() {
            sets = alternatives(&all, &mut has_effect)?;
        }
        let rate = sets.first().and_then(|set| rates.get(set)).copied();
        Ok(rate.map(|rate| CuringSets { sets, rate }))
    }

    /// Returns whether a signal ended the last test, as may happen if other state refers to a static that was put back.
    fn has_crashed(&self, result: &SceneResult) -> bool {
        let last = self.scene.tests.last();
        let failure = last.and_then(|test| result.failures.get(test));
        failure.is_some_and(|text| text.starts_with(BY_SIGNAL))
    }
}
