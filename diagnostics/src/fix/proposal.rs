//! Proposal of changes that end the observed conflicts: the mechanism for each resource, and drafts of the files.

use super::draft::{self, Change, Draft};
use super::edit;
use super::involved_tests::InvolvedTests;
use super::key_plan::{ExistingKey, Key, KeysToAdd, Plan, SharedResource};
use super::nextest_groups::{self, AssignedGroup, GroupTests, TestGroup};
use super::own_statics::{OwnStatic, OwnStatics};
use super::test_sources::{Sources, TestPosition};
use super::{Family, conflict_help};
use crate::findings::Observation;
use cofferdam::Resource;
use cofferdam::format::Scope;
use cofferdam_conflicts::{Conflict, Harness, Kind, Runner, Test};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The mechanism that keeps tests apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    /// The mechanism of the suite: cofferdam's attributes in packages that depend on it. In other packages, serial_test's
    /// attributes for the threads of a process, and nextest's test groups for processes.
    OfSuite,
    /// Attributes of one family.
    Attributes(Family),
    /// nextest's test groups.
    TestGroups,
}

impl Mechanism {
    /// Returns the statics that get a declaration of their own. `library` is a checkout of cofferdam for packages that lack it.
    pub(crate) fn own_statics(
        self,
        observation: &Observation,
        sources: &Sources,
        library: Option<&Path>,
    ) -> OwnStatics {
        match self {
            Self::OfSuite => OwnStatics::of(observation, sources, library.is_some()),
            Self::Attributes(Family::Cofferdam) => OwnStatics::of(observation, sources, true),
            Self::Attributes(_) | Self::TestGroups => OwnStatics::default(),
        }
    }
}

/// A necessary change of a test that cannot be made automatically.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ManualStep {
    pub(crate) test: String,
    pub(crate) binary: String,
    pub(crate) needs: Requirement,
    /// The reason the change is manual.
    pub(crate) why: String,
}

/// The change that a test needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Requirement {
    /// Attributes with these keys.
    Keys(KeysToAdd),
    /// cofferdam's locks with these names, in the test's body.
    Locks(KeysToAdd),
    /// A separate resource of the same kind.
    OwnResource(Resource),
    /// The nextest test group with this name.
    TestGroup(String),
}

impl ManualStep {
    fn new(test: &Test, needs: Requirement, why: &str) -> Self {
        Self {
            test: test.name().to_owned(),
            binary: test.binary.clone(),
            needs,
            why: why.to_owned(),
        }
    }
}

/// Changes that end the observed conflicts.
#[derive(Debug, Default)]
pub(crate) struct Proposal {
    pub(crate) keys: Vec<Key>,
    pub(crate) groups: Vec<TestGroup>,
    /// Resources whose tests already take a common key.
    pub(crate) already_separated: Vec<Resource>,
    /// Resources that each process has for itself, so tests do not share them under nextest.
    pub(crate) not_shared_under_nextest: Vec<Resource>,
    /// Resources that tests shared under `cargo test`, where test groups have no effect.
    pub(crate) outside_nextest: Vec<Resource>,
    /// Statics of which each worker or test gets its own.
    pub(crate) own_statics: Vec<OwnStatic>,
    pub(crate) changes: Vec<Change>,
    /// The number of functions that get an attribute.
    pub(crate) functions: usize,
    pub(crate) manual_steps: Vec<ManualStep>,
    /// Manifests that lack the crate of the attributes.
    pub(crate) missing_crates: BTreeMap<PathBuf, MissingCrate>,
}

/// The crate that a package lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MissingCrate {
    Cofferdam,
    /// cofferdam, for attributes in place of another crate's.
    ForMigration,
    SerialTest,
    /// One of the two crates; no attribute was drafted.
    Either,
}

impl MissingCrate {
    /// Returns a sentence about the manifest, with the command that adds the crate.
    pub(crate) fn sentence(self, manifest: &str) -> String {
        match self {
            Self::Cofferdam => format!(
                "{}; --with test-group needs no crate",
                Self::ForMigration.sentence(manifest)
            ),
            Self::ForMigration => format!(
                "{manifest} does not have cofferdam, which provides the attributes: `cargo add --dev cofferdam --features \
                 macros --path CHECKOUT`, or --cofferdam CHECKOUT"
            ),
            Self::SerialTest => format!(
                "{manifest} does not have serial_test, which provides the attributes: `cargo add --dev serial_test`"
            ),
            Self::Either => format!(
                "{manifest} has neither serial_test nor cofferdam, whose attributes keep tests apart: `cargo add --dev \
                 serial_test`, or --cofferdam CHECKOUT; for nextest --with test-group needs no crate"
            ),
        }
    }
}

