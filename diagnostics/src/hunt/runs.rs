//! Starts scenes and keeps the results of the tests under examination. Tests are numbers here: their places in the suite.

use super::{HuntEvent, Scenes};
use crate::rates::FailureRate;
use crate::scene::{Arrangement, Outcome, Scene, SceneResult, Stopped, TestId};
use std::collections::{HashMap, HashSet};

/// A scene by numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    pub(super) tests: Vec<usize>,
    pub(super) arrangement: Arrangement,
    pub(super) load: u32,
    pub(super) twice: bool,
}

impl Setup {
    pub(super) fn new(tests: Vec<usize>, arrangement: Arrangement) -> Self {
        Self {
            tests,
            arrangement,
            load: 0,
            twice: false,
        }
    }

    pub(super) fn alone(test: usize) -> Self {
        Self::new(vec![test], Arrangement::Alone)
    }

    /// A test after others.
    pub(super) fn after(before: &[usize], test: usize) -> Self {
        Self::new([before, &[test]].concat(), Arrangement::InOrder)
    }

    /// A test beside others.
    pub(super) fn beside(others: &[usize], test: usize) -> Self {
        Self::new([others, &[test]].concat(), Arrangement::Parallel)
    }
}

/// The result of one test in a scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) failed: bool,
    pub(super) poisoned: bool,
    /// The other tests of the scene that have a result, and whether they failed.
    pub(super) others: HashMap<usize, bool>,
}

/// The result of a test after others.
pub(super) struct SeenAfter {
    pub(super) before: HashSet<usize>,
    pub(super) seen: Seen,
}

/// The results of a test under examination.
#[derive(Default)]
struct History {
    solo: Vec<bool>,
    after: Vec<SeenAfter>,
}

/// The number of attempts at a scene that gives no result.
const ATTEMPTS: usize = 2;

pub(super) struct Runs<'a> {
    suite: Vec<TestId>,
    numbers: HashMap<TestId, usize>,
    scenes: &'a mut dyn Scenes,
    see: &'a mut dyn FnMut(HuntEvent<'_>),
    histories: HashMap<usize, History>,
    started: u32,
    stopped: bool,
    rarity: u32,
}

