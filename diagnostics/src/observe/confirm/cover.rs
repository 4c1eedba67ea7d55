//! Grouping of tests, so that one run with all tests of a group shows all their pairs.

use std::collections::{BTreeMap, BTreeSet};

/// The tests of one place that use one resource, and can therefore interfere there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contenders {
    pub(super) tests: BTreeSet<usize>,
    pub(super) writers: BTreeSet<usize>,
}

/// Tests to run at the same time, and the contenders at whose resources they are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RunGroup {
    pub(super) tests: Vec<usize>,
    pub(super) contenders: Vec<usize>,
}

/// Returns groups that cover these contenders. Tests that share a resource, directly or through other tests, are in one group
/// of at most `most` tests. If there are more, each group includes the test that writes most of the resources. The groups of
/// different components take turns, small groups first, since they take the least time.
///
/// `held_at_once` returns the number of these contenders' resources, from the first one on, that can be held in one run.
pub(super) fn groups(
    contenders: &[Contenders],
    most: usize,
    held_at_once: &dyn Fn(&[usize]) -> usize,
) -> Vec<RunGroup> {
    let mut groups: Vec<(usize, RunGroup)> = Vec::new();
    for component in components(contenders) {
        let first = groups.len();
        let mut rest = component.as_slice();
        while !rest.is_empty() {
            let (held, after) = rest.split_at(held_at_once(rest).clamp(1, rest.len()));
            rest = after;
            let tests: BTreeSet<usize> = held
                .iter()
                .flat_map(|one| &contenders[*one].tests)
                .copied()
                .collect();
            let mut of_tests = |tests: Vec<usize>| {
                let contenders = held.to_vec();
                groups.push((groups.len() - first, RunGroup { tests, contenders }));
            };
            if tests.len() <= most {
                of_tests(tests.into_iter().collect());
                continue;
            }
            let writes = |test: &usize| {
                held.iter()
                    .filter(|one| contenders[**one].writers.contains(test))
                    .count()
            };
            // The first of several, so that each run selects the same.
            let Some(pivot) = tests
                .iter()
                .copied()
                .max_by_key(|test| (writes(test), usize::MAX - test))
            else {
                continue;
            };
            let others: Vec<usize> = tests.into_iter().filter(|test| *test != pivot).collect();
            for some in others.chunks(most.max(2) - 1) {
                let mut all = vec![pivot];
                all.extend(some);
                all.sort_unstable();
                of_tests(all);
            }
        }
    }
    groups.sort_by_key(|(turn, group)| (*turn, group.tests.len()));
    groups.into_iter().map(|(_, group)| group).collect()
}

/// Returns the contenders connected by common tests.
fn components(contenders: &[Contenders]) -> Vec<Vec<usize>> {
    let mut of_test: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (number, crowd) in contenders.iter().enumerate() {
        for test in &crowd.tests {
            of_test.entry(*test).or_default().push(number);
        }
    }
    let mut is_known = vec![false; contenders.len()];
    let mut components = Vec::new();
    for first in 0..contenders.len() {
        let mut component = BTreeSet::new();
        let mut next = vec![first];
        while let Some(crowd) = next.pop() {
            if std::mem::replace(&mut is_known[crowd], true) {
                continue;
            }
            component.insert(crowd);
            next.extend(contenders[crowd].tests.iter().flat_map(|test| &of_test[test]));
        }
        if !component.is_empty() {
            components.push(component.into_iter().collect());
        }
    }
    components
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn crowd(tests: &[usize], writers: &[usize]) -> Contenders {
        Contenders {
            tests: tests.iter().copied().collect(),
            writers: writers.iter().copied().collect(),
        }
    }

    fn covered(contenders: &[Contenders], most: usize, at_once: usize) -> Vec<(Vec<usize>, Vec<usize>)> {
        groups(contenders, most, &|some| some.len().min(at_once))
            .into_iter()
            .map(|group| (group.tests, group.contenders))
            .collect()
    }

    #[test]
    fn tests_that_share_something_are_one_group_and_others_are_another() {
        let contenders = [crowd(&[0, 1], &[0]), crowd(&[2, 3], &[2]), crowd(&[1, 4], &[4])];
        assert_eq!(
            covered(&contenders, 9, 9),
            [(vec![2, 3], vec![1]), (vec![0, 1, 4], vec![0, 2])]
        );
        // Resources that cannot be held in one run are held in separate runs.
        assert_eq!(
            covered(&contenders, 9, 1),
            [
                (vec![0, 1], vec![0]),
                (vec![2, 3], vec![1]),
                (vec![1, 4], vec![2])
            ]
        );
    }

    #[test]
    fn of_too_many_tests_each_group_has_one_that_writes() {
        let contenders = [crowd(&[0, 1, 2, 3, 4], &[3])];
        assert_eq!(
            covered(&contenders, 3, 9),
            [(vec![0, 1, 3], vec![0]), (vec![2, 3, 4], vec![0])]
        );
    }

    proptest! {
        #[test]
        fn every_test_of_every_crowd_is_in_a_group_of_its_own_size(
            contenders in prop::collection::vec(prop::collection::btree_set(0_usize..20, 2..9), 0..12),
            most in 2_usize..10,
            at_once in 1_usize..5,
        ) {
            let contenders: Vec<Contenders> = contenders
                .into_iter()
                .map(|tests| Contenders { writers: tests.iter().take(1).copied().collect(), tests })
                .collect();
            let groups = groups(&contenders, most, &|some| some.len().min(at_once));
            for (number, crowd) in contenders.iter().enumerate() {
                for test in &crowd.tests {
                    let is_in = |group: &&RunGroup| group.contenders.contains(&number) && group.tests.contains(test);
                    prop_assert!(groups.iter().any(|group| is_in(&group)));
                }
            }
            for group in &groups {
                prop_assert!(group.tests.len() <= most && group.contenders.len() <= at_once);
                prop_assert!(group.tests.len() > 1);
            }
        }
    }
}
