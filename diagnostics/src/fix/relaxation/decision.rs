//! Decides which members of a key still need it, by the resources that their tests use.

use std::collections::{BTreeMap, BTreeSet};

/// The properties of a test on which the decision depends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SuiteTest {
    pub(crate) name: String,
    /// The number of its program.
    pub(crate) program: usize,
    /// The reason its uses are not known.
    pub(crate) unseen: Option<String>,
    /// The shared resources that it uses, by number, each with whether it changes it. A shared resource is used by several tests
    /// and changed by at least one.
    pub(crate) uses: BTreeMap<usize, bool>,
    /// The resources it uses whose changes cannot be seen, by their index in `ObservedUses::opaque`.
    pub(crate) opaque: BTreeSet<usize>,
    /// A variable or another property of its process that it changes and that started programs inherit.
    pub(crate) changes_inherited: Option<String>,
    pub(crate) starts_programs: bool,
    /// A resource outside of the process that it changes, which another run may use too.
    pub(crate) changes_outside: Option<String>,
    /// Resources that it shares with a test that locks the same key in its body, by number.
    pub(crate) locked_in_bodies: BTreeSet<usize>,
}

/// An attribute that takes the key, with the tests to which it applies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    /// Their numbers.
    pub(crate) tests: BTreeSet<usize>,
    pub(crate) is_exclusive: bool,
    /// The reason the attribute cannot be removed automatically.
    pub(crate) obstacle: Option<&'static str>,
    /// Set if it cannot get another key.
    pub(crate) keeps_key: bool,
}

/// The reach of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The tests of one process.
    Process,
    /// All processes, also those of other runs.
    Machine,
}

/// The decision on a key of one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It guards nothing.
    Removed,
    /// It gets the key of a group, by its index in [`Decision::groups`].
    Moved(usize),
    /// Two tests share a resource, by number, that one of them changes; or one test shares it with others through a lock in its
    /// body.
    Kept { resource: usize, tests: Vec<usize> },
    /// Whether it guards something is not known.
    Unknown(String),
}

/// The verdicts on the members of a key, and the resource after which each new key is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) groups: Vec<usize>,
}

/// The reason to keep two members apart.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Relation {
    Shared { resource: usize, tests: Vec<usize> },
    NotKnown(String),
}

/// Decides on the members of a key. `opaque` holds descriptions of the things whose changes cannot be seen; the resources with
/// numbers below `named` can give a key its name.
///
/// A key is split only where its tests form several groups without anything in common. Unknown uses connect: a member
/// whose uses were not seen stays with all members that the key keeps apart from it.
pub(crate) fn decide(
    members: &[Member],
    reach: Reach,
    tests: &[SuiteTest],
    opaque: &[String],
    named: usize,
) -> Decision {
    let scale = Scale { tests, opaque, reach };
    let mut relations: Vec<Vec<(usize, Relation)>> = vec![Vec::new(); members.len()];
    let mut groups = Groups::new(members.len());
    for one in 0..members.len() {
        for other in one..members.len() {
            if let Some(relation) = scale.relation(&members[one], &members[other], one == other) {
                relations[one].push((other, relation.clone()));
                if one != other {
                    relations[other].push((one, relation));
                    groups.join(one, other);
                }
            }
        }
        if let Some(relation) = scale.locked_in_bodies(&members[one]) {
            relations[one].push((one, relation));
        }
    }
    let is_known = |number: usize| {
        let all_shared = |(_, relation): &(usize, Relation)| matches!(relation, Relation::Shared { .. });
        let member = &members[number];
        let locks_in_bodies = member
            .tests
            .iter()
            .any(|test| !tests[*test].locked_in_bodies.is_empty());
        relations[number].iter().all(all_shared) && !member.keeps_key && !locks_in_bodies
    };
    // Groups of several members, or of one whose own tests share something.
    let mut by_root: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for number in (0..members.len()).filter(|number| !relations[*number].is_empty()) {
        by_root.entry(groups.root(number)).or_default().push(number);
    }
    // Groups in different processes cannot meet, so each of them can keep the key.
    let programs = |numbers: &[usize]| -> BTreeSet<usize> {
        let of_members = numbers.iter().flat_map(|number| &members[*number].tests);
        of_members
            .map(|test| {
                if reach == Reach::Process {
                    tests[*test].program
                } else {
                    0
                }
            })
            .collect()
    };
    let all: Vec<BTreeSet<usize>> = by_root.values().map(|numbers| programs(numbers)).collect();
    let is_split = |numbers: &[usize]| {
        let own = programs(numbers);
        all.iter().filter(|other| !other.is_disjoint(&own)).count() > 1
    };
    let mut decision = Decision {
        verdicts: members
            .iter()
            .map(|member| scale.without_relation(member))
            .collect(),
        groups: Vec::new(),
    };
    for numbers in by_root.values() {
        let of_group = numbers.iter().flat_map(|number| &relations[*number]);
        let can_move = is_split(numbers) && numbers.iter().all(|number| is_known(*number));
        let group = most_frequent(of_group, named)
            .filter(|_| can_move)
            .map(|resource| {
                decision.groups.push(resource);
                decision.groups.len() - 1
            });
        for number in numbers {
            decision.verdicts[*number] = match group {
                Some(group) => Verdict::Moved(group),
                None => verdict(&relations[*number]),
            };
        }
    }
    decision
}