/// Returns whether changes to tests can end the conflict. Guarded conflicts need none, and no attribute ends an order leak,
/// an order dependency, or a failure because of the value that a test leaves in a static. A static of one's `own` ends it.
pub(crate) fn is_fixable(conflict: &Conflict, own: &OwnStatics) -> bool {
    let facts = conflict.static_facts.as_ref();
    let is_lockable = facts.is_none_or(|facts| !facts.in_order && facts.one_of.is_empty());
    conflict.kind == Kind::SharedResource && conflict.may_happen() && (is_lockable || own.has(conflict))
}

/// Proposes changes that end the observed conflicts. `library` is a checkout of cofferdam for packages that lack it.
pub(crate) fn propose(
    observation: &Observation,
    sources: &Sources,
    mechanism: Mechanism,
    library: Option<&Path>,
    own: &OwnStatics,
) -> Result<Proposal, String> {
    let tests = InvolvedTests::of(observation);
    let shared_resources = shared_resources(observation, &tests, own);
    let resources = observation
        .conflicts
        .iter()
        .filter_map(|one| one.resource.as_ref());
    let mut proposal = Proposal {
        own_statics: resources
            .filter_map(|resource| own.get(resource))
            .cloned()
            .collect(),
        ..Proposal::default()
    };
    if mechanism == Mechanism::TestGroups {
        proposal.add_test_groups(shared_resources, &tests, sources)?;
        return Ok(proposal);
    }
    let choice = MechanismChoice {
        tests: &tests,
        sources,
        mechanism,
        library,
    };
    let assignment = choice.assign(shared_resources)?;
    proposal.missing_crates.extend(assignment.missing);
    for shared in assignment.own {
        proposal.request_own_resources(&shared, &tests, sources);
    }
    proposal.add_attributes(assignment.by_family, &tests, sources, library)?;
    proposal.add_test_groups(assignment.groups, &tests, sources)?;
    Ok(proposal)
}

/// Returns the positions, or the reason one of the functions cannot be changed automatically.
fn editable<'a, 'b>(
    positions: &'a [TestPosition<'b>],
    family: Family,
) -> Result<&'a [TestPosition<'b>], &'static str> {
    let mut obstacles = positions
        .iter()
        .filter_map(|position| edit::obstacle(position.function, family));
    obstacles.next().map_or(Ok(positions), Err)
}

impl Proposal {
    fn add_attributes(
        &mut self,
        by_family: Vec<(Family, Vec<SharedResource>)>,
        tests: &InvolvedTests<'_>,
        sources: &Sources,
        library: Option<&Path>,
    ) -> Result<(), String> {
        let positions: Vec<Result<Vec<TestPosition<'_>>, String>> = tests
            .all
            .iter()
            .map(|test| sources.find(&test.package, &test.binary, test.name()))
            .collect();
        let statics = std::mem::take(&mut self.own_statics);
        let mut draft = Draft::default();
        let mut manifests = BTreeMap::new();
        for (family, shared_resources) in by_family {
            let mut users = shared_resources.iter().flat_map(|shared| shared.users.keys());
            let runner = match users.any(|test| tests.all[*test].runner == Some(Runner::Nextest)) {
                true => Runner::Nextest,
                false => Runner::CargoTest,
            };
            let existing = existing_keys(&positions, family, runner);
            let plan = Plan::of(&shared_resources, &existing, &keys_in_use(sources, family));
            for (test, keys) in &plan.additions {
                let harness = sources.harness(tests.all[*test]);
                if harness != Harness::Libtest {
                    let needs = Requirement::Locks(keys.clone());
                    self.manual_steps.push(ManualStep::new(
                        tests.all[*test],
                        needs,
                        why_no_attribute(harness),
                    ));
                    continue;
                }
                let positions = positions[*test].as_deref().map_err(String::as_str);
                match positions.and_then(|positions| editable(positions, family)) {
                    Ok(positions) => {
                        for position in positions {
                            draft.add_keys(position.program, position.function, keys, family);
                            if family == Family::Cofferdam {
                                manifests.insert(position.package.manifest.clone(), String::new());
                            } else if !position.package.depends_on(family.crate_name()) {
                                let manifest = position.package.manifest.clone();
                                self.missing_crates.insert(manifest, MissingCrate::SerialTest);
                            }
                        }
                    }
                    Err(why) => {
                        let needs = Requirement::Keys(keys.clone());
                        let instead = match family {
                            Family::Cofferdam => "`cofferdam::lock` in its body does the same",
                            _ => "under nextest, --with test-group keeps it apart",
                        };
                        let why = format!("{why}; {instead}");
                        self.manual_steps
                            .push(ManualStep::new(tests.all[*test], needs, &why));
                    }
                }
            }
            self.keys.extend(plan.keys);
            self.already_separated.extend(plan.already_separated);
        }
        self.functions = draft.functions();
        for own in &statics {
            draft.add_static(own);
            manifests.extend(own.manifest.clone().map(|manifest| (manifest, String::new())));
        }
        for (path, text) in &mut manifests {
            *text = fs::read_to_string(path)
                .map_err(|error| format!("could not read {}: {error}", path.display()))?;
        }
        let (changes, missing) = draft::manifests(&manifests, library)?;
        let missing = missing.into_iter().map(|path| (path, MissingCrate::Cofferdam));
        self.missing_crates.extend(missing);
        self.changes = changes;
        self.changes.extend(draft.changes());
        self.own_statics = statics;
        Ok(())
    }

