//! From findings to what ends them: who meets where, which means, and the drafts of files.

use super::draft::{self, Change, Draft};
use super::edit;
use super::groups::{self, Group};
use super::plan::{Held, Key, Meeting, Plan, Takes};
use super::sources::{Sources, Spot};
use super::{Family, help};
use crate::findings::Observation;
use cofferdam::{Resource, Scope};
use cofferdam_conflicts::{Conflict, Harness, Kind, Runner, Test};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What tests are kept apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Means {
    /// What the suite has: cofferdam's attributes where a package uses them, else serial_test's for the threads of a
    /// process, and for processes of packages without cofferdam nextest's test groups.
    Attributes,
    /// Attributes of that family.
    Of(Family),
    /// nextest's test groups.
    Groups,
}

/// A test that is to change, and cannot be changed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ByHand {
    pub(crate) test: String,
    pub(crate) binary: String,
    pub(crate) needs: Needs,
    pub(crate) why: String,
}

/// What a test is to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    Keys(Takes),
    /// cofferdam's locks of these names, in the test's body.
    Locks(Takes),
    /// A resource of its own.
    Own(Resource),
    /// nextest's test group of that name.
    Group(String),
}

impl ByHand {
    fn new(test: &Test, needs: Needs, why: &str) -> Self {
        Self {
            test: test.name().to_owned(),
            binary: test.binary.clone(),
            needs,
            why: why.to_owned(),
        }
    }
}

/// What ends what was seen.
#[derive(Debug, Default)]
pub(crate) struct Mending {
    pub(crate) keys: Vec<Key>,
    pub(crate) groups: Vec<Group>,
    /// Resources whose tests take a key in common already.
    pub(crate) kept: Vec<Resource>,
    /// Resources that cannot be met on under nextest.
    pub(crate) not_met: Vec<Resource>,
    /// Resources on which tests met under `cargo test`, where the test groups do not act.
    pub(crate) not_reached: Vec<Resource>,
    pub(crate) changes: Vec<Change>,
    /// How many functions get an attribute.
    pub(crate) functions: usize,
    pub(crate) by_hand: Vec<ByHand>,
    /// Manifests without the crate that the attributes come from.
    pub(crate) missing: BTreeMap<PathBuf, Missing>,
}

/// The crate that a package lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    Cofferdam,
    SerialTest,
    /// Either would do, and no attribute was drafted.
    Both,
}

impl Missing {
    /// Returns a sentence about the manifest, with what adds the crate.
    pub(crate) fn sentence(self, manifest: &str) -> String {
        match self {
            Self::Cofferdam => format!(
                "{manifest} does not have cofferdam, where the attributes come from: `cargo add --dev cofferdam --features \
                 serial --path CHECKOUT`, or --cofferdam CHECKOUT; --with test-group needs no crate"
            ),
            Self::SerialTest => format!(
                "{manifest} does not have serial_test, where the attributes come from: `cargo add --dev serial_test`"
            ),
            Self::Both => format!(
                "{manifest} has neither serial_test nor cofferdam, whose attributes keep tests apart: `cargo add --dev \
                 serial_test`, or --cofferdam CHECKOUT; for nextest --with test-group needs no crate"
            ),
        }
    }
}

/// All tests that were seen to meet, each once.
struct Tests<'a> {
    all: Vec<&'a Test>,
    numbers: HashMap<(&'a str, &'a str, &'a str), usize>,
}

impl<'a> Tests<'a> {
    fn of(observation: &'a Observation) -> Self {
        let mut tests = Self {
            all: Vec::new(),
            numbers: HashMap::new(),
        };
        for test in observation.conflicts.iter().flat_map(|conflict| &conflict.tests) {
            let next = tests.all.len();
            let number = *tests.numbers.entry(key(test)).or_insert(next);
            if number == next {
                tests.all.push(test);
            }
        }
        tests
    }
}

fn key(test: &Test) -> (&str, &str, &str) {
    (&test.package, &test.binary, test.name())
}

/// Whether it is to be ended: what was run once more and kept apart every time is not, and what programs that follow
/// one another leave to each other no attribute ends, nor a test's need for another to run first.
pub(crate) fn is_to_be_ended(conflict: &Conflict) -> bool {
    conflict.kind == Kind::SharedResource && conflict.may_happen()
}

