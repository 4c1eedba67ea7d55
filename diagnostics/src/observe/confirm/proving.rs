//! Proof that a test fails because of a shared resource: failure rates beside the other test and alone, and the resource
//! whose hold repeats the failure.

use super::grade;
use super::pairs::TestPair;
use super::pauses::Pauses;
use super::proof;
use super::rerun::{Runnable, TestOutcome, held_at_once};
use super::steps::Confirmation;
use super::subjects::{RerunSuite, lasted, positions, resources, runnables, solo_fails, startable};
use super::task_queue::Task;
use super::{ConfirmEvent, sorted};
use crate::findings::{PausedAt, ReproducedClass, Reproduction};
use crate::rates::{CHECKPOINTS, FailureRate, SOLO_RUNS, significance};
use crate::scene::{Arrangement, Scene};
use cofferdam::Resource;
use cofferdam_conflicts::Grade;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::Duration;

/// The number of pairs per conflict whose failure is proven. For the others an overlap suffices.
const PROOFS: usize = 3;
/// Of `ISOLATING` runs held at one resource alone, the number that must fail for it to be the cause.
const ISOLATED: u32 = 2;
const ISOLATING: u32 = 3;

impl Confirmation<'_> {
    /// Shows that tests of unguarded pairs fail because of the shared resource, within a time limit of its own.
    pub(super) fn prove(&self, suite: &RerunSuite) {
        self.rerunner.allow_more(self.options.budget);
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut pairs: BTreeMap<[usize; 2], Vec<usize>> = BTreeMap::new();
        // If a lock has a timeout, a pause alone can make the waiting test fail.
        let guarded: BTreeSet<usize> = self
            .grades
            .with(Grade::Guarded)
            .iter()
            .map(|(finding, _)| *finding)
            .collect();
        for (grade, of_all) in [(Grade::Unguarded, true), (Grade::Potential, false)] {
            for (finding, positions) in self.grades.with(grade) {
                if !of_all && guarded.contains(&finding) {
                    continue;
                }
                let tests = startable(suite, finding, positions).map(sorted);
                // A test may fail before it overlaps with the other.
                let may_fail = |tests: &[usize; 2]| of_all || tests.iter().any(|test| failed.contains(test));
                if let Some(tests) = tests.filter(may_fail) {
                    pairs.entry(tests).or_default().push(finding);
                }
            }
        }
        let mut pairs: Vec<TestPair> = pairs
            .into_iter()
            .map(|(tests, findings)| TestPair { tests, findings })
            .collect();
        let fails = |pair: &TestPair| pair.tests.iter().any(|test| failed.contains(test));
        pairs.sort_by_key(|pair| !fails(pair));
        if !pairs.is_empty() {
            (self.grades.see)(ConfirmEvent::Proving);
        }
        let tasks = pairs.into_iter().map(|pair| Task {
            marks: suite.marks(&pair.tests),
            work: (fails(&pair), pair),
        });
        self.run_tasks(tasks.collect(), |(fails, pair): (bool, TestPair)| {
            let reproduced = self.grades.with(Grade::Reproduced);
            let proofs = |finding: &usize| reproduced.iter().filter(|(of, _)| of == finding).count();
            let most = if fails { PROOFS } else { 1 };
            if pair.findings.iter().any(|finding| proofs(finding) < most) {
                // On `None` the pair keeps its grade.
                let _ = self.prove_pair(suite, &pair);
            }
        });
    }

    /// Returns `None` if the time was over or a run had to be stopped.
    fn prove_pair(&self, suite: &RerunSuite, pair: &TestPair) -> Option<()> {
        let runnables = runnables(suite, &pair.tests)?;
        let mut resources = resources(suite, &pair.findings);
        resources.truncate(held_at_once(&resources.iter().collect::<Vec<_>>()));
        let findings = &pair.findings[..resources.len()];
        let pauses = proof::PAUSES.into_iter().find_map(|pauses| {
            let failed = self.failures(suite, &pair.tests, &resources, Some(pauses))?;
            failed
                .into_iter()
                .zip(pair.tests)
                .any(|(failed, test)| failed && !solo_fails(suite, test))
                .then_some(pauses)
        })?;
        let mut beside = [FailureRate::default(); 2];
        let mut alone: [Option<FailureRate>; 2] = [None; 2];
        let mut last = None;
        for look in CHECKPOINTS {
            while beside[0].runs < look {
                let failed = self.failures(suite, &pair.tests, &resources, Some(pauses))?;
                for (rate, failed) in beside.iter_mut().zip(failed) {
                    rate.add(failed);
                }
            }
            let victim = usize::from(beside[1].failed > beside[0].failed);
            if beside[victim].failed == 0 {
                break;
            }
            if alone[victim].is_none() {
                alone[victim] = Some(self.solo_rate(runnables[victim], &resources, Some(pauses))?);
            }
            let rate = alone[victim]?;
            let [victim_name, other] =
                [runnables[victim], runnables[1 - victim]].map(|runnable| runnable.name.as_str());
            let rates = proof::rates(victim_name, other, beside[victim], rate);
            if let Some(p) = significance(beside[victim], rate) {
                let why = format!("{rates} ({})", proof::chance(p));
                let named = self.isolated(suite, pair, victim, pauses, findings)?;
                // The test that failed comes first.
                let tests = [pair.tests[victim], pair.tests[1 - victim]];
                self.enter_proof(suite, tests, findings, named, &why);
                if let Some(named) = named {
                    let paused = PausedAt {
                        resources,
                        first: pauses.first,
                        others: pauses.others,
                        within: None,
                    };
                    let rates = [beside[victim], rate];
                    self.enter_reproduction(named, [runnables[0], runnables[1]], victim, paused, rates);
                }
                return Some(());
            }
            last = Some(rates);
        }
        if let Some(rates) = last {
            for finding in findings {
                self.enter_why(
                    suite,
                    pair.tests,
                    *finding,
                    &format!("{rates}, which may be chance"),
                );
            }
        }
        Some(())
    }

    pub(super) fn solo_rate(
        &self,
        runnable: &Runnable,
        resources: &[Resource],
        pauses: Option<Pauses>,
    ) -> Option<FailureRate> {
        let mut rate = FailureRate::default();
        while rate.runs < SOLO_RUNS {
            if self.rerunner.is_over() {
                return None;
            }
            let result = self
                .rerunner
                .run(&[runnable], resources, pauses, Duration::ZERO)
                .ok()?;
            if result.outcomes[0] == TestOutcome::Stopped {
                return None;
            }
            rate.add(result.outcomes[0] == TestOutcome::Failed);
        }
        Some(rate)
    }

    /// Runs both tests at the same time, and returns for each whether it failed.
    pub(super) fn failures(
        &self,
        suite: &RerunSuite,
        tests: &[usize; 2],
        resources: &[Resource],
        pauses: Option<Pauses>,
    ) -> Option<[bool; 2]> {
        if self.rerunner.is_over() {
            return None;
        }
        let runnables = runnables(suite, tests)?;
        let result = self
            .rerunner
            .run(&runnables, resources, pauses, lasted(suite, tests))
            .ok()?;
        let [a, b] = [*result.outcomes.first()?, *result.outcomes.get(1)?];
        (a != TestOutcome::Stopped && b != TestOutcome::Stopped)
            .then_some([a == TestOutcome::Failed, b == TestOutcome::Failed])
    }

    /// Returns the conflict whose resource alone repeats the failure: the only one, or the first of several. If the tests also
    /// fail without pauses, failures say less: then exactly one resource must repeat it.
    fn isolated(
        &self,
        suite: &RerunSuite,
        pair: &TestPair,
        victim: usize,
        pauses: Pauses,
        findings: &[usize],
    ) -> Option<Option<usize>> {
        if let [only] = findings {
            return Some(Some(*only));
        }
        // Which of the two fails may depend on which one wrote first.
        let other = 1 - victim;
        let other_counts = !solo_fails(suite, pair.tests[other]);
        let fails = |failed: [bool; 2]| failed[victim] || failed[other] && other_counts;
        let mut by_itself = false;
        for _ in 0..ISOLATING {
            by_itself |= fails(self.failures(suite, &pair.tests, &[], None)?);
        }
        let mut repeated = None;
        for finding in findings {
            let resource = resources(suite, &[*finding]);
            let mut rate = FailureRate::default();
            while rate.runs < ISOLATING && rate.failed < ISOLATED {
                rate.add(fails(self.failures(
                    suite,
                    &pair.tests,
                    &resource,
                    Some(pauses),
                )?));
            }
            if rate.failed < ISOLATED {
                continue;
            }
            if !by_itself {
                return Some(Some(*finding));
            }
            if repeated.replace(*finding).is_some() {
                return Some(None);
            }
        }
        Some(repeated)
    }

    fn enter_proof(
        &self,
        suite: &RerunSuite,
        tests: [usize; 2],
        findings: &[usize],
        named: Option<usize>,
        why: &str,
    ) {
        for finding in findings {
            match named {
                Some(named) if named == *finding => {
                    if let Some(positions) = positions(suite, *finding, tests) {
                        self.grades
                            .enter(*finding, positions, Grade::Reproduced, why.to_owned(), 1);
                    }
                }
                // Another resource causes the failure.
                Some(_) => {}
                None => self.enter_why(suite, tests, *finding, &format!("{why}; resource not isolated")),
            }
        }
    }

    /// Keeps the scene in which one of two tests failed, with its rates beside the other and alone.
    fn enter_reproduction(
        &self,
        finding: usize,
        runnables: [&Runnable; 2],
        victim: usize,
        paused: PausedAt,
        [with, without]: [FailureRate; 2],
    ) {
        let tests = runnables.map(Runnable::id);
        self.grades.add_reproduction(
            finding,
            Reproduction {
                class: ReproducedClass::Race,
                test: tests[victim].clone(),
                culprits: vec![tests[1 - victim].clone()],
                uses: Vec::new(),
                scene: Scene::of(tests.to_vec(), Arrangement::Parallel),
                paused: Some(paused),
                with,
                without,
            },
        );
    }

    /// Keeps that the first test needs the second, with its rates beside that and alone.
    pub(super) fn enter_need(
        &self,
        suite: &RerunSuite,
        finding: usize,
        tests: [usize; 2],
        [with, without]: [FailureRate; 2],
    ) {
        let Some(runnables) = runnables(suite, &tests) else {
            return;
        };
        let (test, culprit) = (runnables[0].id(), runnables[1].id());
        self.grades.add_reproduction(
            finding,
            Reproduction {
                class: ReproducedClass::Brittle,
                scene: Scene::of(vec![test.clone()], Arrangement::Alone),
                test,
                culprits: vec![culprit],
                uses: Vec::new(),
                paused: None,
                with,
                without,
            },
        );
    }

    /// Adds to the reason of an unguarded pair without changing its grade.
    fn enter_why(&self, suite: &RerunSuite, tests: [usize; 2], finding: usize, why: &str) {
        let Some(positions) = positions(suite, finding, tests) else {
            return;
        };
        if self.grades.of(finding, positions) == Some(Grade::Unguarded) {
            let why = format!("{}; {why}", grade::OVERLAPPED);
            self.grades.enter(finding, positions, Grade::Unguarded, why, 1);
        }
    }
}