    /// Adds manual steps that give each test its own resource.
    fn request_own_resources(
        &mut self,
        shared: &SharedResource,
        tests: &InvolvedTests<'_>,
        sources: &Sources,
    ) {
        let users: Vec<&Test> = shared.users.keys().map(|test| tests.all[*test]).collect();
        for test in &users {
            // The part before it is advice about the resource, which is reported once.
            let text = conflict_help::text(&shared.resource, &users, sources);
            let apart = text
                .split_once("; where ")
                .map_or(text.as_str(), |(_, apart)| apart);
            let why = format!("{}; where {apart}", why_no_attribute(sources.harness(test)));
            let needs = Requirement::OwnResource(shared.resource.clone());
            self.manual_steps.push(ManualStep::new(test, needs, &why));
        }
    }

    fn add_test_groups(
        &mut self,
        shared_resources: Vec<SharedResource>,
        tests: &InvolvedTests<'_>,
        sources: &Sources,
    ) -> Result<(), String> {
        let by_cargo = |shared: &&SharedResource| {
            let mut users = shared.users.keys();
            users.all(|test| tests.all[*test].runner == Some(Runner::CargoTest))
        };
        let outside = shared_resources.iter().filter(by_cargo);
        self.outside_nextest = outside.map(|shared| shared.resource.clone()).collect();
        let is_per_process = |shared: &SharedResource| shared.resource.kind().scope() == Scope::Process;
        let (not_shared, shared_resources): (Vec<_>, Vec<_>) =
            shared_resources.into_iter().partition(is_per_process);
        if not_shared.is_empty() && shared_resources.is_empty() {
            return Ok(());
        }
        self.not_shared_under_nextest = not_shared.into_iter().map(|shared| shared.resource).collect();
        let root = tests
            .all
            .iter()
            .find_map(|test| sources.root(sources.package(Path::new(&test.package))?));
        let Some(root) = root else {
            return if shared_resources.is_empty() {
                Ok(())
            } else {
                Err("no workspace was found for the observed tests".to_owned())
            };
        };
        let path = root.join(".config").join("nextest.toml");
        let old = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            read => Some(read.map_err(|error| format!("could not read {}: {error}", path.display()))?),
        };
        let mut new = old.clone().unwrap_or_default();
        let invalid =
            |error: toml_edit::TomlError| format!("could not understand {}: {error}", path.display());
        let taken = nextest_groups::names(&new).map_err(invalid)?;
        for mut group in nextest_groups::groups(&shared_resources, &taken) {
            let mut by_program = GroupTests::new();
            let mut left = Vec::new();
            for test in &group.tests {
                match sources.binary_id(tests.all[*test]) {
                    Some(id) => {
                        let names = by_program.entry(id).or_default();
                        names.insert(tests.all[*test].name().to_owned());
                    }
                    None => left.push(*test),
                }
            }
            let mut why = "the name that nextest gives its program is unknown";
            match nextest_groups::assigned_group(&new, &by_program).map_err(invalid)? {
                AssignedGroup::None if by_program.is_empty() => {}
                AssignedGroup::None => {
                    new = nextest_groups::with_group(&new, &group.name, &by_program).map_err(invalid)?;
                }
                AssignedGroup::Own(name, mut all) => {
                    let before = all.clone();
                    for (program, names) in by_program {
                        all.entry(program).or_default().extend(names);
                    }
                    if all == before && left.is_empty() {
                        self.already_separated.extend(group.resources);
                        continue;
                    }
                    new = nextest_groups::with_extended_group(&new, &name, &all).map_err(invalid)?;
                    (group.name, group.is_existing) = (name, true);
                }
                AssignedGroup::Other => {
                    left = group.tests.iter().copied().collect();
                    why = "an existing override may assign another test group to one of its tests, and a test can have only one";
                }
            }
            self.manual_steps.extend(left.into_iter().map(|test| {
                let needs = Requirement::TestGroup(group.name.clone());
                ManualStep::new(tests.all[test], needs, why)
            }));
            self.groups.push(group);
        }
        if new != old.as_deref().unwrap_or_default() {
            self.changes.push(Change { path, old, new });
        }
        Ok(())
    }
}

