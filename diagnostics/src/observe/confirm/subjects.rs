//! The tests of all conflicts, each once, with the results of its solo run.

use super::cover::Contenders;
use super::pairs::{self, ChosenPairs, Member, Timing};
use super::rerun::{self, Runnable};
use crate::observe::launch::{Launch, StartedProgram};
use cofferdam::Resource;
use cofferdam::format::ResourceKind;
use cofferdam::format::Scope;
use cofferdam_conflicts::{Conflict, Kind, Runner, Test};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A test that is in a conflict.
#[derive(Debug)]
pub(super) struct Subject {
    /// `None` if it cannot be started again.
    pub(super) runnable: Option<Runnable>,
    /// The conflicts that it is in.
    pub(super) findings: BTreeSet<usize>,
    pub(super) solo: OnceLock<SoloResult>,
}

/// The result of running a test alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SoloResult {
    /// Set if it failed each time.
    pub(super) fails: bool,
    pub(super) lasted: Duration,
    /// By conflict.
    pub(super) uses: HashMap<usize, SoloUse>,
}

/// The times at which a test used a resource when it ran alone, in microseconds since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SoloUse {
    pub(super) first: u64,
    /// The first change, if it made one.
    pub(super) change: Option<u64>,
}

/// The tests of a conflict, by their positions in it.
#[derive(Debug)]
pub(super) struct ConflictTests {
    pub(super) resource: Resource,
    pub(super) subjects: Vec<usize>,
    pub(super) members: Vec<Member>,
    pub(super) timing: Timing,
    /// The time of each test's first use.
    pub(super) moments: Vec<u64>,
}

#[derive(Debug)]
pub(super) struct RerunSuite {
    pub(super) subjects: Vec<Subject>,
    /// By conflict; `None` for one without a resource.
    pub(super) conflict_tests: Vec<Option<ConflictTests>>,
}

