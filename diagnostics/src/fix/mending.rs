//! From findings to what ends them: who meets where, which means, and the drafts of files.

use super::draft::{self, Change, Draft};
use super::edit;
use super::groups::{self, Group};
use super::plan::{Held, Key, Meeting, Plan, Takes};
use super::sources::{Sources, Spot};
use super::{Family, Runner};
use crate::findings::{Access, Finding, Findings, Grade, Kind, Test};
use cofferdam::{Resource, ResourceKind, Scope};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What tests are kept apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Means {
    /// Attributes: serial_test's where the package has it and the threads of a process are to be kept apart, else
    /// cofferdam's.
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
    /// nextest's test group of that name.
    Group(String),
}

impl ByHand {
    fn new(test: &Test, needs: Needs, why: &str) -> Self {
        Self {
            test: test.name.clone(),
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
    pub(crate) changes: Vec<Change>,
    /// How many functions get an attribute.
    pub(crate) functions: usize,
    pub(crate) by_hand: Vec<ByHand>,
    /// Manifests without the library.
    pub(crate) missing: BTreeSet<PathBuf>,
}

/// All tests that were seen to meet, each once.
struct Tests<'a> {
    all: Vec<&'a Test>,
    numbers: HashMap<(&'a str, &'a str, &'a str), usize>,
}

impl<'a> Tests<'a> {
    fn of(findings: &'a Findings) -> Self {
        let mut tests = Self {
            all: Vec::new(),
            numbers: HashMap::new(),
        };
        for test in findings.findings.iter().flat_map(|finding| &finding.tests) {
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
    (&test.package, &test.binary, &test.name)
}

/// Whether it is to be ended: what was run once more and kept apart every time is not, and what programs that follow
/// one another leave to each other no attribute ends, nor a test's need for another to run first.
pub(crate) fn is_to_be_ended(finding: &Finding) -> bool {
    finding.kind == Kind::SharedResource && finding.grade >= Grade::Potential
}

/// What ends the findings. `library` is a checkout of cofferdam for packages that do not have it.
pub(crate) fn mend(
    findings: &Findings,
    sources: &Sources,
    means: Means,
    library: Option<&Path>,
) -> Result<Mending, String> {
    let tests = Tests::of(findings);
    let meetings = meetings(findings, &tests);
    let mut mending = Mending::default();
    if means == Means::Groups {
        mending.groups(meetings, &tests, sources)?;
        return Ok(mending);
    }
    let spots: Vec<Result<Vec<Spot<'_>>, String>> = tests
        .all
        .iter()
        .map(|test| sources.find(&test.package, &test.binary, &test.name))
        .collect();
    let mut draft = Draft::default();
    let mut manifests = BTreeMap::new();
    for (family, meetings) in by_means(meetings, &tests, sources, means)? {
        let nextest = meetings
            .iter()
            .flat_map(|meeting| meeting.users.keys())
            .any(|test| tests.all[*test].runner == Runner::Nextest);
        let runner = if nextest {
            Runner::Nextest
        } else {
            Runner::CargoTest
        };
        let held = held(&spots, family, runner);
        let plan = Plan::of(&meetings, &held, &taken(sources, family));
        for (test, takes) in &plan.takes {
            let spots = spots[*test].as_deref().map_err(String::as_str);
            match spots.and_then(|spots| changeable(spots, family)) {
                Ok(spots) => {
                    for spot in spots {
                        draft.take(spot.program, spot.function, takes, family);
                        if family == Family::Cofferdam {
                            manifests.insert(spot.package.manifest.clone(), String::new());
                        }
                    }
                }
                Err(why) => {
                    let needs = Needs::Keys(takes.clone());
                    mending.by_hand.push(ByHand::new(tests.all[*test], needs, why));
                }
            }
        }
        mending.keys.extend(plan.keys);
        mending.kept.extend(plan.kept);
    }
    mending.functions = draft.functions();
    for (path, text) in &mut manifests {
        *text = fs::read_to_string(path)
            .map_err(|error| format!("could not read {}: {error}", path.display()))?;
    }
    let (changes, missing) = draft::manifests(&manifests, library)?;
    mending.missing = missing;
    mending.changes = changes;
    mending.changes.extend(draft.changes());
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
    fn groups(&mut self, meetings: Vec<Meeting>, tests: &Tests<'_>, sources: &Sources) -> Result<(), String> {
        // Each process has these for itself.
        let own = |meeting: &Meeting| meeting.resource.kind().scope() == Scope::Process;
        let (not_met, meetings): (Vec<_>, Vec<_>) = meetings.into_iter().partition(own);
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
                        names.insert(tests.all[*test].name.clone());
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

fn meetings(findings: &Findings, tests: &Tests<'_>) -> Vec<Meeting> {
    let ended = findings.findings.iter().filter(|finding| is_to_be_ended(finding));
    ended
        .map(|finding| Meeting {
            resource: finding.resource.clone(),
            users: finding
                .tests
                .iter()
                .filter(|test| test.grade >= Grade::Potential)
                .map(|test| {
                    (
                        tests.numbers[&key(test)],
                        writes(test) || is_held(&finding.resource),
                    )
                })
                .collect(),
        })
        .collect()
}

/// Whether one at a time can have it: who found it taken would have taken it.
fn is_held(resource: &Resource) -> bool {
    matches!(resource.kind(), ResourceKind::Port | ResourceKind::UdpPort)
}

pub(crate) fn writes(test: &Test) -> bool {
    test.uses.iter().any(|one| one.access == Access::Write)
}

/// The meetings by whose attributes end them. The threads of a process are in one package; the processes of nextest
/// need not be.
fn by_means(
    meetings: Vec<Meeting>,
    tests: &Tests<'_>,
    sources: &Sources,
    means: Means,
) -> Result<Vec<(Family, Vec<Meeting>)>, String> {
    let mut by_package: BTreeMap<&str, Vec<Meeting>> = BTreeMap::new();
    let mut others = Vec::new();
    for meeting in meetings {
        let threads = meeting
            .users
            .keys()
            .all(|test| tests.all[*test].runner == Runner::CargoTest);
        if !threads {
            others.push(meeting);
            continue;
        }
        let mut users: BTreeMap<&str, BTreeMap<usize, bool>> = BTreeMap::new();
        for (test, writes) in meeting.users {
            users
                .entry(&tests.all[test].package)
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
    let mut all: BTreeMap<Family, Vec<Meeting>> = BTreeMap::new();
    let mut of_serial_test = Vec::new();
    for (package, meetings) in by_package {
        let package = sources.package(Path::new(package));
        let has = |name: &str| package.is_some_and(|package| package.depends_on(name));
        match means {
            Means::Of(Family::Cofferdam) => all.entry(Family::Cofferdam).or_default().extend(meetings),
            // A key of one package's says nothing in another.
            Means::Of(family) => of_serial_test.push((family, meetings)),
            _ if has("serial_test") && !has("cofferdam") => {
                of_serial_test.push((Family::SerialTest, meetings))
            }
            _ => all.entry(Family::Cofferdam).or_default().extend(meetings),
        }
    }
    if !others.is_empty() {
        if let Means::Of(Family::SerialTest) = means {
            return Err("serial_test's attributes keep the threads of one process apart, and nextest gave each test a \
                        process: use --with cofferdam or --with test-group"
                .to_owned());
        }
        all.entry(Family::Cofferdam).or_default().extend(others);
    }
    Ok(all.into_iter().chain(of_serial_test).collect())
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
