//! The tests after which a test fails, or passes: a minimal set of those that ran before it.

use super::evidence::is_no_chance;
use super::runs::{Runs, Seen, rate};
use crate::minimal_set::{halve, minimal};
use crate::rates::FailureRate;
use crate::scene::Stopped;
use std::collections::HashSet;

/// The number of suspects that are tried one by one.
const SUSPECTS: usize = 8;
/// A failing scene and its contrast are each run this often, at least; a scene that was found by bisection, or has several
/// tests before it, more often.
const REPEATS: u32 = 2;
const REPEATS_OF_BISECTED: u32 = 3;
const REPEATS_OF_SET: u32 = 4;
/// The number of further runs, at most, that show that the results are no chance.
const FURTHER_RUNS: usize = 12;

/// A question about one test.
pub(super) struct Question<'a> {
    pub(super) test: usize,
    /// The tests before it in an order in which it failed, or passed.
    pub(super) before: &'a [usize],
    /// Whether it failed in that order. It does the opposite alone.
    pub(super) fails: bool,
}

/// The answer.
pub(super) enum Answer {
    Shown(Proof),
    /// The same scene gave different results.
    Contradicted,
    /// Several tests before it are needed, and no minimal set of them could be shown.
    NotIsolated,
}

/// A minimal set, and its runs.
pub(super) struct Proof {
    pub(super) culprits: Vec<usize>,
    pub(super) with: FailureRate,
    pub(super) without: FailureRate,
    /// The results with exactly this set.
    pub(super) seen: Vec<Seen>,
}

/// Finds a minimal set. `suspects` come first, the most suspicious first.
pub(super) fn search(
    runs: &mut Runs<'_>,
    question: &Question<'_>,
    suspects: &[usize],
) -> Result<Answer, Stopped> {
    let mut search = Search {
        runs,
        question,
        looks: 0,
        tests: 0,
        is_bisected: false,
    };
    if search.is_contradicted() {
        return Ok(Answer::Contradicted);
    }
    let preceding: HashSet<usize> = question.before.iter().copied().collect();
    let mut suspects: Vec<usize> = suspects.to_vec();
    let mut listed = HashSet::new();
    suspects.retain(|suspect| preceding.contains(suspect) && listed.insert(*suspect));
    suspects.truncate(SUSPECTS);
    for suspect in &suspects {
        search.looks += 1;
        if search.has_effect(&[*suspect])? {
            return search.confirm(vec![*suspect]);
        }
    }
    if suspects.len() > 1 {
        let all: Vec<usize> = question
            .before
            .iter()
            .copied()
            .filter(|test| listed.contains(test))
            .collect();
        let all: Vec<usize> = all.into_iter().filter(|test| suspects.contains(test)).collect();
        search.tests = all.len();
        if search.has_effect(&all)? {
            let found = minimal(&all, &mut |some| search.has_effect(some))?;
            return search.confirm(found);
        }
    }
    search.bisect()
}

struct Search<'s, 'r> {
    runs: &'s mut Runs<'r>,
    question: &'s Question<'s>,
    /// The number of single tests among which the answer was chosen.
    looks: usize,
    /// The number of tests of which sets were tried.
    tests: usize,
    is_bisected: bool,
}

impl Search<'_, '_> {
    /// Runs the test after some others. Without a result, nothing speaks for an effect.
    fn has_effect(&mut self, some: &[usize]) -> Result<bool, Stopped> {
        let test = self.question.test;
        if some.is_empty() {
            return Ok(self.runs.solo(test)? == Some(self.question.fails));
        }
        let seen = self.runs.after(some, test)?;
        Ok(seen.is_some_and(|seen| seen.failed == self.question.fails))
    }

    /// Returns whether the same tests before it gave different results, or it does alone what it should do after others.
    fn is_contradicted(&self) -> bool {
        let after = self.runs.seen_after(self.question.test);
        let differs = after.iter().enumerate().any(|(at, one)| {
            let mut others = after[..at].iter();
            others.any(|other| other.before == one.before && other.seen.failed != one.seen.failed)
        });
        let mut solo = self.runs.solo_results(self.question.test).iter();
        differs || solo.any(|failed| *failed == self.question.fails)
    }

