//! Reruns pairs of tests that share statics: one after the other in both orders, one within a pause of the other, and interleaved.
//! Only a reproduced failure makes a shared static a conflict.
//!
//! `trial` decides about one pair and `common_causes` about all pairs, without I/O; this file chooses the pairs and runs their
//! scenes.

mod common_causes;
mod trial;

use super::pairs::{self, TestPair};
use super::proof;
use super::rerun::{self, Rerunner, Runnable};
use super::subjects::{RerunSuite, may_meet, name, positions, runnables, startable};
use super::task_queue::{Task, run_all};
use super::{ConfirmEvent, ConfirmOptions, sorted};
use crate::findings::{PausedAt, ReproducedClass, Reproduction, shared_uses};
use crate::observe::scene_runner::SceneRunner;
use crate::rates::{FailureRate, significance};
use crate::scene::{Arrangement, Scene, SceneResult, StaticId, StaticsPlan, Stopped, TestId};
use crate::static_causes::{Experiments, ProgramPair};
use cofferdam::format::ResourceKind;
use cofferdam::{Access, Resource};
use cofferdam_conflicts::{Conflict, Grade, KnownStatic, Pair, Test};
use common_causes::{ReproducedStatics, StaticCause};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use trial::{Failure, SharedStatic, Trial};

/// The number of reproduced pairs after which a static is proven. Further pairs add little.
const PROOFS: usize = 3;

/// The statics that tests share, with their tests.
#[derive(Clone, Debug, Default)]
pub(crate) struct StaticCandidates {
    /// The statics as conflicts, those that a test changes first.
    pub(crate) conflicts: Vec<Conflict>,
    /// Each static, and the statics to put back to undo its effect: itself, and the statics that its initializer read. None if
    /// one of them is too large.
    pub(crate) ids: Vec<(StaticId, BTreeSet<StaticId>)>,
    /// The number of statics that a test changes. The others are tried only with suspects.
    pub(crate) changed: usize,
    /// The programs and names of tests that failed in the suite or in a serial run.
    pub(crate) suspects: BTreeSet<(String, String)>,
    /// The duration of the longest test.
    pub(crate) longest: Duration,
}

