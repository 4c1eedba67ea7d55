//! The steps of a confirmation: runs each test alone, then groups and pairs with pauses, and grades the pairs.

use super::cover::{self, RunGroup};
use super::grade::{self, Decision, PairRun, RunEvidence, Wait, count, judge, weigh};
use super::pairs::{self, EXHAUSTIVE, TestPair, Timing};
use super::pauses::Pauses;
use super::proof;
use super::reader_locks;
use super::rerun::{Rerunner, RunResult, TestOutcome, held_at_once};
use super::subjects::{
    RerunSuite, SoloResult, SoloUse, each_pair, is_unused_alone, lasted, name, positions, resources,
    runnables, solo_fails, startable,
};
use super::task_queue::{Task, run_all};
use super::timelines::Timeline;
use super::{ConfirmOptions, Grades, Key, sorted};
use crate::rates::FailureRate;
use cofferdam::Resource;
use cofferdam_conflicts::Grade;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The maximum number of tests that run at the same time: as threads of one process, and as processes.
const MAX_THREADS: usize = 48;
const MAX_PROCESSES: usize = 12;
/// The largest number of tests at a resource whose guard several runs have to show. If there are more, one run shows it, since
/// many of them wait.
const SMALL_GROUP: usize = 4;
/// A test must pass alone this many times in a row, within [`ALONE`] runs: leftovers of a failure may make it fail once.
const PASSES: usize = 2;
const ALONE: usize = 3;

pub(super) struct Confirmation<'a> {
    pub(super) rerunner: &'a Rerunner<'a>,
    pub(super) grades: &'a Grades<'a>,
    pub(super) options: ConfirmOptions,
    /// Tests that failed beside others but not alone.
    pub(super) failed: Mutex<HashSet<usize>>,
    /// The failure rates, alone and beside the other test, of tests that fail alone.
    pub(super) dependences: Mutex<HashMap<[usize; 2], (FailureRate, FailureRate)>>,
}

/// The conditions of a pair's run.
struct RunConditions<'r> {
    resources: &'r [Resource],
    pauses: Pauses,
    /// The number of runs so far.
    tries: u32,
}

impl<'a> Confirmation<'a> {
    pub(super) fn new(rerunner: &'a Rerunner<'a>, grades: &'a Grades<'a>, options: ConfirmOptions) -> Self {
        Self {
            rerunner,
            grades,
            options,
            failed: Mutex::default(),
            dependences: Mutex::default(),
        }
    }

    pub(super) fn run_tasks<T: Send>(&self, tasks: Vec<Task<T>>, work: impl Fn(T) + Sync) {
        run_all(tasks, self.options.jobs, &|| self.rerunner.is_over(), &work);
    }

    /// Runs each test alone, for at most half of the time budget.
    pub(super) fn run_alone(&self, suite: &RerunSuite) {
        self.rerunner.allow(self.options.budget / 2);
        let startable = (0..suite.subjects.len()).filter(|test| suite.subjects[*test].runnable.is_some());
        let tasks = startable.map(|test| Task {
            work: test,
            marks: suite.marks(&[test]),
        });
        self.run_tasks(tasks.collect(), |test| {
            let subject = &suite.subjects[test];
            if let Some(solo) = self.solo(suite, test) {
                // No other task sets it.
                let _ = subject.solo.set(solo);
            }
        });
    }

    fn solo(&self, suite: &RerunSuite, test: usize) -> Option<SoloResult> {
        let subject = &suite.subjects[test];
        let runnable = subject.runnable.as_ref()?;
        let own = subject.findings.iter().filter_map(|finding| {
            let entry = suite.conflict_tests[*finding].as_ref()?;
            Some((*finding, entry.resource.clone()))
        });
        let (findings, resources): (Vec<usize>, Vec<Resource>) = own.unzip();
        let mut solo = SoloResult::default();
        // Leftovers of the suite may make it fail once.
        for _ in 0..2 {
            let result = self
                .rerunner
                .run(&[runnable], &resources, None, Duration::ZERO)
                .ok()?;
            let timeline = &result.timelines[0];
            let uses = findings.iter().enumerate().filter_map(|(position, finding)| {
                let used = SoloUse {
                    first: timeline.arrival(position)?,
                    change: timeline.change(position).map(|change| change.after),
                };
                Some((*finding, used))
            });
            solo = SoloResult {
                fails: result.outcomes[0] == TestOutcome::Failed,
                lasted: result.lasted,
                uses: uses.collect(),
            };
            match result.outcomes[0] {
                TestOutcome::Stopped => return None,
                TestOutcome::Passed => break,
                TestOutcome::Failed => {}
            }
        }
        Some(solo)
    }