    /// Bisects all tests that ran before.
    fn bisect(&mut self) -> Result<Answer, Stopped> {
        let Question { test, before, fails } = *self.question;
        let mut list = before.to_vec();
        let whole: HashSet<usize> = list.iter().copied().collect();
        let repeats = self
            .runs
            .seen_after(test)
            .iter()
            .filter(|run| run.before == whole && run.seen.failed == fails);
        let is_repeated = repeats.count() >= 2;
        // State of a process is the more frequent cause; of other programs only files are left.
        let near: Vec<usize> = list
            .iter()
            .copied()
            .filter(|other| self.runs.is_same_program(*other, test))
            .collect();
        if near.len() < list.len() && !near.is_empty() && self.has_effect(&near)? {
            list = near;
        } else if list.is_empty() || !is_repeated && !self.has_effect(&list)? {
            return Ok(Answer::Contradicted);
        }
        self.looks += list.len();
        self.is_bisected = true;
        let (single, seen) = halve(&list, &mut |some| self.has_effect(some))?;
        if self.has_effect(&[single])? {
            return self.confirm(vec![single]);
        }
        self.tests = list.len();
        let found = minimal(&seen, &mut |some| self.has_effect(some))?;
        self.confirm(found)
    }

    /// Repeats the scene with the set and the contrast until the results are no chance.
    fn confirm(&mut self, mut set: Vec<usize>) -> Result<Answer, Stopped> {
        let Question { test, fails, .. } = *self.question;
        // Each test of the set is needed.
        let mut at = 0;
        while set.len() > 1 && at < set.len() {
            let mut rest = set.clone();
            rest.remove(at);
            if self.has_effect(&rest)? {
                set = rest;
                at = 0;
            } else {
                at += 1;
            }
        }
        let wanted: HashSet<usize> = set.iter().copied().collect();
        if wanted.is_empty() {
            return Ok(Answer::Contradicted);
        }
        // With each further test of a set, the number of sets grows by this factor.
        let sets = self.tests.saturating_pow(set.len() as u32);
        let looks = if set.len() > 1 {
            sets
        } else {
            self.looks + self.tests
        };
        let repeats = match (set.len(), self.is_bisected) {
            (1, false) => REPEATS,
            (1, true) => REPEATS_OF_BISECTED,
            _ => REPEATS_OF_SET,
        };
        for _ in 0..FURTHER_RUNS {
            let exact = self.exact(&wanted);
            let with = rate(exact.iter().map(|seen| seen.failed));
            let without = self.runs.solo_rate(test);
            let all_failed = |rate: FailureRate| rate.failed == rate.runs;
            let none_failed = |rate: FailureRate| rate.failed == 0;
            let agree = if fails {
                all_failed(with) && none_failed(without)
            } else {
                none_failed(with) && all_failed(without)
            };
            if !agree {
                return Ok(if set.len() > 1 {
                    Answer::NotIsolated
                } else {
                    Answer::Contradicted
                });
            }
            let is_repeated = with.runs >= repeats && without.runs >= repeats;
            if is_repeated && is_no_chance(self.explained(&wanted), looks) {
                return Ok(Answer::Shown(Proof {
                    culprits: set,
                    with,
                    without,
                    seen: exact,
                }));
            }
            // The scene with the set costs more, and says more.
            if with.runs <= without.runs {
                self.has_effect(&set)?;
            } else {
                self.has_effect(&[])?;
            }
        }
        Ok(Answer::NotIsolated)
    }

    /// The results after exactly these tests.
    fn exact(&self, set: &HashSet<usize>) -> Vec<Seen> {
        let after = self.runs.seen_after(self.question.test).iter();
        let exact = after.filter(|run| run.before == *set);
        exact.map(|run| run.seen.clone()).collect()
    }

    /// Counts the results that the set explains: those after it, and those without one of its tests.
    fn explained(&self, set: &HashSet<usize>) -> FailureRate {
        let after = self.runs.seen_after(self.question.test).iter();
        let explained = after.filter(|run| {
            let has_effect = set.iter().all(|test| run.before.contains(test));
            has_effect == (run.seen.failed == self.question.fails)
        });
        let after = explained.map(|run| run.seen.failed);
        rate(after.chain(self.runs.solo_results(self.question.test).iter().copied()))
    }
}

/// Returns the tests of a set that failed in every scene in which the test failed.
pub(super) fn always_failed(set: &[usize], seen: &[&Seen]) -> Vec<usize> {
    let results = |other: &usize| {
        let failures = seen.iter().filter(|seen| seen.failed);
        failures
            .filter_map(|seen| seen.others.get(other))
            .collect::<Vec<_>>()
    };
    let is_first = |other: &&usize| {
        let results = results(other);
        !results.is_empty() && results.iter().all(|failed| **failed)
    };
    set.iter().filter(is_first).copied().collect()
}
