//! Selection of the pairs to rerun.

use super::sorted;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The maximum number of pairs per resource of which all are tried. Of more, a selection is.
pub(super) const EXHAUSTIVE: usize = 12;

/// A test of a conflict, by its position in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) test: usize,
    pub(super) writes: bool,
    /// The number of the process or run within which it can interfere with others.
    pub(super) place: u32,
}

/// The way in which two tests can interfere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timing {
    /// At the same time, in one place.
    Concurrent,
    /// One after the other, in two places.
    Sequential,
}

/// The pairs to try of one conflict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ChosenPairs {
    pub(super) pairs: Vec<[usize; 2]>,
    /// The number of pairs from which they were selected.
    pub(super) total: u64,
}

/// Returns the pairs to try. In a large group each test is in at least one pair with a writer, if there is one that it can
/// interfere with: a missing guard then shows in one of its pairs.
pub(super) fn chosen(members: &[Member], timing: Timing) -> ChosenPairs {
    let may_meet = |a: &Member, b: &Member| {
        a.test != b.test && (a.writes || b.writes) && (a.place == b.place) == (timing == Timing::Concurrent)
    };
    let total = count(members, timing);
    if total <= EXHAUSTIVE as u64 {
        let pairs = (0..members.len())
            .flat_map(|first| (first + 1..members.len()).map(move |second| (first, second)))
            .filter(|(first, second)| may_meet(&members[*first], &members[*second]))
            .map(|(first, second)| [members[first].test, members[second].test])
            .collect();
        return ChosenPairs { pairs, total };
    }
    let writers: Vec<&Member> = members.iter().filter(|member| member.writes).collect();
    let mut pairs: Vec<[usize; 2]> = Vec::new();
    let mut next = 0;
    for member in members {
        // Round-robin over the writers, so that all of them get a partner.
        let circle = writers
            .iter()
            .cycle()
            .skip(next % writers.len().max(1))
            .take(writers.len());
        let partner = circle.into_iter().position(|writer| may_meet(member, writer));
        let Some(steps) = partner else { continue };
        let writer = (next + steps) % writers.len();
        next = writer + 1;
        let mut pair = [member.test, writers[writer].test];
        pair.sort_unstable();
        if !pairs.contains(&pair) {
            pairs.push(pair);
        }
    }
    ChosenPairs { pairs, total }
}

/// Two tests that are run together, and the findings on which they meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TestPair {
    pub(super) tests: [usize; 2],
    pub(super) findings: Vec<usize>,
}

/// Returns the pairs in the order of their runs, for at most that many turns. `findings` has the pairs of each finding, the
/// most promising first. The findings take turns: time runs out for further pairs of one finding before it does for the first
/// pair of another.
pub(super) fn in_turns(findings: impl Iterator<Item = Vec<[usize; 2]>>, most: usize) -> Vec<TestPair> {
    let mut pairs: BTreeMap<[usize; 2], (usize, Vec<usize>)> = BTreeMap::new();
    for (finding, tests) in findings.enumerate() {
        for (turn, tests) in tests.into_iter().enumerate() {
            let (first_turn, of) = pairs.entry(tests).or_insert((turn, Vec::new()));
            *first_turn = turn.min(*first_turn);
            of.push(finding);
        }
    }
    let mut pairs: Vec<_> = pairs.into_iter().filter(|(_, (turn, _))| *turn < most).collect();
    // Pairs that decide several findings first.
    pairs.sort_by_key(|(_, (turn, findings))| (*turn, Reverse(findings.len())));
    let pair = |(tests, (_, findings))| TestPair { tests, findings };
    pairs.into_iter().map(pair).collect()
}

/// Returns the pairs of a suspect with another test, at most [`EXHAUSTIVE`] for each suspect, with tests that write first. If
/// writes `are_needed`, one of the two has to write.
pub(super) fn with_suspects(suspects: &[bool], writes: &[bool], are_needed: bool) -> Vec<[usize; 2]> {
    let mut others: Vec<usize> = (0..writes.len()).collect();
    others.sort_by_key(|test| !writes[*test]);
    let of_suspect = |suspect: usize| {
        let others = others.iter().copied().filter(move |other| *other != suspect);
        let others = others.filter(move |other| !are_needed || writes[*other] || writes[suspect]);
        others.map(move |other| sorted([other, suspect])).take(EXHAUSTIVE)
    };
    let all = (0..suspects.len()).filter(|test| suspects[*test]);
    all.flat_map(of_suspect).collect()
}