    /// Grades all pairs within the time budget.
    pub(super) fn grade(&self, suite: &RerunSuite) {
        self.rerunner.allow(self.options.budget);
        for (finding, entry) in suite.conflict_tests.iter().enumerate() {
            if entry
                .as_ref()
                .is_none_or(|entry| entry.timing == Timing::Sequential)
            {
                continue;
            }
            for positions in suite.chosen(finding).pairs {
                let why = if startable(suite, finding, positions).is_none() {
                    grade::NOT_STARTED
                } else if is_unused_alone(suite, finding, positions) {
                    grade::NOT_BOTH
                } else {
                    continue;
                };
                self.grades
                    .enter(finding, positions, Grade::Potential, why.to_owned(), 0);
            }
        }
        let groups = self.cover_groups(suite);
        self.run_pairs(suite, &groups);
        for (finding, entry) in suite.conflict_tests.iter().enumerate() {
            let Some(entry) = entry.as_ref().filter(|entry| entry.timing == Timing::Sequential) else {
                continue;
            };
            for [a, b] in suite.chosen(finding).pairs {
                // The test of the earlier program comes first.
                let positions = if entry.moments[b] < entry.moments[a] {
                    [b, a]
                } else {
                    [a, b]
                };
                self.order(suite, finding, positions);
            }
        }
    }

    /// Runs groups of tests that share resources, all tests of a group at the same time.
    fn cover_groups(&self, suite: &RerunSuite) -> Vec<RunGroup> {
        let (contenders, findings) = suite.contenders();
        let resource = |crowd: &usize| {
            suite.conflict_tests[findings[*crowd]]
                .as_ref()
                .map(|entry| &entry.resource)
        };
        let held = |some: &[usize]| held_at_once(&some.iter().filter_map(resource).collect::<Vec<_>>());
        let mut runnables = suite
            .subjects
            .iter()
            .filter_map(|subject| subject.runnable.as_ref());
        let most = if runnables.any(|runnable| runnable.own_process) {
            MAX_PROCESSES
        } else {
            MAX_THREADS
        };
        let groups = cover::groups(&contenders, most, &held);
        let tasks = groups.iter().map(|group| Task {
            work: group,
            marks: suite.marks(&group.tests),
        });
        self.run_tasks(tasks.collect(), |group: &RunGroup| {
            let own: Vec<usize> = group.contenders.iter().map(|crowd| findings[*crowd]).collect();
            self.cover(suite, &group.tests, &own);
        });
        groups
    }

