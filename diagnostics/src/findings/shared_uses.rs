//! What a test shares with the tests that make it fail, as far as the observer saw it.

#[cfg(has_observer)]
use crate::scene::TestId;
use cofferdam::Resource;
#[cfg(has_observer)]
use cofferdam::{Access, format::ResourceKind};
#[cfg(has_observer)]
use cofferdam_conflicts::{Conflict, Test, Use};
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

/// Returns what a test shares with its culprits: what these change, and of a race also what the test changes. Where they run one
/// after the other, what the test sets before it uses it does not come from them.
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
            let is_cause = if is_race {
                culprit.writes() || own.writes()
            } else {
                culprit.writes() && !is_set_first(resource, own)
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

/// Returns whether the first use of the resource by the test replaces what was there.
#[cfg(has_observer)]
fn is_set_first(resource: &Resource, test: &Test) -> bool {
    let first = |is_wanted: &dyn Fn(Option<Access>) -> bool| {
        let uses = test.uses.iter().filter(|used| is_wanted(used.access));
        uses.map(|used| used.from).min()
    };
    let write = first(&|access| access == Some(Access::Write));
    let other = first(&|access| access != Some(Access::Write));
    matches!(resource.kind(), ResourceKind::Env | ResourceKind::Cwd)
        && write.is_some_and(|write| other.is_none_or(|other| write < other))
}

/// Returns the line of a test's first change, or else of its first use. Of a change that showed at the test's end no line is known.
#[cfg(has_observer)]
fn place(test: &Test) -> Option<String> {
    let (changes, others): (Vec<&Use>, Vec<&Use>) = test
        .uses
        .iter()
        .partition(|used| used.access == Some(Access::Write));
    let mut uses = changes.into_iter().chain(others);
    uses.find_map(|used| used.place.clone().or_else(|| used.test_place.clone()))
}

#[cfg(all(test, has_observer))]
mod tests {
    use super::*;
    use cofferdam_conflicts::Kind;

    /// A use: whether it is a write, and when.
    type Used = (bool, u64);

    fn conflict(resource: Resource, tests: [(&str, &[Used]); 2]) -> Conflict {
        let test = |(name, uses): (&str, &[Used])| Test {
            binary: "shop".to_owned(),
            name: Some(name.to_owned()),
            uses: uses
                .iter()
                .map(|(writes, at)| cofferdam_conflicts::Use {
                    access: Some(if *writes { Access::Write } else { Access::Read }),
                    service: None,
                    place: None,
                    test_place: None,
                    from: *at,
                    to: *at,
                })
                .collect(),
            run: String::new(),
            worker: String::new(),
            pid: 1,
            package: String::new(),
            runner: None,
            attempt: 1,
            grade: None,
            fails_alone: false,
        };
        Conflict {
            kind: Kind::SharedResource,
            resource: Some(resource),
            service: None,
            grade: None,
            overlapped: true,
            between_runs: false,
            message: String::new(),
            help: String::new(),
            output: None,
            name_parts: None,
            static_facts: None,
            tests: tests.map(test).into(),
            use_count: 2,
            pairs: Vec::new(),
            pair_count: 1,
        }
    }

    #[test]
    fn what_a_test_sets_before_it_uses_it_does_not_come_from_a_test_before_it() {
        let id = |name: &str| TestId {
            binary: "shop".to_owned(),
            name: name.to_owned(),
        };
        let polluter: (&str, &[Used]) = ("a", &[(true, 1)]);
        for (resource, own, is_race, wanted) in [
            (Resource::env("MODE"), &[(true, 5), (false, 6)][..], false, 0),
            (Resource::env("MODE"), &[(true, 5), (false, 6)], true, 1),
            (Resource::env("MODE"), &[(false, 5), (true, 6)], false, 1),
            (Resource::env("MODE"), &[(false, 5)], false, 1),
            (Resource::file("/w/log"), &[(true, 5), (false, 6)], false, 1),
        ] {
            let conflicts = [conflict(resource, [polluter, ("b", own)])];
            let found = shared_uses(&id("b"), &[id("a")], is_race, &conflicts);
            assert_eq!(found.len(), wanted, "{own:?} {is_race}");
        }
    }
}
