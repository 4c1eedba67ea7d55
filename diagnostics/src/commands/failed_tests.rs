//! The tests that failed while they were observed: how they do alone, and after the tests before them in their program.

use super::{Examination, FailedTest, PoisonedLock};
use crate::findings::{ReportedOutcome, TestResult, name_among};
use crate::observe::{Interruption, ObservationResult, ObservedCommand, SuitePrograms};
use crate::scene::{Arrangement, Outcome, Scene, SceneResult, TestId};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The time for all of them together.
const BUDGET: Duration = Duration::from_secs(5);
/// The runs of each test, in this order. With little time, each test gets the first before one gets the last.
const RUNS: [Run; 4] = [Run::Alone, Run::AfterPreceding, Run::Alone, Run::Alone];
/// The most tests that the next command names. With more, it names none and finds all of them by itself.
const NAMED: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    Alone,
    AfterPreceding,
}

/// Returns the tests that failed, each once.
pub(super) fn failed(observed: &ObservationResult) -> Vec<FailedTest> {
    of(observed, &|result| result.outcome == ReportedOutcome::Failed)
}

/// Returns the tests that were running when their program ended, each once.
pub(super) fn unfinished(observed: &ObservationResult) -> Vec<FailedTest> {
    of(observed, &TestResult::is_unfinished)
}

/// Returns the names of both, without documentation tests, which cannot be started again.
pub(super) fn named(observed: &ObservationResult) -> Vec<TestId> {
    let all = failed(observed).into_iter().chain(unfinished(observed));
    all.filter(|test| !SuitePrograms::is_doctest(&test.binary))
        .map(|FailedTest { binary, name, .. }| TestId { binary, name })
        .collect()
}

fn of(observed: &ObservationResult, is_wanted: &dyn Fn(&TestResult) -> bool) -> Vec<FailedTest> {
    let wanted = observed.results.iter().filter(|result| is_wanted(result));
    let mut tests: BTreeMap<(&str, &str), FailedTest> = BTreeMap::new();
    for result in wanted {
        let test = FailedTest {
            binary: result.binary.clone(),
            name: result.name.clone(),
            examination: None,
            poisoned: poisoned(result, observed),
        };
        tests.insert((&result.binary, &result.name), test);
    }
    tests.into_values().collect()
}

/// Returns the lock at which a test failed, if the first failure of its process had poisoned it.
fn poisoned(result: &TestResult, observed: &ObservationResult) -> Option<PoisonedLock> {
    let is_poisoned = |one: &TestResult| {
        one.failure
            .as_ref()
            .is_some_and(|text| text.contains("PoisonError"))
    };
    let has_failed = |one: &&TestResult| one.outcome == ReportedOutcome::Failed && one.pid == result.pid;
    if !is_poisoned(result) {
        return None;
    }
    let before = observed
        .results
        .iter()
        .filter(has_failed)
        .filter(|one| !is_poisoned(one));
    let before = before.filter(|one| one.ended.is_some() && one.ended <= result.ended);
    let mut before: Vec<(&TestResult, Vec<&str>)> = before
        .map(|one| (one, observed.shared_locks(result.pid, [&one.name, &result.name])))
        .collect();
    // A test that uses the same lock is more likely to have poisoned it than any other.
    if before.iter().any(|(_, locks)| !locks.is_empty()) {
        before.retain(|(_, locks)| !locks.is_empty());
    }
    let (first, locks) = before.into_iter().min_by_key(|(one, _)| one.ended)?;
    Some(PoisonedLock {
        by: first.name.clone(),
        name: match locks.as_slice() {
            [only] => Some((*only).to_owned()),
            _ => None,
        },
    })
}

/// Returns the name by which `hunt` knows the test: with its program where other programs have a test of that name. `None`
/// if the test cannot be started again.
fn hunt_name(test: &FailedTest, observed: &ObservationResult) -> Option<String> {
    if SuitePrograms::is_doctest(&test.binary) {
        return None;
    }
    let (binary, name) = (test.binary.clone(), test.name.clone());
    Some(name_among(&TestId { binary, name }, &observed.ran))
}

