//! Reruns pairs of tests that share statics: one after the other in both orders, and one within a pause of the other. Only a
//! reproduced failure makes a shared static a conflict.
//!
//! `trial` decides about one pair and `common_causes` about all pairs, without I/O; this file runs the tests.

mod common_causes;
mod trial;

use super::pairs::{self, EXHAUSTIVE, TestPair};
use super::proof;
use super::rerun::{Rerunner, Runnable, TestOutcome, WITHIN};
use super::subjects::{RerunSuite, may_meet, name, positions, resources, runnables, startable};
use super::task_queue::{Task, run_all};
use super::{ConfirmEvent, ConfirmOptions, sorted};
use crate::findings::{PausedAt, ReproducedClass, Reproduction, WithinUse, shared_uses};
use crate::rates::FailureRate;
use crate::scene::{Arrangement, Scene, StaticId, TestId};
use cofferdam::{Access, Resource};
use cofferdam_conflicts::{Conflict, Grade, KnownStatic, Pair, Test};
use common_causes::{ReproducedStatics, StaticCause};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use trial::{Failure, Run, SharedStatic, Step, Trial, UseOfStatic, Verdict};

/// The number of reproduced pairs after which a static is proven. Further pairs add little.
const PROOFS: usize = 3;

/// The statics that tests share, with their tests.
#[derive(Clone, Debug, Default)]
pub(crate) struct StaticCandidates {
    /// The statics as conflicts, those that a test changes first.
    pub(crate) conflicts: Vec<Conflict>,
    /// The statics to put back to undo the effect of each: itself, and the statics that its initializer read.
    pub(crate) put_back: Vec<BTreeSet<StaticId>>,
    /// The number of statics that a test changes. The others are tried only with suspects.
    pub(crate) changed: usize,
    /// The programs and names of tests that failed in the suite or in a serial run.
    pub(crate) suspects: BTreeSet<(String, String)>,
}

impl StaticCandidates {
    /// Moves a static to those that a test changes.
    pub(crate) fn promote(&mut self, index: usize) {
        self.conflicts.swap(self.changed, index);
        self.put_back.swap(self.changed, index);
        self.changed += 1;
    }

    fn is_suspect(&self, binary: &str, name: &str) -> bool {
        self.suspects.contains(&(binary.to_owned(), name.to_owned()))
    }
}

/// The result of the trials.
#[derive(Debug, Default)]
pub(super) struct StaticResults {
    /// The conflicts on statics that were reproduced.
    pub(super) reproduced: Vec<Conflict>,
    /// The number of pairs of tests at a static that were tried, and of all such pairs.
    pub(super) tried: (u64, u64),
    pub(super) reproductions: Vec<Reproduction>,
}

/// A pair whose trial is over.
#[derive(Debug)]
struct TriedPair {
    pair: TestPair,
    verdict: Verdict,
    tries: u32,
}

