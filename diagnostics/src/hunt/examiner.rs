//! Decides the class of each test that failed: from the regimes, then from scenes of its own.

use super::cascades::{self, Root};
use super::companions::{self, Company};
use super::predecessors::{self, Answer, Proof, Question, always_failed};
use super::regimes::{self, Regime, RegimeRun, RegimeTable};
use super::runs::{Runs, Seen, Setup, rate};
use super::verdict::{Class, Verdict};
use super::{HuntEvent, HuntOptions, open_examination};
use crate::minimal_set::{halve, minimal};
use crate::rates::{FailureRate, p_value};
use crate::scene::Stopped;
use std::collections::BTreeSet;

/// The number of runs alone before anything else is tried: with fewer, a test that fails every other time would often look as
/// if it depended on others.
pub(super) const SOLO_RUNS: u32 = 10;
/// The number of runs alone whose rate is reported, and the number if fewer than two failed.
const SOLO_RUNS_OF_OWN: u32 = 100;
const SOLO_RUNS_OF_RARE: u32 = 200;
/// The number of failures alone that are no accident.
const SOLO_FAILURES: u32 = 2;
/// Alternating results alone, in a row, that are no chance.
const ALTERNATING: usize = 12;
/// The number of runs under load of a test that failed beside others.
const LOADED_RUNS: usize = 2;
/// The number of runs of the suite twice at once, and of suspects that are tried with the test instead.
const TWO_RUNS: usize = 4;
const SUSPECTS: usize = 5;
/// The greatest accepted probability that two rates of the suite in order differ by chance.
const ACCEPTED: f64 = 0.05;
/// The greatest accepted probability that a test which failed from some run on did so by chance, and the number of runs alone
/// after which a leftover is no longer likely.
const ACCEPTED_OF_LEFTOVER: f64 = 0.02;
const LEFTOVER_RUNS: u32 = 60;

pub(super) struct Examiner<'i, 'r> {
    runs: &'i mut Runs<'r>,
    table: &'i mut RegimeTable,
    cores: u32,
    verdicts: Vec<Verdict>,
    decided: BTreeSet<usize>,
    /// The first failures that may have poisoned locks.
    roots: Vec<Root>,
    untried: Vec<String>,
}

/// A class with its evidence.
struct Decision {
    class: Class,
    culprits: Vec<usize>,
    with: FailureRate,
    without: FailureRate,
    setup: Setup,
}

impl<'i, 'r> Examiner<'i, 'r> {
    pub(super) fn new(runs: &'i mut Runs<'r>, table: &'i mut RegimeTable, cores: u32) -> Self {
        Self {
            runs,
            table,
            cores,
            verdicts: Vec::new(),
            decided: BTreeSet::new(),
            roots: Vec::new(),
            untried: Vec::new(),
        }
    }

    /// Returns the verdicts, and the examinations that were not possible, in words.
    pub(super) fn end(self) -> (Vec<Verdict>, Vec<String>) {
        (self.verdicts, self.untried)
    }

    /// Decides the given tests by their runs alone and both serial orders. Returns whether that decided all of them.
    pub(super) fn decide_first(&mut self, given: &[usize], options: &HuntOptions) -> bool {
        if given.is_empty() || options.alone_for_all {
            return false;
        }
        for orders in [&[][..], &[Regime::Forward, Regime::Reversed]] {
            for regime in orders {
                if self.table.run_suite(self.runs, *regime, options.cores).is_err() {
                    return false;
                }
            }
            for (at, test) in given.iter().enumerate() {
                let alone = self.runs.solo_until(*test, SOLO_RUNS);
                self.runs.forget_passes_before_all_failed(*test);
                if alone.is_ok() && self.is_clear(*test) {
                    self.decide_each(&[*test], given.len() - at - 1);
                }
            }
            if given.iter().all(|test| self.decided.contains(test)) {
                return true;
            }
        }
        false
    }

