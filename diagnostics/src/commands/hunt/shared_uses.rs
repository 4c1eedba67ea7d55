//! What a test shares with the tests that make it fail, as far as the observer saw it.

use super::budgeted_scenes::is;
use crate::hunt::{Class, Verdict};
use cofferdam::Resource;
use cofferdam_conflicts::{Conflict, Test};

/// A resource that a test and one of its culprits use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SharedUse {
    pub(crate) resource: Resource,
    /// The line where the culprit changes or uses it, if it is known.
    pub(crate) culprit_place: Option<String>,
    /// Whether the culprit changes it.
    pub(crate) culprit_writes: bool,
    /// The line where the test changes or uses it, if it is known.
    pub(crate) test_place: Option<String>,
    /// Whether the test changes it.
    pub(crate) test_writes: bool,
    /// What ends a conflict on it.
    pub(crate) help: String,
}

/// Returns what the test of a verdict shares with its culprits: what these change, or else what the test changes.
pub(super) fn shared_uses(verdict: &Verdict, conflicts: &[Conflict]) -> Vec<SharedUse> {
    let mut uses: Vec<SharedUse> = Vec::new();
    for conflict in conflicts {
        let Some(resource) = &conflict.resource else {
            continue;
        };
        let Some(own) = conflict.tests.iter().find(|one| is(one, &verdict.test)) else {
            continue;
        };
        let culprits = verdict.culprits.iter();
        for culprit in culprits.filter_map(|id| conflict.tests.iter().find(|one| is(one, id))) {
            let is_cause = match verdict.class {
                Class::Race => culprit.writes() || own.writes(),
                _ => culprit.writes(),
            };
            if is_cause && !uses.iter().any(|known| known.resource == *resource) {
                uses.push(SharedUse {
                    resource: resource.clone(),
                    culprit_place: place(culprit),
                    culprit_writes: culprit.writes(),
                    test_place: place(own),
                    test_writes: own.writes(),
                    help: conflict.help.clone(),
                });
            }
        }
    }
    uses
}

/// Returns the line of a test's first change, or else of its first use.
fn place(test: &Test) -> Option<String> {
    let uses = || test.uses.iter();
    let change = uses().find(|used| used.access == Some(cofferdam::Access::Write));
    let used = change.or_else(|| uses().next())?;
    used.place.clone().or_else(|| used.test_place.clone())
}
