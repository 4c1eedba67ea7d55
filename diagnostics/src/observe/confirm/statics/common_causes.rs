//! The statics that cause reproduced failures. One cause may explain several pairs, and two statics may have one cause.

use std::cmp::Reverse;
use std::collections::BTreeSet;

/// The statics of a reproduced pair, by their findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReproducedStatics {
    /// The statics on each of which the failure depends.
    pub(super) causes: BTreeSet<usize>,
    /// The statics that the tests share and one of them changes.
    pub(super) shared: BTreeSet<usize>,
}

/// The cause of one or more reproduced pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StaticCause {
    /// The static that the finding is about.
    pub(super) finding: usize,
    /// The statics, one of which is the cause, if none was isolated.
    pub(super) one_of: BTreeSet<usize>,
    /// The positions of its pairs.
    pub(super) pairs: Vec<usize>,
}

/// Returns the causes: a small set of statics that explains all pairs with an isolated static (chosen greedily), then the
/// candidates of the others.
pub(super) fn of_pairs(pairs: &[ReproducedStatics]) -> Vec<StaticCause> {
    let mut causes: Vec<StaticCause> = Vec::new();
    let mut left: Vec<usize> = (0..pairs.len()).collect();
    loop {
        let all: BTreeSet<usize> = left.iter().flat_map(|pair| pairs[*pair].causes.clone()).collect();
        let explained = |of: usize| {
            left.iter()
                .filter(|pair| pairs[**pair].causes.contains(&of))
                .count()
        };
        let Some(finding) = all.into_iter().min_by_key(|of| (Reverse(explained(*of)), *of)) else {
            break;
        };
        let (own, others) = left
            .into_iter()
            .partition(|pair| pairs[*pair].causes.contains(&finding));
        left = others;
        causes.push(StaticCause {
            finding,
            one_of: BTreeSet::new(),
            pairs: own,
        });
    }
    for pair in left {
        let one_of = &pairs[pair].shared;
        match causes.iter_mut().find(|cause| cause.one_of == *one_of) {
            Some(cause) => cause.pairs.push(pair),
            None => causes.extend(one_of.first().map(|first| StaticCause {
                finding: *first,
                one_of: one_of.clone(),
                pairs: vec![pair],
            })),
        }
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair(causes: &[usize], shared: &[usize]) -> ReproducedStatics {
        ReproducedStatics {
            causes: causes.iter().copied().collect(),
            shared: shared.iter().copied().collect(),
        }
    }

    #[test]
    fn two_statics_with_one_cause_are_one_finding() {
        let causes = of_pairs(&[pair(&[1, 2], &[1, 2, 3]), pair(&[2], &[2]), pair(&[5], &[5])]);
        let found: Vec<_> = causes
            .iter()
            .map(|cause| (cause.finding, cause.pairs.clone()))
            .collect();
        assert_eq!(found, [(2, vec![0, 1]), (5, vec![2])]);
    }

    #[test]
    fn pairs_without_an_isolated_static_are_one_finding_for_the_same_candidates() {
        let causes = of_pairs(&[
            pair(&[], &[4, 7]),
            pair(&[4], &[4, 7]),
            pair(&[], &[4, 7]),
            pair(&[], &[7]),
        ]);
        let found: Vec<_> = causes
            .iter()
            .map(|cause| (cause.finding, cause.one_of.len(), cause.pairs.clone()))
            .collect();
        assert_eq!(found, [(4, 0, vec![1]), (4, 2, vec![0, 2]), (7, 1, vec![3])]);
    }

    proptest! {
        #[test]
        fn each_pair_is_in_one_finding_whose_static_may_have_caused_it(
            sets in prop::collection::vec(
                (prop::collection::btree_set(0_usize..6, 1..4), prop::collection::vec(any::<bool>(), 6)),
                0..12,
            )
        ) {
            let pairs: Vec<ReproducedStatics> = sets
                .into_iter()
                .map(|(shared, is_cause)| ReproducedStatics {
                    causes: shared.iter().copied().filter(|of| is_cause[*of]).collect(),
                    shared,
                })
                .collect();
            let causes = of_pairs(&pairs);
            let mut seen: Vec<usize> = causes.iter().flat_map(|cause| cause.pairs.clone()).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..pairs.len()).collect::<Vec<_>>());
            for cause in causes {
                for pair in &cause.pairs {
                    let pair = &pairs[*pair];
                    if cause.one_of.is_empty() {
                        prop_assert!(pair.causes.contains(&cause.finding));
                    } else {
                        prop_assert!(pair.causes.is_empty() && pair.shared.contains(&cause.finding));
                    }
                }
            }
        }
    }
}