impl StaticCandidates {
    /// Moves a static to those that a test changes.
    pub(crate) fn promote(&mut self, index: usize) {
        self.conflicts.swap(self.changed, index);
        self.ids.swap(self.changed, index);
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
#[derive(Clone, Debug)]
struct TriedPair {
    pair: TestPair,
    failure: Option<Failure>,
    tries: u32,
    /// The time of both tests one after the other.
    lasted: Duration,
}

/// Tries the pairs of tests that share statics. `others` has the conflicts on other resources.
pub(super) fn try_pairs(
    rerunner: &Rerunner<'_>,
    runner: SceneRunner<'_>,
    suite: &RerunSuite,
    candidates: &StaticCandidates,
    others: &[Conflict],
    options: ConfirmOptions,
    see: &(dyn Fn(ConfirmEvent<'_>) + Sync),
) -> StaticResults {
    let conflicts = &candidates.conflicts[..];
    let trials = Trials {
        rerunner,
        runner,
        suite,
        candidates,
        alone: Mutex::default(),
        begun: Mutex::default(),
        tried: Mutex::default(),
    };
    let of_finding = |finding: usize| {
        let is_changed = finding < candidates.changed;
        let mut pairs = with_suspects(&conflicts[finding], candidates, is_changed);
        if is_changed {
            pairs.extend(suite.chosen(finding).pairs);
            pairs.sort_unstable();
            pairs.dedup();
        }
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
    see(ConfirmEvent::Statics { pairs: pairs.len() });
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
    // Then interleavings of those that passed.
    let passed = trials.passed();
    let tasks = passed.into_iter().map(|tried| Task {
        marks: suite.marks(&tried.pair.tests),
        work: tried,
    });
    run_all(tasks.collect(), options.jobs, &|| rerunner.is_over(), &|tried| {
        trials.run_interleaved(tried);
    });
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
        .filter_map(|tried| Some((tried, tried.failure.as_ref()?)))
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

/// Returns the pairs of suspects with other tests that use the static.
fn with_suspects(conflict: &Conflict, candidates: &StaticCandidates, is_changed: bool) -> Vec<[usize; 2]> {
    let is_suspect = |test: &Test| candidates.is_suspect(&test.binary, test.name());
    let suspects: Vec<bool> = conflict.tests.iter().map(is_suspect).collect();
    let writes: Vec<bool> = conflict.tests.iter().map(Test::writes).collect();
    pairs::with_suspects(&suspects, &writes, is_changed)
}

/// Runs the trials.
struct Trials<'a> {
    rerunner: &'a Rerunner<'a>,
    runner: SceneRunner<'a>,
    suite: &'a RerunSuite,
    candidates: &'a StaticCandidates,
    /// The rates of tests alone.
    alone: Mutex<HashMap<usize, FailureRate>>,
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
        let begun = TriedPair {
            pair,
            failure: None,
            tries: 0,
            lasted: Duration::ZERO,
        };
        if let Some(tried) = self.try_pair(begun, |trial| trial.failure()) {
            let mut all = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(tried);
        }
    }

    /// Returns the pairs that were tried and passed.
    fn passed(&self) -> Vec<TriedPair> {
        let all = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .filter(|tried| tried.failure.is_none())
            .cloned()
            .collect()
    }

    fn run_interleaved(&self, passed: TriedPair) {
        let is_changed = |finding: &&usize| **finding < self.candidates.changed;
        let mut changed = passed.pair.findings.iter().filter(is_changed);
        if changed.all(|finding| self.is_proven(*finding)) {
            return;
        }
        if let Some(tried) = self.try_pair(passed, |trial| trial.interleaved_failure()) {
            let mut all = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
            let known = all.iter_mut().find(|known| known.pair.tests == tried.pair.tests);
            known.into_iter().for_each(|known| *known = tried.clone());
        }
    }

    /// Returns whether enough pairs show that a static is the cause.
    fn is_proven(&self, finding: usize) -> bool {
        let all = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let shows = |tried: &&TriedPair| {
            let mut causes = tried.failure.iter().flat_map(|failure| &failure.causes);
            causes.any(|of| tried.pair.findings[*of] == finding)
        };
        all.iter().filter(shows).count() >= PROOFS
    }

    /// Returns whether one of the tests is a suspect whose failure has not been reproduced.
    fn has_open_suspect(&self, pair: &TestPair) -> bool {
        let all = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let is_explained = |test: &usize| {
            all.iter().any(|tried| {
                let failure = tried.failure.as_ref();
                failure.is_some_and(|failure| tried.pair.tests[failure.victim] == *test)
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

    /// Adds the failure that a trial shows, if any, and its runs of both tests. Returns `None` if the trial did not end.
    fn try_pair(
        &self,
        tried: TriedPair,
        find: impl FnOnce(&mut Trial<'_, '_>) -> Result<Option<Failure>, Stopped>,
    ) -> Option<TriedPair> {
        let pair = &tried.pair;
        let shared = pair.findings.iter().filter_map(|finding| {
            let entry = self.suite.conflict_tests[*finding].as_ref()?;
            let positions = positions(self.suite, *finding, pair.tests)?;
            let (id, put_back) = &self.candidates.ids[*finding];
            let is_called = holds_code(&self.candidates.conflicts[*finding]);
            Some(SharedStatic {
                id: id.clone(),
                put_back: put_back.clone(),
                writes: positions.map(|test| is_called || entry.members[test].writes),
                is_unchanged: *finding >= self.candidates.changed,
            })
        });
        let shared: Vec<SharedStatic> = shared.collect();
        let known = || self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        let ids: Vec<TestId> = pair.tests.iter().filter_map(|test| self.id(*test)).collect();
        let alone = pair
            .tests
            .map(|test| known().get(&test).copied().unwrap_or_default());
        let mut of_trial = ProgramPair {
            tests: ids.try_into().ok()?,
            alone,
            lasted: tried.lasted,
        };
        let mut tries = tried.tries;
        let mut run = |scene: &Scene, plan: &StaticsPlan| {
            tries += u32::from(scene.tests.len() == 2);
            self.run_scene(scene, plan)
        };
        let mut trial = Trial {
            experiments: Experiments::new(&mut run),
            pair: &mut of_trial,
            shared: &shared,
        };
        let failure = find(&mut trial).ok()?;
        known().extend(pair.tests.into_iter().zip(of_trial.alone));
        Some(TriedPair {
            failure,
            tries,
            lasted: of_trial.lasted,
            ..tried
        })
    }

    /// Returns the name of a test in the suite's programs.
    fn id(&self, test: usize) -> Option<TestId> {
        let runnable = self.suite.subjects[test].runnable.as_ref()?;
        let started = || Some((*runnable.started).clone());
        self.runner
            .suite()
            .test(&runnable.binary, &runnable.name, started)
    }

    /// Runs a scene. The trial is over if the time was over, or the run failed or had to be stopped.
    fn run_scene(&self, scene: &Scene, plan: &StaticsPlan) -> Result<SceneResult, Stopped> {
        if self.rerunner.is_over() {
            return Err(Stopped);
        }
        let begun = rerun::now();
        let result = self.runner.run_with_statics(scene, plan);
        let was_stopped = |result: &SceneResult| result.hung().next().is_some();
        if result.as_ref().is_none_or(was_stopped) {
            let tests = scene.tests.iter().map(|test| test.name.clone()).collect();
            self.rerunner.note_stopped(tests, begun.elapsed(), Vec::new());
            return Err(Stopped);
        }
        // A static that cannot be put back is treated as one that does not help.
        result
            .filter(|result| result.void.is_none() || !plan.put_back.is_empty())
            .ok_or(Stopped)
    }
}

/// Returns whether a use of the static calls code that a test put there, such as a hook. It disturbs that test, though it only reads.
fn holds_code(conflict: &Conflict) -> bool {
    let path = conflict.resource.as_ref().map_or("", Resource::as_str);
    let facts = conflict.static_facts.as_ref();
    KnownStatic::of(path).is_some_and(KnownStatic::holds_code)
        || facts.is_some_and(|facts| facts.type_name.contains("dyn "))
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
    let chance = significance(failure.with, failure.alone)
        .map(proof::chance)
        .unwrap_or_default();
    let why = match (cause.one_of.is_empty(), &failure.within) {
        (true, None) => format!("; it passed when the static was reset after {other}"),
        (true, Some(at)) => {
            let [held, late] = [at.held, 1 - at.held].map(|test| name(suite, tried.pair.tests[test]));
            let before = at.pause.skipped + 1;
            match at.pause.late_skipped {
                None => format!("; {late} ran before use {before} of the static by {held}"),
                Some(of_late) => format!(
                    "; before use {before} of the static by {held}, {late} ran up to its own use {} and waited",
                    of_late + 1
                ),
            }
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
        paused: failure.within.as_ref().map(|at| PausedAt {
            resources: vec![Resource::new(ResourceKind::Static, &at.pause.at.name)],
            first: at.pause.most_millis.into(),
            others: 0,
            within: Some(at.pause.clone()),
        }),
        with: failure.with,
        without: failure.alone,
    })
}