    /// Runs the two tests of each pair that no group decided: held at all that they share, then at each resource that this did
    /// not decide. Findings without a result come first, with one pair each; those with an unguarded pair come last, since
    /// more pairs say little more about them.
    fn run_pairs(&self, suite: &RerunSuite, groups: &[RunGroup]) {
        let is_untried = |finding: usize| self.grades.decided_tests(finding).is_empty();
        let is_open = |finding: usize| !self.grades.is_unguarded(finding);
        // Whole pairs first: only they show a guard for all that two tests share.
        type IsDue<'a> = &'a (dyn Fn(usize) -> bool + Sync);
        let stages: [(IsDue<'_>, usize, bool); 6] = [
            (&is_untried, 1, false),
            (&is_open, usize::MAX, false),
            (&is_untried, 1, true),
            (&is_open, usize::MAX, true),
            (&|_| true, usize::MAX, false),
            (&|_| true, usize::MAX, true),
        ];
        let tried: Mutex<HashSet<(bool, Key)>> = Mutex::default();
        for (is_due, most, at_one) in stages {
            let undecided = |finding: usize| {
                if is_due(finding) {
                    self.undecided(suite, finding)
                } else {
                    Vec::new()
                }
            };
            let of_finding = |finding: usize| {
                let mut pairs = undecided(finding);
                // A run at all shared resources decides other findings besides.
                pairs.truncate(if at_one { most } else { usize::MAX });
                let tests = |positions: &[usize; 2]| startable(suite, finding, *positions).map(sorted);
                pairs.iter().filter_map(tests).collect()
            };
            let pairs = pairs::in_turns((0..suite.conflict_tests.len()).map(of_finding), most);
            let tasks = pairs.into_iter().map(|pair| Task {
                marks: suite.marks(&pair.tests),
                work: pair,
            });
            self.run_tasks(tasks.collect(), |TestPair { tests, mut findings }| {
                findings.retain(|finding| {
                    // Runs since then may have decided it.
                    let positions = positions(suite, *finding, tests).map(sorted);
                    let positions = positions.filter(|positions| undecided(*finding).contains(positions));
                    let mut tried = tried.lock().unwrap_or_else(PoisonError::into_inner);
                    positions.is_some_and(|positions| tried.insert((at_one, (*finding, positions))))
                });
                if at_one {
                    for finding in findings {
                        if let Some(positions) = positions(suite, finding, tests) {
                            self.entry(suite, finding, sorted(positions));
                        }
                    }
                } else if !findings.is_empty() && !groups.iter().any(|group| group.tests == tests) {
                    let held = held_at_once(&resources(suite, &findings).iter().collect::<Vec<_>>());
                    self.cover(suite, &tests, &findings[..held]);
                }
            });
        }
    }

    /// Returns the pairs of a conflict that still need a result, the most promising first. If there are many, only enough for each
    /// test to be in a pair with a result.
    fn undecided(&self, suite: &RerunSuite, finding: usize) -> Vec<[usize; 2]> {
        let entry = suite.conflict_tests[finding].as_ref();
        let Some(entry) = entry.filter(|entry| entry.timing == Timing::Concurrent) else {
            return Vec::new();
        };
        let chosen = suite.chosen(finding);
        let mut pairs = chosen.pairs;
        pairs.retain(|tests| {
            !self.grades.is_decided(finding, *tests) && !is_unused_alone(suite, finding, *tests)
        });
        let covered = self.grades.decided_tests(finding);
        let is_covered = |tests: &[usize; 2]| tests.iter().all(|test| covered.contains(test));
        if chosen.total > EXHAUSTIVE as u64 {
            pairs.retain(|tests| !is_covered(tests));
        }
        // Tests without a result that pass alone and reach the resource at about the same time.
        pairs.sort_by_key(|tests| {
            let solos = tests.map(|test| suite.subjects[entry.subjects[test]].solo.get());
            let fails = solos.iter().any(|solo| solo.is_none_or(|solo| solo.fails));
            let [a, b] = solos.map(|solo| Some(solo?.uses.get(&finding)?.first));
            let apart = a.zip(b).map(|(a, b)| a.abs_diff(b));
            (is_covered(tests), fails, apart.unwrap_or(u64::MAX))
        });
        pairs
    }

    /// Runs these tests at the same time, held at the resources of these conflicts, and grades their pairs.
    fn cover(&self, suite: &RerunSuite, tests: &[usize], findings: &[usize]) {
        let Some(runnables) = runnables(suite, tests) else {
            return;
        };
        let resources = resources(suite, findings);
        let arrivals: Vec<Option<u64>> = tests
            .iter()
            .map(|test| {
                let solo = suite.subjects[*test].solo.get()?;
                let uses = findings.iter().filter_map(|finding| solo.uses.get(finding));
                uses.map(|used| used.first).min()
            })
            .collect();
        // The pauses of one test at many resources add up, too.
        let usual = if tests.len() > 2 || findings.len() > SMALL_GROUP {
            Pauses::OF_MANY
        } else {
            Pauses::USUAL
        };
        let pauses = match arrivals.as_slice() {
            [Some(a), Some(b)] => usual.until_arrival(a.abs_diff(*b)),
            _ => None,
        };
        let mut pauses = pauses.unwrap_or(usual);
        let rounds = if tests.len() <= SMALL_GROUP {
            grade::WAITING_RUNS
        } else {
            1
        };
        // One run shows the guard of a resource that more tests than these use.
        let is_crowded = |finding: &usize| {
            let entry = suite.conflict_tests[*finding].as_ref();
            let uses = |test: &&usize| entry.is_some_and(|entry| entry.position(**test).is_some());
            tests.iter().filter(uses).count() > SMALL_GROUP
        };
        let crowded: Vec<bool> = findings.iter().map(is_crowded).collect();
        let mut waited: HashMap<(usize, [usize; 2]), Vec<Wait>> = HashMap::new();
        for round in 1..=rounds {
            let result = match self
                .rerunner
                .run(&runnables, &resources, Some(pauses), lasted(suite, tests))
            {
                Ok(result) => result,
                Err(error) => {
                    let why = format!("could not be run again: {error}");
                    let enter = |finding, tests| {
                        self.grades
                            .enter(finding, tests, Grade::Potential, why.clone(), 0)
                    };
                    each_pair(suite, tests, findings, |finding, _, _, tests| {
                        enter(finding, tests)
                    });
                    return;
                }
            };
            self.note_failures(suite, tests, &result);
            let mut is_settled = true;
            each_pair(suite, tests, findings, |finding, resource, pair, positions| {
                if self.grades.is_decided(finding, positions) {
                    return;
                }
                let [a, b] = pair;
                let fails = |test: usize| solo_fails(suite, tests[test]);
                if tests.len() > 2 && (fails(a) || fails(b)) {
                    // Only runs of two tests show which test it depends on.
                    return;
                }
                let run = RunConditions {
                    resources: &resources,
                    pauses,
                    tries: round,
                };
                let outcomes = [result.outcomes[a], result.outcomes[b]];
                if self.enter_dependence(suite, finding, pair.map(|one| tests[one]), outcomes, &run) {
                    return;
                }
                let is_shared = |finding: &usize| {
                    let entry = suite.conflict_tests[*finding].as_ref();
                    entry.is_some_and(|entry| pair.iter().all(|one| entry.position(tests[*one]).is_some()))
                };
                let shared: Vec<usize> = (0..findings.len())
                    .filter(|one| is_shared(&findings[*one]))
                    .collect();
                let evidence = weigh(&result.timelines, &arrivals, pair, &shared, resource);
                let is_late = result.outcomes.contains(&TestOutcome::Stopped);
                let (grade, why) = match evidence {
                    RunEvidence::Overlapped => (Grade::Unguarded, grade::OVERLAPPED),
                    _ if is_late => (Grade::Potential, grade::TIMED_OUT),
                    RunEvidence::Inconclusive(why) => (Grade::Potential, why),
                    RunEvidence::Waited(wait) => {
                        let waits = waited.entry((finding, positions)).or_default();
                        waits.push(wait);
                        if !crowded[resource] && !grade::show_guard(waits) {
                            is_settled = false;
                            return;
                        }
                        (Grade::Guarded, grade::WAITED)
                    }
                };
                // Later rounds only confirm waits of the first.
                if round == 1 || grade != Grade::Potential || waited.contains_key(&(finding, positions)) {
                    self.grades.enter(finding, positions, grade, why.to_owned(), 1);
                }
            });
            if is_settled || self.rerunner.is_over() {
                return;
            }
            pauses = pauses.longer();
        }
    }

    fn note_failures(&self, suite: &RerunSuite, tests: &[usize], result: &RunResult) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        for (test, outcome) in tests.iter().zip(&result.outcomes) {
            if *outcome == TestOutcome::Failed && !solo_fails(suite, *test) {
                failed.insert(*test);
            }
        }
    }