/// What ends the findings. `library` is a checkout of cofferdam for packages that do not have it.
pub(crate) fn mend(
    observation: &Observation,
    sources: &Sources,
    means: Means,
    library: Option<&Path>,
) -> Result<Mending, String> {
    let tests = Tests::of(observation);
    let meetings = meetings(observation, &tests);
    let mut mending = Mending::default();
    if means == Means::Groups {
        mending.groups(meetings, &tests, sources)?;
        return Ok(mending);
    }
    let ways = Choice {
        tests: &tests,
        sources,
        means,
        library,
    };
    let ways = ways.of(meetings)?;
    mending.missing.extend(ways.missing);
    for meeting in ways.own {
        mending.own(&meeting, &tests, sources);
    }
    mending.attributes(ways.by_family, &tests, sources, library)?;
    mending.groups(ways.groups, &tests, sources)?;
    Ok(mending)
}

/// The functions, or why one of them is for a person.
fn changeable<'a, 'b>(spots: &'a [Spot<'b>], family: Family) -> Result<&'a [Spot<'b>], &'static str> {
    let mut obstacles = spots
        .iter()
        .filter_map(|spot| edit::obstacle(spot.function, family));
    obstacles.next().map_or(Ok(spots), Err)
}

impl Mending {
    fn attributes(
        &mut self,
        by_family: Vec<(Family, Vec<Meeting>)>,
        tests: &Tests<'_>,
        sources: &Sources,
        library: Option<&Path>,
    ) -> Result<(), String> {
        let spots: Vec<Result<Vec<Spot<'_>>, String>> = tests
            .all
            .iter()
            .map(|test| sources.find(&test.package, &test.binary, test.name()))
            .collect();
        let mut draft = Draft::default();
        let mut manifests = BTreeMap::new();
        for (family, meetings) in by_family {
            let mut users = meetings.iter().flat_map(|meeting| meeting.users.keys());
            let runner = match users.any(|test| tests.all[*test].runner == Some(Runner::Nextest)) {
                true => Runner::Nextest,
                false => Runner::CargoTest,
            };
            let held = held(&spots, family, runner);
            let plan = Plan::of(&meetings, &held, &taken(sources, family));
            for (test, takes) in &plan.takes {
                let harness = sources.harness(tests.all[*test]);
                if harness != Harness::Libtest {
                    let needs = Needs::Locks(takes.clone());
                    self.by_hand
                        .push(ByHand::new(tests.all[*test], needs, no_attribute(harness)));
                    continue;
                }
                let spots = spots[*test].as_deref().map_err(String::as_str);
                match spots.and_then(|spots| changeable(spots, family)) {
                    Ok(spots) => {
                        for spot in spots {
                            draft.take(spot.program, spot.function, takes, family);
                            if family == Family::Cofferdam {
                                manifests.insert(spot.package.manifest.clone(), String::new());
                            } else if !spot.package.depends_on(family.crate_name()) {
                                let manifest = spot.package.manifest.clone();
                                self.missing.insert(manifest, Missing::SerialTest);
                            }
                        }
                    }
                    Err(why) => {
                        let needs = Needs::Keys(takes.clone());
                        self.by_hand.push(ByHand::new(tests.all[*test], needs, why));
                    }
                }
            }
            self.keys.extend(plan.keys);
            self.kept.extend(plan.kept);
        }
        self.functions = draft.functions();
        for (path, text) in &mut manifests {
            *text = fs::read_to_string(path)
                .map_err(|error| format!("could not read {}: {error}", path.display()))?;
        }
        let (changes, missing) = draft::manifests(&manifests, library)?;
        let missing = missing.into_iter().map(|path| (path, Missing::Cofferdam));
        self.missing.extend(missing);
        self.changes = changes;
        self.changes.extend(draft.changes());
        Ok(())
    }

    /// Leaves the tests of a meeting to a person, with a resource of its own for each.
    fn own(&mut self, meeting: &Meeting, tests: &Tests<'_>, sources: &Sources) {
        let users: Vec<&Test> = meeting.users.keys().map(|test| tests.all[*test]).collect();
        for test in &users {
            // The first part is said once, of the resource.
            let text = help::text(&meeting.resource, &users, sources, None, false);
            let apart = text
                .split_once("; where ")
                .map_or(text.as_str(), |(_, apart)| apart);
            let why = format!("{}; where {apart}", no_attribute(sources.harness(test)));
            let needs = Needs::Own(meeting.resource.clone());
            self.by_hand.push(ByHand::new(test, needs, &why));
        }
    }