/// Tries the pairs of tests that share statics. `others` has the conflicts on other resources.
pub(super) fn try_pairs(
    rerunner: &Rerunner<'_>,
    suite: &RerunSuite,
    candidates: &StaticCandidates,
    others: &[Conflict],
    options: ConfirmOptions,
    see: &(dyn Fn(ConfirmEvent<'_>) + Sync),
) -> StaticResults {
    let conflicts = &candidates.conflicts[..];
    let trials = Trials {
        rerunner,
        suite,
        candidates,
        alone: Mutex::default(),
        lasted: Mutex::default(),
        begun: Mutex::default(),
        tried: Mutex::default(),
    };
    let of_finding = |finding: usize| {
        let pairs = if finding < candidates.changed {
            suite.chosen(finding).pairs
        } else {
            with_suspects(&conflicts[finding], candidates)
        };
        let tests = |positions: [usize; 2]| startable(suite, finding, positions).map(sorted);
        pairs.into_iter().filter_map(tests).collect()
    };
    let mut pairs: Vec<TestPair> = pairs::in_turns((0..conflicts.len()).map(of_finding), usize::MAX)
        .into_iter()
        .map(|pair| TestPair {
            findings: shared(suite, pair.tests, candidates.changed),
            ..pair
        })
        .collect();
    // A static that few tests use is more likely to explain a failure of one of them.
    pairs.sort_by_key(|pair| {
        let users = pair
            .findings
            .iter()
            .map(|finding| conflicts[*finding].tests.len());
        users.min()
    });
    // First the pairs of suspects whose failure is not yet reproduced.
    for of_suspects in [true, false] {
        let tasks = pairs.iter().map(|pair| Task {
            marks: suite.marks(&pair.tests),
            work: pair.clone(),
        });
        run_all(tasks.collect(), options.jobs, &|| rerunner.is_over(), &|pair| {
            if !of_suspects || trials.has_open_suspect(&pair) {
                trials.run(pair);
            }
        });
    }
    let mut tried = trials.tried.into_inner().unwrap_or_else(PoisonError::into_inner);
    tried.sort_by_key(|tried| tried.pair.tests);
    let is_changed = |finding: &&usize| **finding < candidates.changed;
    let changed = |tried: &TriedPair| tried.pair.findings.iter().filter(is_changed).count() as u64;
    let number = tried.iter().map(changed).sum();
    let total = (0..candidates.changed)
        .map(|finding| suite.chosen(finding).total)
        .sum();
    let mut results = StaticResults {
        tried: (number, total),
        ..StaticResults::default()
    };
    let failures: Vec<(&TriedPair, &Failure)> = tried
        .iter()
        .filter_map(|tried| match &tried.verdict {
            Verdict::Reproduced(failure) => Some((tried, failure)),
            Verdict::FailsAlone(_) | Verdict::Nothing | Verdict::Chance => None,
        })
        // The failure may come from another resource that the tests share.
        .filter(|(tried, failure)| !failure.causes.is_empty() || !share_more(suite, tried.pair.tests, others))
        .collect();
    let statics: Vec<ReproducedStatics> = failures
        .iter()
        .map(|(tried, failure)| ReproducedStatics {
            causes: failure.causes.iter().map(|of| tried.pair.findings[*of]).collect(),
            shared: tried.pair.findings.iter().filter(is_changed).copied().collect(),
        })
        .collect();
    for cause in common_causes::of_pairs(&statics) {
        let own: Vec<(&TriedPair, &Failure)> = cause.pairs.iter().map(|pair| failures[*pair]).collect();
        let conflict = reproduced(suite, &conflicts[cause.finding], &cause, conflicts, &own);
        for pair in &conflict.pairs {
            if let Some(resource) = &conflict.resource {
                see(ConfirmEvent::Graded {
                    resource,
                    tests: pair.tests.map(|test| conflict.tests[test].name()),
                    grade: pair.grade,
                    first: true,
                });
            }
        }
        let mut involved: Vec<Conflict> = cause.one_of.iter().map(|of| conflicts[*of].clone()).collect();
        if involved.is_empty() {
            involved.push(conflict.clone());
        }
        let own = own
            .iter()
            .filter_map(|(tried, failure)| reproduction(suite, tried, failure, &involved));
        results.reproductions.extend(own);
        results.reproduced.push(conflict);
    }
    results
}

/// Returns pairs of a suspect with another test that uses the static, at most [`EXHAUSTIVE`] for each suspect.
fn with_suspects(conflict: &Conflict, candidates: &StaticCandidates) -> Vec<[usize; 2]> {
    let is_suspect = |test: &Test| candidates.is_suspect(&test.binary, test.name());
    let suspects = conflict
        .tests
        .iter()
        .enumerate()
        .filter(|(_, test)| is_suspect(test));
    suspects
        .flat_map(|(suspect, _)| {
            let others = (0..conflict.tests.len()).filter(move |other| *other != suspect);
            others.map(move |other| sorted([other, suspect])).take(EXHAUSTIVE)
        })
        .collect()
}

/// Runs the trials.
struct Trials<'a> {
    rerunner: &'a Rerunner<'a>,
    suite: &'a RerunSuite,
    candidates: &'a StaticCandidates,
    /// The rates of tests alone.
    alone: Mutex<HashMap<usize, FailureRate>>,
    /// The durations of tests alone.
    lasted: Mutex<HashMap<usize, Duration>>,
    /// The pairs whose trial has begun.
    begun: Mutex<HashSet<[usize; 2]>>,
    tried: Mutex<Vec<TriedPair>>,
}

impl Trials<'_> {
    fn run(&self, pair: TestPair) {
        let changed: Vec<usize> = pair
            .findings
            .iter()
            .copied()
            .filter(|finding| *finding < self.candidates.changed)
            .collect();
        let is_over = if changed.is_empty() {
            !self.has_open_suspect(&pair)
        } else {
            changed.into_iter().all(|finding| self.is_proven(finding))
        };
        if is_over || !self.begin(pair.tests) {
            return;
        }
        // The trial is left out if the time was over, or if a run failed or had to be stopped.
        if let Some((verdict, tries)) = self.verdict(&pair) {
            let mut all = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(TriedPair { pair, verdict, tries });
        }
    }

    /// Returns whether enough pairs show that a static is the cause.
    fn is_proven(&self, finding: usize) -> bool {
        let all = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let shows = |tried: &&TriedPair| match &tried.verdict {
            Verdict::Reproduced(failure) => failure
                .causes
                .iter()
                .any(|of| tried.pair.findings[*of] == finding),
            Verdict::FailsAlone(_) | Verdict::Nothing | Verdict::Chance => false,
        };
        all.iter().filter(shows).count() >= PROOFS
    }

    /// Returns whether one of the tests is a suspect whose failure has not been reproduced.
    fn has_open_suspect(&self, pair: &TestPair) -> bool {
        let all = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let is_explained = |test: &usize| {
            all.iter().any(|tried| match &tried.verdict {
                Verdict::Reproduced(failure) => tried.pair.tests[failure.victim] == *test,
                Verdict::FailsAlone(_) | Verdict::Nothing | Verdict::Chance => false,
            })
        };
        pair.tests.iter().any(|test| {
            let runnable = self.suite.subjects[*test].runnable.as_ref();
            runnable.is_some_and(|one| self.candidates.is_suspect(&one.binary, &one.name))
                && !is_explained(test)
        })
    }

    /// Returns whether the trial of the two tests has not begun before.
    fn begin(&self, tests: [usize; 2]) -> bool {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.insert(tests)
    }

    fn verdict(&self, pair: &TestPair) -> Option<(Verdict, u32)> {
        let shared = pair.findings.iter().filter_map(|finding| {
            let entry = self.suite.conflict_tests[*finding].as_ref()?;
            let positions = positions(self.suite, *finding, pair.tests)?;
            let is_called = holds_code(&self.candidates.conflicts[*finding]);
            Some(SharedStatic {
                writes: positions.map(|test| is_called || entry.members[test].writes),
                is_unchanged: *finding >= self.candidates.changed,
            })
        });
        let mut trial = Trial::new(shared.collect());
        let known = || self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        for (position, test) in pair.tests.iter().enumerate() {
            if let Some(rate) = known().get(test) {
                trial.set_alone(position, *rate);
            }
        }
        let verdict = loop {
            match trial.next() {
                Step::Run(run) => self.enter(&mut trial, pair, run)?,
                Step::Over(verdict) => break verdict,
            }
        };
        for (position, test) in pair.tests.iter().enumerate() {
            known().insert(*test, trial.alone(position));
        }
        Some((verdict, trial.tries()))
    }

    /// Makes a run and enters its result. Returns `None` if the time was over, or the run failed or had to be stopped.
    fn enter(&self, trial: &mut Trial, pair: &TestPair, run: Run) -> Option<()> {
        if self.rerunner.is_over() {
            return None;
        }
        let both = runnables(self.suite, &pair.tests)?;
        let both: [&Runnable; 2] = both.try_into().ok()?;
        let time = pair.tests.iter().map(|test| self.lasted(*test)).sum();
        let mut failed = [false; 2];
        match run {
            Run::Alone(test) => {
                let result = self.rerunner.run(&[both[test]], &[], None, Duration::ZERO).ok()?;
                let mut all = self.lasted.lock().unwrap_or_else(PoisonError::into_inner);
                all.insert(pair.tests[test], result.lasted);
                failed[test] = has_failed(result.outcomes[0])?;
            }
            Run::After { first } | Run::Restored { first, .. } => {
                let order = [both[first], both[1 - first]];
                let outcomes = match run {
                    Run::Restored { of, .. } => {
                        let ids = &self.candidates.put_back[pair.findings[of]];
                        match self.rerunner.run_in_order(order, ids, time) {
                            Ok(outcomes) => outcomes,
                            // A static that cannot be put back is treated as one that does not help.
                            Err(_) => [TestOutcome::Passed, TestOutcome::Failed],
                        }
                    }
                    _ => self.rerunner.run_in_order(order, &BTreeSet::new(), time).ok()?,
                };
                failed[first] = has_failed(outcomes[0])?;
                failed[1 - first] = has_failed(outcomes[1])?;
            }
            Run::Within(at) => {
                let order = [both[at.held], both[1 - at.held]];
                let result = self
                    .rerunner
                    .run_within(&order, self.path(pair, at), at.skipped, time)
                    .ok()?;
                if !result.has_paused {
                    trial.enter_missing(at);
                    return Some(());
                }
                let held = has_failed(result.outcomes[0])?;
                let late = has_failed(result.outcomes[1])?;
                // A test that had not ended by then did not run entirely within the pause.
                failed[at.held] = held && !result.has_overlapped;
                failed[1 - at.held] = late && !result.has_overlapped;
            }
            Run::AloneWithin(at) => {
                let result = self
                    .rerunner
                    .run_within(&[both[at.held]], self.path(pair, at), at.skipped, time)
                    .ok()?;
                failed[at.held] = has_failed(result.outcomes[0])?;
            }
        }
        trial.enter(run, failed);
        Some(())
    }

    /// Returns the duration of the last run of a test alone.
    fn lasted(&self, test: usize) -> Duration {
        let all = self.lasted.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&test).copied().unwrap_or_default()
    }

    /// Returns the path of the static of a use.
    fn path(&self, pair: &TestPair, at: UseOfStatic) -> &str {
        let conflict = &self.candidates.conflicts[pair.findings[at.of]];
        conflict.resource.as_ref().map_or("", Resource::as_str)
    }
}