/// Returns the verdict on a member that keeps its key. A shared resource takes precedence over an unknown use.
fn verdict(relations: &[(usize, Relation)]) -> Verdict {
    let mut why = None;
    for (_, relation) in relations {
        match relation {
            Relation::Shared { resource, tests } => {
                return Verdict::Kept {
                    resource: *resource,
                    tests: tests.clone(),
                };
            }
            Relation::NotKnown(reason) => why = why.or(Some(reason)),
        }
    }
    Verdict::Unknown(why.cloned().unwrap_or_default())
}

/// Returns the resource below `named` that most pairs share.
fn most_frequent<'r>(relations: impl Iterator<Item = &'r (usize, Relation)>, named: usize) -> Option<usize> {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for (_, relation) in relations {
        if let Relation::Shared { resource, .. } = relation
            && *resource < named
        {
            *counts.entry(*resource).or_default() += 1;
        }
    }
    let most = counts.values().max().copied()?;
    counts
        .into_iter()
        .find(|(_, count)| *count == most)
        .map(|(resource, _)| resource)
}

/// Compares members by the uses of their tests.
struct Scale<'a> {
    tests: &'a [SuiteTest],
    opaque: &'a [String],
    reach: Reach,
}

impl Scale<'_> {
    /// Returns the reason to keep two members apart, or the tests of one (`is_same`), if the key does so and there is one.
    fn relation(&self, one: &Member, other: &Member, is_same: bool) -> Option<Relation> {
        if !one.is_exclusive && !other.is_exclusive {
            return None;
        }
        let mut unknown = None;
        for first in &one.tests {
            for second in other.tests.iter().filter(|second| !is_same || first < second) {
                match self.of_tests(*first, *second) {
                    Some(Relation::NotKnown(why)) => unknown = unknown.or(Some(Relation::NotKnown(why))),
                    None => {}
                    shared => return shared,
                }
            }
        }
        unknown
    }

    /// Returns the reason to keep two tests apart.
    fn of_tests(&self, first: usize, second: usize) -> Option<Relation> {
        let (one, other) = (&self.tests[first], &self.tests[second]);
        if first == second || self.reach == Reach::Process && one.program != other.program {
            return None;
        }
        let shared = one.uses.iter().find(|(resource, writes)| {
            let others = other.uses.get(resource);
            others.is_some_and(|others| **writes || *others)
        });
        if let Some((resource, _)) = shared {
            return Some(Relation::Shared {
                resource: *resource,
                tests: vec![first, second],
            });
        }
        let unseen = |test: &SuiteTest| Some(format!("{} {}", test.name, test.unseen.as_ref()?));
        let opaque = || {
            let number = one.opaque.intersection(&other.opaque).next()?;
            Some(format!(
                "{} and {} both use {}",
                one.name, other.name, self.opaque[*number]
            ))
        };
        let inherited = |changer: &SuiteTest, starter: &SuiteTest| {
            let changed = changer.changes_inherited.as_ref();
            let changed = changed.filter(|_| starter.starts_programs && one.program == other.program)?;
            let (changer, starter) = (&changer.name, &starter.name);
            Some(format!(
                "{starter} starts programs, which inherit {changed} of {changer}"
            ))
        };
        unseen(one)
            .or_else(|| unseen(other))
            .or_else(opaque)
            .or_else(|| inherited(one, other))
            .or_else(|| inherited(other, one))
            .map(Relation::NotKnown)
    }

    /// Returns the resource that a member shares with a test that locks the key in its body.
    fn locked_in_bodies(&self, member: &Member) -> Option<Relation> {
        let shared = member.tests.iter().find_map(|test| {
            let resource = *self.tests[*test].locked_in_bodies.first()?;
            Some((resource, *test))
        });
        shared.map(|(resource, test)| Relation::Shared {
            resource,
            tests: vec![test],
        })
    }

    /// Returns the verdict on a member that shares nothing with the others.
    fn without_relation(&self, member: &Member) -> Verdict {
        let mut unseen = member
            .tests
            .iter()
            .map(|test| &self.tests[*test])
            .filter_map(|test| Some((test, test.unseen.as_ref()?)));
        if let Some((test, why)) = unseen.next() {
            return Verdict::Unknown(format!("{} {why}", test.name));
        }
        let mut changes = member
            .tests
            .iter()
            .filter_map(|test| self.tests[*test].changes_outside.as_ref());
        if let Some(changed) = changes.next().filter(|_| self.reach == Reach::Machine) {
            return Verdict::Unknown(format!(
                "it also keeps other runs apart, and the test changes {changed}"
            ));
        }
        match member.obstacle {
            Some(why) => Verdict::Unknown(format!(
                "it guards nothing that was seen; remove it by hand: {why}"
            )),
            None => Verdict::Removed,
        }
    }
}

