//! The test beside which, or after which, a test fails sometimes: by rates.

use super::evidence::is_higher;
use super::predecessors::Proof;
use super::runs::{Runs, Seen, Setup, rate};
use crate::rates::FailureRate;
use crate::scene::Stopped;
use std::collections::HashSet;

// For a failure that is known to be rare, the numbers of runs with other tests are multiplied by its rarity.

/// The numbers of runs alone: before other tests are blamed, and at most to compare with few or with many runs beside them.
const SOLO_RUNS: u32 = 10;
const SOLO_OF_FEW: u32 = 30;
const SOLO_OF_MANY: u32 = 100;
/// The number of runs alone after which the rates are compared again.
const SOLO_STEP: usize = 5;
/// With more runs than these, more runs alone are needed.
const FEW: u32 = 10;
/// The number of runs after which two rates are compared for the last time, and without a failure until then.
const LAST: u32 = 20;
const WITHOUT_FAILURE: u32 = 8;
/// The number of failures in new runs, the number of these, and that of new runs alone.
const AGAIN_FAILED: u32 = 2;
const AGAIN: u32 = 10;
const SOLO_AGAIN: u32 = 20;
/// The number of suspects that are tried one by one, and the runs of each to see one failure.
const SUSPECTS: usize = 5;
const SUSPECT_RUNS: u32 = 4;
/// The number of runs with all others to see one failure.
const ALL_RUNS: u32 = 8;
/// The number of other tests that may be blamed together without being suspects.
const MOST_TOGETHER: usize = 8;
/// The number of runs of a search among all others, about.
const SEARCH_RUNS: u32 = 100;
/// Unless it is rarer, the assumed probability that the test fails while the one that it fails with is there.
const ASSUMED_RATE: f64 = 0.4;
/// The share of belief that is left for tests that were absent from a failing scene: the failure may have been another.
const DOUBT: f64 = 0.01;
/// The weight of a test of another program against one of the same.
const OTHER_PROGRAM: f64 = 0.1;
/// The share of belief in one test with which it is put to the proof.
const CONVINCED: f64 = 0.7;

/// The probability with which a failure is to be seen.
const SURE: f64 = 0.95;
/// The greatest rarity: of a failure in one of fifty runs.
const MOST_RARE: u32 = 20;

/// Returns the number of runs, at most, in which a failure of this rate shows at least once, most likely.
pub(super) fn runs_to_see(rate: FailureRate) -> u32 {
    let share = f64::from(rate.failed) / f64::from(rate.runs.max(1));
    let runs = (1.0 - SURE).ln() / (1.0 - share.clamp(0.1, 0.9)).ln();
    runs.ceil() as u32
}

/// Returns the factor by which a failure of this rate needs more runs than usual.
pub(super) fn rarity_of(rate: FailureRate) -> u32 {
    let usual = ASSUMED_RATE * f64::from(rate.runs) / f64::from(rate.failed.max(1));
    (usual.ceil() as u32).clamp(1, MOST_RARE)
}

/// The way in which the others are there.
#[derive(Clone, Copy)]
pub(super) enum Company<'a> {
    Beside,
    /// Before it, in this order.
    Before(&'a [usize]),
}

impl Company<'_> {
    fn setup(self, some: &[usize], test: usize) -> Setup {
        match self {
            Self::Beside => Setup::beside(some, test),
            Self::Before(order) => {
                let some: HashSet<usize> = some.iter().copied().collect();
                let before: Vec<usize> = order
                    .iter()
                    .copied()
                    .filter(|other| some.contains(other))
                    .collect();
                Setup::after(&before, test)
            }
        }
    }

    fn all(self, runs: &Runs<'_>, test: usize) -> Vec<usize> {
        match self {
            Self::Beside => (0..runs.tests()).filter(|other| *other != test).collect(),
            Self::Before(order) => order.to_vec(),
        }
    }
}

/// Runs the test under some conditions until its rate there is higher than alone by more than chance; `None` if it is not.
/// `looks` is the number of conditions among which these were chosen.
pub(super) fn compare(
    runs: &mut Runs<'_>,
    test: usize,
    setup: &Setup,
    looks: usize,
) -> Result<Option<Proof>, Stopped> {
    continued(runs, test, setup, Vec::new(), looks)
}

