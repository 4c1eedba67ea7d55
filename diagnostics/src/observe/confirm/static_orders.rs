//! Two serial runs of each program, in the order of its tests and in reverse. They show the tests whose result depends on the
//! order, and writes to statics that no breakpoint reports.

use super::StaticCandidates;
use crate::observe::scene_runner::SceneRunner;
use crate::observe::static_users::static_of;
use crate::observe::suite_programs::TestProgram;
use crate::scene::{Arrangement, Outcome, Scene, SceneResult, TestId};
use cofferdam::Access;
use cofferdam_conflicts::{Conflict, Test};
use std::collections::BTreeSet;

/// Runs the tests of each program with shared statics in both orders, as far as the runner's time allows, and adds suspects and
/// writes to the candidates.
pub(super) fn add(candidates: &mut StaticCandidates, runner: &SceneRunner<'_>) {
    for program in runner
        .suite()
        .programs
        .iter()
        .filter(|program| !program.has_own_processes())
    {
        let tests = tests_of(candidates, program);
        if tests.len() < 2 {
            continue;
        }
        let reversed: Vec<TestId> = tests.iter().rev().cloned().collect();
        let mut results = Vec::new();
        for tests in [tests, reversed] {
            // Once the time is over, there is no result.
            results.extend(runner.run_observed_in_order(&Scene::of(tests, Arrangement::InOrder)));
        }
        let suspects = failing(&results);
        candidates
            .suspects
            .extend(suspects.into_iter().filter_map(|test| {
                let is_it = |known: &&Test| test.is_named(&known.binary, known.name());
                let mut known = candidates.conflicts.iter().flat_map(|conflict| &conflict.tests);
                let known = known.find(is_it)?;
                Some((known.binary.clone(), known.name().to_owned()))
            }));
        for result in &results {
            add_changes(candidates, result);
        }
    }
}

/// Returns the tests of a program that use shared statics, in its order.
fn tests_of(candidates: &StaticCandidates, program: &TestProgram) -> Vec<TestId> {
    let ids = program.tests.iter().map(|name| TestId {
        binary: program.binary.clone(),
        name: name.clone(),
    });
    let uses_one = |id: &TestId| {
        let mut users = candidates.conflicts.iter().flat_map(|conflict| &conflict.tests);
        users.any(|test| id.is_named(&test.binary, test.name()))
    };
    ids.filter(uses_one).collect()
}

/// Returns the tests that failed in any of the orders.
fn failing(results: &[SceneResult]) -> BTreeSet<TestId> {
    let outcomes = results
        .iter()
        .filter(|result| result.void.is_none())
        .flat_map(|result| &result.outcomes);
    let failed = outcomes.filter(|(_, outcome)| **outcome == Outcome::Failed);
    failed.map(|(test, _)| test.clone()).collect()
}

/// Marks tests as writers of statics whose bytes they changed without a breakpoint at the write. Lazy statics and counters are
/// left out: the first use of one and each use of the other change the bytes.
fn add_changes(candidates: &mut StaticCandidates, result: &SceneResult) {
    let mut index = candidates.changed;
    while index < candidates.conflicts.len() {
        let conflict = &mut candidates.conflicts[index];
        let has_changed = !is_lazy_or_counted(conflict) && enter_changes(conflict, result);
        if has_changed {
            candidates.promote(index);
        }
        index += 1;
    }
}

fn is_lazy_or_counted(conflict: &Conflict) -> bool {
    let type_name = conflict
        .static_facts
        .as_ref()
        .map(|facts| facts.type_name.as_str());
    let is_lazy = ["Once", "Lazy"]
        .iter()
        .any(|word| type_name.is_some_and(|name| name.contains(word)));
    is_lazy || conflict.tests.iter().any(Test::writes)
}

/// Marks the tests that changed the static as writers. Returns whether there is one.
fn enter_changes(conflict: &mut Conflict, result: &SceneResult) -> bool {
    let name = static_of(conflict).unwrap_or_default().to_owned();
    let mut has_changed = false;
    for test in &mut conflict.tests {
        let uses = result
            .statics
            .uses
            .iter()
            .filter(|(id, _)| id.is_named(&test.binary, test.name()));
        let changes = uses
            .flat_map(|(_, uses)| uses)
            .any(|(id, one)| id.name == name && one.changed);
        if let Some(first) = test.uses.first_mut().filter(|_| changes) {
            first.access = Some(Access::Write);
            has_changed = true;
        }
    }
    has_changed
}
