//! Tests that fail or pass because of what ran before them, which no lock changes.

use crate::findings::{Observation, ReproducedClass, Reproduction};
use crate::fix::proposal;
use crate::fix::test_sources::Sources;
use crate::scene::TestId;

/// A test that depends on the order, with the lines of the tests that can end that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderDependence {
    pub(crate) failure: Reproduction,
    /// The test to change, with its line if that is known: of a brittle test itself, else each culprit.
    pub(crate) to_change: Vec<(TestId, Option<String>)>,
}

/// Returns the tests that depend on the order.
pub(super) fn of(observation: &Observation, sources: &Sources) -> Vec<OrderDependence> {
    let failures = observation.reproductions.iter();
    failures
        .filter(|failure| failure.class != ReproducedClass::Race)
        .map(|failure| {
            let tests = match failure.class {
                ReproducedClass::Brittle => std::slice::from_ref(&failure.test),
                _ => &failure.culprits,
            };
            let with_line = |test: &TestId| (test.clone(), line(test, observation, sources));
            OrderDependence {
                to_change: tests.iter().map(with_line).collect(),
                failure: failure.clone(),
            }
        })
        .collect()
}

/// Removes the conflicts that are known from the order alone: a lock between their tests would end nothing.
pub(super) fn without(observation: &Observation) -> Observation {
    let mut rest = observation.clone();
    rest.conflicts.retain(|conflict| {
        let Some(resource) = &conflict.resource else {
            return true;
        };
        let mut failures = observation.reproductions.iter();
        let is_known = failures.clone().any(|failure| failure.may_come_from(resource));
        !proposal::is_fixable(conflict) || !is_known || failures.any(|failure| failure.is_race_on(resource))
    });
    rest
}

/// Returns the line where a test begins.
fn line(test: &TestId, observation: &Observation, sources: &Sources) -> Option<String> {
    let is_it = |name: &&String| test.name == **name;
    let mut programs = observation.ran.iter();
    let program = programs
        .find(|one| test.is_named(&one.binary, &test.name) && one.tests.iter().any(|name| is_it(&name)))?;
    let positions = sources.find(&program.package, &program.binary, &test.name).ok()?;
    let function = positions.first()?.function;
    let file = function
        .file
        .strip_prefix(&observation.dir)
        .unwrap_or(&function.file);
    Some(format!("{}:{}", file.display(), function.line))
}
