//! Divides times among shards: the longest first, each to the shard that has the least.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Divides the items with these times among `shards`. Returns the items of each shard by index, in ascending order.
///
/// The slowest shard takes at most the mean of all shards plus the longest time. Equal input gives equal shards. With at least as
/// many items as shards, none is empty. Costs a sort.
pub(super) fn balance(times: &[u64], shards: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by_key(|item| (Reverse(times[*item]), *item));
    // Of equally long shards the one with fewer items is next, so that items without a time are spread evenly.
    let mut least: BinaryHeap<Reverse<(u64, usize, usize)>> =
        (0..shards).map(|shard| Reverse((0, 0, shard))).collect();
    let mut divided = vec![Vec::new(); shards];
    for item in order {
        let Some(Reverse((time, items, shard))) = least.pop() else {
            break;
        };
        divided[shard].push(item);
        least.push(Reverse((time.saturating_add(times[item]), items + 1, shard)));
    }
    for items in &mut divided {
        items.sort_unstable();
    }
    divided
}

/// Returns the times, with the median of the known ones for each unknown one. Without a known time, all are 1.
pub(super) fn assume_median(times: &[Option<u64>]) -> Vec<u64> {
    let mut known: Vec<u64> = times.iter().flatten().copied().collect();
    known.sort_unstable();
    let median = known.get(known.len() / 2).copied().unwrap_or(1);
    times.iter().map(|time| time.unwrap_or(median)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_item_is_in_one_shard_and_the_slowest_is_bounded(
            times in prop::collection::vec(0_u64..1_000_000, 0..200),
            shards in 1_usize..20,
        ) {
            let divided = balance(&times, shards);
            prop_assert_eq!(divided.len(), shards);
            let mut items: Vec<usize> = divided.iter().flatten().copied().collect();
            items.sort_unstable();
            prop_assert_eq!(items, (0..times.len()).collect::<Vec<_>>());
            let sum: u64 = times.iter().sum();
            let longest = times.iter().copied().max().unwrap_or(0);
            let time = |items: &Vec<usize>| items.iter().map(|item| times[*item]).sum::<u64>();
            let slowest = divided.iter().map(time).max().unwrap_or(0);
            // Graham's bound: the shard that got the last item of the slowest had no more than the mean of the others.
            prop_assert!(slowest as u128 * shards as u128 <= u128::from(sum) + u128::from(longest) * (shards as u128 - 1));
            prop_assert!(times.len() < shards || divided.iter().all(|items| !items.is_empty()));
            prop_assert_eq!(divided, balance(&times, shards));
        }

        #[test]
        fn items_without_a_time_are_spread_evenly(items in 0_usize..200, shards in 1_usize..20) {
            let counts: Vec<usize> = balance(&assume_median(&vec![None; items]), shards).iter().map(Vec::len).collect();
            let (most, fewest) = (counts.iter().max().unwrap(), counts.iter().min().unwrap());
            prop_assert!(most - fewest <= 1);
        }
    }

    #[test]
    fn an_unknown_time_counts_as_the_median() {
        assert_eq!(
            assume_median(&[Some(9), None, Some(1), Some(2), None]),
            [9, 2, 1, 2, 2]
        );
        assert_eq!(assume_median(&[None, None]), [1, 1]);
    }

    #[test]
    fn a_test_as_long_as_all_others_has_a_shard_of_its_own() {
        assert_eq!(balance(&[1, 1, 4, 1, 1], 2), [vec![2], vec![0, 1, 3, 4]]);
    }
}
