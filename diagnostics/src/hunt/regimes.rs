//! The regimes: scenes of all tests that together separate the classes.
//!
//! As long as all tests pass, one regime has several conditions where it can: forward is a second time after the command as it is,
//! and two copies run in a random order. Once a test has failed or has no result, these conditions are also tried one by one.

use super::runs::{Runs, Seen, Setup};
use super::{HuntEvent, HuntOptions};
use crate::scene::{Arrangement, Outcome, SceneResult, Stopped, TestId};
use std::collections::{BTreeSet, HashSet};
use std::fmt;

/// Conditions under which all tests run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Regime {
    /// The user's command.
    AsIs,
    /// One after the other, in the order of the suite's list.
    Forward,
    /// One after the other, the last first.
    Reversed,
    Parallel,
    /// In parallel with as many busy threads as there are cores: the tests take time from each other, too.
    Loaded,
    /// Forward once more; a third time up to the last test that passed before and failed now.
    Again,
    /// One after the other, with a second copy at the same time: forward, or in the random order with this seed.
    TwoRuns(Option<u64>),
    /// Each test in its own process: either all tests, or those that failed in another regime.
    Alone,
    /// One after the other, in a random order with this seed.
    Random(u64),
}

impl fmt::Display for Regime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AsIs => f.write_str("as is"),
            Self::Forward => f.write_str("forward"),
            Self::Reversed => f.write_str("reversed"),
            Self::Parallel => f.write_str("parallel"),
            Self::Loaded => f.write_str("parallel under load"),
            Self::Again => f.write_str("forward again"),
            Self::TwoRuns(None) => f.write_str("two runs at once"),
            Self::TwoRuns(Some(seed)) => write!(f, "two runs at once in random order {seed}"),
            Self::Alone => f.write_str("alone"),
            Self::Random(seed) => write!(f, "random order {seed}"),
        }
    }
}

/// A regime that was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegimeReport {
    pub(crate) regime: Regime,
    /// The tests that failed, in the suite's order.
    pub(crate) failed: Vec<TestId>,
    /// The reason why it shows nothing.
    pub(crate) void: Option<String>,
}

impl Regime {
    /// Returns whether two copies of the suite run.
    pub(super) fn is_twice(self) -> bool {
        matches!(self, Self::TwoRuns(_))
    }

    /// The scene of this regime.
    fn setup(self, tests: usize, cores: u32) -> Setup {
        let mut tests: Vec<usize> = (0..tests).collect();
        match self {
            Self::Reversed => tests.reverse(),
            Self::Random(seed) | Self::TwoRuns(Some(seed)) => shuffle(&mut tests, seed),
            _ => {}
        }
        let arrangement = match self {
            Self::AsIs | Self::Parallel | Self::Loaded => Arrangement::Parallel,
            Self::Alone => Arrangement::Alone,
            _ => Arrangement::InOrder,
        };
        Setup {
            load: if self == Self::Loaded { cores.max(1) } else { 0 },
            twice: self.is_twice(),
            ..Setup::new(tests, arrangement)
        }
    }
}

/// The number of runs alone of a test that failed in another regime.
pub(super) const SOLO_RUNS: u32 = 3;
/// The number of failures, without a pass, after which a test fails always.
const FAILING: u32 = 7 + SOLO_RUNS;

/// A run of a regime.
pub(super) struct RegimeRun {
    pub(super) regime: Regime,
    pub(super) setup: Setup,
    /// By test.
    outcomes: Vec<Outcome>,
    poisoned: HashSet<usize>,
    void: Option<String>,
}

impl RegimeRun {
    fn new(runs: &Runs<'_>, regime: Regime, setup: Setup, result: &SceneResult) -> Self {
        let outcome = |test| {
            let known = result.outcomes.get(runs.id(test)).copied();
            known
                .filter(|_| result.void.is_none())
                .unwrap_or(Outcome::Unknown)
        };
        Self {
            regime,
            setup,
            outcomes: (0..runs.tests()).map(outcome).collect(),
            poisoned: (0..runs.tests())
                .filter(|test| result.is_poisoned(runs.id(*test)))
                .collect(),
            void: result.void.clone(),
        }
    }

