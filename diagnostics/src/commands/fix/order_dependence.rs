//! Tests that fail or pass because of the tests before them, which no lock can prevent.

use crate::findings::{Observation, ReproducedClass, Reproduction};
use crate::fix::named_statics::{self, NamedStatic};
use crate::fix::own_statics::OwnStatics;
use crate::fix::proposal;
use crate::fix::test_sources::Sources;
use crate::scene::TestId;
use cofferdam_conflicts::{Conflict, Grade};

/// A test that depends on the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderDependence {
    pub(crate) failure: Reproduction,
    pub(crate) test: PlacedTest,
    /// The tests that create the state it needs, or leave behind the state it fails on.
    pub(crate) culprits: Vec<PlacedTest>,
    /// The values of the process that it and a culprit name, if nothing was observed.
    pub(crate) statics: Vec<NamedStatic>,
}

/// A test with the line where it begins, if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlacedTest {
    pub(crate) test: TestId,
    pub(crate) line: Option<String>,
}

/// Returns the tests that depend on the order, without those that a static of their `own` no longer lets depend on it.
pub(super) fn of(observation: &Observation, sources: &Sources, own: &OwnStatics) -> Vec<OrderDependence> {
    let failures = observation.reproductions.iter();
    let placed = |test: &TestId| PlacedTest {
        line: line(test, observation, sources),
        test: test.clone(),
    };
    failures
        .filter(|failure| failure.class != ReproducedClass::Race)
        .filter(|failure| {
            !failure
                .uses
                .iter()
                .any(|shared| own.get(&shared.resource).is_some())
        })
        .map(|failure| OrderDependence {
            test: placed(&failure.test),
            culprits: failure.culprits.iter().map(placed).collect(),
            statics: match failure.uses.is_empty() {
                true => named_statics::of_tests(sources, &failure.test, &failure.culprits),
                false => Vec::new(),
            },
            failure: failure.clone(),
        })
        .collect()
}

/// Returns the observation without conflicts that show only by the order of tests: a lock between the tests would end none of them.
pub(super) fn without(observation: &Observation, own: &OwnStatics) -> Observation {
    let mut rest = observation.clone();
    rest.conflicts.retain(|conflict| {
        let Some(resource) = &conflict.resource else {
            return true;
        };
        let failures = || observation.reproductions.iter();
        let is_order = failures().any(|failure| failure.may_come_from(resource))
            && !failures().any(|failure| failure.is_race_on(resource));
        !proposal::is_fixable(conflict, own) || own.has(conflict) || has_met(conflict) || !is_order
    });
    rest
}

/// Returns whether two of its tests were observed to use the resource at the same time.
fn has_met(conflict: &Conflict) -> bool {
    conflict.grade.is_some_and(|grade| grade >= Grade::Unguarded)
}

fn line(test: &TestId, observation: &Observation, sources: &Sources) -> Option<String> {
    let mut programs = observation.ran.iter();
    let program =
        programs.find(|one| test.is_named(&one.binary, &test.name) && one.tests.contains(&test.name))?;
    let positions = sources.find(&program.package, &program.binary, &test.name).ok()?;
    let function = positions.first()?.function;
    let file = function
        .file
        .strip_prefix(&observation.dir)
        .unwrap_or(&function.file);
    Some(format!("{}:{}", file.display(), function.line))
}
