//! The scenes of a hunt: run within its budget, or taken from the record of the hunt that it continues.

use super::hunt_record::HuntRecord;
use crate::hunt::Scenes;
use crate::observe::SceneRunner;
use crate::scene::{Scene, SceneResult, StaticsPlan, TestId};
use cofferdam_conflicts::{Conflict, Test};
use std::collections::BTreeSet;

pub(super) struct BudgetedScenes<'a> {
    runner: SceneRunner<'a>,
    record: HuntRecord,
    conflicts: &'a [Conflict],
    /// The tests that did not end in some scene.
    hung: BTreeSet<TestId>,
}

impl<'a> BudgetedScenes<'a> {
    pub(super) fn new(runner: SceneRunner<'a>, record: HuntRecord, conflicts: &'a [Conflict]) -> Self {
        Self {
            runner,
            record,
            conflicts,
            hung: BTreeSet::new(),
        }
    }

    pub(super) fn into_hung(self) -> BTreeSet<TestId> {
        self.hung
    }

    /// Runs the scenes to come in another way.
    pub(super) fn set_runner(&mut self, runner: SceneRunner<'a>) {
        self.runner = runner;
    }
}

impl Scenes for BudgetedScenes<'_> {
    fn run(&mut self, scene: &Scene) -> Option<SceneResult> {
        let known = self.record.next(scene);
        let is_new = known.is_none();
        let result = known.or_else(|| self.runner.run(scene))?;
        if is_new {
            self.record.add(scene, &result);
        }
        self.hung.extend(result.hung().cloned());
        Some(result)
    }

    /// Not recorded: a hunt that is resumed runs these few scenes again.
    fn run_with_statics(&mut self, scene: &Scene, plan: &StaticsPlan) -> Option<SceneResult> {
        let result = self.runner.run_with_statics(scene, plan)?;
        self.hung.extend(result.hung().cloned());
        Some(result)
    }

    /// Returns the tests that are in a conflict with this one: those that change the most of what it uses first.
    fn suspects(&self, test: &TestId) -> Vec<TestId> {
        let mut suspects: Vec<(u32, TestId)> = Vec::new();
        for conflict in self.conflicts {
            if !conflict.tests.iter().any(|one| is(one, test)) {
                continue;
            }
            for other in conflict.tests.iter().filter(|other| !is(other, test)) {
                // A writer counts more than any number of readers.
                let weight = if other.writes() { 1000 } else { 1 };
                let id = TestId {
                    binary: other.binary.clone(),
                    name: other.name().to_owned(),
                };
                match suspects.iter_mut().find(|(_, known)| *known == id) {
                    Some((known, _)) => *known += weight,
                    None => suspects.push((weight, id)),
                }
            }
        }
        suspects.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        suspects.into_iter().map(|(_, test)| test).collect()
    }
}

/// Returns whether an observed test is this one.
pub(super) fn is(observed: &Test, test: &TestId) -> bool {
    test.is_named(&observed.binary, observed.name())
}
