//! Applies Eraser's lockset rule to one resource.
//!
//! Two accesses conflict when they come from different workers, one of them writes, and no lock is common to both. A
//! lock on one machine guards nothing on another.
//! Numbers in, numbers out: the caller knows their meaning.

use std::collections::{BTreeMap, HashMap};

/// A use of the resource by one execution.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub(super) lane: u32,
    pub(super) run: u32,
    /// The machine of its locks.
    pub(super) machine: u32,
    /// The process, if the processes of its run follow one another.
    pub(super) in_turn: Option<u32>,
    /// The test in its run. A retry has the same number, and never conflicts with an earlier attempt.
    pub(super) test: u32,
    /// The service instance that makes the claim, if others use it too: it does not conflict with itself.
    pub(super) through: Option<u32>,
    pub(super) writes: bool,
    /// The set of locks that it holds.
    pub(super) guards: u32,
    pub(super) begin: u64,
    pub(super) end: u64,
}

/// The meaning of the numbers in a [`Use`], as far as the rule needs it.
pub(super) trait World {
    /// Returns whether two sets of locks have no lock in common.
    fn disjoint(&self, guards: u32, others: u32) -> bool;
    /// Returns whether one lock is in all of these sets.
    fn have_one_in_common(&self, guards: impl Iterator<Item = u32>) -> bool;
    /// Returns the first and last moment of a run. Runs that did not overlap do not conflict.
    fn window(&self, run: u32) -> (u64, u64);
}

#[derive(Debug, PartialEq)]
pub(super) struct Verdict {
    /// Two uses that conflict: preferably of one run, and preferably at the same time.
    pub(super) pair: (usize, usize),
    pub(super) overlapped: bool,
    /// Uses that conflict with another one, a few of each class, by first moment.
    pub(super) others: Vec<usize>,
    /// The number of such uses.
    pub(super) concerned: u64,
}

/// The properties that decide with which others a use conflicts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Sort {
    run: u32,
    lane: u32,
    machine: u32,
    in_turn: Option<u32>,
    writes: bool,
    guards: u32,
    through: Option<u32>,
}

impl Sort {
    fn of(one: &Use) -> Self {
        Self {
            run: one.run,
            lane: one.lane,
            machine: one.machine,
            in_turn: one.in_turn,
            writes: one.writes,
            guards: one.guards,
            through: one.through,
        }
    }
}

fn sorts_conflict(world: &impl World, a: &Sort, b: &Sort) -> bool {
    a.lane != b.lane
        && (a.writes || b.writes)
        && (a.through.is_none() || a.through != b.through)
        && (a.run == b.run || overlap(world.window(a.run), world.window(b.run)))
        && (a.run != b.run || a.in_turn.is_none() || b.in_turn.is_none() || a.in_turn == b.in_turn)
        && (a.machine != b.machine || world.disjoint(a.guards, b.guards))
}

fn overlap(a: (u64, u64), b: (u64, u64)) -> bool {
    a.0 < b.1 && b.0 < a.1
}

/// The number of uses of each class that may be listed.
const FEW: usize = 4;

struct Class {
    sort: Sort,
    /// The uses by first moment.
    uses: Vec<usize>,
    /// The test, if all uses belong to one.
    only_test: Option<u32>,
}

impl Class {
    /// Returns whether some use of it and some use of `other` belong to different tests.
    fn differs(&self, other: &Self) -> bool {
        self.only_test.is_none() || self.only_test != other.only_test
    }
}

/// Applies the rule to all uses of one resource.
///
/// Uses are put into classes first, of which there are about as many as workers, so this is linear in the uses. Only
/// sets of locks that differ in each use and yet overlap pairwise cost more: then each two classes are compared.
pub(super) fn judge(world: &impl World, uses: &[Use]) -> Option<Verdict> {
    // The usual case without a conflict, in which every pair would have to be compared.
    let is_one_machine = uses.iter().all(|one| one.machine == uses[0].machine);
    if is_one_machine && world.have_one_in_common(uses.iter().map(|one| one.guards)) {
        return None;
    }
    let classes = classes(world, uses);
    let (pair, concerned) = pairs(world, uses, &classes)?;
    let together = first_overlap(world, uses, &classes);
    let same_run = |pair: (usize, usize)| uses[pair.0].run == uses[pair.1].run;
    let (pair, overlapped) = match together {
        // Two of one run that another schedule can bring together weigh more than two runs.
        Some(seen) if same_run(seen) || !same_run(pair) => (seen, true),
        _ => (pair, together.is_some()),
    };
    let involved = || {
        classes
            .iter()
            .zip(&concerned)
            .filter(|(_, concerned)| **concerned)
    };
    let mut others: Vec<usize> = involved()
        .flat_map(|(class, _)| class.uses.iter().take(FEW).copied())
        .collect();
    others.sort_by_key(|index| (uses[*index].begin, *index));
    Some(Verdict {
        pair,
        overlapped,
        others,
        concerned: involved().map(|(class, _)| class.uses.len() as u64).sum(),
    })
}