    /// Returns whether other regimes would not change the class of a test.
    fn is_clear(&self, test: usize) -> bool {
        let solo = self.runs.solo_rate(test);
        let orders = [Regime::Forward, Regime::Reversed].map(|regime| self.table.first(regime)?.failed(test));
        let is_in_order = |failed| orders.contains(&Some(failed));
        if solo.runs < SOLO_RUNS || self.table.is_always_poisoned(test) {
            false
        } else if solo.failed == solo.runs {
            // One that fails from some run on has left something behind: what it does later, other regimes show.
            is_in_order(false) || self.table.is_failing(test, solo.runs)
        } else {
            solo.failed >= SOLO_FAILURES || solo.failed == 0 && is_in_order(true)
        }
    }

    pub(super) fn run_regimes(&mut self, given: &[usize], options: &HuntOptions) -> Result<(), Stopped> {
        self.table.run(self.runs, options, given)
    }

    pub(super) fn run_random(&mut self, seed: u64) -> Result<(), Stopped> {
        self.table.run_random(self.runs, seed)
    }

    /// Decides the given tests and all that failed.
    pub(super) fn decide_all(&mut self, given: &[usize]) {
        let failures = self.table.failures();
        let mut queue = given.to_vec();
        queue.extend(failures.iter().copied().filter(|test| !given.contains(test)));
        queue.retain(|test| !self.decided.contains(test));
        // Those that always fail are known without a further scene.
        for test in &queue {
            if self.runs.solo_rate(*test).runs == 0
                && self.failed_alone(*test)
                && self.table.is_failing(*test, regimes::SOLO_RUNS - 1)
            {
                let decision = self.failing(*test);
                self.enter(*test, decision, 0);
            }
        }
        let (poisoned, queue): (Vec<usize>, Vec<usize>) = queue
            .into_iter()
            .partition(|test| self.table.is_always_poisoned(*test));
        self.decide_each(&queue, poisoned.len());
        self.decide_cascades(&poisoned);
        self.decide_each(&poisoned, 0);
    }

    /// Adds the results of the regimes to the history of a test. If something in the checkout changed its result for good, only
    /// the later ones count.
    fn note_regimes(&mut self, test: usize) {
        self.runs.forget_after(test);
        let again = self.table.runs.iter().filter(|run| run.regime == Regime::Again);
        let again: Vec<Option<bool>> = again.map(|run| run.failed(test)).collect();
        let has_changed = again.len() > 1 && again.iter().all(|failed| *failed == Some(true));
        for run in &self.table.runs {
            let is_old = has_changed && run.regime == Regime::Forward && run.failed(test) == Some(false);
            if let (Some(before), Some(seen)) = (run.before(test), run.seen(test))
                && !before.is_empty()
                && !is_old
            {
                self.runs.note_after(test, before, seen);
            }
        }
    }

    fn decide_each(&mut self, tests: &[usize], more: usize) {
        for (at, test) in tests.iter().copied().enumerate() {
            if self.decided.contains(&test) {
                continue;
            }
            if !self.runs.is_stopped() {
                self.runs.see_examining(test, tests.len() - at - 1 + more);
            }
            self.note_regimes(test);
            let alone = self.runs.solo_until(test, SOLO_RUNS);
            let before = self.runs.started();
            let decision = alone.and_then(|alone| self.decide(test, alone));
            // A suite may have thousands of tests that fail.
            self.runs.forget_after(test);
            let reruns = self.runs.started() - before;
            match decision {
                Ok(Some(decision)) => self.enter(test, decision, reruns),
                // A given test that has never failed so far.
                Ok(None) => {}
                Err(Stopped) => {
                    self.untried.push(open_examination(self.runs.id(test)));
                    let own = self.runs.solo_rate(test);
                    let has_failed = self.failed_in(test).next().is_some() || own.failed > 0;
                    if own.failed >= SOLO_FAILURES && own.failed < own.runs {
                        let decision = self.own_decision(test);
                        self.enter(test, decision, reruns);
                    } else if has_failed {
                        let decision = self.unexplained(test, "the examination did not end");
                        self.enter(test, decision, reruns);
                    }
                }
            }
        }
    }

