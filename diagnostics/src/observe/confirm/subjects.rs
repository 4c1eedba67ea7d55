//! The tests of all findings, each once, with what a solo run showed of it.

use super::cover::Crowd;
use super::pairs::{self, Chosen, Meeting, Member};
use super::rerun::{self, Part};
use crate::observe::launch::{Launch, StartedProgram};
use cofferdam::{Resource, Scope};
use cofferdam_conflicts::{Conflict, Kind, Runner, Test};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A test that is in a finding.
#[derive(Debug)]
pub(super) struct Subject {
    /// `None` for one that cannot be started once more.
    pub(super) part: Option<Part>,
    /// The findings that it is in.
    pub(super) findings: BTreeSet<usize>,
    pub(super) solo: OnceLock<Solo>,
}

/// What a test did when it ran alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Solo {
    /// It failed each time.
    pub(super) fails: bool,
    pub(super) lasted: Duration,
    /// By finding.
    pub(super) uses: HashMap<usize, SoloUse>,
}

/// When a test that ran alone used a resource, in microseconds since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SoloUse {
    pub(super) first: u64,
    /// The first change, if there was one.
    pub(super) change: Option<u64>,
}

/// The tests of a finding, by their positions there.
#[derive(Debug)]
pub(super) struct Meet {
    pub(super) resource: Resource,
    pub(super) subjects: Vec<usize>,
    pub(super) members: Vec<Member>,
    pub(super) meeting: Meeting,
    /// The first moment of each of its tests' uses.
    pub(super) moments: Vec<u64>,
}

#[derive(Debug)]
pub(super) struct Suite {
    pub(super) subjects: Vec<Subject>,
    /// By finding; `None` for one without a resource.
    pub(super) meets: Vec<Option<Meet>>,
}

impl Suite {
    pub(super) fn of<'c>(launch: &Launch, conflicts: &'c [Conflict]) -> Self {
        let mut parts = Parts::new(launch);
        let mut suite = Self {
            subjects: Vec::new(),
            meets: Vec::new(),
        };
        let mut known: HashMap<(&'c str, &'c str), usize> = HashMap::new();
        for (finding, conflict) in conflicts.iter().enumerate() {
            let mut subjects = Vec::new();
            for test in &conflict.tests {
                let next = suite.subjects.len();
                let subject = *known.entry((&test.binary, test.name())).or_insert(next);
                if subject == next {
                    suite.subjects.push(Subject {
                        part: parts.part(test),
                        findings: BTreeSet::new(),
                        solo: OnceLock::new(),
                    });
                }
                suite.subjects[subject].findings.insert(finding);
                subjects.push(subject);
            }
            let members = members(conflict);
            let at_once = pairs::count(&members, Meeting::AtOnce) > 0;
            suite.meets.push(conflict.resource.clone().map(|resource| Meet {
                resource,
                subjects,
                members,
                meeting: if at_once && conflict.kind != Kind::OrderLeak {
                    Meeting::AtOnce
                } else {
                    Meeting::InTurn
                },
                moments: conflict.tests.iter().map(first_moment).collect(),
            }));
        }
        suite
    }

    /// Takes the role that a test had when it ran alone for its role in the finding. A change that it made only beside
    /// others stays a change.
    pub(super) fn take_roles(&mut self) {
        for (finding, meet) in self.meets.iter_mut().enumerate() {
            let Some(meet) = meet else { continue };
            for (member, subject) in meet.members.iter_mut().zip(&meet.subjects) {
                let solo = self.subjects[*subject].solo.get();
                let alone = solo.and_then(|solo| solo.uses.get(&finding));
                member.writes |= alone.is_some_and(|alone| alone.change.is_some());
            }
        }
    }

    /// Returns the crowds of all findings, each with its finding.
    pub(super) fn crowds(&self) -> (Vec<Crowd>, Vec<usize>) {
        let (mut crowds, mut findings) = (Vec::new(), Vec::new());
        for (finding, meet) in self.meets.iter().enumerate() {
            let Some(meet) = meet.as_ref().filter(|meet| meet.meeting == Meeting::AtOnce) else {
                continue;
            };
            let mut places: BTreeMap<u32, Crowd> = BTreeMap::new();
            for (member, subject) in meet.members.iter().zip(&meet.subjects) {
                if self.subjects[*subject].part.is_none() {
                    continue;
                }
                let crowd = places.entry(member.place).or_insert_with(|| Crowd {
                    tests: BTreeSet::new(),
                    writers: BTreeSet::new(),
                });
                crowd.tests.insert(*subject);
                if member.writes {
                    crowd.writers.insert(*subject);
                }
            }
            for crowd in places.into_values() {
                if crowd.tests.len() > 1 && !crowd.writers.is_empty() {
                    crowds.push(crowd);
                    findings.push(finding);
                }
            }
        }
        (crowds, findings)
    }

    pub(super) fn chosen(&self, finding: usize) -> Chosen {
        self.meets[finding]
            .as_ref()
            .map(|meet| pairs::chosen(&meet.members, meet.meeting))
            .unwrap_or_default()
    }

    /// Returns the folders of the packages of all tests.
    pub(super) fn folders(&self) -> BTreeSet<PathBuf> {
        let parts = self.subjects.iter().filter_map(|subject| subject.part.as_ref());
        parts.map(|part| part.started.dir.clone()).collect()
    }

    /// Returns marks for these tests, and for what they share with others beyond their process: see [`super::task_queue::Task`].
    pub(super) fn marks(&self, tests: &[usize]) -> BTreeSet<usize> {
        let shared = |finding: &usize| {
            self.meets[*finding]
                .as_ref()
                .is_some_and(|meet| meet.resource.kind().scope() != Scope::Process)
        };
        let mut marks = BTreeSet::new();
        for test in tests {
            marks.insert(self.meets.len() + test);
            marks.extend(self.subjects[*test].findings.iter().copied().filter(shared));
        }
        marks
    }
}