    /// Returns whether the test failed; `None` without a result.
    pub(super) fn failed(&self, test: usize) -> Option<bool> {
        match self.outcomes[test] {
            Outcome::Passed => Some(false),
            Outcome::Failed => Some(true),
            Outcome::Unknown => None,
        }
    }

    pub(super) fn is_poisoned(&self, test: usize) -> bool {
        self.failed(test) == Some(true) && self.poisoned.contains(&test)
    }

    /// The order of the tests, if they ran one after the other. Beside another copy of the suite a test ran after its
    /// predecessors, but not after them alone.
    pub(super) fn order(&self) -> Option<&[usize]> {
        let is_order = self.setup.arrangement == Arrangement::InOrder && !self.setup.twice;
        is_order.then_some(&self.setup.tests)
    }

    /// The tests before this one, if they ran one after the other.
    pub(super) fn before(&self, test: usize) -> Option<&[usize]> {
        let order = self.order()?;
        let at = order.iter().position(|other| *other == test)?;
        Some(&order[..at])
    }

    /// The result of a test as that of a scene.
    pub(super) fn seen(&self, test: usize) -> Option<Seen> {
        let others = (0..self.outcomes.len()).filter(|other| *other != test);
        Some(Seen {
            failed: self.failed(test)?,
            poisoned: self.is_poisoned(test),
            others: others
                .filter_map(|other| Some((other, self.failed(other)?)))
                .collect(),
        })
    }
}

/// The results of all regimes, in the order in which they ran.
pub(super) struct RegimeTable {
    pub(super) runs: Vec<RegimeRun>,
    reports: Vec<RegimeReport>,
}

impl RegimeTable {
    pub(super) fn new(runs: &mut Runs<'_>, as_is: &SceneResult) -> Self {
        let mut table = Self {
            runs: Vec::new(),
            reports: Vec::new(),
        };
        let setup = Regime::AsIs.setup(runs.tests(), 0);
        let run = RegimeRun::new(runs, Regime::AsIs, setup, as_is);
        table.enter(runs, vec![run]);
        table
    }

    pub(super) fn reports(self) -> Vec<RegimeReport> {
        self.reports
    }

    /// Runs all regimes that are needed but the random order.
    pub(super) fn run(
        &mut self,
        runs: &mut Runs<'_>,
        options: &HuntOptions,
        given: &[usize],
    ) -> Result<(), Stopped> {
        while let Some(regime) = self.open(options.seed).first().copied() {
            self.run_suite(runs, regime, options.cores)?;
        }
        self.run_alone(runs, options.alone_for_all, given)
    }

    /// Runs all tests in a random order, if that is needed and was not done.
    pub(super) fn run_random(&mut self, runs: &mut Runs<'_>, seed: u64) -> Result<(), Stopped> {
        let regime = Regime::Random(seed);
        if self.all_passed() || self.has_run(regime) {
            return Ok(());
        }
        self.run_suite(runs, regime, 0)
    }

    /// Returns whether each test passed in each regime of all tests so far.
    fn all_passed(&self) -> bool {
        let of_all = self.runs.iter().filter(|run| run.regime != Regime::Alone);
        let mut outcomes = of_all.flat_map(|run| &run.outcomes);
        outcomes.all(|outcome| *outcome == Outcome::Passed)
    }

    fn has_run(&self, regime: Regime) -> bool {
        let is_same = |run: &RegimeRun| run.regime == regime || run.regime.is_twice() && regime.is_twice();
        self.runs.iter().any(is_same)
    }

    /// Returns the regimes of all tests that are to be run after what was seen.
    fn open(&self, seed: u64) -> Vec<Regime> {
        use Regime::{Again, Forward, Loaded, Parallel, Random, Reversed, TwoRuns};
        let mut open = if self.all_passed() {
            vec![Forward, Reversed, Parallel, Loaded, TwoRuns(Some(seed))]
        } else {
            let mut all = vec![Forward, Reversed, Parallel, Loaded, Again, TwoRuns(None)];
            // What failed in two runs at once may have failed because of their order.
            all.extend(self.first(TwoRuns(Some(seed))).map(|_| Random(seed)));
            all
        };
        open.retain(|regime| !self.has_run(*regime));
        open
    }