    fn enter(&mut self, test: usize, decision: Decision, reruns: u32) {
        self.decided.insert(test);
        if !matches!(decision.class, Class::Unexplained { .. } | Class::Cascade) {
            self.roots.push(Root {
                test,
                culprits: decision.culprits.clone(),
                setup: decision.setup.clone(),
            });
        }
        let verdict = Verdict {
            test: self.runs.id(test).clone(),
            class: decision.class,
            culprits: self.runs.ids(&decision.culprits),
            with: decision.with,
            without: decision.without,
            scene: self.runs.scene(&decision.setup),
            reruns,
            paused: None,
        };
        self.runs.see(HuntEvent::Decided(&verdict));
        self.verdicts.push(verdict);
    }

    /// The regimes in which the test failed; not its runs alone.
    fn failed_in(&self, test: usize) -> impl Iterator<Item = &RegimeRun> {
        let runs = self.table.runs.iter();
        runs.filter(move |run| run.regime != Regime::Alone && run.failed(test) == Some(true))
    }

    fn failed_alone(&self, test: usize) -> bool {
        let alone = self.table.first(Regime::Alone);
        alone.is_some_and(|run| run.failed(test) == Some(true))
    }

    /// Decides the class of one test; `None` if it never failed.
    fn decide(&mut self, test: usize, alone: FailureRate) -> Result<Option<Decision>, Stopped> {
        if alone.runs < SOLO_RUNS {
            let why = "run alone, it gave no result";
            return Ok(Some(self.unexplained(test, why)));
        }
        let found = if alone.failed == alone.runs {
            self.of_failing_alone(test)?
        } else if alone.failed > 0 {
            None
        } else {
            self.of_passing_alone(test)?
        };
        if found.is_some() {
            return Ok(found);
        }
        self.own(test)
    }

    fn failing(&self, test: usize) -> Decision {
        let regimes = self.table.runs.iter().filter(|run| run.regime != Regime::Alone);
        Decision {
            class: Class::Failing,
            culprits: Vec::new(),
            with: rate(regimes.filter_map(|run| run.failed(test))),
            without: self.runs.solo_rate(test),
            setup: Setup::alone(test),
        }
    }

    /// A test that fails alone: a leftover, or it needs another before it.
    fn of_failing_alone(&mut self, test: usize) -> Result<Option<Decision>, Stopped> {
        let solo = self.runs.solo_rate(test);
        if self.table.is_failing(test, solo.runs) {
            return Ok(Some(self.failing(test)));
        }
        if let Some(decision) = self.leftover(test)? {
            return Ok(Some(decision));
        }
        let passed = |run: &&RegimeRun| run.failed(test) == Some(false) && run.order().is_some();
        let orders = self
            .table
            .runs
            .iter()
            .filter(passed)
            .filter_map(|run| run.before(test));
        let shortest = orders.min_by_key(|before| before.len()).map(<[usize]>::to_vec);
        // In neither order: another test may undo what the first sets. All others come before it here.
        let before = shortest.unwrap_or_else(|| self.others(test));
        if !self.runs.seen_after(test).iter().any(|run| !run.seen.failed) {
            match self.runs.after(&before, test)? {
                Some(seen) if !seen.failed => {}
                // The others may have ended the process before it.
                _ if self.table.never_passes(test, solo.runs) => return Ok(Some(self.failing(test))),
                _ => return Ok(None),
            }
        }
        let question = Question {
            test,
            before: &before,
            fails: false,
        };
        let suspects = self.suspects(test);
        let answer = predecessors::search(self.runs, &question, &suspects)?;
        Ok(match answer {
            Answer::Shown(proof) => Some(Decision {
                class: Class::Brittle,
                culprits: proof.culprits,
                with: proof.with,
                without: proof.without,
                setup: Setup::alone(test),
            }),
            Answer::NotIsolated => {
                let why = "it fails alone and passes after others, but no minimal set of them could be shown";
                self.not_isolated(test, why)?
            }
            Answer::Contradicted => None,
        })
    }