/// The same after some runs: the last of them is the first failure.
fn continued(
    runs: &mut Runs<'_>,
    test: usize,
    setup: &Setup,
    mut all_seen: Vec<Seen>,
    looks: usize,
) -> Result<Option<Proof>, Stopped> {
    loop {
        let with = rate(all_seen.iter().map(|seen| seen.failed));
        let rarity = runs.rarity();
        if with.runs >= LAST * rarity || with.failed == 0 && with.runs >= WITHOUT_FAILURE * rarity {
            return Ok(None);
        }
        let Some(seen) = runs.attempt(test, setup)? else {
            return Ok(None);
        };
        let has_failed = seen.failed;
        all_seen.push(seen);
        let with = rate(all_seen.iter().map(|seen| seen.failed));
        if !has_failed || with.failed < 2 {
            continue;
        }
        let solo_runs = if with.runs <= FEW {
            SOLO_OF_FEW
        } else {
            SOLO_OF_MANY
        };
        if is_higher_after(runs, test, with, solo_runs, looks)? {
            let Some(again) = again(runs, test, setup, with.runs)? else {
                return Ok(None);
            };
            all_seen.extend(again);
            return Ok(Some(Proof {
                culprits: Vec::new(),
                with: rate(all_seen.iter().map(|seen| seen.failed)),
                without: runs.solo_rate(test),
                seen: all_seen,
            }));
        }
    }
}

/// Returns whether the rate is higher than alone by more than chance, as soon as that is known, or after this number of runs alone.
fn is_higher_after(
    runs: &mut Runs<'_>,
    test: usize,
    with: FailureRate,
    solo_runs: u32,
    looks: usize,
) -> Result<bool, Stopped> {
    let known = runs.solo_rate(test).runs;
    for more in (known..solo_runs).step_by(SOLO_STEP).skip(1).chain([solo_runs]) {
        if is_higher(with, runs.solo_rate(test), looks) {
            break;
        }
        runs.solo_until(test, more)?;
    }
    Ok(is_higher(with, runs.solo_rate(test), looks))
}

/// Returns new runs in which the test fails again, if it still does not fail alone: the first runs were chosen because it
/// failed.
fn again(runs: &mut Runs<'_>, test: usize, setup: &Setup, first: u32) -> Result<Option<Vec<Seen>>, Stopped> {
    let mut all_seen: Vec<Seen> = Vec::new();
    loop {
        let again = rate(all_seen.iter().map(|seen| seen.failed));
        if again.failed >= AGAIN_FAILED {
            break;
        }
        if again.runs >= AGAIN.max(2 * first) {
            return Ok(None);
        }
        let Some(seen) = runs.attempt(test, setup)? else {
            return Ok(None);
        };
        all_seen.push(seen);
    }
    let known = runs.solo_rate(test);
    let alone = runs.solo_until(test, known.runs + SOLO_AGAIN)?;
    let still_passes = alone.failed == known.failed && alone.runs == known.runs + SOLO_AGAIN;
    Ok(still_passes.then_some(all_seen))
}

/// Finds a single test with which this one fails more often than alone: suspects first. `None` if none is shown.
pub(super) fn suspected(
    runs: &mut Runs<'_>,
    test: usize,
    company: Company<'_>,
    suspects: &[usize],
) -> Result<Option<Proof>, Stopped> {
    if runs.solo_until(test, SOLO_RUNS)?.failed > 0 {
        return Ok(None);
    }
    let all = company.all(runs, test);
    let present = suspects.iter().copied().filter(|suspect| all.contains(suspect));
    let mut tried: Vec<(usize, Vec<Seen>)> = present
        .take(SUSPECTS)
        .map(|suspect| (suspect, Vec::new()))
        .collect();
    let mut looks = 0;
    // In turns: most runs with the right one show it, and all with the wrong ones are in vain.
    for _ in 0..SUSPECT_RUNS * runs.rarity() {
        let mut at = 0;
        while at < tried.len() {
            let (suspect, all_seen) = &mut tried[at];
            let setup = company.setup(&[*suspect], test);
            let seen = runs.attempt(test, &setup)?;
            let has_failed = seen.as_ref().is_some_and(|seen| seen.failed);
            all_seen.extend(seen);
            if !has_failed {
                at += 1;
                continue;
            }
            looks += 1;
            let (suspect, all_seen) = tried.remove(at);
            if let Some(proof) = with_pair(runs, test, &setup, suspect, all_seen, looks)? {
                return Ok(Some(proof));
            }
        }
    }
    Ok(None)
}

/// Compares the rates with one other test and alone.
fn pair(
    runs: &mut Runs<'_>,
    test: usize,
    company: Company<'_>,
    other: usize,
    looks: usize,
) -> Result<Option<Proof>, Stopped> {
    let setup = company.setup(&[other], test);
    with_pair(runs, test, &setup, other, Vec::new(), looks)
}

fn with_pair(
    runs: &mut Runs<'_>,
    test: usize,
    setup: &Setup,
    other: usize,
    first: Vec<Seen>,
    looks: usize,
) -> Result<Option<Proof>, Stopped> {
    let proof = continued(runs, test, setup, first, looks)?;
    Ok(proof.map(|proof| Proof {
        culprits: vec![other],
        ..proof
    }))
}