/// Returns the resources of the fixable conflicts whose tests have to be kept apart, with these tests.
fn shared_resources(
    observation: &Observation,
    tests: &InvolvedTests<'_>,
    own: &OwnStatics,
) -> Vec<SharedResource> {
    let fixable = observation
        .conflicts
        .iter()
        .filter(|one| is_fixable(one, own) && !own.has(one));
    let users = |conflict: &Conflict| {
        let users = conflict.tests.iter().filter(|test| test.may_interfere());
        users
            .filter_map(|test| Some((tests.number(test)?, test.writes())))
            .collect()
    };
    fixable
        .filter_map(|conflict| {
            Some(SharedResource {
                resource: conflict.resource.clone()?,
                users: users(conflict),
            })
        })
        .collect()
}

/// The shared resources by the mechanism that keeps their tests apart.
#[derive(Default)]
struct Assignment {
    by_family: Vec<(Family, Vec<SharedResource>)>,
    groups: Vec<SharedResource>,
    /// Resources of tests that accept no attribute, in packages without cofferdam: each test needs its own.
    own: Vec<SharedResource>,
    missing: Vec<(PathBuf, MissingCrate)>,
}

/// The inputs to the choice of a mechanism.
struct MechanismChoice<'a> {
    tests: &'a InvolvedTests<'a>,
    sources: &'a Sources,
    mechanism: Mechanism,
    library: Option<&'a Path>,
}

