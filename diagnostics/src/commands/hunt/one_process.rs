//! Tests that fail always because their runner gives each a process of its own: in one process they may pass after another test.

use super::HuntProgress;
use super::budgeted_scenes::BudgetedScenes;
use crate::hunt::{Class, HuntEvent, HuntOptions, HuntReport, Scenes, hunt};
use crate::observe::SceneRunner;
use crate::scene::{Arrangement, Outcome, Scene, SceneResult, StaticsPlan, TestId};
use std::cell::Cell;
use std::collections::BTreeSet;

/// Looks for a test that each failing test needs before it. `suite` has the tests of these programs in one process, and `runner`
/// runs them.
pub(super) fn enter<'a>(
    report: &mut HuntReport,
    suite: &[TestId],
    runner: SceneRunner<'a>,
    scenes: &mut BudgetedScenes<'a>,
    options: &HuntOptions,
    see: &mut dyn FnMut(HuntProgress<'_>),
) {
    let is_failing = |test: &&TestId| {
        let mut verdicts = report.verdicts.iter();
        verdicts.any(|verdict| verdict.class == Class::Failing && verdict.test == **test)
    };
    let failing: Vec<&TestId> = suite.iter().filter(is_failing).collect();
    if failing.is_empty() {
        return;
    }
    scenes.set_runner(runner);
    let programs: BTreeSet<&str> = failing.iter().map(|test| test.binary.as_str()).collect();
    let of_programs = suite
        .iter()
        .filter(|test| programs.contains(test.binary.as_str()));
    let mut tests: Vec<TestId> = of_programs.cloned().collect();
    see(HuntProgress::InOneProcess { tests: tests.len() });
    let mut passed = BTreeSet::new();
    for _ in 0..2 {
        let scene = Scene::of(tests.clone(), Arrangement::InOrder);
        let Some(result) = scenes.run(&scene) else {
            let what = "the tests that always fail, in one process";
            report.untried.push(what.to_owned());
            return;
        };
        let has_passed = |test: &&&TestId| result.void.is_none() && result.outcome(test) == Outcome::Passed;
        passed.extend(failing.iter().filter(has_passed).map(|test| (*test).clone()));
        tests.reverse();
    }
    if passed.is_empty() {
        return;
    }
    let options = HuntOptions {
        given: passed.into_iter().collect(),
        alone_for_all: false,
        ..options.clone()
    };
    let is_over = Cell::new(false);
    // Other tests that fail there pass as the command runs them.
    let mut see = |event: HuntEvent<'_>| {
        match event {
            HuntEvent::Examining { test, .. } if !options.given.contains(test) => is_over.set(true),
            HuntEvent::Examining { .. } | HuntEvent::Trying { .. } => see(HuntProgress::Engine(event)),
            // The regimes in one process are not those of the report.
            _ => {}
        }
    };
    let mut scenes = ScenesUntil {
        scenes,
        is_over: &is_over,
    };
    let found = hunt(suite, &SceneResult::default(), &options, &mut scenes, &mut see);
    for verdict in found.verdicts {
        let known = report
            .verdicts
            .iter_mut()
            .find(|known| known.test == verdict.test);
        if let Some(known) = known.filter(|known| known.class == Class::Failing)
            && verdict.class == Class::Brittle
        {
            *known = verdict;
        }
    }
}

/// Scenes until the wanted tests have been examined.
struct ScenesUntil<'s, 'a> {
    scenes: &'s mut BudgetedScenes<'a>,
    is_over: &'s Cell<bool>,
}

impl Scenes for ScenesUntil<'_, '_> {
    fn run(&mut self, scene: &Scene) -> Option<SceneResult> {
        if self.is_over.get() {
            return None;
        }
        self.scenes.run(scene)
    }

    fn run_with_statics(&mut self, scene: &Scene, plan: &StaticsPlan) -> Option<SceneResult> {
        if self.is_over.get() {
            return None;
        }
        self.scenes.run_with_statics(scene, plan)
    }

    fn suspects(&self, test: &TestId) -> Vec<TestId> {
        self.scenes.suspects(test)
    }
}