/// Returns the number of pairs without listing them.
pub(super) fn count(members: &[Member], timing: Timing) -> u64 {
    let pairs_of = |writers: u64, readers: u64| writers * writers.saturating_sub(1) / 2 + writers * readers;
    let mut places: Vec<u32> = members.iter().map(|member| member.place).collect();
    places.sort_unstable();
    places.dedup();
    let of = |wanted: Option<u32>| {
        let here = |member: &&Member| wanted.is_none_or(|place| member.place == place);
        let writers = members.iter().filter(here).filter(|member| member.writes).count() as u64;
        let all = members.iter().filter(here).count() as u64;
        pairs_of(writers, all - writers)
    };
    let within: u64 = places.iter().map(|place| of(Some(*place))).sum();
    match timing {
        Timing::Concurrent => within,
        Timing::Sequential => of(None) - within,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Returns members by words: `w0` writes in place 0, `r1` reads in place 1.
    fn members(words: &[&str]) -> Vec<Member> {
        let member = |(test, word): (usize, &&str)| Member {
            test,
            writes: word.starts_with('w'),
            place: word[1..].parse().unwrap(),
        };
        words.iter().enumerate().map(member).collect()
    }

    #[test]
    fn a_suspect_is_paired_with_those_that_may_disturb_it() {
        let suspects = [false, true, false, false];
        let writes = [false, false, false, true];
        assert_eq!(with_suspects(&suspects, &writes, true), [[1, 3]]);
        assert_eq!(with_suspects(&suspects, &writes, false), [[1, 3], [0, 1], [1, 2]]);
        let mut many = [false; 2 * EXHAUSTIVE];
        many[0] = true;
        let mut writes = many;
        writes[20] = true;
        let pairs = with_suspects(&many, &writes, true);
        assert_eq!((pairs.len(), pairs[0]), (EXHAUSTIVE, [0, 20]));
    }

    #[test]
    fn of_a_small_group_every_pair_of_which_one_writes_is_tried() {
        for (words, timing, pairs) in [
            (&["w0", "r0"][..], Timing::Concurrent, &[[0, 1]][..]),
            (&["w0", "w0", "r0"], Timing::Concurrent, &[[0, 1], [0, 2], [1, 2]]),
            (&["w0", "r0", "r0"], Timing::Concurrent, &[[0, 1], [0, 2]]),
            (&["r0", "r0"], Timing::Concurrent, &[]),
            // Two programs that run one after the other.
            (&["w0", "r0", "r1", "w1"], Timing::Concurrent, &[[0, 1], [2, 3]]),
            (&["w0", "r0", "r1"], Timing::Sequential, &[[0, 2]]),
            (&["w0", "w0"], Timing::Sequential, &[]),
        ] {
            let chosen = chosen(&members(words), timing);
            assert_eq!(chosen.pairs, pairs, "{words:?} {timing:?}");
            assert_eq!(chosen.total, pairs.len() as u64, "{words:?} {timing:?}");
        }
    }

    #[test]
    fn of_a_big_group_each_test_meets_one_that_writes_and_the_pairs_are_about_as_many_as_the_tests() {
        for (writers, readers, total) in [(2, 20, 41), (20, 0, 190), (1, 100, 100), (30, 30, 1335)] {
            let words: Vec<&str> = [vec!["w0"; writers], vec!["r0"; readers]].concat();
            let members = members(&words);
            let chosen = chosen(&members, Timing::Concurrent);
            assert_eq!(chosen.total, total);
            assert!(chosen.pairs.len() <= words.len());
            let covered: BTreeSet<usize> = chosen.pairs.iter().flatten().copied().collect();
            assert_eq!(covered.len(), words.len(), "{writers} {readers}");
            for [a, b] in &chosen.pairs {
                assert!(a < b && (members[*a].writes || members[*b].writes));
            }
            let writers_met: BTreeSet<usize> = chosen
                .pairs
                .iter()
                .flatten()
                .filter(|test| **test < writers)
                .copied()
                .collect();
            assert_eq!(writers_met.len(), writers, "all who write take their turn");
        }
    }

    #[test]
    fn findings_take_turns_and_a_pair_of_several_findings_comes_first() {
        let findings = [
            vec![[0, 1], [0, 2], [1, 2]],
            vec![[4, 5]],
            vec![[6, 7], [0, 2]],
            vec![[6, 7], [4, 5]],
        ];
        let order = |most| {
            let pairs = in_turns(findings.iter().cloned(), most);
            let pairs = pairs.into_iter().map(|pair| (pair.tests, pair.findings));
            pairs.collect::<Vec<_>>()
        };
        let all = [
            ([4, 5], vec![1, 3]),
            ([6, 7], vec![2, 3]),
            ([0, 1], vec![0]),
            ([0, 2], vec![0, 2]),
            ([1, 2], vec![0]),
        ];
        assert_eq!(order(usize::MAX), all);
        assert_eq!(order(1), all[..3]);
    }

    #[test]
    fn who_has_no_partner_in_a_big_group_is_left_out() {
        let words: Vec<&str> = [vec!["w0"; 10], vec!["r1"; 10]].concat();
        let chosen = chosen(&members(&words), Timing::Concurrent);
        assert!(chosen.pairs.iter().flatten().all(|test| *test < 10));
        assert_eq!(chosen.total, 45);
    }
}