/// Returns whether a use of the static calls code that a test put there, such as a hook. It disturbs that test, though it only reads.
fn holds_code(conflict: &Conflict) -> bool {
    let path = conflict.resource.as_ref().map_or("", Resource::as_str);
    let facts = conflict.static_facts.as_ref();
    KnownStatic::of(path).is_some_and(KnownStatic::holds_code)
        || facts.is_some_and(|facts| facts.type_name.contains("dyn "))
}

fn has_failed(outcome: TestOutcome) -> Option<bool> {
    (outcome != TestOutcome::Stopped).then_some(outcome == TestOutcome::Failed)
}

/// Returns the findings on statics that both tests use and one of them changes, then those on statics that no test changes.
fn shared(suite: &RerunSuite, tests: [usize; 2], changed: usize) -> Vec<usize> {
    let is_shared = |finding: &usize| {
        let entry = suite.conflict_tests[*finding].as_ref();
        let positions = positions(suite, *finding, tests);
        entry
            .zip(positions)
            .is_some_and(|(entry, positions)| *finding >= changed || may_meet(entry, positions))
    };
    (0..suite.conflict_tests.len()).filter(is_shared).collect()
}

/// Returns whether the tests share another resource that one of them changes.
fn share_more(suite: &RerunSuite, tests: [usize; 2], others: &[Conflict]) -> bool {
    let tests = runnables(suite, &tests).unwrap_or_default();
    others.iter().any(|conflict| {
        let users = tests.iter().filter_map(|test| {
            let is_it = |other: &&Test| other.binary == test.binary && other.name() == test.name;
            conflict.tests.iter().find(is_it)
        });
        let users: Vec<&Test> = users.collect();
        users.len() == tests.len() && users.iter().any(|test| test.writes())
    })
}

