//! Removal of attributes that guard nothing, and splitting of keys that guard several things.
//!
//! `decision` decides on each member of a key, `source_edits` applies the decisions to the files' text.

mod decision;
mod source_edits;

use super::attributes::{Annotation, Family};
use super::draft::Change;
use super::key_names;
use super::program::Function;
use super::test_sources::Sources;
use cofferdam::Resource;
pub(crate) use decision::SuiteTest;
use decision::{Member, Reach, Verdict, decide};
use source_edits::AttributeEdit;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A program that ran, with its tests.
#[derive(Clone, Debug, Default)]
pub(crate) struct RanProgram {
    pub(crate) package: PathBuf,
    pub(crate) binary: String,
    /// The numbers of its tests in [`ObservedUses::tests`].
    pub(crate) tests: Vec<usize>,
}

/// The resources that the tests of a suite used in an observation.
#[derive(Clone, Debug, Default)]
pub(crate) struct ObservedUses {
    pub(crate) programs: Vec<RanProgram>,
    pub(crate) tests: Vec<SuiteTest>,
    /// The resources that several tests use and one of them changes.
    pub(crate) resources: Vec<Resource>,
    /// Failures of tests that ran without a common key. They are numbered after the resources.
    pub(crate) failures: Vec<String>,
    /// Descriptions of the used resources whose changes cannot be seen.
    pub(crate) opaque: Vec<String>,
}

impl ObservedUses {
    /// Records that one of these tests failed without a common key, so they need one, though no shared resource was observed.
    pub(crate) fn add_failure(&mut self, tests: impl Iterator<Item = usize>, failure: String) {
        let number = self.resources.len() + self.failures.len();
        self.failures.push(failure);
        for test in tests {
            self.tests[test].uses.insert(number, true);
        }
    }
}

/// The outcome for one key of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Removed,
    /// It is replaced by a key that only the tests of this resource take.
    Split {
        key: String,
        resource: Resource,
    },
    /// These tests share the resource, and one of them changes it.
    Kept {
        resource: Resource,
        tests: Vec<String>,
    },
    /// A test failed in a run without it.
    Needed {
        why: String,
    },
    Unknown {
        why: String,
    },
}

/// A key of an attribute, and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RelaxedKey {
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    /// The source text of the attribute.
    pub(crate) text: String,
    /// The number of the lock that the key stands for. Tests of different locks never wait for each other.
    pub(crate) lock: usize,
    /// The numbers of the tests that take it.
    pub(crate) tests: Vec<usize>,
    pub(crate) fate: Fate,
}

/// The changes that leave each test only the keys that it needs.
#[derive(Debug, Default)]
pub(crate) struct Relaxation {
    pub(crate) keys: Vec<RelaxedKey>,
    pub(crate) changes: Vec<Change>,
    /// Crates that a package does not use any more, by manifest.
    pub(crate) unused_crates: BTreeSet<(PathBuf, &'static str)>,
}

/// An attribute with the tests that it applies to.
#[derive(Debug)]
struct Site<'a> {
    annotation: &'a Annotation,
    tests: BTreeSet<usize>,
    /// Set if one of its functions has another attribute of its crate.
    has_others: bool,
}

/// The place of an attribute: its file and offset.
type Place<'a> = (&'a Path, usize);

/// The attributes of a suite, and the tests whose attributes are not known.
#[derive(Default)]
struct Sites<'a> {
    all: BTreeMap<Place<'a>, Site<'a>>,
    without_source: BTreeSet<usize>,
}

