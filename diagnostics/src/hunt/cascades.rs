//! Tests that fail only because another failed before them and poisoned a lock: shown for all of them at once.

use super::runs::{Runs, Setup, Stopped};
use crate::rates::FailureRate;
use crate::scene::{Arrangement, Outcome};
use std::collections::HashSet;

/// The number of runs, at most: the first failure may be a rare one.
const RUNS: u32 = 20;
/// The number of runs that agree, at least, of tests that always fail after the first failure.
const REPEATS: u32 = 2;

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
        without: FailureRate::default(),
    };
    let mut followers: Vec<Follower> = tests.iter().copied().map(new).collect();
    if followers.is_empty() {
        return Ok((setup, followers));
    }
    for _ in 0..REPEATS {
        count(runs, &contrast, None, &mut followers)?;
    }
    for _ in 0..RUNS {
        count(runs, &setup, Some(root.test), &mut followers)?;
        followers.retain(|follower| follower.without.failed == 0);
        if followers.iter().all(|follower| follower.with.runs >= REPEATS) {
            break;
        }
    }
    followers.retain(|follower| {
        follower.with.failed == follower.with.runs
            && follower.with.runs >= REPEATS
            && follower.without.runs >= REPEATS
    });
    Ok((setup, followers))
}

/// Runs a scene, and counts each test's result by the root's.
fn count(
    runs: &mut Runs<'_>,
    setup: &Setup,
    root: Option<usize>,
    followers: &mut [Follower],
) -> Result<(), Stopped> {
    let result = runs.run(setup)?;
    if result.void.is_some() {
        return Ok(());
    }
    let outcome = |test: usize| result.outcomes.get(runs.id(test)).copied();
    let root_failed = match root.map(outcome) {
        None | Some(Some(Outcome::Passed)) => false,
        Some(Some(Outcome::Failed)) => true,
        Some(_) => return Ok(()),
    };
    for follower in followers {
        let failed = match outcome(follower.test) {
            Some(Outcome::Passed) => false,
            Some(Outcome::Failed) => true,
            _ => continue,
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
