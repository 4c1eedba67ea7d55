//! Help texts for conflicts that use the APIs available to the suite.

use super::involved_tests::InvolvedTests;
use super::key_plan::Key;
use super::own_statics::{OwnStatic, OwnStatics};
use super::static_place;
use super::test_sources::Sources;
use super::tool;
use crate::findings::{Observation, has_random_part};
use cofferdam::Resource;
use cofferdam::format::ResourceKind;
use cofferdam_conflicts::{Conflict, Harness, HelpContext, Runner, SuiteApi, Test};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Sets the help text of each conflict for a suite with these sources. `keys` are the planned keys.
pub(crate) fn write_help(observation: &mut Observation, sources: &Sources, keys: &[Key], own: &OwnStatics) {
    let is_file = |conflict: &Conflict| {
        let resource = conflict.resource.as_ref();
        resource.is_some_and(|resource| resource.kind() == ResourceKind::File)
    };
    let tracked = if observation.conflicts.iter().any(is_file) {
        tracked(Path::new(&observation.dir))
    } else {
        HashSet::new()
    };
    let tests = InvolvedTests::of(observation);
    let keys: Vec<Option<&str>> = observation
        .conflicts
        .iter()
        .map(|conflict| key_of(conflict, &tests, keys))
        .collect();
    for (conflict, key) in observation.conflicts.iter_mut().zip(keys) {
        let Some(resource) = &conflict.resource else {
            continue;
        };
        let users: Vec<&Test> = conflict.tests.iter().collect();
        let is_tracked = tracked.contains(Path::new(resource.as_str()));
        let suite = HelpContext {
            is_tracked,
            // The checkout itself may lie in a temporary directory.
            is_random: has_random_part(resource.as_str().trim_start_matches(&observation.dir)),
            key,
            declaration: own.get(resource).and_then(OwnStatic::shown),
            static_place: conflict
                .static_facts
                .as_ref()
                .map(|facts| static_place::of(facts, Path::new(&observation.dir)))
                .unwrap_or_default(),
            ..of_suite(&users, sources)
        };
        conflict.help = suite.help(resource);
    }
}

/// Returns the planned key of a conflict's tests, if it is one that the suite has, or is named after the resource. A new key
/// may be that of several resources, and has the name of one.
fn key_of<'k>(conflict: &Conflict, tests: &InvolvedTests<'_>, keys: &'k [Key]) -> Option<&'k str> {
    let resource = conflict.resource.as_ref()?;
    let takes = |key: &Key| {
        let users = conflict.tests.iter().filter(|test| test.may_interfere());
        let mut users = users.map(|test| tests.number(test));
        users.all(|test| test.is_some_and(|test| key.writers.contains(&test) || key.readers.contains(&test)))
    };
    let is_own = |key: &&Key| {
        key.resources.contains(resource)
            && (key.is_existing || key.resources.first() == Some(resource))
            && takes(key)
    };
    keys.iter().find(is_own).map(|key| key.name.as_str())
}

/// Returns the help for a resource that these tests use, without a planned key.
pub(super) fn text(resource: &Resource, users: &[&Test], sources: &Sources) -> String {
    of_suite(users, sources).help(resource)
}

/// Returns what a help says about the suite of these tests.
fn of_suite<'a>(users: &[&Test], sources: &Sources) -> HelpContext<'a> {
    let harness = |harness| users.iter().any(|test| sources.harness(test) == harness);
    HelpContext {
        api: api(users, sources),
        harness: match (harness(Harness::Doctest), harness(Harness::Custom)) {
            (true, _) => Harness::Doctest,
            (false, true) => Harness::Custom,
            (false, false) => Harness::Libtest,
        },
        is_process: users.iter().any(|test| test.runner == Some(Runner::Nextest)),
        ..HelpContext::default()
    }
}

/// Returns the API that all packages of these tests can use.
fn api(users: &[&Test], sources: &Sources) -> SuiteApi {
    let has = |name: &str| {
        let mut packages = users.iter().map(|test| sources.package(Path::new(&test.package)));
        packages.all(|package| package.is_some_and(|package| package.depends_on(name)))
    };
    match (has("cofferdam"), has("serial_test")) {
        (true, _) => SuiteApi::Cofferdam,
        (false, true) => SuiteApi::SerialTest,
        (false, false) => SuiteApi::Std,
    }
}

/// Returns the files that Git tracks in the checkout around `dir`, or none outside a checkout.
fn tracked(dir: &Path) -> HashSet<PathBuf> {
    let Ok(root) = tool::output("git", &["rev-parse", "--show-toplevel"], dir) else {
        return HashSet::new();
    };
    let root = PathBuf::from(String::from_utf8_lossy(&root).trim_end());
    let files = tool::output("git", &["ls-files", "-z"], &root).unwrap_or_default();
    let files = String::from_utf8_lossy(&files).into_owned();
    files.split_terminator('\0').map(|file| root.join(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// An observation of conflicts on variables, each between these tests.
    fn observation(conflicts: &[(&str, &[&str])]) -> Observation {
        let test = |name: &&str| {
            json!({"run": "1-1", "worker": "", "pid": 1, "binary": "shop", "package": "/w", "runner": "cargo-test",
                   "name": name, "attempt": 1, "grade": "unguarded", "fails_alone": false, "uses": []})
        };
        let conflict = |(name, tests): &(&str, &[&str])| {
            json!({"kind": "shared-resource", "resource": {"kind": "env", "name": name}, "service": null,
                   "grade": "unguarded", "overlapped": true, "between_runs": false, "message": "", "help": "",
                   "name_parts": null, "tests": tests.iter().map(test).collect::<Vec<_>>(), "use_count": 2, "pairs": [],
                   "pair_count": 1})
        };
        serde_json::from_value(json!({
            "version": 5, "session": "1-1", "dir": "/w", "confirmed": true, "tests": 3, "command": 0,
            "account": {"started": 0, "recorded": 0, "complete": 0, "incomplete": 0, "lost": [], "out_of_reach": []},
            "conflicts": conflicts.iter().map(conflict).collect::<Vec<_>>(), "locked": [], "ran": [],
        }))
        .unwrap()
    }

    #[test]
    fn a_help_names_a_key_of_the_tests_or_one_with_the_name_of_the_resource() {
        let observation = observation(&[
            ("RETRIES", &["a", "b"]),
            ("HOST", &["a", "b"]),
            ("HOST", &["b", "c"]),
        ]);
        let tests = InvolvedTests::of(&observation);
        let keys = |is_existing| {
            [Key {
                name: "retries".to_owned(),
                is_existing,
                resources: ["RETRIES", "HOST"].map(Resource::env).to_vec(),
                writers: [0, 1].into(),
                readers: [].into(),
            }]
        };
        for (is_existing, named) in [
            (true, [Some("retries"), Some("retries"), None]),
            (false, [Some("retries"), None, None]),
        ] {
            let keys = keys(is_existing);
            let conflicts = observation.conflicts.iter();
            let found: Vec<_> = conflicts
                .map(|conflict| key_of(conflict, &tests, &keys))
                .collect();
            assert_eq!(found, named, "{is_existing}");
        }
    }
}
