//! Statics of tests whose declaration alone has to change so that each worker or test has its own value.

use super::static_declaration::{NewDeclaration, rewritten};
use super::static_place::{self, declared};
use super::test_sources::Sources;
use crate::findings::{Observation, ReproducedClass};
use cofferdam::Resource;
use cofferdam_conflicts::{Conflict, Kind, KnownStatic, StaticPlace};
use std::fs;
use std::path::{Path, PathBuf};

/// The length of the longest declaration that a help text shows.
const SHOWN: usize = 160;

/// A static with its new declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnStatic {
    pub(crate) resource: Resource,
    pub(crate) path: PathBuf,
    pub(crate) line: usize,
    /// Each test gets its own value, not each worker: a test failed because of the value that another one left.
    pub(crate) per_test: bool,
    /// The content of its file.
    pub(super) text: String,
    pub(super) declaration: NewDeclaration,
    /// The manifest of its package, if that lacks cofferdam.
    pub(super) manifest: Option<PathBuf>,
}

/// The statics of an observation's conflicts that have a new declaration.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnStatics(Vec<OwnStatic>);

impl OwnStatics {
    /// Reads the declarations. `is_added` says that packages that lack cofferdam get it.
    pub(crate) fn of(observation: &Observation, sources: &Sources, is_added: bool) -> Self {
        let conflicts = observation.conflicts.iter();
        Self(
            conflicts
                .filter_map(|conflict| own(conflict, observation, sources, is_added))
                .collect(),
        )
    }

    pub(crate) fn get(&self, resource: &Resource) -> Option<&OwnStatic> {
        self.0.iter().find(|own| own.resource == *resource)
    }

    /// Returns whether a conflict is on one of them.
    pub(crate) fn has(&self, conflict: &Conflict) -> bool {
        conflict
            .resource
            .as_ref()
            .is_some_and(|resource| self.get(resource).is_some())
    }

    pub(crate) fn into_all(self) -> Vec<OwnStatic> {
        self.0
    }
}

impl OwnStatic {
    /// Returns the new declaration in one line, if it is short enough for that.
    pub(super) fn shown(&self) -> Option<&str> {
        let shown = self.declaration.shown.as_str();
        (shown.len() <= SHOWN && !shown.contains("//")).then_some(shown)
    }
}

fn own(
    conflict: &Conflict,
    observation: &Observation,
    sources: &Sources,
    is_added: bool,
) -> Option<OwnStatic> {
    let (resource, facts) = (conflict.resource.as_ref()?, conflict.static_facts.as_ref()?);
    let dir = Path::new(&observation.dir);
    let is_of_tests = static_place::of(facts, dir) == StaticPlace::Tests;
    let is_cause = conflict.kind == Kind::SharedResource && conflict.may_happen() && facts.one_of.is_empty();
    // Built anew, it would read again what another test has changed.
    let is_alone = facts.captured.is_empty();
    if !is_of_tests || !is_cause || !is_alone || KnownStatic::of(resource.as_str()).is_some() {
        return None;
    }
    let failures = || {
        observation
            .reproductions
            .iter()
            .filter(|failure| failure.may_come_from(resource))
    };
    // A test that needs the value of another one would not get it.
    if failures().any(|failure| failure.class == ReproducedClass::Brittle) {
        return None;
    }
    let per_test = facts.in_order || failures().any(|failure| failure.class == ReproducedClass::Victim);
    let (file, line) = declared(facts)?;
    let path = dir.join(file);
    let package = sources.package_containing(&path)?;
    let has_library = package.depends_on("cofferdam");
    if !has_library && !is_added {
        return None;
    }
    let text = fs::read_to_string(&path).ok()?;
    let name = resource.as_str().rsplit("::").next()?;
    let declaration = rewritten(&text, name, line, per_test)?;
    Some(OwnStatic {
        resource: resource.clone(),
        line,
        per_test,
        declaration,
        text,
        manifest: (!has_library).then(|| package.manifest.clone()),
        path,
    })
}