impl RerunSuite {
    pub(super) fn of<'c>(launch: &Launch, conflicts: &'c [Conflict]) -> Self {
        let mut runnables = RunnableCache::new(launch);
        let mut suite = Self {
            subjects: Vec::new(),
            conflict_tests: Vec::new(),
        };
        let mut known: HashMap<(&'c str, &'c str), usize> = HashMap::new();
        for (finding, conflict) in conflicts.iter().enumerate() {
            let mut subjects = Vec::new();
            for test in &conflict.tests {
                let next = suite.subjects.len();
                let subject = *known.entry((&test.binary, test.name())).or_insert(next);
                if subject == next {
                    suite.subjects.push(Subject {
                        runnable: runnables.runnable(test),
                        findings: BTreeSet::new(),
                        solo: OnceLock::new(),
                    });
                }
                suite.subjects[subject].findings.insert(finding);
                subjects.push(subject);
            }
            let members = members(conflict);
            let at_once = pairs::count(&members, Timing::Concurrent) > 0;
            suite
                .conflict_tests
                .push(conflict.resource.clone().map(|resource| ConflictTests {
                    resource,
                    subjects,
                    members,
                    timing: if at_once && conflict.kind != Kind::OrderLeak {
                        Timing::Concurrent
                    } else {
                        Timing::Sequential
                    },
                    moments: conflict.tests.iter().map(first_moment).collect(),
                }));
        }
        suite
    }

    /// Makes tests writers that changed the resource when they ran alone. A test that changed it only beside others stays a
    /// writer.
    pub(super) fn take_roles(&mut self) {
        for (finding, entry) in self.conflict_tests.iter_mut().enumerate() {
            let Some(entry) = entry else { continue };
            for (member, subject) in entry.members.iter_mut().zip(&entry.subjects) {
                let solo = self.subjects[*subject].solo.get();
                let alone = solo.and_then(|solo| solo.uses.get(&finding));
                member.writes |= alone.is_some_and(|alone| alone.change.is_some());
            }
        }
    }

    /// Returns the findings on paths to which a variable leads that one of their tests changes: alone, the other tests read
    /// the variable and do not use the path. What ends the conflict on the variable ends these too.
    pub(super) fn reached_by_variables(&self) -> BTreeSet<usize> {
        let of_kind = |is_it: fn(&Resource) -> bool| {
            let findings = self.conflict_tests.iter().enumerate();
            findings.filter_map(move |(finding, entry)| {
                let entry = entry.as_ref()?;
                (entry.timing == Timing::Concurrent && is_it(&entry.resource)).then_some((finding, entry))
            })
        };
        let is_variable = |resource: &Resource| resource.kind() == ResourceKind::Env;
        let is_reached = |(path, entry): &(usize, &ConflictTests)| {
            of_kind(is_variable).any(|(variable, users)| {
                let mut own_way = entry.subjects.iter().filter(|test| {
                    let solo = self.subjects[**test].solo.get();
                    !solo.is_some_and(|solo| {
                        solo.uses.contains_key(&variable) && !solo.uses.contains_key(path)
                    })
                });
                let changes = |test: &usize| {
                    let position = users.position(*test);
                    position.is_some_and(|position| users.members[position].writes)
                };
                entry.subjects.iter().all(|test| users.position(*test).is_some())
                    && own_way.next().is_none_or(changes)
                    && own_way.next().is_none()
            })
        };
        let paths = of_kind(|resource| resource.path().is_some());
        paths.filter(is_reached).map(|(finding, _)| finding).collect()
    }

    /// Leaves these findings out of all runs.
    pub(super) fn leave_out(&mut self, findings: &BTreeSet<usize>) {
        for finding in findings {
            self.conflict_tests[*finding] = None;
        }
    }

    /// Returns the contenders of all conflicts, and the conflict of each.
    pub(super) fn contenders(&self) -> (Vec<Contenders>, Vec<usize>) {
        let (mut contenders, mut findings) = (Vec::new(), Vec::new());
        for (finding, entry) in self.conflict_tests.iter().enumerate() {
            let Some(entry) = entry.as_ref().filter(|entry| entry.timing == Timing::Concurrent) else {
                continue;
            };
            let mut places: BTreeMap<u32, Contenders> = BTreeMap::new();
            for (member, subject) in entry.members.iter().zip(&entry.subjects) {
                if self.subjects[*subject].runnable.is_none() {
                    continue;
                }
                let crowd = places.entry(member.place).or_insert_with(|| Contenders {
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
                    contenders.push(crowd);
                    findings.push(finding);
                }
            }
        }
        (contenders, findings)
    }

    pub(super) fn chosen(&self, finding: usize) -> ChosenPairs {
        self.conflict_tests[finding]
            .as_ref()
            .map(|entry| pairs::chosen(&entry.members, entry.timing))
            .unwrap_or_default()
    }

    /// Returns the directories of the packages of all tests.
    pub(super) fn folders(&self) -> BTreeSet<PathBuf> {
        let runnables = self
            .subjects
            .iter()
            .filter_map(|subject| subject.runnable.as_ref());
        runnables.map(|runnable| runnable.started.dir.clone()).collect()
    }

    /// Returns the marks of a [`Task`](super::task_queue::Task) that runs these tests: one for each test, and one for each
    /// resource that they share with other processes.
    pub(super) fn marks(&self, tests: &[usize]) -> BTreeSet<usize> {
        let shared = |finding: &usize| {
            self.conflict_tests[*finding]
                .as_ref()
                .is_some_and(|entry| entry.resource.kind().scope() != Scope::Process)
        };
        let mut marks = BTreeSet::new();
        for test in tests {
            marks.insert(self.conflict_tests.len() + test);
            marks.extend(self.subjects[*test].findings.iter().copied().filter(shared));
        }
        marks
    }
}