    /// Grades a pair of which one test fails alone and passed in this run, if the other test changes the resource and the
    /// failure rates differ significantly. Returns whether it graded the pair.
    fn enter_dependence(
        &self,
        suite: &RerunSuite,
        finding: usize,
        tests: [usize; 2],
        outcomes: [TestOutcome; 2],
        run: &RunConditions<'_>,
    ) -> bool {
        let Some(entry) = suite.conflict_tests[finding].as_ref() else {
            return false;
        };
        for (one, outcome) in outcomes.into_iter().enumerate() {
            let (test, other) = (tests[one], tests[1 - one]);
            let (Some(position), Some(first)) = (entry.position(test), entry.position(other)) else {
                continue;
            };
            if !solo_fails(suite, test) || outcome != TestOutcome::Passed || !entry.members[first].writes {
                continue;
            }
            let names = [name(suite, test), name(suite, other)];
            let (grade, why) = match self.dependences(suite, [test, other], run) {
                Some((alone, beside)) if proof::needs_other(alone, beside) => {
                    let rates = proof::rates(names[0], names[1], beside, alone);
                    let why = format!("{rates}: it needs that to run first");
                    self.enter_need(suite, finding, [test, other], [beside, alone]);
                    (Grade::OrderDependent, why)
                }
                // A flaky test, which does not hide an overlap.
                Some(_) => continue,
                None => {
                    let [name, other] = names;
                    let why = format!(
                        "{name} fails alone and passed beside {other}, and no time was left to repeat that"
                    );
                    (Grade::Potential, why)
                }
            };
            self.grades
                .enter(finding, [first, position], grade, why, run.tries);
            return true;
        }
        false
    }

