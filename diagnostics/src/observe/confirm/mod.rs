//! Runs the tests that met once more and grades their pairs.
//!
//! `suite` has the tests, `cover` the groups that run at one time, `pairs` the pairs left to run; `pauses` says how long they
//! pause, `rerun` runs them, `windows` reads what the observer wrote of that, `grade` judges, `readers` tells a lock for
//! readers and writers from none, `proof` says when a failure is no chance, `outcome` enters the grades into the
//! findings. All but `rerun` are data in, data out; `steps` takes a test from one to the next.

mod cover;
mod env_lock;
mod grade;
mod outcome;
mod pairs;
mod paused_runs;
mod pauses;
mod proof;
mod proving;
mod reader_locks;
mod rerun;
mod steps;
mod subjects;
mod task_queue;
mod timelines;

use super::interruption::Interruption;
use super::launch::Launch;
use super::leftovers::FileSnapshot;
use crate::findings::{ReproducedClass, Reproduction, shared_uses};
use cofferdam::{Access, Resource};
use cofferdam_conflicts::{Conflict, Grade, Pair, Use};
pub(crate) use paused_runs::PausedRuns;
use rerun::Rerunner;
pub(crate) use rerun::StoppedRun;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use steps::Confirmation;
use subjects::RerunSuite;

/// The limits of a confirmation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConfirmOptions {
    /// The time for grading all pairs; proving that a test fails may take as long again.
    pub(crate) budget: Duration,
    /// The maximum number of runs at once.
    pub(crate) jobs: usize,
}

/// What reruns did besides grading the findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RerunReport {
    /// Tests that were stopped.
    pub(crate) stopped: Vec<StoppedRun>,
    /// Files that are in the packages since then.
    pub(crate) left: Vec<PathBuf>,
    /// The failures that were shown to come from a resource.
    pub(crate) reproductions: Vec<Reproduction>,
}

/// What can be reported while it goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ConfirmEvent<'a> {
    Begun {
        pairs: usize,
        budget: Duration,
    },
    /// One pair has its grade, or a graver one than before.
    Graded {
        resource: &'a Resource,
        tests: [&'a str; 2],
        grade: Grade,
        /// Whether it is the pair's first.
        first: bool,
    },
    Over {
        /// Pairs without a grade: there was no time for them.
        left: usize,
    },
}

/// Grades the conflicts, and removes those that follow from another one; an interruption ends it early. A role that a test has
/// only when it runs alone is entered too.
pub(crate) fn confirm(
    launch: &Launch,
    conflicts: &mut Vec<Conflict>,
    options: ConfirmOptions,
    interruption: &Interruption,
    see: &(dyn Fn(ConfirmEvent<'_>) + Sync),
) -> RerunReport {
    let mut suite = RerunSuite::of(launch, conflicts);
    see(ConfirmEvent::Begun {
        pairs: (0..conflicts.len())
            .map(|conflict| suite.chosen(conflict).pairs.len())
            .sum(),
        budget: options.budget,
    });
    let snapshot = FileSnapshot::take(suite.folders());
    let rerunner = Rerunner::new(launch, interruption);
    let grades = Grades {
        conflicts: &*conflicts,
        graded: Mutex::default(),
        reproductions: Mutex::default(),
        see,
    };
    let (is_over, consequences) = {
        let steps = Confirmation::new(&rerunner, &grades, options);
        steps.run_alone(&suite);
        suite.take_roles();
        let consequences = suite.reached_by_variables();
        suite.leave_out(&consequences);
        steps.grade(&suite);
        let is_over = rerunner.is_over();
        steps.prove(&suite);
        (is_over, consequences)
    };
    let (graded, reproductions) = grades.into_results();
    // A role that a test has only alone makes further pairs.
    let chosen: Vec<pairs::ChosenPairs> = (0..conflicts.len())
        .map(|conflict| suite.chosen(conflict))
        .collect();
    let chosen_keys = chosen
        .iter()
        .enumerate()
        .flat_map(|(finding, chosen)| chosen.pairs.iter().map(move |tests| (finding, sorted(*tests))));
    let left = chosen_keys
        .filter(|key| is_over && !graded.contains_key(key))
        .count();
    enter_roles(&suite, conflicts);
    enter_failures(&suite, conflicts);
    outcome::enter(graded, &chosen, conflicts);
    let mut finding = 0..;
    conflicts.retain(|_| {
        finding
            .next()
            .is_none_or(|finding| !consequences.contains(&finding))
    });
    see(ConfirmEvent::Over { left });
    let stopped = rerunner.stopped();
    let mut left: BTreeSet<PathBuf> = snapshot.new_files().into_iter().collect();
    left.extend(stopped.iter().flat_map(|stopped| stopped.left.iter().cloned()));
    RerunReport {
        stopped,
        left: left.into_iter().collect(),
        reproductions,
    }
}

/// Enters the roles that tests had alone. The line in the test is that of its first use in the suite; the innermost line of
/// the write is not known.
fn enter_roles(suite: &RerunSuite, conflicts: &mut [Conflict]) {
    for (entry, conflict) in suite.conflict_tests.iter().zip(conflicts) {
        let Some(entry) = entry else { continue };
        for (member, test) in entry.members.iter().zip(&mut conflict.tests) {
            if !member.writes || test.writes() {
                continue;
            }
            let test_place = test.uses.iter().find_map(|used| used.test_place.clone());
            let (from, to) = test.uses.first().map_or((0, 0), |used| (used.from, used.to));
            test.uses.push(Use {
                access: Some(Access::Write),
                service: None,
                place: None,
                test_place,
                from,
                to,
            });
        }
    }
}

/// Enters which tests fail when they are started by their names alone, for their runs show little.
fn enter_failures(suite: &RerunSuite, conflicts: &mut [Conflict]) {
    for (entry, conflict) in suite.conflict_tests.iter().zip(conflicts) {
        let subjects = entry.iter().flat_map(|entry| &entry.subjects);
        for (subject, test) in subjects.zip(&mut conflict.tests) {
            let solo = suite.subjects[*subject].solo.get();
            test.fails_alone = solo.is_some_and(|solo| solo.fails);
        }
    }
}

/// A pair, by finding and tests, of which the first has the smaller number.
type Key = (usize, [usize; 2]);

fn sorted([a, b]: [usize; 2]) -> [usize; 2] {
    [a.min(b), a.max(b)]
}

/// The grades of the pairs so far.
struct Grades<'a> {
    conflicts: &'a [Conflict],
    graded: Mutex<HashMap<Key, Pair>>,
    reproductions: Mutex<Vec<Reproduction>>,
    see: &'a (dyn Fn(ConfirmEvent<'_>) + Sync),
}