    /// A test that passes alone: others make it fail, before it or beside it.
    fn of_passing_alone(&mut self, test: usize) -> Result<Option<Decision>, Stopped> {
        let failed: Vec<(Regime, Option<Vec<usize>>)> = self
            .failed_in(test)
            .map(|run| (run.regime, run.before(test).map(<[usize]>::to_vec)))
            .collect();
        let orders = failed.iter().filter_map(|(_, before)| before.as_deref());
        if let Some(before) = orders.min_by_key(|before| before.len()) {
            return self.victim(test, before);
        }
        if failed.iter().all(|(regime, _)| regime.is_twice()) {
            return if failed.is_empty() {
                Ok(None)
            } else {
                self.two_runs(test)
            };
        }
        let is_only_loaded = failed.iter().all(|(regime, _)| *regime == Regime::Loaded);
        if is_only_loaded && let Some(decision) = self.under_load(test)? {
            return Ok(Some(decision));
        }
        let suspects = self.suspects(test);
        let company = Company::Beside;
        let mut proof = companions::suspected(self.runs, test, company, &suspects)?;
        if proof.is_none() {
            if let Some(decision) = self.victim_of_all(test)? {
                return Ok(Some(decision));
            }
            if !is_only_loaded
                && self.fails_under_load(test)?
                && let Some(decision) = self.under_load(test)?
            {
                return Ok(Some(decision));
            }
        }
        if proof.is_none()
            && let Some((proof, setup)) = companions::beside_program(self.runs, test)?
        {
            return Ok(Some(self.with_others(test, Class::Race, proof, setup)));
        }
        if proof.is_none() {
            proof = companions::among_all(self.runs, test, company, failed.len() >= 2)?;
        }
        let Some(proof) = proof else {
            return Ok(None);
        };
        // In both orders, another test may have undone what this one leaves behind.
        let before = proof.culprits.clone();
        if self.runs.after(&before, test)?.is_some_and(|seen| seen.failed)
            && let Some(decision) = self.victim(test, &before)?
        {
            return Ok(Some(decision));
        }
        let setup = Setup::beside(&proof.culprits, test);
        Ok(Some(self.with_others(test, Class::Race, proof, setup)))
    }

    /// A test that failed in no serial order: in each, one of several tests that it needs before it may have come later, or
    /// another may have undone what they left behind.
    fn victim_of_all(&mut self, test: usize) -> Result<Option<Decision>, Stopped> {
        let mut reversed = self.others(test);
        reversed.reverse();
        reversed.sort_by_key(|other| self.runs.is_same_program(*other, test));
        for before in [self.others(test), reversed] {
            if !before.is_empty() && self.runs.after(&before, test)?.is_some_and(|seen| seen.failed) {
                return self.victim(test, &before);
            }
        }
        Ok(None)
    }

    /// A test that passes alone and failed after these.
    fn victim(&mut self, test: usize, before: &[usize]) -> Result<Option<Decision>, Stopped> {
        let suspects = self.suspects(test);
        let question = Question {
            test,
            before,
            fails: true,
        };
        let proof = match predecessors::search(self.runs, &question, &suspects)? {
            Answer::Shown(proof) => Some(proof),
            Answer::NotIsolated => {
                let why = "it passes alone and fails after others, but no minimal set of them could be shown";
                return self.not_isolated(test, why);
            }
            Answer::Contradicted => {
                let company = Company::Before(before);
                let times = self.failed_in(test).filter(|run| run.order().is_some()).count();
                match companions::suspected(self.runs, test, company, &suspects)? {
                    Some(proof) => Some(proof),
                    None => companions::among_all(self.runs, test, company, times >= 2)?,
                }
            }
        };
        Ok(proof.map(|proof| {
            let setup = Setup::after(&proof.culprits, test);
            self.with_others(test, Class::Victim, proof, setup)
        }))
    }

    /// A test without a proven set of culprits, which may fail by itself.
    fn not_isolated(&mut self, test: usize, why: &str) -> Result<Option<Decision>, Stopped> {
        let solo = self.runs.solo_until(test, SOLO_RUNS_OF_OWN)?;
        let is_mixed = solo.failed > 0 && solo.failed < solo.runs;
        Ok((!is_mixed).then(|| self.unexplained(test, why)))
    }