    pub(super) fn run_suite(
        &mut self,
        runs: &mut Runs<'_>,
        regime: Regime,
        cores: u32,
    ) -> Result<(), Stopped> {
        let setup = regime.setup(runs.tests(), cores);
        runs.see(HuntEvent::RegimeStarted {
            regime,
            tests: setup.tests.len(),
        });
        let result = runs.run(&setup)?;
        let run = RegimeRun::new(runs, regime, setup, &result);
        let mut new_failures = (0..runs.tests()).filter(|test| {
            let before = self.first(Regime::Forward);
            run.failed(*test) == Some(true) && before.is_some_and(|first| first.failed(*test) == Some(false))
        });
        let last = new_failures.next_back().filter(|_| regime == Regime::Again);
        let mut all = vec![run];
        let third = last.map(|last| {
            let setup = Setup::new((0..=last).collect(), Arrangement::InOrder);
            let result = runs.run(&setup)?;
            Ok(RegimeRun::new(runs, regime, setup, &result))
        });
        let ended = match third {
            Some(Ok(run)) => {
                all.push(run);
                Ok(())
            }
            Some(Err(stopped)) => Err(stopped),
            None => Ok(()),
        };
        self.enter(runs, all);
        ended
    }

    /// Runs each test alone that failed in another regime, or that is given.
    fn run_alone(&mut self, runs: &mut Runs<'_>, is_for_all: bool, given: &[usize]) -> Result<(), Stopped> {
        let mut chosen: BTreeSet<usize> = self.failures().into_iter().chain(given.iter().copied()).collect();
        let tests = if is_for_all { runs.tests() } else { chosen.len() };
        if tests == 0 {
            return Ok(());
        }
        runs.see(HuntEvent::RegimeStarted {
            regime: Regime::Alone,
            tests,
        });
        // One scene for all that never passed: nothing more is tried with those that fail here, too.
        let never_passed = chosen.iter().copied().filter(|test| !self.has_passed(*test));
        let together: Vec<usize> = if is_for_all {
            (0..runs.tests()).collect()
        } else {
            never_passed.collect()
        };
        let mut outcomes = vec![Outcome::Unknown; runs.tests()];
        let mut all_ran = Ok(());
        // The reason that no test has a result, if none has one.
        let mut void = None;
        let mut together = together;
        for round in 1..=SOLO_RUNS {
            // A test that passed once is run further by itself.
            if round > 1 {
                together.retain(|test| outcomes[*test] == Outcome::Failed && !self.has_passed(*test));
            }
            if together.is_empty() {
                break;
            }
            let setup = Setup::new(together.clone(), Arrangement::Alone);
            match runs.run(&setup) {
                Ok(result) => {
                    let run = RegimeRun::new(runs, Regime::Alone, setup, &result);
                    void = void.or(result.void);
                    for test in &together {
                        outcomes[*test] = run.outcomes[*test];
                    }
                }
                Err(stopped) => {
                    all_ran = Err(stopped);
                    break;
                }
            }
        }
        let failed = |test: &usize| outcomes[*test] == Outcome::Failed;
        if is_for_all {
            chosen.extend((0..runs.tests()).filter(failed));
        }
        let is_always = |test: &usize| failed(test) && self.is_failing(*test, SOLO_RUNS);
        if all_ran.is_ok() {
            chosen.retain(|test| !is_always(test));
        }
        for test in chosen {
            let rate = match all_ran.and_then(|()| runs.solo_until(test, SOLO_RUNS)) {
                Ok(rate) => rate,
                Err(stopped) => {
                    all_ran = Err(stopped);
                    runs.solo_rate(test)
                }
            };
            // Beside the others' files it may have failed only for those.
            if rate.runs > 0 {
                outcomes[test] = if rate.failed > 0 {
                    Outcome::Failed
                } else {
                    Outcome::Passed
                };
            }
        }
        let run = RegimeRun {
            regime: Regime::Alone,
            setup: Regime::Alone.setup(runs.tests(), 0),
            void: void.filter(|_| outcomes.iter().all(|outcome| *outcome == Outcome::Unknown)),
            outcomes,
            poisoned: HashSet::new(),
        };
        self.enter(runs, vec![run]);
        all_ran
    }