/// Members that are connected, directly or through others.
struct Groups(Vec<usize>);

impl Groups {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn root(&self, mut number: usize) -> usize {
        while self.0[number] != number {
            number = self.0[number];
        }
        number
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.0[one.max(other)] = one.min(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn test(uses: &[(usize, bool)]) -> SuiteTest {
        SuiteTest {
            name: "t".to_owned(),
            uses: uses.iter().copied().collect(),
            ..SuiteTest::default()
        }
    }

    fn member(tests: &[usize]) -> Member {
        Member {
            tests: tests.iter().copied().collect(),
            is_exclusive: true,
            ..Member::default()
        }
    }

    fn decided(tests: &[SuiteTest]) -> Decision {
        let members: Vec<Member> = (0..tests.len()).map(|number| member(&[number])).collect();
        decide(&members, Reach::Process, tests, &[], usize::MAX)
    }

    #[test]
    fn a_member_that_shares_nothing_that_changes_loses_its_attribute() {
        let decision = decided(&[
            test(&[(0, true)]),
            test(&[(0, false), (1, false)]),
            test(&[(1, false)]),
            test(&[]),
        ]);
        let kept = Verdict::Kept {
            resource: 0,
            tests: vec![0, 1],
        };
        assert_eq!(
            decision.verdicts,
            [kept.clone(), kept, Verdict::Removed, Verdict::Removed]
        );
        assert_eq!(decision.groups, [0; 0]);
    }

    #[test]
    fn a_key_of_two_groups_is_split_and_each_is_named_after_what_it_shares() {
        let decision = decided(&[
            test(&[(4, true)]),
            test(&[(7, true)]),
            test(&[(4, false)]),
            test(&[(7, true)]),
            test(&[]),
        ]);
        let moved = [0, 1, 0, 1].map(Verdict::Moved);
        assert_eq!(decision.verdicts[..4], moved);
        assert_eq!(decision.verdicts[4], Verdict::Removed);
        assert_eq!(decision.groups, [4, 7]);
    }

    #[test]
    fn a_test_that_was_not_seen_leaves_the_members_of_its_key_unknown() {
        let mut unseen = test(&[]);
        unseen.unseen = Some("did not run".to_owned());
        let decision = decided(&[test(&[(0, true)]), test(&[(0, true)]), unseen, test(&[])]);
        assert!(matches!(decision.verdicts[0], Verdict::Kept { resource: 0, .. }));
        for verdict in &decision.verdicts[2..] {
            assert_eq!(*verdict, Verdict::Unknown("t did not run".to_owned()));
        }
    }

    #[test]
    fn tests_of_other_programs_matter_only_to_keys_that_reach_them() {
        let mut other = test(&[(0, true)]);
        other.program = 1;
        let tests = [test(&[(0, true)]), other];
        let members = [member(&[0]), member(&[1])];
        let of = |reach| decide(&members, reach, &tests, &[], usize::MAX).verdicts;
        assert_eq!(of(Reach::Process), [Verdict::Removed, Verdict::Removed]);
        assert!(
            of(Reach::Machine)
                .iter()
                .all(|one| matches!(one, Verdict::Kept { .. }))
        );
    }

    #[test]
    fn a_key_that_keeps_other_runs_apart_stays_where_its_test_changes_something_outside() {
        let mut one = test(&[]);
        one.changes_outside = Some("file /tmp/x".to_owned());
        let of = |reach| {
            decide(
                &[member(&[0])],
                reach,
                std::slice::from_ref(&one),
                &[],
                usize::MAX,
            )
            .verdicts
        };
        assert_eq!(of(Reach::Process), [Verdict::Removed]);
        assert!(
            matches!(&of(Reach::Machine)[..], [Verdict::Unknown(why)] if why.ends_with("changes file /tmp/x"))
        );
    }

    #[test]
    fn two_tests_that_use_the_same_outside_state_stay_apart() {
        let mut one = test(&[]);
        one.opaque.insert(0);
        let members = [member(&[0]), member(&[1])];
        let decision = decide(
            &members,
            Reach::Process,
            &[one.clone(), one],
            &["port 5432".to_owned()],
            usize::MAX,
        );
        let why = Verdict::Unknown("t and t both use port 5432".to_owned());
        assert_eq!(decision.verdicts, [why.clone(), why]);
    }

    #[test]
    fn a_test_that_starts_programs_stays_apart_from_changes_that_they_inherit() {
        let mut changer = test(&[]);
        changer.changes_inherited = Some("env HOME".to_owned());
        let mut starter = test(&[]);
        starter.starts_programs = true;
        let why = Verdict::Unknown("t starts programs, which inherit env HOME of t".to_owned());
        let verdicts = decided(&[starter.clone(), changer.clone(), changer.clone(), test(&[])]).verdicts;
        assert_eq!(verdicts, [why.clone(), why.clone(), why, Verdict::Removed]);
        starter.program = 1;
        assert_eq!(
            decided(&[starter, changer]).verdicts,
            [Verdict::Removed, Verdict::Removed]
        );
    }

    #[test]
    fn shared_members_do_not_need_each_other_and_cases_of_one_function_do() {
        let tests = [test(&[(0, true)]), test(&[(0, true)])];
        let shared = |number| Member {
            is_exclusive: false,
            ..member(&[number])
        };
        let verdicts = decide(&[shared(0), shared(1)], Reach::Process, &tests, &[], usize::MAX).verdicts;
        assert_eq!(verdicts, [Verdict::Removed, Verdict::Removed]);
        let verdicts = decide(&[member(&[0, 1])], Reach::Process, &tests, &[], usize::MAX).verdicts;
        assert!(matches!(verdicts[..], [Verdict::Kept { .. }]));
    }

    #[test]
    fn a_test_that_locks_in_its_body_is_named_once() {
        let mut locks = test(&[]);
        locks.locked_in_bodies = [0].into();
        let kept = Verdict::Kept {
            resource: 0,
            tests: vec![0],
        };
        assert_eq!(decided(&[locks]).verdicts, [kept]);
    }

    fn suites() -> impl Strategy<Value = (Vec<SuiteTest>, Vec<Member>, bool)> {
        let test = (
            0..2_usize,
            prop::bool::weighted(0.1),
            prop::collection::btree_map(0..4_usize, any::<bool>(), 0..3),
            prop::collection::btree_set(0..9_usize, 0..2),
            prop::bool::weighted(0.2),
            prop::bool::weighted(0.2),
        );
        let test = test.prop_map(|(program, is_unseen, uses, opaque, changes, starts)| SuiteTest {
            changes_inherited: changes.then(|| "env A".to_owned()),
            starts_programs: starts,
            name: "t".to_owned(),
            program,
            unseen: is_unseen.then(|| "did not run".to_owned()),
            uses,
            opaque,
            ..SuiteTest::default()
        });
        prop::collection::vec(test, 1..9).prop_flat_map(|tests| {
            let member = (
                prop::collection::btree_set(0..tests.len(), 1..3),
                any::<bool>(),
                prop::bool::weighted(0.1),
                prop::bool::weighted(0.1),
            );
            let member = member.prop_map(|(tests, is_exclusive, has_obstacle, keeps_key)| Member {
                tests,
                is_exclusive,
                obstacle: has_obstacle.then_some("x"),
                keeps_key: keeps_key || has_obstacle,
            });
            (Just(tests), prop::collection::vec(member, 1..7), any::<bool>())
        })
    }

    /// Returns whether two tests cannot run at the same time, by these keys of members.
    fn are_apart(members: &[Member], keys: &[Option<usize>], one: usize, other: usize) -> bool {
        let pairs = members
            .iter()
            .zip(keys)
            .flat_map(|first| members.iter().zip(keys).map(move |second| (first, second)));
        let mut taken = pairs.filter(|((first, key), (second, other_key))| {
            let is_same = std::ptr::eq(*first, *second);
            let takes =
                first.tests.contains(&one) && second.tests.contains(&other) && (!is_same || one != other);
            takes && key.is_some() && key == other_key && (first.is_exclusive || second.is_exclusive)
        });
        taken.next().is_some()
    }

    proptest! {
        #[test]
        fn whatever_a_key_kept_apart_and_may_meet_on_a_change_stays_apart((tests, members, is_machine) in suites()) {
            let reach = if is_machine { Reach::Machine } else { Reach::Process };
            let opaque: Vec<String> = (0..9).map(|number| number.to_string()).collect();
            let decision = decide(&members, reach, &tests, &opaque, usize::MAX);
            let before = vec![Some(usize::MAX); members.len()];
            let after: Vec<Option<usize>> = decision.verdicts.iter().map(|verdict| match verdict {
                Verdict::Removed => None,
                Verdict::Moved(group) => Some(*group),
                Verdict::Kept { .. } | Verdict::Unknown(_) => Some(usize::MAX),
            }).collect();
            let meet = |one: &SuiteTest, other: &SuiteTest| {
                let shares = one.uses.iter().any(|(resource, writes)| {
                    other.uses.get(resource).is_some_and(|others| *writes || *others)
                });
                let can_meet = is_machine || one.program == other.program;
                let inherits = one.program == other.program
                    && (one.changes_inherited.is_some() && other.starts_programs
                        || other.changes_inherited.is_some() && one.starts_programs);
                can_meet && (shares || inherits || one.unseen.is_some() || other.unseen.is_some() || !one.opaque.is_disjoint(&other.opaque))
            };
            for one in 0..tests.len() {
                for other in one + 1..tests.len() {
                    if meet(&tests[one], &tests[other]) && are_apart(&members, &before, one, other) {
                        prop_assert!(are_apart(&members, &after, one, other), "{one} {other} {decision:?}");
                    }
                }
            }
            // What keeps a key, or gets another, has a partner in it.
            for (number, verdict) in decision.verdicts.iter().enumerate() {
                if matches!(verdict, Verdict::Kept { .. } | Verdict::Moved(_)) {
                    let own = members[number].tests.iter();
                    let mut pairs = own.flat_map(|one| (0..tests.len()).map(move |other| (*one, other)));
                    let has_partner = pairs.any(|(one, other)| {
                        one != other && meet(&tests[one], &tests[other]) && are_apart(&members, &before, one, other)
                    });
                    prop_assert!(has_partner, "{number} {decision:?}");
                }
            }
        }
    }
}