impl<'a> Runs<'a> {
    pub(super) fn new(
        suite: Vec<TestId>,
        scenes: &'a mut dyn Scenes,
        see: &'a mut dyn FnMut(HuntEvent<'_>),
    ) -> Self {
        let numbers = suite.iter().cloned().enumerate();
        Self {
            numbers: numbers.map(|(number, test)| (test, number)).collect(),
            suite,
            scenes,
            see,
            histories: HashMap::new(),
            started: 0,
            stopped: false,
            rarity: 1,
        }
    }

    /// Sets the factor for all numbers of runs beside others.
    pub(super) fn set_rarity(&mut self, rarity: u32) {
        self.rarity = rarity.max(1);
    }

    pub(super) fn rarity(&self) -> u32 {
        self.rarity
    }

    /// The number of tests in the suite.
    pub(super) fn tests(&self) -> usize {
        self.suite.len()
    }

    /// The number of scenes that were run so far.
    pub(super) fn started(&self) -> u32 {
        self.started
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(super) fn index(&self, test: &TestId) -> Option<usize> {
        self.numbers.get(test).copied()
    }

    pub(super) fn id(&self, test: usize) -> &TestId {
        &self.suite[test]
    }

    pub(super) fn ids(&self, tests: &[usize]) -> Vec<TestId> {
        tests.iter().map(|test| self.suite[*test].clone()).collect()
    }

    /// Returns whether the tests are in one program.
    pub(super) fn is_same_program(&self, a: usize, b: usize) -> bool {
        self.suite[a].binary == self.suite[b].binary
    }

    pub(super) fn suspects(&self, test: usize) -> Vec<usize> {
        let suspects = self.scenes.suspects(&self.suite[test]);
        let numbers = suspects.iter().filter_map(|suspect| self.index(suspect));
        numbers.filter(|suspect| *suspect != test).collect()
    }

    pub(super) fn see(&mut self, event: HuntEvent<'_>) {
        (self.see)(event);
    }

    /// Reports that the examination of a test begins.
    pub(super) fn see_examining(&mut self, test: usize, left: usize) {
        let test = &self.suite[test];
        (self.see)(HuntEvent::Examining { test, left });
    }

    /// Reports that a scene is about to run for a test.
    pub(super) fn see_trying(&mut self, test: usize, scene: &Scene) {
        if !self.stopped {
            let test = &self.suite[test];
            (self.see)(HuntEvent::Trying { test, scene });
        }
    }

    pub(super) fn scene(&self, setup: &Setup) -> Scene {
        Scene {
            tests: self.ids(&setup.tests),
            arrangement: setup.arrangement,
            load: setup.load,
            twice: setup.twice,
            empty_temp: false,
        }
    }

    pub(super) fn run(&mut self, setup: &Setup) -> Result<SceneResult, Stopped> {
        let scene = self.scene(setup);
        self.start(&scene)
    }

    fn start(&mut self, scene: &Scene) -> Result<SceneResult, Stopped> {
        if self.stopped {
            return Err(Stopped);
        }
        let result = self.scenes.run(scene);
        self.stopped = result.is_none();
        self.started += u32::from(result.is_some());
        result.ok_or(Stopped)
    }

    /// Runs a scene for one of its tests; `None` if it has no result even when run again.
    pub(super) fn attempt(&mut self, test: usize, setup: &Setup) -> Result<Option<Seen>, Stopped> {
        let scene = self.scene(setup);
        for _ in 0..ATTEMPTS {
            self.see_trying(test, &scene);
            let result = self.start(&scene)?;
            if let Some(seen) = self.seen(test, &result) {
                return Ok(Some(seen));
            }
        }
        Ok(None)
    }

    /// Returns whether the test fails in one of at most this number of runs.
    pub(super) fn fails_within(&mut self, test: usize, setup: &Setup, most: u32) -> Result<bool, Stopped> {
        for _ in 0..most {
            if self.attempt(test, setup)?.is_some_and(|seen| seen.failed) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn seen(&self, test: usize, result: &SceneResult) -> Option<Seen> {
        if result.void.is_some() {
            return None;
        }
        let id = &self.suite[test];
        let failed = match result.outcomes.get(id)? {
            Outcome::Passed => false,
            Outcome::Failed => true,
            Outcome::Unknown => return None,
        };
        let others = result.outcomes.iter().filter_map(|(other, outcome)| {
            let other = self.index(other).filter(|other| *other != test)?;
            Some((
                other,
                (*outcome != Outcome::Unknown).then_some(*outcome == Outcome::Failed)?,
            ))
        });
        Some(Seen {
            failed,
            poisoned: result.is_poisoned(id),
            others: others.collect(),
        })
    }

    /// Runs a test after others, and keeps the result.
    pub(super) fn after(&mut self, before: &[usize], test: usize) -> Result<Option<Seen>, Stopped> {
        let seen = self.attempt(test, &Setup::after(before, test))?;
        if let Some(seen) = &seen {
            self.note_after(test, before, seen.clone());
        }
        Ok(seen)
    }

    /// Forgets the results of a test after others.
    pub(super) fn forget_after(&mut self, test: usize) {
        if let Some(history) = self.histories.get_mut(&test) {
            history.after.clear();
        }
    }

    pub(super) fn note_after(&mut self, test: usize, before: &[usize], seen: Seen) {
        self.histories.entry(test).or_default().after.push(SeenAfter {
            before: before.iter().copied().collect(),
            seen,
        });
    }

    /// Runs a test alone, and keeps the result.
    pub(super) fn solo(&mut self, test: usize) -> Result<Option<bool>, Stopped> {
        let failed = self.attempt(test, &Setup::alone(test))?.map(|seen| seen.failed);
        self.histories.entry(test).or_default().solo.extend(failed);
        Ok(failed)
    }

    /// Runs a test alone until it has this number of results, or a run gives none.
    pub(super) fn solo_until(&mut self, test: usize, runs: u32) -> Result<FailureRate, Stopped> {
        while self.solo_rate(test).runs < runs && self.solo(test)?.is_some() {}
        Ok(self.solo_rate(test))
    }

    /// Forgets the runs alone of a test before the first failure, if all later ones failed: what the first runs left behind may
    /// be the reason.
    pub(super) fn forget_passes_before_all_failed(&mut self, test: usize) {
        if let Some(history) = self.histories.get_mut(&test) {
            let first = history.solo.iter().position(|failed| *failed);
            let (_, later) = history.solo.split_at(first.unwrap_or(0));
            if later.iter().all(|failed| *failed) {
                history.solo = later.to_vec();
            }
        }
    }

    pub(super) fn solo_results(&self, test: usize) -> &[bool] {
        self.histories.get(&test).map_or(&[], |history| &history.solo)
    }

    pub(super) fn solo_rate(&self, test: usize) -> FailureRate {
        rate(self.solo_results(test).iter().copied())
    }

    /// The results of a test after others, in the order in which they were seen.
    pub(super) fn seen_after(&self, test: usize) -> &[SeenAfter] {
        self.histories.get(&test).map_or(&[], |history| &history.after)
    }
}

/// Counts failures.
pub(super) fn rate(results: impl Iterator<Item = bool>) -> FailureRate {
    let mut rate = FailureRate::default();
    for failed in results {
        rate.add(failed);
    }
    rate
}