/// Returns the classes by the first moment of their run.
fn classes(world: &impl World, uses: &[Use]) -> Vec<Class> {
    let mut order: Vec<usize> = (0..uses.len()).collect();
    order.sort_by_key(|index| (uses[*index].begin, *index));
    let mut sorted: BTreeMap<Sort, Class> = BTreeMap::new();
    for index in order {
        let one = &uses[index];
        let class = sorted.entry(Sort::of(one)).or_insert_with_key(|sort| Class {
            sort: sort.clone(),
            uses: Vec::new(),
            only_test: Some(one.test),
        });
        class.only_test = class.only_test.filter(|test| *test == one.test);
        class.uses.push(index);
    }
    let mut classes: Vec<Class> = sorted.into_values().collect();
    classes.sort_by_key(|class| world.window(class.sort.run).0);
    classes
}

/// Returns two uses that conflict in some schedule, of one run if possible, and for each class whether it has a partner.
fn pairs(world: &impl World, uses: &[Use], classes: &[Class]) -> Option<((usize, usize), Vec<bool>)> {
    let mut concerned = vec![false; classes.len()];
    let mut found: Option<((usize, usize), bool)> = None;
    for (index, own) in classes.iter().enumerate() {
        let over = world.window(own.sort.run).1;
        for (position, other) in classes.iter().enumerate().skip(index + 1) {
            let same_run = own.sort.run == other.sort.run;
            // All that follow belong to runs that began later still.
            if !same_run && world.window(other.sort.run).0 >= over {
                break;
            }
            let known = concerned[index] && concerned[position];
            if known && found.is_some_and(|(_, best)| best || !same_run) {
                continue;
            }
            if !own.differs(other) || !sorts_conflict(world, &own.sort, &other.sort) {
                continue;
            }
            (concerned[index], concerned[position]) = (true, true);
            if found.is_none_or(|(_, best)| same_run && !best)
                && let Some(pair) = differing(uses, own, other)
            {
                found = Some((pair, same_run));
            }
        }
    }
    found.map(|(pair, _)| (pair, concerned))
}

/// Returns the earliest use of each of two classes such that the tests differ.
fn differing(uses: &[Use], own: &Class, other: &Class) -> Option<(usize, usize)> {
    let pick = |class: &Class, test: u32| class.uses.iter().copied().find(|index| uses[*index].test != test);
    let (a, b) = (own.uses[0], other.uses[0]);
    if uses[a].test != uses[b].test {
        return Some((a, b));
    }
    pick(other, uses[a].test)
        .map(|b| (a, b))
        .or_else(|| pick(own, uses[b].test).map(|a| (a, b)))
}

