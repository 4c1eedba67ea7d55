//! Tests that fail only because another failed before them and poisoned a lock: shown for all of them at once.

use super::evidence::is_higher;
use super::runs::{Runs, Setup};
use crate::rates::FailureRate;
use crate::scene::{Arrangement, Outcome, Stopped};
use std::collections::HashSet;

/// The number of runs, at most: the first failure may be a rare one.
const RUNS: u32 = 20;
/// The number of runs that agree, at least, of tests that always fail after the first failure.
const REPEATS: u32 = 2;

/// The number of runs alone of a test that sometimes passed after the first failure.
const SOLO_RUNS: u32 = 50;

/// A test that failed first, and its scene.
pub(super) struct Root {
    pub(super) test: usize,
    /// The tests that make it fail, if there are any.
    pub(super) culprits: Vec<usize>,
    pub(super) setup: Setup,
}

/// A test that fails only if the root did.
pub(super) struct Follower {
    pub(super) test: usize,
    /// The failures in scenes in which the root failed, and in others.
    pub(super) with: FailureRate,
    pub(super) without: FailureRate,
}

impl Follower {
    /// The message of a failure at a poisoned lock says the most, so few runs suffice.
    fn is_shown(&self) -> bool {
        let always = self.with.failed == self.with.runs && self.with.runs >= REPEATS;
        self.without.failed == 0
            && self.without.runs >= REPEATS
            && (always || is_higher(self.with, self.without, 1))
    }
}

/// Returns those of the tests that fail after the root's failure and pass otherwise, and the scene that shows it.
pub(super) fn followers(
    runs: &mut Runs<'_>,
    root: &Root,
    poisoned: &[usize],
) -> Result<(Setup, Vec<Follower>), Stopped> {
    let mut setup = root.setup.clone();
    if setup.arrangement == Arrangement::Alone {
        setup.arrangement = Arrangement::InOrder;
    }
    let known: HashSet<usize> = setup.tests.iter().copied().collect();
    let tests: Vec<usize> = poisoned
        .iter()
        .copied()
        .filter(|test| !known.contains(test))
        .collect();
    setup.tests.extend(&tests);
    let mut contrast = setup.clone();
    contrast.tests.clone_from(&tests);
    let new = |test| Follower {
        test,
        with: FailureRate::default(),
        without: runs.solo_rate(test),
    };
    let mut followers: Vec<Follower> = tests.iter().copied().map(new).collect();
    if followers.is_empty() {
        return Ok((setup, followers));
    }
    for _ in 0..REPEATS {
        count(runs, root, &contrast, false, &mut followers)?;
    }
    for _ in 0..RUNS {
        count(runs, root, &setup, true, &mut followers)?;
        followers.retain(|follower| follower.without.failed == 0);
        if followers.iter().all(Follower::is_shown) {
            break;
        }
    }
    // In parallel, a test often passes because it came before the first failure: the rate alone has to be all the surer.
    for follower in followers.iter_mut().filter(|follower| !follower.is_shown()) {
        let known = runs.solo_rate(follower.test).runs;
        if follower.with.failed >= REPEATS {
            runs.solo_until(follower.test, SOLO_RUNS)?;
            let new = runs.solo_results(follower.test).iter().skip(known as usize);
            new.for_each(|failed| follower.without.add(*failed));
        }
    }
    followers.retain(Follower::is_shown);
    Ok((setup, followers))
}

/// Runs a scene, with the root or without it, and counts each test's result by the root's.
fn count(
    runs: &mut Runs<'_>,
    root: &Root,
    setup: &Setup,
    has_root: bool,
    followers: &mut [Follower],
) -> Result<(), Stopped> {
    let scene = runs.scene(setup);
    if let Some(follower) = followers.first() {
        runs.see_trying(follower.test, &scene);
    }
    let result = runs.run(setup)?;
    if result.void.is_some() {
        return Ok(());
    }
    let failed = |test: usize| match result.outcomes.get(runs.id(test)) {
        Some(Outcome::Passed) => Some(false),
        Some(Outcome::Failed) => Some(true),
        Some(Outcome::Unknown) | None => None,
    };
    let root_failed = if has_root { failed(root.test) } else { Some(false) };
    let Some(root_failed) = root_failed else {
        return Ok(());
    };
    for follower in followers {
        let Some(failed) = failed(follower.test) else {
            continue;
        };
        let rate = if root_failed {
            &mut follower.with
        } else {
            &mut follower.without
        };
        // Another failure of the same test says nothing about the lock.
        if !failed || !root_failed || result.is_poisoned(runs.id(follower.test)) {
            rate.add(failed);
        }
    }
    Ok(())
}
