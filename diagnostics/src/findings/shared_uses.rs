//! What a test shares with the tests that make it fail, as far as the observer saw it.

#[cfg(has_observer)]
use crate::scene::TestId;
use cofferdam::Resource;
#[cfg(has_observer)]
use cofferdam_conflicts::{Conflict, Test};
use serde::{Deserialize, Serialize};

/// A resource that a test and one of its culprits use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SharedUse {
    #[serde(with = "super::resource_json")]
    pub(crate) resource: Resource,
    /// The line where the culprit changes or uses it, if it is known.
    pub(crate) culprit_place: Option<String>,
    /// Whether the culprit changes it.
    pub(crate) culprit_writes: bool,
    /// The line where the test changes or uses it, if it is known.
    pub(crate) test_place: Option<String>,
    /// Whether the test changes it.
    pub(crate) test_writes: bool,
    /// What ends a conflict on it. A file with the conflicts has it there.
    #[serde(skip)]
    pub(crate) help: String,
}

/// Returns what a test shares with its culprits: what these change, and of a race also what the test changes.
#[cfg(has_observer)]
pub(crate) fn shared_uses(
    test: &TestId,
    culprits: &[TestId],
    is_race: bool,
    conflicts: &[Conflict],
) -> Vec<SharedUse> {
    let is = |observed: &Test, test: &TestId| test.is_named(&observed.binary, observed.name());
    let mut uses: Vec<SharedUse> = Vec::new();
    for conflict in conflicts {
        let Some(resource) = &conflict.resource else {
            continue;
        };
        let Some(own) = conflict.tests.iter().find(|one| is(one, test)) else {
            continue;
        };
        let culprits = culprits.iter();
        for culprit in culprits.filter_map(|id| conflict.tests.iter().find(|one| is(one, id))) {
            let is_cause = culprit.writes() || is_race && own.writes();
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
#[cfg(has_observer)]
fn place(test: &Test) -> Option<String> {
    let uses = || test.uses.iter();
    let change = uses().find(|used| used.access == Some(cofferdam::Access::Write));
    let used = change.or_else(|| uses().next())?;
    used.place.clone().or_else(|| used.test_place.clone())
}