    /// Adds the runs of one regime.
    fn enter(&mut self, runs: &mut Runs<'_>, of_regime: Vec<RegimeRun>) {
        let failed: Vec<usize> = (0..runs.tests())
            .filter(|test| of_regime.iter().any(|run| run.failed(*test) == Some(true)))
            .collect();
        let report = RegimeReport {
            regime: of_regime[0].regime,
            failed: runs.ids(&failed),
            void: of_regime[0].void.clone(),
        };
        runs.see(HuntEvent::RegimeEnded(&report));
        self.reports.push(report);
        self.runs.extend(of_regime);
    }

    pub(super) fn first(&self, regime: Regime) -> Option<&RegimeRun> {
        self.runs.iter().find(|run| run.regime == regime)
    }

    /// Returns the tests that failed in a regime, in the order of their first failures. Tests that failed only by poisoned
    /// locks come last.
    pub(super) fn failures(&self) -> Vec<usize> {
        let mut found = Vec::new();
        for run in &self.runs {
            let listed: Vec<usize> = (0..run.outcomes.len()).collect();
            let order = run.order().unwrap_or(&listed);
            found.extend(
                order
                    .iter()
                    .copied()
                    .filter(|test| run.failed(*test) == Some(true)),
            );
        }
        let mut seen = HashSet::new();
        found.retain(|test| seen.insert(*test));
        found.sort_by_key(|test| self.is_always_poisoned(*test));
        found
    }

    /// Returns whether each failure of the test is that of a poisoned lock.
    pub(super) fn is_always_poisoned(&self, test: usize) -> bool {
        let mut failures = self
            .runs
            .iter()
            .filter(|run| run.regime != Regime::Alone && run.failed(test) == Some(true));
        failures.next().is_some_and(|run| run.is_poisoned(test)) && failures.all(|run| run.is_poisoned(test))
    }

    fn has_passed(&self, test: usize) -> bool {
        self.runs.iter().any(|run| run.failed(test) == Some(false))
    }

    /// Returns whether the test failed in both serial orders and all other regimes that have its result, and often enough
    /// together with these runs more.
    pub(super) fn is_failing(&self, test: usize, more: u32) -> bool {
        let in_order = |regime| self.first(regime).and_then(|run| run.failed(test)) == Some(true);
        in_order(Regime::Forward) && in_order(Regime::Reversed) && self.never_passes(test, more)
    }

    /// The same, whichever the regimes.
    pub(super) fn never_passes(&self, test: usize, more: u32) -> bool {
        let results: Vec<bool> = self.runs.iter().filter_map(|run| run.failed(test)).collect();
        results.len() as u32 + more >= FAILING && results.iter().all(|failed| *failed)
    }

    /// The regimes that were not run, in words.
    pub(super) fn untried(&self, options: &HuntOptions) -> Vec<String> {
        // What fails in the random order alone is run alone as a part of its examination.
        let listed = self
            .runs
            .iter()
            .filter(|run| !matches!(run.regime, Regime::Random(_)));
        let has_failures = listed
            .flat_map(|run| &run.outcomes)
            .any(|outcome| *outcome == Outcome::Failed);
        let needs_alone = options.alone_for_all || !options.given.is_empty() || has_failures;
        let alone = needs_alone.then_some(Regime::Alone);
        let random = (!self.all_passed()).then_some(Regime::Random(options.seed));
        let more = alone
            .into_iter()
            .chain(random)
            .filter(|regime| !self.has_run(*regime));
        let open: BTreeSet<Regime> = self.open(options.seed).into_iter().chain(more).collect();
        open.into_iter()
            .map(|regime| format!("the regime \"{regime}\""))
            .collect()
    }
}

/// Puts the tests into an order that the seed alone determines (Fisher and Yates, with the numbers of SplitMix64).
fn shuffle(tests: &mut [usize], seed: u64) {
    let mut state = seed;
    for end in (1..tests.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        tests.swap(end, (mixed % (end as u64 + 1)) as usize);
    }
}