    /// Returns the decision for a test that fails because of others: a cascade if one of them failed whenever it did.
    fn with_others(&self, test: usize, class: Class, proof: Proof, setup: Setup) -> Decision {
        let regimes: Vec<_> = self.failed_in(test).filter_map(|run| run.seen(test)).collect();
        let all_seen: Vec<&Seen> = proof.seen.iter().chain(&regimes).collect();
        let first = always_failed(&proof.culprits, &all_seen);
        let mut failures = proof.seen.iter().filter(|seen| seen.failed);
        let is_poisoned = failures.all(|seen| seen.poisoned);
        // Two tests that race may both fail each time.
        let is_after_failure = class != Class::Race && !first.is_empty();
        let is_cascade = is_after_failure || is_poisoned && !proof.culprits.is_empty();
        Decision {
            class: if is_cascade { Class::Cascade } else { class },
            culprits: if is_after_failure { first } else { proof.culprits },
            with: proof.with,
            without: proof.without,
            setup,
        }
    }

    /// The tests to try first: those that were shown to be culprits of others, then those that share a resource.
    fn suspects(&self, test: usize) -> Vec<usize> {
        let mut suspects = self.runs.suspects(test);
        let is_poisoned = self.table.is_always_poisoned(test);
        let known = self.roots.iter().rev().flat_map(|root| {
            let itself = is_poisoned.then_some(&root.test);
            itself.into_iter().chain(&root.culprits)
        });
        let more: Vec<usize> = known
            .copied()
            .filter(|other| *other != test && !suspects.contains(other))
            .collect();
        // One suspect of its own is likelier than the culprits of others.
        let at = suspects.len().min(1);
        suspects.splice(at..at, more);
        let mut seen = BTreeSet::new();
        suspects.retain(|suspect| seen.insert(*suspect));
        suspects
    }