impl Meet {
    pub(super) fn position(&self, subject: usize) -> Option<usize> {
        self.subjects.iter().position(|known| *known == subject)
    }
}

fn first_moment(test: &Test) -> u64 {
    test.uses.iter().map(|used| used.from).min().unwrap_or(0)
}

fn members(conflict: &Conflict) -> Vec<Member> {
    let member = |(index, test): (usize, &Test)| Member {
        test: index,
        writes: test.writes(),
        // nextest's processes run side by side.
        place: if is_own_process(test) { 0 } else { test.pid },
    };
    conflict.tests.iter().enumerate().map(member).collect()
}

fn is_own_process(test: &Test) -> bool {
    test.runner == Some(Runner::Nextest)
}

/// Calls `see` for each pair of these tests that meet on one of these findings: with the finding, its position among them,
/// the positions of the two tests among these tests, and those in the finding.
pub(super) fn each_pair(
    suite: &Suite,
    tests: &[usize],
    findings: &[usize],
    mut see: impl FnMut(usize, usize, [usize; 2], [usize; 2]),
) {
    for (resource, finding) in findings.iter().enumerate() {
        let Some(meet) = &suite.meets[*finding] else {
            continue;
        };
        let own: Vec<(usize, usize)> = tests
            .iter()
            .enumerate()
            .filter_map(|(number, test)| Some((number, meet.position(*test)?)))
            .collect();
        for (number, (a, first)) in own.iter().enumerate() {
            for (b, second) in &own[number + 1..] {
                if may_meet(meet, [*first, *second]) {
                    see(*finding, resource, [*a, *b], [*first, *second]);
                }
            }
        }
    }
}

fn may_meet(meet: &Meet, positions: [usize; 2]) -> bool {
    let [a, b] = positions.map(|position| &meet.members[position]);
    (a.writes || b.writes) && a.place == b.place
}

pub(super) fn positions(suite: &Suite, finding: usize, tests: [usize; 2]) -> Option<[usize; 2]> {
    let meet = suite.meets[finding].as_ref()?;
    Some([meet.position(tests[0])?, meet.position(tests[1])?])
}

/// Returns the two tests, if both can be started once more.
pub(super) fn startable(suite: &Suite, finding: usize, positions: [usize; 2]) -> Option<[usize; 2]> {
    let meet = suite.meets[finding].as_ref()?;
    let tests = positions.map(|position| meet.subjects[position]);
    parts(suite, &tests).map(|_| tests)
}

pub(super) fn parts<'s>(suite: &'s Suite, tests: &[usize]) -> Option<Vec<&'s Part>> {
    tests
        .iter()
        .map(|test| suite.subjects[*test].part.as_ref())
        .collect()
}

pub(super) fn resources(suite: &Suite, findings: &[usize]) -> Vec<Resource> {
    let meets = findings
        .iter()
        .filter_map(|finding| suite.meets[*finding].as_ref());
    meets.map(|meet| meet.resource.clone()).collect()
}

/// Returns the time that these tests take alone, one after the other.
pub(super) fn lasted(suite: &Suite, tests: &[usize]) -> Duration {
    let solos = tests.iter().filter_map(|test| suite.subjects[*test].solo.get());
    solos.map(|solo| solo.lasted).sum()
}

pub(super) fn solo_fails(suite: &Suite, test: usize) -> bool {
    suite.subjects[test].solo.get().is_some_and(|solo| solo.fails)
}

pub(super) fn name(suite: &Suite, test: usize) -> &str {
    suite.subjects[test].part.as_ref().map_or("", |part| &part.name)
}

/// How tests were started, each read once.
struct Parts<'a> {
    launch: &'a Launch,
    known: HashMap<(u32, String), Option<Arc<StartedProgram>>>,
}

impl<'a> Parts<'a> {
    fn new(launch: &'a Launch) -> Self {
        Self {
            launch,
            known: HashMap::new(),
        }
    }

    /// Returns `None` for a test that cannot be started once more.
    fn part(&mut self, test: &Test) -> Option<Part> {
        let (pid, own_process) = (test.pid, is_own_process(test));
        let key = (
            pid,
            if own_process {
                test.name().to_owned()
            } else {
                String::new()
            },
        );
        let read = || rerun::started(self.launch, pid, test.name(), own_process).map(Arc::new);
        let started = self.known.entry(key).or_insert_with(read).clone()?;
        Some(Part {
            name: test.name().to_owned(),
            binary: test.binary.clone(),
            started,
            own_process,
        })
    }
}