impl MechanismChoice<'_> {
    /// Assigns each resource to a mechanism. Threads of one process belong to one package, but nextest's processes may belong
    /// to several.
    fn assign(&self, shared_resources: Vec<SharedResource>) -> Result<Assignment, String> {
        let mut assignment = Assignment::default();
        let mut with_cofferdam = Vec::new();
        let mut by_package: BTreeMap<&str, Vec<SharedResource>> = BTreeMap::new();
        for shared in shared_resources {
            let users = || shared.users.keys().map(|test| self.tests.all[*test]);
            if users().all(|test| test.runner == Some(Runner::CargoTest)) {
                self.split(shared, &mut by_package);
                continue;
            }
            match self.mechanism {
                Mechanism::Attributes(Family::Cofferdam) => with_cofferdam.push(shared),
                Mechanism::Attributes(_) => {
                    return Err("serial_test's attributes keep only the threads of one process apart, and nextest gave each \
                                test a process: use --with cofferdam or --with test-group"
                        .to_owned());
                }
                _ if users()
                    .all(|test| self.has_cofferdam(&test.package) && self.accepts_attribute(test)) =>
                {
                    with_cofferdam.push(shared);
                }
                _ => assignment.groups.push(shared),
            }
        }
        for (package, shared_resources) in by_package {
            let (with, without): (Vec<_>, Vec<_>) = shared_resources.into_iter().partition(|shared| {
                let mut users = shared.users.keys();
                users.all(|test| self.accepts_attribute(self.tests.all[*test]))
            });
            match self.family(package) {
                Some(Family::Cofferdam) => with_cofferdam.extend(with),
                // serial_test's keys are separate in each package.
                Some(family) if !with.is_empty() => assignment.by_family.push((family, with)),
                None if !with.is_empty() => {
                    let package = self.sources.package(Path::new(package));
                    let manifest = package.map(|package| (package.manifest.clone(), MissingCrate::Either));
                    assignment.missing.extend(manifest);
                }
                _ => {}
            }
            if self.has_cofferdam(package) || self.mechanism == Mechanism::Attributes(Family::Cofferdam) {
                with_cofferdam.extend(without);
            } else {
                assignment.own.extend(without);
            }
        }
        if !with_cofferdam.is_empty() {
            assignment
                .by_family
                .insert(0, (Family::Cofferdam, with_cofferdam));
        }
        Ok(assignment)
    }

    /// Splits the tests by package, because those of different packages run in different processes.
    fn split<'b>(&'b self, shared: SharedResource, by_package: &mut BTreeMap<&'b str, Vec<SharedResource>>) {
        let mut users: BTreeMap<&str, BTreeMap<usize, bool>> = BTreeMap::new();
        for (test, writes) in shared.users {
            users
                .entry(&self.tests.all[test].package)
                .or_default()
                .insert(test, writes);
        }
        let conflict =
            |users: &BTreeMap<usize, bool>| users.len() > 1 && users.values().any(|writes| *writes);
        for (package, users) in users.into_iter().filter(|(_, users)| conflict(users)) {
            by_package.entry(package).or_default().push(SharedResource {
                resource: shared.resource.clone(),
                users,
            });
        }
    }

    fn has_cofferdam(&self, package: &str) -> bool {
        let package = self.sources.package(Path::new(package));
        // The dependencies of a package that is not here are unknown.
        self.library.is_some() || package.is_none_or(|package| package.depends_on("cofferdam"))
    }

    fn accepts_attribute(&self, test: &Test) -> bool {
        self.sources.harness(test) == Harness::Libtest
    }

    /// Returns the family of attributes for the threads of a package's tests.
    fn family(&self, folder: &str) -> Option<Family> {
        if let Mechanism::Attributes(family) = self.mechanism {
            return Some(family);
        }
        let package = self.sources.package(Path::new(folder));
        let is_ours = package.is_some_and(|package| package.has_feature("cofferdam", "macros"));
        match package {
            Some(package) if package.depends_on("serial_test") && !is_ours => Some(Family::SerialTest),
            _ => self.has_cofferdam(folder).then_some(Family::Cofferdam),
        }
    }
}

/// Returns the reason an attribute would not affect a test of this harness.
fn why_no_attribute(harness: Harness) -> &'static str {
    match harness {
        Harness::Doctest => "a doctest accepts no attribute",
        Harness::Custom | Harness::Libtest => {
            "its program has a custom harness (harness = false), where attributes have no effect; under nextest, --with \
             test-group keeps such tests apart"
        }
    }
}

/// Returns the keys that each test already takes by attributes that work under the runner.
fn existing_keys(
    positions: &[Result<Vec<TestPosition<'_>>, String>],
    family: Family,
    runner: Runner,
) -> HashMap<usize, Vec<ExistingKey>> {
    let mut all: HashMap<usize, Vec<ExistingKey>> = HashMap::new();
    for (test, positions) in positions.iter().enumerate() {
        for position in positions.iter().flatten() {
            for one in position
                .function
                .annotations
                .iter()
                .filter(|one| one.family.holds_under(runner))
            {
                let is_ours = one.family == family;
                let existing = all.entry(test).or_default();
                existing.extend(one.keys_taken().into_iter().map(|key| ExistingKey {
                    // Equal keys of different crates are different locks.
                    key: if is_ours {
                        key
                    } else {
                        format!("{:?} {key}", one.family)
                    },
                    is_exclusive: one.is_exclusive,
                    is_reusable: is_ours,
                }));
            }
        }
    }
    all
}

/// Returns all keys of the family in the sources.
fn keys_in_use(sources: &Sources, family: Family) -> BTreeSet<String> {
    let functions = sources.programs().flat_map(|program| &program.functions);
    let annotations = functions.flat_map(|function| &function.annotations);
    annotations
        .filter(|one| one.family == family)
        .flat_map(super::Annotation::keys_taken)
        .collect()
}