/// Decides which keys the tests need, and returns the changes of the sources. A function with an attribute that did not run counts
/// as a test whose uses are not known.
pub(crate) fn relax(sources: &Sources, uses: &ObservedUses) -> Relaxation {
    let mut tests = uses.tests.clone();
    let sites = Sites::read(sources, uses, &mut tests);
    let mut locks: BTreeMap<(Family, String), Vec<Place<'_>>> = BTreeMap::new();
    for (place, site) in &sites.all {
        for key in site.annotation.keys_taken() {
            locks
                .entry((site.annotation.family, key))
                .or_default()
                .push(*place);
        }
    }
    let mut taken: BTreeSet<String> = locks.keys().map(|(_, key)| key.clone()).collect();
    let mut relaxation = Relaxation::default();
    let mut kept: BTreeMap<Place<'_>, Vec<String>> = BTreeMap::new();
    for (lock, ((family, key), places)) in locks.into_iter().enumerate() {
        let mut members: Vec<Member> = places.iter().map(|place| sites.all[place].member()).collect();
        members.extend(sites.members_without_source());
        let reach = match family {
            Family::SerialTest => Reach::Process,
            Family::Cofferdam | Family::SerialTestFile => Reach::Machine,
        };
        let decision = decide(&members, reach, &tests, &uses.opaque, uses.resources.len());
        let mut groups: Vec<(String, Resource)> = Vec::new();
        for resource in decision.groups.iter().map(|number| &uses.resources[*number]) {
            // Groups of different processes can share a resource of the same name, such as a variable: one key serves both.
            let known = groups.iter().find(|(_, known)| known == resource);
            let name = known.map_or_else(|| key_names::new_key(resource, &taken), |(name, _)| name.clone());
            taken.insert(name.clone());
            groups.push((name, resource.clone()));
        }
        for (place, verdict) in places.into_iter().zip(decision.verdicts) {
            let site = &sites.all[&place];
            let fate = match verdict {
                Verdict::Removed => Fate::Removed,
                Verdict::Moved(group) => {
                    let (key, resource) = groups[group].clone();
                    Fate::Split { key, resource }
                }
                Verdict::Kept {
                    resource,
                    tests: sharing,
                } => match uses.resources.get(resource) {
                    Some(resource) => Fate::Kept {
                        resource: resource.clone(),
                        tests: sharing.iter().map(|test| tests[*test].name.clone()).collect(),
                    },
                    None => Fate::Needed {
                        why: uses.failures[resource - uses.resources.len()].clone(),
                    },
                },
                Verdict::Unknown(why) => Fate::Unknown { why },
            };
            let keys = kept.entry(place).or_default();
            match &fate {
                Fate::Removed => {}
                Fate::Split { key, .. } => keys.push(key.clone()),
                _ => keys.push(key.clone()),
            }
            relaxation.keys.push(RelaxedKey {
                file: place.0.to_owned(),
                line: site.annotation.line,
                text: site.annotation.text.clone(),
                lock,
                tests: site
                    .tests
                    .iter()
                    .copied()
                    .filter(|test| *test < uses.tests.len())
                    .collect(),
                fate,
            });
        }
    }
    let mut edits: BTreeMap<PathBuf, Vec<AttributeEdit>> = BTreeMap::new();
    for (place, keys) in kept {
        let annotation = sites.all[&place].annotation;
        if keys != annotation.keys_taken() {
            edits.entry(place.0.to_owned()).or_default().push(AttributeEdit {
                annotation: annotation.clone(),
                keys,
            });
        }
    }
    let edited = source_edits::apply(&edits, sources);
    relaxation.changes = edited.changes;
    relaxation.unused_crates = edited.unused_crates;
    relaxation
}

impl<'a> Sites<'a> {
    /// Reads the attributes of all programs. Adds a test to `tests` for each function with an attribute that did not run.
    fn read(sources: &'a Sources, uses: &ObservedUses, tests: &mut Vec<SuiteTest>) -> Self {
        let mut sites = Self::default();
        let mut functions: BTreeMap<(usize, *const Function), BTreeSet<usize>> = BTreeMap::new();
        for (number, ran) in uses.programs.iter().enumerate() {
            for test in &ran.tests {
                let positions = sources.find(&ran.package.to_string_lossy(), &ran.binary, &tests[*test].name);
                let positions = positions.unwrap_or_default();
                if positions.is_empty() || positions.iter().any(|one| one.function.is_conditional) {
                    sites.without_source.insert(*test);
                }
                for position in positions {
                    let of_function = functions
                        .entry((number, std::ptr::from_ref(position.function)))
                        .or_default();
                    of_function.insert(*test);
                }
            }
        }
        let mut next_program = uses.programs.len();
        for (package, program, names) in sources.named_programs() {
            let mut ran: Vec<usize> = (0..uses.programs.len())
                .filter(|number| {
                    let one = &uses.programs[*number];
                    one.package == package.dir() && names(&one.binary)
                })
                .collect();
            if ran.is_empty() {
                ran.push(next_program);
                next_program += 1;
            }
            for function in program.functions.iter().filter(|one| !one.annotations.is_empty()) {
                let mut of_function = BTreeSet::new();
                for number in &ran {
                    match functions.get(&(*number, std::ptr::from_ref(function))) {
                        Some(numbers) => of_function.extend(numbers),
                        None => {
                            of_function.insert(tests.len());
                            tests.push(SuiteTest {
                                name: function.name.clone(),
                                program: *number,
                                unseen: Some("did not run".to_owned()),
                                ..SuiteTest::default()
                            });
                        }
                    }
                }
                for annotation in &function.annotations {
                    sites.add(function, annotation, &of_function);
                }
            }
        }
        sites
    }

    fn add(&mut self, function: &'a Function, annotation: &'a Annotation, tests: &BTreeSet<usize>) {
        let crate_name = annotation.family.crate_name();
        let same = function
            .annotations
            .iter()
            .filter(|one| one.family.crate_name() == crate_name);
        let site = self.all.entry((&function.file, annotation.at)).or_insert(Site {
            annotation,
            tests: BTreeSet::new(),
            has_others: false,
        });
        site.tests.extend(tests);
        site.has_others |= same.count() > 1;
    }

    /// Returns members for the tests that may take any key: those made by a macro, or with attributes under a condition.
    fn members_without_source(&self) -> impl Iterator<Item = Member> {
        self.without_source.iter().map(|test| Member {
            tests: BTreeSet::from([*test]),
            is_exclusive: true,
            obstacle: Some("its attributes are not known"),
            keeps_key: true,
        })
    }
}

impl Site<'_> {
    fn member(&self) -> Member {
        let obstacle = self
            .annotation
            .text
            .contains(['=', '$'])
            .then_some("its arguments are not only keys");
        Member {
            tests: self.tests.clone(),
            is_exclusive: self.annotation.is_exclusive,
            obstacle,
            // With several attributes, keys are locked in the order of the attributes, and another key could let two tests
            // deadlock.
            keeps_key: obstacle.is_some() || self.has_others,
        }
    }
}