    fn groups(&mut self, meetings: Vec<Meeting>, tests: &Tests<'_>, sources: &Sources) -> Result<(), String> {
        let by_cargo = |meeting: &&Meeting| {
            let mut users = meeting.users.keys();
            users.all(|test| tests.all[*test].runner == Some(Runner::CargoTest))
        };
        let not_reached = meetings.iter().filter(by_cargo);
        self.not_reached = not_reached.map(|meeting| meeting.resource.clone()).collect();
        // Each process has these for itself.
        let own = |meeting: &Meeting| meeting.resource.kind().scope() == Scope::Process;
        let (not_met, meetings): (Vec<_>, Vec<_>) = meetings.into_iter().partition(own);
        if not_met.is_empty() && meetings.is_empty() {
            return Ok(());
        }
        self.not_met = not_met.into_iter().map(|meeting| meeting.resource).collect();
        let root = tests
            .all
            .iter()
            .find_map(|test| sources.root(sources.package(Path::new(&test.package))?));
        let Some(root) = root else {
            return if meetings.is_empty() {
                Ok(())
            } else {
                Err("no workspace was found for the tests that were seen".to_owned())
            };
        };
        let path = root.join(".config").join("nextest.toml");
        let old = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            read => Some(read.map_err(|error| format!("could not read {}: {error}", path.display()))?),
        };
        let mut new = old.clone().unwrap_or_default();
        let told = |error: toml_edit::TomlError| format!("could not understand {}: {error}", path.display());
        let groups = groups::groups(&meetings, &groups::names(&new).map_err(told)?);
        for group in &groups {
            let mut by_program: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            let mut unknown = Vec::new();
            for test in &group.tests {
                match sources.binary_id(tests.all[*test]) {
                    Some(id) => {
                        let names = by_program.entry(id).or_default();
                        names.insert(tests.all[*test].name().to_owned());
                    }
                    None => unknown.push(test),
                }
            }
            let (left, why) = if groups::may_be_in_one(&new, &by_program).map_err(told)? {
                let why = "an override that is there may give a test group to tests of this one, and a test has one";
                (group.tests.iter().collect(), why)
            } else {
                if !by_program.is_empty() {
                    new = groups::with_group(&new, &group.name, &by_program).map_err(told)?;
                }
                (unknown, "what nextest calls its program is not known")
            };
            self.by_hand.extend(left.into_iter().map(|test| {
                let needs = Needs::Group(group.name.clone());
                ByHand::new(tests.all[*test], needs, why)
            }));
        }
        if new != old.as_deref().unwrap_or_default() {
            self.changes.push(Change { path, old, new });
        }
        self.groups = groups;
        Ok(())
    }
}

fn meetings(observation: &Observation, tests: &Tests<'_>) -> Vec<Meeting> {
    let ended = observation.conflicts.iter().filter(|one| is_to_be_ended(one));
    let users = |conflict: &Conflict| {
        let users = conflict.tests.iter().filter(|test| test.may_interfere());
        users
            .map(|test| (tests.numbers[&key(test)], test.writes()))
            .collect()
    };
    ended
        .filter_map(|conflict| {
            Some(Meeting {
                resource: conflict.resource.clone()?,
                users: users(conflict),
            })
        })
        .collect()
}

/// The ways to end meetings.
#[derive(Default)]
struct Ways {
    by_family: Vec<(Family, Vec<Meeting>)>,
    groups: Vec<Meeting>,
    /// Those of tests that take no attribute, in packages without a lock to offer.
    own: Vec<Meeting>,
    missing: Vec<(PathBuf, Missing)>,
}

/// What a way is chosen by.
struct Choice<'a> {
    tests: &'a Tests<'a>,
    sources: &'a Sources,
    means: Means,
    library: Option<&'a Path>,
}