/// Returns two conflicting uses that happened at the same time, of one run if possible.
///
/// One pass by first moment. Of each class only the two uses of different tests that end last can matter.
fn first_overlap(world: &impl World, uses: &[Use], classes: &[Class]) -> Option<(usize, usize)> {
    let class_of: HashMap<usize, usize> = classes
        .iter()
        .enumerate()
        .flat_map(|(class, row)| row.uses.iter().map(move |index| (*index, class)))
        .collect();
    let mut order: Vec<usize> = (0..uses.len()).collect();
    order.sort_by_key(|index| (uses[*index].begin, *index));
    let mut open: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut found = None;
    for index in order {
        let (now, own) = (&uses[index], class_of[&index]);
        open.retain(|_, running| {
            running.retain(|other| uses[*other].end > now.begin);
            !running.is_empty()
        });
        // An empty window overlaps nothing.
        if now.end <= now.begin {
            continue;
        }
        for (other, running) in &open {
            if !sorts_conflict(world, &classes[own].sort, &classes[*other].sort) {
                continue;
            }
            if let Some(met) = running.iter().find(|met| uses[**met].test != now.test) {
                if uses[*met].run == now.run {
                    return Some((*met, index));
                }
                found = found.or(Some((*met, index)));
            }
        }
        let running = open.entry(own).or_default();
        match running.iter().position(|other| uses[*other].test == now.test) {
            Some(position) if uses[running[position]].end < now.end => running[position] = index,
            Some(_) => {}
            None => running.push(index),
        }
        running.sort_by_key(|other| std::cmp::Reverse(uses[*other].end));
        running.truncate(2);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Locks as bits of a number, runs by their windows.
    #[derive(Debug)]
    struct Bits(Vec<(u64, u64)>);

    impl World for Bits {
        fn disjoint(&self, guards: u32, others: u32) -> bool {
            guards & others == 0
        }
        fn have_one_in_common(&self, guards: impl Iterator<Item = u32>) -> bool {
            guards.fold(u32::MAX, |common, guards| common & guards) != 0
        }
        fn window(&self, run: u32) -> (u64, u64) {
            self.0[run as usize]
        }
    }

    fn uses() -> impl Strategy<Value = Vec<Use>> {
        let through = prop_oneof![3 => Just(None), 1 => (0..2u32).prop_map(Some)];
        let one = (
            0..3u32,
            (0..2u32, 0..5u32),
            proptest::option::of(0..2u32),
            0..3u32,
            through,
            any::<bool>(),
            0..8u32,
            0..20u64,
            0..6u64,
        );
        let one = one.prop_map(
            |(lane, (run, machine), in_turn, test, through, writes, guards, begin, length)| Use {
                // Lanes, tests and instances are numbered over all runs.
                lane: run * 3 + lane,
                run,
                machine: machine / 4,
                in_turn,
                test: run * 3 + test,
                through: through.map(|through| run * 2 + through),
                writes,
                guards,
                begin,
                end: begin + length,
            },
        );
        proptest::collection::vec(one, 0..12)
    }

    /// Returns whether two uses conflict, by comparing just these two.
    fn conflict(world: &impl World, a: &Use, b: &Use) -> bool {
        a.test != b.test && sorts_conflict(world, &Sort::of(a), &Sort::of(b))
    }

    fn met(a: &Use, b: &Use) -> bool {
        overlap((a.begin, a.end), (b.begin, b.end)) && a.begin < a.end && b.begin < b.end
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn the_verdict_is_that_of_comparing_every_two_uses(
            uses in uses(),
            windows in proptest::collection::vec((0..9u64, 1..20u64), 2),
        ) {
            let world = Bits(windows.into_iter().map(|(first, length)| (first, first + length)).collect());
            let mut pairs = Vec::new();
            for (index, a) in uses.iter().enumerate() {
                for b in &uses[index + 1..] {
                    if conflict(&world, a, b) {
                        pairs.push((a, b));
                    }
                }
            }
            match judge(&world, &uses) {
                None => prop_assert!(pairs.is_empty(), "missed {:?}", pairs[0]),
                Some(verdict) => {
                    let (a, b) = (&uses[verdict.pair.0], &uses[verdict.pair.1]);
                    prop_assert!(conflict(&world, a, b), "made up {:?} and {:?}", a, b);
                    prop_assert_eq!(verdict.overlapped, pairs.iter().any(|(a, b)| met(a, b)));
                    prop_assert_eq!(a.run == b.run, pairs.iter().any(|(a, b)| a.run == b.run));
                    let within = pairs.iter().any(|(a, b)| a.run == b.run && met(a, b));
                    prop_assert!(!within || met(a, b), "a pair that met was left for one that did not");
                    for index in &verdict.others {
                        let sort = Sort::of(&uses[*index]);
                        let concerned = pairs.iter().any(|(a, b)| Sort::of(a) == sort || Sort::of(b) == sort);
                        prop_assert!(concerned, "{sort:?} conflicts with nobody");
                    }
                }
            }
        }
    }

    #[test]
    fn ten_thousand_uses_by_sixteen_workers_are_judged_at_once() {
        let uses: Vec<Use> = (0..10_000u32)
            .map(|index| Use {
                lane: index % 16,
                run: 0,
                machine: 0,
                in_turn: None,
                test: index,
                through: None,
                writes: true,
                guards: 1,
                begin: u64::from(index),
                end: u64::from(index) + 30,
            })
            .collect();
        let world = Bits(vec![(0, 20_000)]);
        assert_eq!(judge(&world, &uses), None);
    }
}