    /// Returns the failure rates of a test that fails alone and passed in this run: alone, and beside the other test. Returns
    /// `None` if the time was over or a run had to be stopped.
    fn dependences(
        &self,
        suite: &RerunSuite,
        tests: [usize; 2],
        run: &RunConditions<'_>,
    ) -> Option<(FailureRate, FailureRate)> {
        let known = || self.dependences.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rates) = known().get(&tests) {
            return Some(*rates);
        }
        let alone = self.solo_rate(suite.subjects[tests[0]].runnable.as_ref()?, &[], None)?;
        let mut beside = FailureRate { failed: 0, runs: 1 };
        while !proof::needs_other(alone, beside) && beside.runs < proof::BESIDE_RUNS {
            let [failed, _] = self.failures(suite, &tests, run.resources, Some(run.pauses))?;
            beside.add(failed);
        }
        known().insert(tests, (alone, beside));
        Some((alone, beside))
    }

    /// Runs one pair, held at one resource, and adapts the pauses after each run.
    fn entry(&self, suite: &RerunSuite, finding: usize, positions: [usize; 2]) {
        let Some(tests) = startable(suite, finding, positions) else {
            return;
        };
        let solos = tests.map(|test| suite.subjects[test].solo.get());
        let arrivals = solos.map(|solo| Some(solo?.uses.get(&finding)?.first));
        // Alone, the late one of the two does not use the resource.
        let late = (0..2).find(|test| {
            let other = 1 - *test;
            solos[*test].is_some() && arrivals[*test].is_none() && arrivals[other].is_some()
        });
        let begin = match arrivals {
            [Some(a), Some(b)] => match Pauses::USUAL.until_arrival(a.abs_diff(b)) {
                Some(begin) => begin,
                None => {
                    let why = grade::TOO_FAR.to_owned();
                    return self.grades.enter(finding, positions, Grade::Potential, why, 0);
                }
            },
            _ => Pauses {
                late,
                ..Pauses::USUAL
            },
        };
        let mut tries = Vec::new();
        let mut timelines = Vec::new();
        loop {
            let pauses = match judge(&tries, begin) {
                Decision::RunAgain(pauses) => pauses,
                Decision::HoldReader => {
                    return self.hold_readers(suite, finding, positions, &timelines, count(&tries));
                }
                Decision::Graded(grade, why) => {
                    return self.grades.enter(finding, positions, grade, why, count(&tries));
                }
            };
            let Some(result) = self.run_pair(suite, finding, positions, pauses, count(&tries)) else {
                return;
            };
            tries.push(PairRun::new(
                pauses,
                &result.timelines,
                !result.outcomes.contains(&TestOutcome::Stopped),
            ));
            timelines = result.timelines;
        }
    }

    /// Runs one pair once, held at one resource. Returns `None` if the time is over or the pair got its grade.
    fn run_pair(
        &self,
        suite: &RerunSuite,
        finding: usize,
        positions: [usize; 2],
        pauses: Pauses,
        tries: u32,
    ) -> Option<RunResult> {
        if self.rerunner.is_over() {
            return None;
        }
        let resource = &suite.conflict_tests[finding].as_ref()?.resource;
        let tests = startable(suite, finding, positions)?;
        let runnables = runnables(suite, &tests)?;
        let resource = std::slice::from_ref(resource);
        let result = match self
            .rerunner
            .run(&runnables, resource, Some(pauses), lasted(suite, &tests))
        {
            Ok(result) => result,
            Err(error) => {
                let why = format!("could not be run again: {error}");
                self.grades
                    .enter(finding, positions, Grade::Potential, why, tries);
                return None;
            }
        };
        self.note_failures(suite, &tests, &result);
        let run = RunConditions {
            resources: resource,
            pauses,
            tries: tries + 1,
        };
        let outcomes = [result.outcomes[0], result.outcomes[1]];
        (!self.enter_dependence(suite, finding, tests, outcomes, &run)).then_some(result)
    }

    /// Runs a pair of which a test reads the resource before it changes it: the other test is held at its read meanwhile.
    /// `timelines` are those of a run in which both read at the same time.
    fn hold_readers(
        &self,
        suite: &RerunSuite,
        finding: usize,
        positions: [usize; 2],
        timelines: &[Timeline],
        mut tries: u32,
    ) {
        let Some(tests) = startable(suite, finding, positions) else {
            return;
        };
        let solo = |test: usize| suite.subjects[tests[test]].solo.get()?.uses.get(&finding);
        let graded = |grade, why: &str, tries| {
            self.grades
                .enter(finding, positions, grade, why.to_owned(), tries);
        };
        for changes in (0..2).filter(|test| timelines[*test].changes(0)) {
            let held = 1 - changes;
            let first = solo(held).map(|used| used.first).or(timelines[held].arrival(0));
            let change = solo(changes).and_then(|used| used.change);
            let change = change.or(timelines[changes].change(0).map(|change| change.after));
            let (Some(first), Some(change)) = (first, change) else {
                return graded(Grade::Potential, grade::TOO_FAR, tries);
            };
            let times = reader_locks::Times { held: first, change };
            let (mut waits, mut last) = (Vec::new(), grade::TOO_FAR);
            for attempt in 0..grade::WAITING_RUNS {
                let Some(pauses) = reader_locks::pauses(held, times, attempt) else {
                    break;
                };
                let Some(result) = self.run_pair(suite, finding, positions, pauses, tries) else {
                    return;
                };
                tries += 1;
                match reader_locks::weigh(&result.timelines[held], &result.timelines[changes], change) {
                    RunEvidence::Overlapped => return graded(Grade::Unguarded, grade::OVERLAPPED, tries),
                    _ if result.outcomes.contains(&TestOutcome::Stopped) => {
                        return graded(Grade::Potential, grade::TIMED_OUT, tries);
                    }
                    RunEvidence::Waited(wait) => waits.push(wait),
                    RunEvidence::Inconclusive(why) => last = why,
                }
                if grade::show_guard(&waits) {
                    break;
                }
            }
            if !grade::show_guard(&waits) {
                return graded(Grade::Potential, grade::why_no_guard(&waits, last), tries);
            }
        }
        graded(Grade::Guarded, grade::WAITED, tries);
    }

    /// Runs two tests of programs that run one after the other, in the reverse order: does the first fail because of leftovers
    /// of the second? Before that the first must pass twice in a row, so that its own leftovers are not the cause. It may fail
    /// once even before that, because of leftovers from the suite.
    fn order(&self, suite: &RerunSuite, finding: usize, positions: [usize; 2]) {
        let Some([first, second]) = startable(suite, finding, positions) else {
            return self.grades.enter(
                finding,
                positions,
                Grade::Potential,
                grade::NOT_STARTED.to_owned(),
                0,
            );
        };
        let alone = |test: usize| {
            if self.rerunner.is_over() {
                return None;
            }
            let runnable = suite.subjects[test].runnable.as_ref()?;
            let result = self.rerunner.run(&[runnable], &[], None, Duration::ZERO).ok()?;
            Some(result.outcomes[0]).filter(|outcome| *outcome != TestOutcome::Stopped)
        };
        let [a, b] = [first, second].map(|test| name(suite, test));
        let mut in_a_row = 0;
        for _ in 0..ALONE {
            let Some(outcome) = alone(first) else { return };
            in_a_row = if outcome == TestOutcome::Passed {
                in_a_row + 1
            } else {
                0
            };
            if in_a_row == PASSES {
                break;
            }
        }
        if in_a_row < PASSES {
            let why = format!("{a} does not pass twice in a row alone, so nothing can be shown by it");
            return self.grades.enter(finding, positions, Grade::Potential, why, 0);
        }
        if alone(second).is_none() {
            return;
        }
        let (grade, why) = match alone(first) {
            None => return,
            Some(TestOutcome::Failed) => (
                Grade::Reproduced,
                format!("{a} failed after {b}, and passed twice before"),
            ),
            Some(_) => (
                Grade::Potential,
                "run again one after the other, both passed, which proves nothing".to_owned(),
            ),
        };
        self.grades.enter(finding, positions, grade, why, 1);
    }
}