/// Returns the conflict on the static with its reproduced pairs.
fn reproduced(
    suite: &RerunSuite,
    conflict: &Conflict,
    cause: &StaticCause,
    conflicts: &[Conflict],
    own: &[(&TriedPair, &Failure)],
) -> Conflict {
    let path = |finding: &usize| {
        conflicts[*finding]
            .resource
            .as_ref()
            .map(|one| one.as_str().to_owned())
    };
    let pairs = own.iter().filter_map(|(tried, failure)| {
        let [first, second] = positions(suite, cause.finding, tried.pair.tests)?;
        Some(Pair {
            // The test that failed comes first.
            tests: if failure.victim == 0 {
                [first, second]
            } else {
                [second, first]
            },
            grade: Grade::Reproduced,
            tries: tried.tries,
            reason: reason(suite, tried, failure, cause),
        })
    });
    let pairs: Vec<Pair> = pairs.collect();
    let mut conflict = Conflict {
        grade: Some(Grade::Reproduced),
        // The total leaves out pairs at a static that no test changes.
        pair_count: suite.chosen(cause.finding).total.max(pairs.len() as u64),
        pairs,
        ..conflict.clone()
    };
    let in_order = own.iter().any(|(_, failure)| failure.within.is_none());
    let is_one_of = !cause.one_of.is_empty();
    if let Some(facts) = &mut conflict.static_facts {
        facts.one_of = cause.one_of.iter().filter_map(path).collect();
        facts.in_order = in_order;
    }
    for pair in conflict.pairs.iter().filter(|_| in_order) {
        // The state it leaves in the static makes the other fail, even if no breakpoint reported a write.
        let culprit = &mut conflict.tests[pair.tests[1]];
        if let Some(first) = culprit.uses.first_mut().filter(|_| !is_one_of) {
            first.access = first.access.max(Some(Access::Write));
        }
    }
    let involved: BTreeSet<usize> = conflict.pairs.iter().flat_map(|pair| pair.tests).collect();
    for (position, test) in conflict.tests.iter_mut().enumerate() {
        test.grade = Some(if involved.contains(&position) {
            Grade::Reproduced
        } else {
            Grade::Potential
        });
    }
    conflict
}