/// Compares the rates beside all tests of its program and alone, where its harness runs one test or all: then no smaller set can be
/// tried, and the suspects are the culprits, or a few others if there are none. Returns the scene, too.
pub(super) fn beside_program(runs: &mut Runs<'_>, test: usize) -> Result<Option<(Proof, Setup)>, Stopped> {
    let others: Vec<usize> = (0..runs.tests())
        .filter(|other| *other != test && runs.is_same_program(*other, test))
        .collect();
    let mut suspects = runs.suspects(test);
    suspects.retain(|suspect| others.contains(suspect));
    if suspects.is_empty() && others.len() <= MOST_TOGETHER {
        suspects.clone_from(&others);
    }
    let Some(first) = suspects.first().filter(|_| others.len() > 1) else {
        return Ok(None);
    };
    if runs.attempt(test, &Setup::beside(&[*first], test))?.is_some() {
        return Ok(None);
    }
    let setup = Setup::beside(&others, test);
    let proof = compare(runs, test, &setup, 1)?;
    Ok(proof.map(|proof| {
        let culprits = suspects;
        (Proof { culprits, ..proof }, setup)
    }))
}

/// Runs a search among all others, if the test fails with all of them.
pub(super) fn among_all(
    runs: &mut Runs<'_>,
    test: usize,
    company: Company<'_>,
    is_repeated: bool,
) -> Result<Option<Proof>, Stopped> {
    let all = company.all(runs, test);
    if all.is_empty() || runs.solo_until(test, SOLO_RUNS)?.failed > 0 {
        return Ok(None);
    }
    if !is_repeated && !fails_with_all(runs, test, company)? {
        return Ok(None);
    }
    let weight = |other: &usize| {
        if runs.is_same_program(*other, test) {
            1.0
        } else {
            OTHER_PROGRAM
        }
    };
    let mut beliefs = Beliefs::new(all.iter().map(|other| (*other, weight(other))));
    let mut looks = 0;
    let rate = ASSUMED_RATE / f64::from(runs.rarity());
    let end = runs.started() + SEARCH_RUNS * runs.rarity();
    while runs.started() < end {
        let some = beliefs.half();
        if let [(only, share)] = beliefs.best(1)[..]
            && share >= CONVINCED
        {
            looks += 1;
            if let Some(proof) = pair(runs, test, company, only, looks)? {
                return Ok(Some(proof));
            }
            let times = WITHOUT_FAILURE * runs.rarity();
            beliefs.lower(&[only], (1.0 - rate).powi(times as i32));
            continue;
        }
        match runs.attempt(test, &company.setup(&some, test))? {
            Some(seen) if seen.failed => beliefs.keep(&some),
            Some(_) => beliefs.lower(&some, 1.0 - rate),
            None => {}
        }
    }
    Ok(None)
}

fn fails_with_all(runs: &mut Runs<'_>, test: usize, company: Company<'_>) -> Result<bool, Stopped> {
    let setup = company.setup(&company.all(runs, test), test);
    runs.fails_within(test, &setup, ALL_RUNS * runs.rarity())
}

/// Beliefs about which one of many tests it is.
struct Beliefs {
    shares: Vec<(usize, f64)>,
}

impl Beliefs {
    fn new(weights: impl Iterator<Item = (usize, f64)>) -> Self {
        let mut beliefs = Self {
            shares: weights.collect(),
        };
        beliefs.normalize();
        beliefs
    }

    fn normalize(&mut self) {
        let sum: f64 = self.shares.iter().map(|(_, share)| share).sum();
        for (_, share) in &mut self.shares {
            *share /= sum;
        }
        // Stable: among equals, the order of the list decides.
        self.shares.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    }

    fn best(&self, count: usize) -> Vec<(usize, f64)> {
        self.shares.iter().take(count).copied().collect()
    }

    /// The likeliest tests that have about half of the belief together.
    fn half(&self) -> Vec<usize> {
        let mut sum = 0.0;
        let likeliest = self.shares.iter().take_while(|(_, share)| {
            let is_taken = sum < 0.45;
            sum += share;
            is_taken
        });
        likeliest.map(|(test, _)| *test).collect()
    }

    /// The test failed with these.
    fn keep(&mut self, some: &[usize]) {
        let some: HashSet<usize> = some.iter().copied().collect();
        for (_, share) in self.shares.iter_mut().filter(|(test, _)| !some.contains(test)) {
            *share *= DOUBT;
        }
        self.normalize();
    }

    /// The test passed with these.
    fn lower(&mut self, some: &[usize], factor: f64) {
        let some: HashSet<usize> = some.iter().copied().collect();
        for (_, share) in self.shares.iter_mut().filter(|(test, _)| some.contains(test)) {
            *share *= factor;
        }
        self.normalize();
    }
}