/// Returns the words of the command that finds out why these tests failed.
pub(super) fn hunt_words(
    observed: &ObservationResult,
    failed: &[FailedTest],
    unfinished: &[FailedTest],
) -> Vec<String> {
    let mut words = ["cargo", "cofferdam", "hunt"].map(str::to_owned).to_vec();
    let tests = failed.iter().chain(unfinished);
    let causes = tests.filter(|test| test.poisoned.is_none());
    let names: Option<Vec<String>> = causes.map(|test| hunt_name(test, observed)).collect();
    words.extend(names.filter(|names| names.len() <= NAMED).into_iter().flatten());
    words
}

/// Runs the tests again, alone and after those before them, without those that failed because of another failure.
pub(super) fn examine(
    observation: &ObservedCommand,
    observed: &ObservationResult,
    interruption: &Interruption,
    mut tests: Vec<&mut FailedTest>,
) {
    tests.retain(|test| test.poisoned.is_none());
    if tests.is_empty() {
        return;
    }
    // Under nextest, each test of these programs has a process, and with it a start, of its own.
    let is_of_program = |result: &&TestResult| tests.iter().any(|test| test.binary == result.binary);
    let suite = observation.programs(observed.results.iter().filter(is_of_program));
    let deadline = now() + BUDGET;
    let runner = observation.scene_runner(&suite, interruption).deadline(deadline);
    let ids: Vec<Option<TestId>> = tests
        .iter()
        .map(|test| {
            let mut results = observed.results.iter();
            let result = results.find(|result| result.binary == test.binary && result.name == test.name)?;
            observation.test_id(result, &suite)
        })
        .collect();
    for (test, id) in tests.iter_mut().zip(&ids) {
        let why_not = || {
            suite
                .left_out_reason(&test.binary)
                .unwrap_or("its program is not known")
        };
        let not_run = id.is_none().then(|| why_not().to_owned());
        test.examination = Some(Examination {
            not_run,
            ..Examination::default()
        });
    }
    for run in RUNS {
        for (test, id) in tests.iter_mut().zip(&ids) {
            let (Some(examination), Some(id)) = (&mut test.examination, id) else {
                continue;
            };
            let Some(scene) = scene(run, id, &suite) else {
                continue;
            };
            match runner.run(&scene) {
                Some(result) => enter(examination, run, id, &result),
                None if interruption.is_requested() => examination.not_run = Some("interrupted".to_owned()),
                None => {
                    let why = format!("the {} s for all failed tests are over", BUDGET.as_secs());
                    // More runs alone would only make it more certain.
                    if examination.runs == 0 || run == Run::AfterPreceding {
                        examination.not_run.get_or_insert(why);
                    }
                }
            }
        }
    }
}

/// Returns the scene of a run, if it is another than the test alone.
fn scene(run: Run, id: &TestId, suite: &SuitePrograms) -> Option<Scene> {
    let tests = match run {
        Run::Alone => vec![id.clone()],
        Run::AfterPreceding => {
            let all = &suite.program(&id.binary)?.tests;
            let preceding = all
                .iter()
                .position(|name| *name == id.name)
                .filter(|before| *before > 0)?;
            let to_id = |name: &String| TestId {
                binary: id.binary.clone(),
                name: name.clone(),
            };
            all[..=preceding].iter().map(to_id).collect()
        }
    };
    Some(Scene::of(tests, Arrangement::InOrder))
}

fn enter(examination: &mut Examination, run: Run, id: &TestId, result: &SceneResult) {
    let has_failed = match (&result.void, result.outcome(id)) {
        (None, Outcome::Failed) => true,
        (None, Outcome::Passed) => false,
        (why, _) => {
            let why = why.as_deref().unwrap_or("the test has no result");
            examination.not_run = Some(why.to_owned());
            return;
        }
    };
    match run {
        Run::Alone => {
            examination.runs += 1;
            examination.failed += u32::from(has_failed);
        }
        Run::AfterPreceding => examination.fails_after_preceding = Some(has_failed),
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the further runs have a budget of time")]
    Instant::now()
}
