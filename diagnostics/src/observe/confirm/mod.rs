//! Reruns the tests of conflicts with pauses at the shared resources, and grades their pairs.
//!
//! - `steps` schedules the reruns of all tests through `task_queue`; `proving` goes on with those that failed.
//! - `subjects` lists the tests, `cover` groups those that can run together, `pairs` selects the pairs to try.
//! - `pauses` computes how long the tests pause; `rerun` runs them; `timelines` reads the observer's logs of the rerun.
//! - `grade` decides from timelines whether two tests overlapped or one waited. `env_lock` recognizes waits for std's own
//!   lock, `reader_locks` distinguishes a reader-writer lock from no lock.
//! - `static_orders` runs the tests that share statics in both orders, `statics` their pairs.
//! - `proof` decides whether a failure is more than chance. `outcome` enters the grades into the conflicts.
//!
//! Only `rerun` starts processes. `cover`, `pairs`, `pauses`, `grade`, `reader_locks`, `proof` and `outcome` are
//! functions of their arguments.

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
mod static_orders;
mod statics;
mod steps;
mod subjects;
mod task_queue;
mod timelines;

use super::interruption::Interruption;
use super::launch::Launch;
use super::leftovers::FileSnapshot;
use super::scene_runner::SceneRunner;
use crate::findings::{ReproducedClass, Reproduction, shared_uses};
use cofferdam::{Access, Resource};
use cofferdam_conflicts::{Conflict, Grade, Pair, Use};
pub(crate) use paused_runs::PausedRuns;
pub(crate) use rerun::StoppedRun;
use rerun::{RUN_LIMIT, Rerunner};
pub(crate) use statics::StaticCandidates;
use statics::StaticResults;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use steps::Confirmation;
use subjects::RerunSuite;

/// The limits of a confirmation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConfirmOptions {
    /// The time for grading all pairs; proving that tests fail, also through statics, may take as long again.
    pub(crate) budget: Duration,
    /// The maximum number of runs at once.
    pub(crate) jobs: usize,
}

/// Side effects of the reruns, for the report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RerunReport {
    /// Runs that were stopped, because they took too long or the time was over.
    pub(crate) stopped: Vec<StoppedRun>,
    /// Files in the packages that did not exist before the reruns.
    pub(crate) left: Vec<PathBuf>,
    /// The failures that were shown to come from a resource.
    pub(crate) reproductions: Vec<Reproduction>,
    /// The number of pairs of tests at a shared static that were tried, and of all such pairs.
    pub(crate) static_pairs: (u64, u64),
}

/// A step of a confirmation, for its progress display.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ConfirmEvent<'a> {
    Begun {
        pairs: usize,
        budget: Duration,
    },
    /// Each of this number of tests, those that can be started again, runs alone.
    Alone {
        tests: usize,
    },
    /// Groups and pairs of tests run, with pauses.
    Together,
    /// Pairs that met run again, so that a test may fail.
    Proving,
    /// The tests that share statics run one after the other, in two orders.
    InOrder,
    /// This number of pairs of tests that share statics is tried.
    Statics {
        pairs: usize,
    },
    /// A pair got its first grade, or a more severe one.
    Graded {
        resource: &'a Resource,
        tests: [&'a str; 2],
        grade: Grade,
        /// Set for the pair's first grade.
        first: bool,
    },
    Over {
        /// The number of pairs without a grade, because the time was over.
        left: usize,
    },
}

/// Grades the conflicts, and removes those that follow from another one; an interruption ends it early. Also records the tests
/// that change a resource only when they run alone. Adds the conflicts on shared statics that were reproduced.
pub(crate) fn confirm(
    launch: &Launch,
    conflicts: &mut Vec<Conflict>,
    statics: Option<(StaticCandidates, SceneRunner<'_>)>,
    options: ConfirmOptions,
    interruption: &Interruption,
    see: &(dyn Fn(ConfirmEvent<'_>) + Sync),
) -> RerunReport {
    let mut suite = RerunSuite::of(launch, conflicts);
    let pairs = (0..conflicts.len())
        .map(|conflict| suite.chosen(conflict).pairs.len())
        .sum();
    let budget = options.budget;
    see(ConfirmEvent::Begun { pairs, budget });
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
        let subjects = suite.subjects.iter();
        let tests = subjects.filter(|subject| subject.runnable.is_some()).count();
        see(ConfirmEvent::Alone { tests });
        steps.run_alone(&suite);
        suite.take_roles();
        let consequences = suite.reached_by_variables();
        suite.leave_out(&consequences);
        see(ConfirmEvent::Together);
        steps.grade(&suite);
        let is_over = rerunner.is_over();
        steps.prove(&suite);
        (is_over, consequences)
    };
    let (graded, reproductions) = grades.into_results();
    // A test that is a writer only when it runs alone adds pairs.
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
    let mut of_statics = StaticResults::default();
    if let Some((mut candidates, runner)) = statics {
        let until = options.budget.saturating_mul(2);
        rerunner.allow(until.min(rerunner.elapsed().saturating_add(options.budget / 4)));
        let runner = runner.deadline(rerunner.end());
        see(ConfirmEvent::InOrder);
        static_orders::add(&mut candidates, &runner);
        rerunner.allow(until);
        let limit = RUN_LIMIT + 4 * candidates.longest;
        let runner = runner.deadline(rerunner.end()).limit(limit);
        let suite = RerunSuite::of(launch, &candidates.conflicts);
        of_statics = statics::try_pairs(&rerunner, runner, &suite, &candidates, conflicts, options, see);
        conflicts.extend(of_statics.reproduced);
    }
    see(ConfirmEvent::Over { left });
    let stopped = rerunner.stopped();
    let mut left: BTreeSet<PathBuf> = snapshot.new_files().into_iter().collect();
    left.extend(stopped.iter().flat_map(|stopped| stopped.left.iter().cloned()));
    RerunReport {
        stopped,
        left: left.into_iter().collect(),
        reproductions: [reproductions, of_statics.reproductions].concat(),
        static_pairs: of_statics.tried,
    }
}

/// Adds a write to tests that changed the resource only when they ran alone. Its line in the test is that of the test's first
/// use in the suite; the innermost line is not known.
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

/// Marks the tests that fail when started by name alone, since their reruns show little.
fn enter_failures(suite: &RerunSuite, conflicts: &mut [Conflict]) {
    for (entry, conflict) in suite.conflict_tests.iter().zip(conflicts) {
        let subjects = entry.iter().flat_map(|entry| &entry.subjects);
        for (subject, test) in subjects.zip(&mut conflict.tests) {
            let solo = suite.subjects[*subject].solo.get();
            test.fails_alone = solo.is_some_and(|solo| solo.fails);
        }
    }
}

/// A pair: the conflict, and the positions of its two tests in ascending order.
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
    /// Records a grade if it is stronger than the one so far. `tests` are in the order in which `why` names them.
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

    /// Returns whether a rerun of the pair had a result.
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

    /// Returns the pairs with that grade.
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

/// Returns the rank of a grade: any result replaces `Potential`, and a more severe one replaces a less severe one.
fn strength(grade: Grade) -> u8 {
    match grade {
        Grade::Potential => 0,
        Grade::Guarded => 1,
        Grade::OrderDependent => 2,
        Grade::Unguarded => 3,
        Grade::Reproduced => 4,
    }
}