impl Grades<'_> {
    /// Enters a grade, which replaces one that says less. `tests` are in the order in which `why` speaks of them.
    fn enter(&self, finding: usize, tests: [usize; 2], grade: Grade, why: String, tries: u32) {
        let mut graded = self.graded.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (finding, sorted(tests));
        let known = graded.get(&key);
        let first = known.is_none();
        let tries = tries + known.map_or(0, |pair| pair.tries);
        let pair = match known {
            Some(known) if strength(known.grade) > strength(grade) => Pair {
                tries,
                ..known.clone()
            },
            _ => Pair {
                tests,
                grade,
                tries,
                reason: why,
            },
        };
        let conflict = &self.conflicts[finding];
        if let Some(resource) = &conflict.resource {
            (self.see)(ConfirmEvent::Graded {
                resource,
                tests: tests.map(|test| conflict.tests[test].name()),
                grade: pair.grade,
                first,
            });
        }
        graded.insert(key, pair);
    }

    fn of(&self, finding: usize, tests: [usize; 2]) -> Option<Grade> {
        let graded = self.graded.lock().unwrap_or_else(PoisonError::into_inner);
        graded.get(&(finding, sorted(tests))).map(|pair| pair.grade)
    }

    /// Returns whether the pair was tried, and that showed something.
    fn is_decided(&self, finding: usize, tests: [usize; 2]) -> bool {
        self.of(finding, tests)
            .is_some_and(|grade| grade != Grade::Potential)
    }

    /// Returns the tests of a finding that are in a pair with a result.
    fn decided_tests(&self, finding: usize) -> HashSet<usize> {
        let graded = self.graded.lock().unwrap_or_else(PoisonError::into_inner);
        let own = graded
            .iter()
            .filter(|((of, _), pair)| *of == finding && pair.grade != Grade::Potential);
        own.flat_map(|((_, tests), _)| *tests).collect()
    }

    /// Returns whether tests of the finding were seen to interfere.
    fn is_unguarded(&self, finding: usize) -> bool {
        let graded = self.graded.lock().unwrap_or_else(PoisonError::into_inner);
        graded
            .iter()
            .any(|((of, _), pair)| *of == finding && pair.grade >= Grade::Unguarded)
    }

    /// Returns the number of pairs with that grade, and the keys.
    fn with(&self, grade: Grade) -> Vec<Key> {
        let graded = self.graded.lock().unwrap_or_else(PoisonError::into_inner);
        let own = graded.iter().filter(|(_, pair)| pair.grade == grade);
        let mut keys: Vec<Key> = own.map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys
    }

    /// Adds a failure through the resource of a finding, which may be one of several.
    fn add_reproduction(&self, finding: usize, mut reproduction: Reproduction) {
        let conflict = &self.conflicts[finding..=finding];
        let is_race = reproduction.class == ReproducedClass::Race;
        reproduction.uses = shared_uses(&reproduction.test, &reproduction.culprits, is_race, conflict);
        let mut all = self.reproductions.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.iter_mut().find(|known| {
            let is_same = known.test == reproduction.test && known.culprits == reproduction.culprits;
            !is_race && is_same && known.class == reproduction.class
        });
        match known {
            Some(known) => known.uses.extend(reproduction.uses),
            None => all.push(reproduction),
        }
    }

    fn into_results(self) -> (HashMap<Key, Pair>, Vec<Reproduction>) {
        let graded = self.graded.into_inner().unwrap_or_else(PoisonError::into_inner);
        let reproductions = self.reproductions.into_inner();
        (graded, reproductions.unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is known replaces what is not; of what is known, the graver.
fn strength(grade: Grade) -> u8 {
    match grade {
        Grade::Potential => 0,
        Grade::Guarded => 1,
        Grade::OrderDependent => 2,
        Grade::Unguarded => 3,
        Grade::Reproduced => 4,
    }
}