impl Choice<'_> {
    /// The threads of a process are in one package; the processes of nextest need not be.
    fn of(&self, meetings: Vec<Meeting>) -> Result<Ways, String> {
        let mut ways = Ways::default();
        let mut ours = Vec::new();
        let mut by_package: BTreeMap<&str, Vec<Meeting>> = BTreeMap::new();
        for meeting in meetings {
            let users = || meeting.users.keys().map(|test| self.tests.all[*test]);
            if users().all(|test| test.runner == Some(Runner::CargoTest)) {
                self.split(meeting, &mut by_package);
                continue;
            }
            match self.means {
                Means::Of(Family::Cofferdam) => ours.push(meeting),
                Means::Of(_) => {
                    return Err("serial_test's attributes keep the threads of one process apart, and nextest gave each \
                                test a process: use --with cofferdam or --with test-group"
                        .to_owned());
                }
                _ if users().all(|test| self.has_cofferdam(&test.package) && self.takes_attribute(test)) => {
                    ours.push(meeting);
                }
                _ => ways.groups.push(meeting),
            }
        }
        for (package, meetings) in by_package {
            let (with, without): (Vec<_>, Vec<_>) = meetings.into_iter().partition(|meeting| {
                let mut users = meeting.users.keys();
                users.all(|test| self.takes_attribute(self.tests.all[*test]))
            });
            match self.family(package) {
                Some(Family::Cofferdam) => ours.extend(with),
                // A key of one package's says nothing in another.
                Some(family) if !with.is_empty() => ways.by_family.push((family, with)),
                None if !with.is_empty() => {
                    let package = self.sources.package(Path::new(package));
                    let manifest = package.map(|package| (package.manifest.clone(), Missing::Both));
                    ways.missing.extend(manifest);
                }
                _ => {}
            }
            if self.has_cofferdam(package) || self.means == Means::Of(Family::Cofferdam) {
                ours.extend(without);
            } else {
                ways.own.extend(without);
            }
        }
        if !ours.is_empty() {
            ways.by_family.insert(0, (Family::Cofferdam, ours));
        }
        Ok(ways)
    }

    fn split<'b>(&'b self, meeting: Meeting, by_package: &mut BTreeMap<&'b str, Vec<Meeting>>) {
        let mut users: BTreeMap<&str, BTreeMap<usize, bool>> = BTreeMap::new();
        for (test, writes) in meeting.users {
            users
                .entry(&self.tests.all[test].package)
                .or_default()
                .insert(test, writes);
        }
        // One that is left alone there meets nobody.
        let meets = |users: &BTreeMap<usize, bool>| users.len() > 1 && users.values().any(|writes| *writes);
        for (package, users) in users.into_iter().filter(|(_, users)| meets(users)) {
            by_package.entry(package).or_default().push(Meeting {
                resource: meeting.resource.clone(),
                users,
            });
        }
    }

    fn has_cofferdam(&self, package: &str) -> bool {
        let package = self.sources.package(Path::new(package));
        // Of a package that was not seen nothing is known but its tests' names.
        self.library.is_some() || package.is_none_or(|package| package.depends_on("cofferdam"))
    }

    fn takes_attribute(&self, test: &Test) -> bool {
        self.sources.harness(test) == Harness::Libtest
    }

    /// The family for the threads of the package's tests.
    fn family(&self, folder: &str) -> Option<Family> {
        if let Means::Of(family) = self.means {
            return Some(family);
        }
        let package = self.sources.package(Path::new(folder));
        let is_ours = package.is_some_and(|package| package.has_feature("cofferdam", "serial"));
        match package {
            Some(package) if package.depends_on("serial_test") && !is_ours => Some(Family::SerialTest),
            _ => self.has_cofferdam(folder).then_some(Family::Cofferdam),
        }
    }
}

/// Why an attribute would not act on a test of this harness.
fn no_attribute(harness: Harness) -> &'static str {
    match harness {
        Harness::Doctest => "a doctest takes no attribute",
        Harness::Custom | Harness::Libtest => {
            "its program has a harness of its own (harness = false), where attributes do not act; under nextest --with \
             test-group keeps such tests apart"
        }
    }
}

/// What each test takes already, as far as it counts for the runner.
fn held(
    spots: &[Result<Vec<Spot<'_>>, String>],
    family: Family,
    runner: Runner,
) -> HashMap<usize, Vec<Held>> {
    let mut all: HashMap<usize, Vec<Held>> = HashMap::new();
    for (test, spots) in spots.iter().enumerate() {
        for spot in spots.iter().flatten() {
            for one in spot
                .function
                .annotations
                .iter()
                .filter(|one| one.family.holds_under(runner))
            {
                let is_ours = one.family == family;
                let held = all.entry(test).or_default();
                held.extend(one.held().into_iter().map(|key| Held {
                    // Keys of two crates are two.
                    key: if is_ours {
                        key
                    } else {
                        format!("{:?} {key}", one.family)
                    },
                    alone: one.alone,
                    may_be_taken: is_ours,
                }));
            }
        }
    }
    all
}

/// All keys of the family that the sources name.
fn taken(sources: &Sources, family: Family) -> BTreeSet<String> {
    let functions = sources.programs().flat_map(|program| &program.functions);
    let annotations = functions.flat_map(|function| &function.annotations);
    annotations
        .filter(|one| one.family == family)
        .flat_map(super::Annotation::held)
        .collect()
}