/// Returns the evidence of a pair in a sentence.
fn reason(suite: &RerunSuite, tried: &TriedPair, failure: &Failure, cause: &StaticCause) -> String {
    let [victim, other] =
        [failure.victim, 1 - failure.victim].map(|test| name(suite, tried.pair.tests[test]));
    let how = if failure.within.is_some() {
        "beside"
    } else {
        "after"
    };
    let rates = proof::rates_of(victim, how, other, failure.with, failure.alone);
    let chance = proof::significance(failure.with, failure.alone)
        .map(proof::chance)
        .unwrap_or_default();
    let why = match (cause.one_of.is_empty(), failure.within) {
        (true, None) => format!("; it passed when the static was reset after {other}"),
        (true, Some(at)) => {
            let [held, late] = [at.held, 1 - at.held].map(|test| name(suite, tried.pair.tests[test]));
            format!(
                "; {late} ran before use {} of the static by {held}",
                at.skipped + 1
            )
        }
        (false, _) => "; no single static was shown to be the cause".to_owned(),
    };
    format!("{rates} ({chance}){why}")
}

fn reproduction(
    suite: &RerunSuite,
    tried: &TriedPair,
    failure: &Failure,
    candidates: &[Conflict],
) -> Option<Reproduction> {
    let both: Vec<TestId> = runnables(suite, &tried.pair.tests)?
        .into_iter()
        .map(Runnable::id)
        .collect();
    let (test, culprit) = (both[failure.victim].clone(), both[1 - failure.victim].clone());
    let culprits = vec![culprit.clone()];
    let is_race = failure.within.is_some();
    let (class, arrangement) = if is_race {
        (ReproducedClass::Race, Arrangement::Parallel)
    } else {
        (ReproducedClass::Victim, Arrangement::InOrder)
    };
    Some(Reproduction {
        class,
        uses: shared_uses(&test, &culprits, is_race, candidates),
        scene: Scene::of(vec![culprit, test.clone()], arrangement),
        test,
        culprits,
        paused: failure.within.map(|at| PausedAt {
            resources: resources(suite, &tried.pair.findings[at.of..=at.of]),
            first: WITHIN,
            others: 0,
            within: Some(WithinUse {
                held: both[at.held].clone(),
                skipped: at.skipped,
            }),
        }),
        with: failure.with,
        without: failure.alone,
    })
}
