//! Grades conflicts by their pairs.

use super::Key;
use super::grade::{NOT_BOTH, NOT_CHANGED};
use super::pairs::ChosenPairs;
use cofferdam_conflicts::{Conflict, Grade, NO_COMMON_LOCK, Pair};
use std::collections::{BTreeSet, HashMap};

/// Writes the grades into the conflicts. `chosen` has the selected pairs of each.
pub(super) fn enter(graded: HashMap<Key, Pair>, chosen: &[ChosenPairs], conflicts: &mut [Conflict]) {
    let mut graded: Vec<(Key, Pair)> = graded.into_iter().collect();
    graded.sort_by_key(|(key, _)| *key);
    for (index, (conflict, chosen)) in conflicts.iter_mut().zip(chosen).enumerate() {
        let own = graded.iter().filter(|((of, _), _)| *of == index);
        conflict.pairs = own.map(|(_, pair)| pair.clone()).collect();
        settle(&mut conflict.pairs);
        // A stable sort: pairs of one grade stay in the order of their tests.
        conflict.pairs.sort_by_key(|pair| std::cmp::Reverse(pair.grade));
        conflict.pair_count = chosen.total;
        let grade = match of_pairs(conflict.pairs.iter()) {
            Grade::Guarded if !is_covered(&conflict.pairs, chosen) => Grade::Potential,
            grade => grade,
        };
        conflict.grade = Some(grade);
        if grade < Grade::Unguarded {
            conflict.message = conflict.message.replace(NO_COMMON_LOCK, "");
        }
        for (position, test) in conflict.tests.iter_mut().enumerate() {
            let mut own = conflict
                .pairs
                .iter()
                .filter(|pair| pair.tests.contains(&position))
                .peekable();
            test.grade = Some(if own.peek().is_none() {
                grade.min(Grade::Potential)
            } else {
                of_pairs(own)
            });
        }
    }
}

/// Returns the most severe grade of the pairs with a result. Pairs without one do not weaken it.
fn of_pairs<'a>(pairs: impl Iterator<Item = &'a Pair>) -> Grade {
    let tried = pairs
        .map(|pair| pair.grade)
        .filter(|grade| *grade != Grade::Potential);
    tried.max().unwrap_or(Grade::Potential)
}

/// Returns whether each test of the chosen pairs is in a pair with a result. A lock that separates some tests says nothing
/// about the others, which may take another lock or none.
fn is_covered(pairs: &[Pair], chosen: &ChosenPairs) -> bool {
    let tried = pairs.iter().filter(|pair| pair.grade != Grade::Potential);
    let tried: BTreeSet<usize> = tried.flat_map(|pair| pair.tests).collect();
    chosen.pairs.iter().flatten().all(|test| tried.contains(test))
}

/// Grades pairs as guarded that did not both use the resource, or did not change it. In the suite they conflicted because of
/// a third test, which created or removed it. If each of the two is guarded against another test, and no pair overlapped, one
/// guard covers them all.
fn settle(pairs: &mut [Pair]) {
    if pairs.iter().any(|pair| pair.grade > Grade::Potential) {
        return;
    }
    let guarded = pairs.iter().filter(|pair| pair.grade == Grade::Guarded);
    let guarded: BTreeSet<usize> = guarded.flat_map(|pair| pair.tests).collect();
    let by_a_third = |pair: &&mut Pair| pair.reason == NOT_BOTH || pair.reason == NOT_CHANGED;
    for pair in pairs.iter_mut().filter(by_a_third) {
        if pair.tests.iter().all(|test| guarded.contains(test)) {
            pair.grade = Grade::Guarded;
            pair.reason.push_str(", and each was kept apart from others");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(tests: [usize; 2], grade: Grade, why: &str) -> Pair {
        Pair {
            tests,
            grade,
            tries: 1,
            reason: why.to_owned(),
        }
    }

    fn settled(pairs: &[Pair]) -> Vec<Grade> {
        let mut pairs = pairs.to_vec();
        settle(&mut pairs);
        pairs.iter().map(|pair| pair.grade).collect()
    }

    #[test]
    fn pairs_that_were_not_tried_leave_the_grade_to_those_that_were() {
        use Grade::{Guarded, OrderDependent, Potential, Reproduced, Unguarded};
        for (grades, grade) in [
            (&[][..], Potential),
            (&[Potential], Potential),
            (&[Potential, Guarded], Guarded),
            (&[Guarded, OrderDependent, Potential], OrderDependent),
            (&[Guarded, Unguarded, Potential], Unguarded),
            (&[Unguarded, Reproduced], Reproduced),
        ] {
            let pairs: Vec<Pair> = grades.iter().map(|grade| pair([0, 1], *grade, "")).collect();
            assert_eq!(of_pairs(pairs.iter()), grade, "{grades:?}");
        }
    }

    #[test]
    fn a_resource_is_guarded_only_if_each_of_its_tests_was_tried() {
        let chosen = ChosenPairs {
            pairs: vec![[0, 1], [1, 2]],
            total: 3,
        };
        let both = [pair([0, 1], Grade::Guarded, ""), pair([0, 2], Grade::Guarded, "")];
        assert!(is_covered(&both, &chosen));
        assert!(!is_covered(&both[..1], &chosen));
        let unknown = [both[0].clone(), pair([1, 2], Grade::Potential, "")];
        assert!(!is_covered(&unknown, &chosen));
    }

    #[test]
    fn two_that_had_nothing_to_meet_on_are_apart_if_both_wait_for_others() {
        use Grade::{Guarded, Potential, Unguarded};
        let waits = [pair([0, 1], Guarded, ""), pair([1, 2], Guarded, "")];
        let absent = pair([0, 2], Potential, NOT_BOTH);
        let other = pair([0, 2], Potential, "rerun, the two could not be held at it");
        let stranger = pair([0, 3], Potential, NOT_BOTH);
        let met = pair([1, 4], Unguarded, "");
        let with = |more: &[&Pair]| {
            let more = more.iter().map(|pair| (*pair).clone());
            settled(&waits.iter().cloned().chain(more).collect::<Vec<_>>())
        };
        assert_eq!(with(&[&absent]), [Guarded, Guarded, Guarded]);
        let idle = pair([0, 2], Potential, NOT_CHANGED);
        assert_eq!(with(&[&idle]), [Guarded, Guarded, Guarded]);
        assert_eq!(with(&[&other]), [Guarded, Guarded, Potential]);
        assert_eq!(with(&[&stranger]), [Guarded, Guarded, Potential]);
        assert_eq!(with(&[&absent, &met]), [Guarded, Guarded, Potential, Unguarded]);
        assert_eq!(settled(&[absent]), [Potential]);
    }
}