impl ConflictTests {
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

/// Calls `see` for each pair of these tests that can interfere in one of these conflicts. Passes the conflict, its position in
/// `findings`, the positions of the two tests in `tests`, and those in the conflict.
pub(super) fn each_pair(
    suite: &RerunSuite,
    tests: &[usize],
    findings: &[usize],
    mut see: impl FnMut(usize, usize, [usize; 2], [usize; 2]),
) {
    for (resource, finding) in findings.iter().enumerate() {
        let Some(entry) = &suite.conflict_tests[*finding] else {
            continue;
        };
        let own: Vec<(usize, usize)> = tests
            .iter()
            .enumerate()
            .filter_map(|(number, test)| Some((number, entry.position(*test)?)))
            .collect();
        for (number, (a, first)) in own.iter().enumerate() {
            for (b, second) in &own[number + 1..] {
                if may_meet(entry, [*first, *second]) {
                    see(*finding, resource, [*a, *b], [*first, *second]);
                }
            }
        }
    }
}

pub(super) fn may_meet(entry: &ConflictTests, positions: [usize; 2]) -> bool {
    let [a, b] = positions.map(|position| &entry.members[position]);
    (a.writes || b.writes) && a.place == b.place
}

pub(super) fn positions(suite: &RerunSuite, finding: usize, tests: [usize; 2]) -> Option<[usize; 2]> {
    let entry = suite.conflict_tests[finding].as_ref()?;
    Some([entry.position(tests[0])?, entry.position(tests[1])?])
}

/// Returns the two tests if both can be started again.
pub(super) fn startable(suite: &RerunSuite, finding: usize, positions: [usize; 2]) -> Option<[usize; 2]> {
    let entry = suite.conflict_tests[finding].as_ref()?;
    let tests = positions.map(|position| entry.subjects[position]);
    runnables(suite, &tests).map(|_| tests)
}

pub(super) fn runnables<'s>(suite: &'s RerunSuite, tests: &[usize]) -> Option<Vec<&'s Runnable>> {
    tests
        .iter()
        .map(|test| suite.subjects[*test].runnable.as_ref())
        .collect()
}

pub(super) fn resources(suite: &RerunSuite, findings: &[usize]) -> Vec<Resource> {
    let conflict_tests = findings
        .iter()
        .filter_map(|finding| suite.conflict_tests[*finding].as_ref());
    conflict_tests.map(|entry| entry.resource.clone()).collect()
}

/// Returns the sum of the durations of these tests when they ran alone.
pub(super) fn lasted(suite: &RerunSuite, tests: &[usize]) -> Duration {
    let solos = tests.iter().filter_map(|test| suite.subjects[*test].solo.get());
    solos.map(|solo| solo.lasted).sum()
}

pub(super) fn solo_fails(suite: &RerunSuite, test: usize) -> bool {
    suite.subjects[test].solo.get().is_some_and(|solo| solo.fails)
}

/// Returns whether both tests pass alone and do not use the resource then, such as a path with a random name. No pause brings
/// them together there, and the time is better spent on other pairs.
pub(super) fn is_unused_alone(suite: &RerunSuite, finding: usize, positions: [usize; 2]) -> bool {
    suite.conflict_tests[finding].as_ref().is_some_and(|entry| {
        positions.iter().all(|position| {
            let solo = suite.subjects[entry.subjects[*position]].solo.get();
            solo.is_some_and(|solo| !solo.fails && !solo.uses.contains_key(&finding))
        })
    })
}

pub(super) fn name(suite: &RerunSuite, test: usize) -> &str {
    suite.subjects[test]
        .runnable
        .as_ref()
        .map_or("", |runnable| &runnable.name)
}

/// A cache of how test programs were started.
struct RunnableCache<'a> {
    launch: &'a Launch,
    known: HashMap<(u32, String), Option<Arc<StartedProgram>>>,
}

impl<'a> RunnableCache<'a> {
    fn new(launch: &'a Launch) -> Self {
        Self {
            launch,
            known: HashMap::new(),
        }
    }

    /// Returns `None` for a test that cannot be started again.
    fn runnable(&mut self, test: &Test) -> Option<Runnable> {
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
        Some(Runnable {
            name: test.name().to_owned(),
            binary: test.binary.clone(),
            started,
            own_process,
        })
    }
}