    fn fails_under_load(&mut self, test: usize) -> Result<bool, Stopped> {
        let setup = self.loaded(test);
        for _ in 0..LOADED_RUNS {
            if self.runs.attempt(test, &setup)?.is_none_or(|seen| !seen.failed) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn loaded(&self, test: usize) -> Setup {
        Setup {
            load: 2 * self.cores.max(1),
            ..Setup::alone(test)
        }
    }

    fn under_load(&mut self, test: usize) -> Result<Option<Decision>, Stopped> {
        let setup = self.loaded(test);
        let proof = companions::compare(self.runs, test, &setup, 1)?;
        Ok(proof.map(|proof| self.with_others(test, Class::Load, proof, setup)))
    }

    /// A test that failed only while a second copy of the suite ran.
    fn two_runs(&mut self, test: usize) -> Result<Option<Decision>, Stopped> {
        // Either copy may fail, so one that fails by itself fails more often in any case.
        if self.runs.solo_until(test, SOLO_RUNS_OF_OWN)?.failed > 0 {
            return Ok(None);
        }
        let setup = Setup {
            twice: true,
            ..Setup::alone(test)
        };
        if let Some(proof) = companions::compare(self.runs, test, &setup, 1)? {
            return Ok(Some(self.with_others(test, Class::TwoRuns, proof, setup)));
        }
        if self.table.is_always_poisoned(test) {
            return Ok(None);
        }
        // It may need another test of the second copy.
        let Some(setup) = self.failed_in(test).next().map(|run| run.setup.clone()) else {
            return Ok(None);
        };
        let single = Setup {
            twice: false,
            ..setup.clone()
        };
        let mut with = FailureRate::default();
        let orders = self.table.runs.iter().filter(|run| run.order().is_some());
        let mut without = rate(orders.filter_map(|run| run.failed(test)));
        for _ in 0..TWO_RUNS {
            for (setup, rate) in [(&setup, &mut with), (&single, &mut without)] {
                if let Some(seen) = self.runs.attempt(test, setup)? {
                    rate.add(seen.failed);
                }
            }
        }
        let is_shown = without.failed == 0 && with.failed >= 2 && p_value(with, without) < ACCEPTED;
        if !is_shown {
            return Ok(None);
        }
        // The class is known, even if no smaller scene is.
        let (setup, with) = match self.few_of_two_runs(test, &setup, with) {
            Ok(Some(smaller)) => smaller,
            Ok(None) | Err(Stopped) => (setup, with),
        };
        Ok(Some(Decision {
            class: Class::TwoRuns,
            culprits: Vec::new(),
            with,
            without,
            setup,
        }))
    }

    /// Finds a few tests of which two copies suffice, and how often the test fails then.
    fn few_of_two_runs(
        &mut self,
        test: usize,
        setup: &Setup,
        rate: FailureRate,
    ) -> Result<Option<(Setup, FailureRate)>, Stopped> {
        let times = companions::runs_to_see(rate);
        let with_some = |some: &[usize]| Setup {
            tests: setup
                .tests
                .iter()
                .copied()
                .filter(|one| *one == test || some.contains(one))
                .collect(),
            ..setup.clone()
        };
        let suspects = self.suspects(test);
        let runs = &mut *self.runs;
        let mut fails = |some: &[usize]| runs.fails_within(test, &with_some(some), times);
        let mut found = None;
        for suspect in suspects.into_iter().take(SUSPECTS) {
            if fails(&[suspect])? {
                found = Some(vec![suspect]);
                break;
            }
        }
        let found = match found {
            Some(found) => found,
            None => {
                let others: Vec<usize> = setup.tests.iter().copied().filter(|one| *one != test).collect();
                if others.is_empty() {
                    return Ok(None);
                }
                let (single, seen) = halve(&others, &mut fails)?;
                if fails(&[single])? {
                    vec![single]
                } else {
                    minimal(&seen, &mut fails)?
                }
            }
        };
        let setup = with_some(&found);
        let mut with = FailureRate::default();
        for _ in 0..TWO_RUNS.max(times as usize) {
            if let Some(seen) = self.runs.attempt(test, &setup)? {
                with.add(seen.failed);
            }
        }
        Ok((with.failed >= 2).then_some((setup, with)))
    }

    /// A test that passed at first and failed in every later run, whatever the regime.
    fn leftover(&mut self, test: usize) -> Result<Option<Decision>, Stopped> {
        let ran = self.table.runs.iter().filter(|run| run.regime != Regime::Alone);
        let results: Vec<(Regime, bool)> = ran
            .filter_map(|run| Some((run.regime, run.failed(test)?)))
            .collect();
        let Some(from) = results.iter().position(|(_, failed)| *failed) else {
            return Ok(None);
        };
        let (before, later) = results.split_at(from);
        let is_in = |part: &[(Regime, bool)], regime| part.iter().any(|(other, _)| *other == regime);
        // The same conditions gave the one result and then the other.
        let differs = is_in(before, Regime::AsIs) && is_in(later, Regime::Parallel)
            || is_in(before, Regime::Forward) && is_in(later, Regime::Again);
        if !differs || later.iter().any(|(_, failed)| !failed) {
            return Ok(None);
        }
        let first = rate(before.iter().map(|(_, failed)| *failed));
        if self.passes_again(test)? {
            return Ok(None);
        }
        loop {
            let solo = self.runs.solo_rate(test);
            if solo.failed < solo.runs || solo.runs >= LEFTOVER_RUNS {
                return Ok(None);
            }
            let with = FailureRate {
                failed: solo.failed + later.len() as u32,
                runs: solo.runs + later.len() as u32,
            };
            if p_value(with, first) < ACCEPTED_OF_LEFTOVER {
                return Ok(Some(Decision {
                    class: Class::Leftover,
                    culprits: Vec::new(),
                    with,
                    without: first,
                    setup: Setup::alone(test),
                }));
            }
            if self.runs.solo(test)?.is_none() {
                return Ok(None);
            }
        }
    }

    /// All other tests, those of its own program last: so they share its process.
    fn others(&self, test: usize) -> Vec<usize> {
        let mut others: Vec<usize> = (0..self.runs.tests()).filter(|other| *other != test).collect();
        others.sort_by_key(|other| self.runs.is_same_program(*other, test));
        others
    }

    /// Returns whether the test passes in the regimes that are likeliest to make one pass that fails alone.
    fn passes_again(&mut self, test: usize) -> Result<bool, Stopped> {
        let others = self.others(test);
        let beside = Setup::beside(&others, test);
        for setup in [Setup::after(&others, test), beside.clone(), beside] {
            if self.runs.attempt(test, &setup)?.is_none_or(|seen| !seen.failed) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Runs the test alone often enough for a rate.
    fn own(&mut self, test: usize) -> Result<Option<Decision>, Stopped> {
        let solo = self.runs.solo_until(test, SOLO_RUNS_OF_OWN)?;
        if solo.failed < SOLO_FAILURES {
            self.runs.solo_until(test, SOLO_RUNS_OF_RARE)?;
        }
        let solo = self.runs.solo_rate(test);
        if solo.failed >= SOLO_FAILURES && solo.failed < solo.runs {
            return Ok(Some(self.own_decision(test)));
        }
        let has_failed = solo.failed > 0 || self.failed_in(test).next().is_some();
        Ok(has_failed.then(|| self.unexplained(test, "it did not fail again often enough")))
    }

    /// The decision for a test that fails and passes alone.
    fn own_decision(&self, test: usize) -> Decision {
        let solo = self.runs.solo_results(test);
        // What one run leaves behind is in the way of the next, which removes it.
        let alternates = solo.len() >= ALTERNATING && solo.windows(2).all(|pair| pair[0] != pair[1]);
        Decision {
            class: if alternates { Class::Leftover } else { Class::Own },
            culprits: Vec::new(),
            with: FailureRate::default(),
            without: self.runs.solo_rate(test),
            setup: Setup::alone(test),
        }
    }

    /// Returns a decision that names no class, with all that was seen.
    fn unexplained(&self, test: usize, why: &str) -> Decision {
        let names = |failed: bool| {
            let runs = self.table.runs.iter().filter(|run| run.regime != Regime::Alone);
            let names = runs
                .filter(|run| run.failed(test) == Some(failed))
                .map(|run| run.regime.to_string());
            names.collect::<Vec<_>>().join(", ")
        };
        let solo = self.runs.solo_rate(test);
        let mut seen = Vec::new();
        for (verb, regimes) in [("failed", names(true)), ("passed", names(false))] {
            if !regimes.is_empty() {
                seen.push(format!("{verb} in these regimes: {regimes}"));
            }
        }
        if solo.runs > 0 {
            seen.push(format!("failed in {} of {} runs alone", solo.failed, solo.runs));
        }
        let not_alone = self.failed_in(test).next().filter(|_| solo.failed == 0);
        let setup = not_alone.map_or_else(
            || Setup::alone(test),
            |run| match run.before(test) {
                Some(before) => Setup::after(before, test),
                None => run.setup.clone(),
            },
        );
        let known = self.table.runs.iter().filter(|run| run.regime != Regime::Alone);
        Decision {
            class: Class::Unexplained {
                why: format!("{why}; {}", seen.join("; ")),
            },
            culprits: Vec::new(),
            with: rate(known.filter_map(|run| run.failed(test))),
            without: solo,
            setup,
        }
    }

    /// Decides the tests whose failures are those of a poisoned lock, by the first failures of their program.
    fn decide_cascades(&mut self, poisoned: &[usize]) {
        for root in std::mem::take(&mut self.roots) {
            let open = poisoned.iter().copied().filter(|test| {
                let meets =
                    |run: &RegimeRun| run.failed(root.test) == Some(true) && !run.is_poisoned(root.test);
                !self.decided.contains(test)
                    && *test != root.test
                    && self.runs.is_same_program(*test, root.test)
                    && self.failed_in(*test).any(meets)
            });
            let open: Vec<usize> = open.collect();
            let before = self.runs.started();
            let Ok((setup, followers)) = cascades::followers(self.runs, &root, &open) else {
                self.roots.push(root);
                continue;
            };
            let mut reruns = self.runs.started() - before;
            for follower in followers {
                let decision = Decision {
                    class: Class::Cascade,
                    culprits: vec![root.test],
                    with: follower.with,
                    without: follower.without,
                    setup: setup.clone(),
                };
                // One search for all of them.
                self.enter(follower.test, decision, std::mem::take(&mut reruns));
            }
            self.roots.push(root);
        }
    }
}
