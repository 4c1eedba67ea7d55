//! Help texts for conflicts that use the APIs available to the suite.

use super::plan::Key;
use super::sources::Sources;
use super::tool;
use crate::findings::Observation;
use cofferdam::{Resource, ResourceKind};
use cofferdam_conflicts::{Conflict, Harness, HelpContext, Runner, SuiteApi, Test};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Writes the help of each conflict for the suite whose sources these are. `keys` are those that would keep its tests apart.
pub(crate) fn word(observation: &mut Observation, sources: &Sources, keys: &[Key]) {
    let is_file = |conflict: &Conflict| {
        let resource = conflict.resource.as_ref();
        resource.is_some_and(|resource| resource.kind() == ResourceKind::File)
    };
    let tracked = if observation.conflicts.iter().any(is_file) {
        tracked(Path::new(&observation.dir))
    } else {
        HashSet::new()
    };
    for conflict in &mut observation.conflicts {
        let Some(resource) = &conflict.resource else {
            continue;
        };
        let key = keys.iter().find(|key| key.resources.contains(resource));
        let users: Vec<&Test> = conflict.tests.iter().collect();
        let is_tracked = tracked.contains(Path::new(resource.as_str()));
        let key = key.map(|key| key.name.as_str());
        conflict.help = text(resource, &users, sources, key, is_tracked);
    }
}

/// Returns the help for a resource that these tests use.
pub(super) fn text(
    resource: &Resource,
    users: &[&Test],
    sources: &Sources,
    key: Option<&str>,
    is_tracked: bool,
) -> String {
    let harness = |harness| users.iter().any(|test| sources.harness(test) == harness);
    let suite = HelpContext {
        api: api(users, sources),
        harness: match (harness(Harness::Doctest), harness(Harness::Custom)) {
            (true, _) => Harness::Doctest,
            (false, true) => Harness::Custom,
            (false, false) => Harness::Libtest,
        },
        key,
        is_process: users.iter().any(|test| test.runner == Some(Runner::Nextest)),
        is_tracked,
        ..HelpContext::default()
    };
    suite.help(resource)
}

/// Returns what all packages of these tests have.
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

/// Returns the files that Git tracks in the checkout around `dir`; none where there is no checkout.
fn tracked(dir: &Path) -> HashSet<PathBuf> {
    let Ok(root) = tool::ask("git", &["rev-parse", "--show-toplevel"], dir) else {
        return HashSet::new();
    };
    let root = PathBuf::from(String::from_utf8_lossy(&root).trim_end());
    let files = tool::ask("git", &["ls-files", "-z"], &root).unwrap_or_default();
    let files = String::from_utf8_lossy(&files).into_owned();
    files.split_terminator('\0').map(|file| root.join(file)).collect()
}
