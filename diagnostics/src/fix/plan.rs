//! Assignment of keys to tests: the fewest changes that keep all conflicting tests apart. Pure, without effects.
//!
//! Two tests are kept apart by a key that both take, at least one of them exclusively. So tests that write a resource take
//! its key exclusively, and tests that only read take it shared. What remains to choose is which resources share a key, and
//! which existing keys to reuse.

use super::words;
use cofferdam::Resource;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A resource and the tests that share it, by number, each with whether it writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meeting {
    pub(crate) resource: Resource,
    pub(crate) users: BTreeMap<usize, bool>,
}

/// A key that a test already takes, by an attribute that works under the runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) key: String,
    pub(crate) alone: bool,
    /// Whether new attributes can use it, being of its family.
    pub(crate) may_be_taken: bool,
}

/// A key of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) name: String,
    /// Whether some tests already take it.
    pub(crate) is_there: bool,
    pub(crate) resources: Vec<Resource>,
    /// The tests that take it exclusively, now or with the plan.
    pub(crate) writers: BTreeSet<usize>,
    /// The tests that take it shared.
    pub(crate) readers: BTreeSet<usize>,
}

/// The keys to add to a test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Takes {
    pub(crate) alone: BTreeSet<String>,
    pub(crate) shared: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) keys: Vec<Key>,
    pub(crate) takes: BTreeMap<usize, Takes>,
    /// Resources whose tests are already kept apart.
    pub(crate) kept: Vec<Resource>,
}

impl Plan {
    /// Plans keys for these conflicts. `held` are the keys that each test already takes, `taken` other names in use.
    pub(crate) fn of(
        meetings: &[Meeting],
        held: &HashMap<usize, Vec<Held>>,
        taken: &BTreeSet<String>,
    ) -> Self {
        let mut plan = Self::default();
        let mut groups = Vec::new();
        for group in by_resource(meetings) {
            if group.is_kept_apart(held) {
                plan.kept.extend(group.resources);
            } else {
                groups.push(group);
            }
        }
        let mut names = taken.clone();
        names.extend(held.values().flatten().map(|held| held.key.clone()));
        for group in merged(groups) {
            let there = group.key_that_will_do(held);
            let name = there
                .clone()
                .unwrap_or_else(|| words::new_key(&group.resources[0], &names));
            names.insert(name.clone());
            plan.add(group, name, there.is_some(), held);
        }
        plan
    }

    fn add(&mut self, group: Group, name: String, is_there: bool, held: &HashMap<usize, Vec<Held>>) {
        for (test, alone) in group.users() {
            if !takes(held, test, &name, alone) {
                let takes = self.takes.entry(test).or_default();
                if alone {
                    &mut takes.alone
                } else {
                    &mut takes.shared
                }
                .insert(name.clone());
            }
        }
        self.keys.push(Key {
            name,
            is_there,
            resources: group.resources,
            writers: group.writers,
            readers: group.readers,
        });
    }
}

fn takes(held: &HashMap<usize, Vec<Held>>, test: usize, key: &str, alone: bool) -> bool {
    let mut of_test = held.get(&test).into_iter().flatten();
    of_test.any(|held| held.key == key && (held.alone || !alone))
}

/// Resources that share a key, which the first one names.
#[derive(Clone, Debug)]
struct Group {
    resources: Vec<Resource>,
    writers: BTreeSet<usize>,
    readers: BTreeSet<usize>,
}

fn by_resource(meetings: &[Meeting]) -> Vec<Group> {
    let mut users: BTreeMap<&Resource, BTreeMap<usize, bool>> = BTreeMap::new();
    for meeting in meetings {
        let users = users.entry(&meeting.resource).or_default();
        for (test, writes) in &meeting.users {
            *users.entry(*test).or_default() |= writes;
        }
    }
    let group = |(resource, users): (&Resource, BTreeMap<usize, bool>)| {
        let (writers, readers): (Vec<_>, Vec<_>) = users.into_iter().partition(|(_, writes)| *writes);
        Group {
            resources: vec![resource.clone()],
            writers: writers.into_iter().map(|(test, _)| test).collect(),
            readers: readers.into_iter().map(|(test, _)| test).collect(),
        }
    };
    let groups = users.into_iter().map(group);
    groups
        .filter(|group| !group.writers.is_empty() && group.count() > 1)
        .collect()
}

/// Merges groups whose common key keeps no further tests apart.
fn merged(mut groups: Vec<Group>) -> Vec<Group> {
    // The most used resource names the key.
    groups.sort_by_key(|group| std::cmp::Reverse(group.count()));
    let mut merged: Vec<Group> = Vec::new();
    for group in groups {
        match merged.iter_mut().find(|other| other.may_take_in(&group)) {
            Some(other) => other.take_in(group),
            None => merged.push(group),
        }
    }
    merged
}

impl Group {
    fn count(&self) -> usize {
        self.writers.len() + self.readers.len()
    }

    /// Returns each test, with whether it needs the key exclusively.
    fn users(&self) -> impl Iterator<Item = (usize, bool)> {
        let writers = self.writers.iter().map(|test| (*test, true));
        writers.chain(self.readers.iter().map(|test| (*test, false)))
    }

    fn has(&self, test: usize) -> bool {
        self.writers.contains(&test) || self.readers.contains(&test)
    }

    /// Returns whether the key keeps two tests apart.
    fn parts(&self, one: usize, other: usize) -> bool {
        self.has(one) && self.has(other) && (self.writers.contains(&one) || self.writers.contains(&other))
    }

    /// Returns whether one key for both groups keeps only those tests apart that two keys would.
    fn may_take_in(&self, other: &Self) -> bool {
        let users: BTreeSet<usize> = self.users().chain(other.users()).map(|(test, _)| test).collect();
        let mut writers = self.writers.union(&other.writers);
        writers.all(|writer| {
            let mut others = users.iter().filter(|user| *user != writer);
            others.all(|user| self.parts(*writer, *user) || other.parts(*writer, *user))
        })
    }

    fn take_in(&mut self, other: Self) {
        self.resources.extend(other.resources);
        self.writers.extend(other.writers);
        self.readers.extend(other.readers);
        self.readers.retain(|test| !self.writers.contains(test));
    }

    /// Returns whether existing keys already keep all conflicting tests apart.
    fn is_kept_apart(&self, held: &HashMap<usize, Vec<Held>>) -> bool {
        let of = |test: usize| held.get(&test).map_or(&[][..], Vec::as_slice);
        let apart = |one: usize, other: usize| {
            of(one).iter().any(|mine| {
                let mut theirs = of(other).iter();
                theirs.any(|theirs| theirs.key == mine.key && (theirs.alone || mine.alone))
            })
        };
        // A cheap check first: most tests take no keys.
        self.users().all(|(test, _)| !of(test).is_empty())
            && self.writers.iter().all(|writer| {
                let mut others = self.users().filter(|(test, _)| test != writer);
                others.all(|(test, _)| apart(*writer, test))
            })
    }

    /// Returns an existing key to reuse: one that most writers already take exclusively, or at least half of all tests take.
    /// Readers take it shared, so they wait no more than necessary.
    fn key_that_will_do(&self, held: &HashMap<usize, Vec<Held>>) -> Option<String> {
        let of_users = || {
            self.users()
                .flat_map(|(test, _)| held.get(&test).into_iter().flatten())
        };
        let keys: BTreeSet<&str> = of_users().map(|held| held.key.as_str()).collect();
        let missing = |key: &str| {
            self.users()
                .filter(|(test, alone)| !takes(held, *test, key, *alone))
                .count()
        };
        let missing_writers = |key: &str| {
            let writers = self.writers.iter();
            writers.filter(|test| !takes(held, **test, key, true)).count()
        };
        // A test that takes a key shared cannot also take it exclusively.
        let would_clash = |key: &str| {
            self.writers
                .iter()
                .any(|test| takes(held, *test, key, false) && !takes(held, *test, key, true))
        };
        keys.into_iter()
            .filter(|key| !of_users().any(|held| held.key == *key && !held.may_be_taken))
            .filter(|key| missing(key) * 2 <= self.count() || missing_writers(key) * 2 < self.writers.len())
            .filter(|key| !would_clash(key))
            .min_by_key(|key| missing(key))
            .map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(name: &str) -> Resource {
        Resource::file(format!("/w/{name}"))
    }

    fn meeting(name: &str, writers: &[usize], readers: &[usize]) -> Meeting {
        let writers = writers.iter().map(|test| (*test, true));
        Meeting {
            resource: file(name),
            users: writers.chain(readers.iter().map(|test| (*test, false))).collect(),
        }
    }

    fn held(all: &[(usize, &str, bool)]) -> HashMap<usize, Vec<Held>> {
        let mut held: HashMap<usize, Vec<Held>> = HashMap::new();
        for (test, key, alone) in all {
            let key = (*key).to_owned();
            held.entry(*test).or_default().push(Held {
                may_be_taken: !key.starts_with('!'),
                key,
                alone: *alone,
            });
        }
        held
    }

    /// Returns a plan as text: `0: +a -b` if test 0 takes `a` exclusively and `b` shared.
    fn told(meetings: &[Meeting], there: &[(usize, &str, bool)]) -> String {
        let plan = Plan::of(meetings, &held(there), &BTreeSet::new());
        let takes = plan.takes.iter().map(|(test, takes)| {
            let alone = takes.alone.iter().map(|key| format!(" +{key}"));
            let shared = takes.shared.iter().map(|key| format!(" -{key}"));
            format!("{test}:{}", alone.chain(shared).collect::<String>())
        });
        takes.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn who_changes_takes_the_key_alone_and_who_looks_takes_it_shared() {
        assert_eq!(told(&[meeting("a", &[0], &[1, 2])], &[]), "0: +a, 1: -a, 2: -a");
        assert_eq!(told(&[meeting("a", &[0, 1], &[])], &[]), "0: +a, 1: +a");
    }

    #[test]
    fn who_is_alone_with_a_resource_or_only_looks_takes_nothing() {
        assert_eq!(told(&[meeting("a", &[0], &[])], &[]), "");
        assert_eq!(told(&[meeting("a", &[], &[0, 1])], &[]), "");
    }

    #[test]
    fn resources_of_the_same_tests_go_by_one_key() {
        let both = [meeting("a", &[0, 1], &[]), meeting("b", &[0, 1], &[])];
        assert_eq!(told(&both, &[]), "0: +a, 1: +a");
        // The second has no pair that the first has not.
        let within = [meeting("a", &[0, 1, 2], &[]), meeting("b", &[2], &[1])];
        assert_eq!(told(&within, &[]), "0: +a, 1: +a, 2: +a");
        // One changes both, and others look at one each.
        let star = [meeting("a", &[0], &[1]), meeting("b", &[0], &[2])];
        assert_eq!(told(&star, &[]), "0: +a, 1: -a, 2: -a");
    }

    #[test]
    fn tests_that_may_run_together_are_not_kept_apart_for_a_key_less() {
        let chain = [meeting("a", &[0, 1], &[]), meeting("b", &[1, 2], &[])];
        assert_eq!(told(&chain, &[]), "0: +a, 1: +a +b, 2: +b");
        let crossed = [meeting("a", &[0], &[1, 2]), meeting("b", &[1], &[0, 3])];
        assert_eq!(told(&crossed, &[]), "0: +a -b, 1: +b -a, 2: -a, 3: -b");
    }

    #[test]
    fn a_key_that_most_take_already_is_taken_by_the_others() {
        let three = [meeting("a", &[0, 1, 2], &[])];
        assert_eq!(told(&three, &[(0, "db", true), (1, "db", true)]), "2: +db");
        // One of three is too few: all others would wait for what has nothing to do with them.
        assert_eq!(told(&three, &[(0, "db", true)]), "0: +a, 1: +a, 2: +a");
        // Shared is not enough for who changes it.
        let four = [meeting("a", &[0, 1, 2, 3], &[])];
        let there = [
            (0, "db", true),
            (1, "db", true),
            (2, "db", false),
            (3, "db", false),
        ];
        assert_eq!(told(&four, &there), "0: +a, 1: +a, 2: +a, 3: +a");
        // Nor does one count whose attribute is another crate's.
        assert_eq!(
            told(&three, &[(0, "!db", true), (1, "!db", true)]),
            "0: +a, 1: +a, 2: +a"
        );
        let readers = [meeting("a", &[0], &[1, 2])];
        assert_eq!(told(&readers, &[(0, "db", true), (1, "db", false)]), "2: -db");
        // A suite's own key does, however many readers lack it: they take it shared.
        let many = [meeting("a", &[0, 1], &[2, 3, 4, 5])];
        let there = [(0, "", true), (1, "", true)];
        assert_eq!(told(&many, &there), "2: -, 3: -, 4: -, 5: -");
        // And the one writer that lacks it is all that changes where the readers have it.
        let all_but_one: Vec<_> = (0..6)
            .filter(|test| *test != 1)
            .map(|test| (test, "", test == 0))
            .collect();
        assert_eq!(told(&many, &all_but_one), "1: +");
    }

    #[test]
    fn who_is_kept_apart_already_takes_nothing() {
        let plan = |there: &[(usize, &str, bool)]| {
            Plan::of(&[meeting("a", &[0], &[1, 2])], &held(there), &BTreeSet::new())
        };
        let kept = plan(&[(0, "db", true), (1, "db", false), (2, "db", false)]);
        assert_eq!((kept.kept, kept.takes), (vec![file("a")], BTreeMap::new()));
        let by_two = plan(&[(0, "x", true), (0, "y", true), (1, "x", true), (2, "y", false)]);
        assert_eq!(by_two.kept, [file("a")]);
        assert!(
            plan(&[(0, "db", false), (1, "db", false), (2, "db", false)])
                .kept
                .is_empty()
        );
    }

    #[test]
    fn a_new_key_is_no_other_s() {
        let taken = BTreeSet::from(["a".to_owned()]);
        let plan = Plan::of(&[meeting("a", &[0, 1], &[])], &HashMap::new(), &taken);
        assert_eq!(plan.keys[0].name, "w_a");
    }

    fn meetings() -> impl Strategy<Value = Vec<Meeting>> {
        let users = proptest::collection::btree_map(0..8usize, any::<bool>(), 0..6);
        let one = (0..5u8, users).prop_map(|(number, users)| Meeting {
            resource: file(&format!("f{number}")),
            users,
        });
        proptest::collection::vec(one, 0..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn whoever_meets_is_kept_apart_and_nobody_else(
            meetings in meetings(),
            there in proptest::collection::vec((0..8usize, 0..2u8, any::<bool>()), 0..8),
        ) {
            let names: Vec<(usize, String, bool)> =
                there.iter().map(|(test, key, alone)| (*test, format!("k{key}"), *alone)).collect();
            let there: Vec<(usize, &str, bool)> =
                names.iter().map(|(test, key, alone)| (*test, key.as_str(), *alone)).collect();
            let held = held(&there);
            let plan = Plan::of(&meetings, &held, &BTreeSet::new());
            let takes = |test: usize| {
                let mut all = held.get(&test).cloned().unwrap_or_default();
                let more = plan.takes.get(&test).cloned().unwrap_or_default();
                let take = |key, alone| Held { key, alone, may_be_taken: true };
                all.extend(more.alone.into_iter().map(|key| take(key, true)));
                all.extend(more.shared.into_iter().map(|key| take(key, false)));
                all
            };
            let apart = |one: usize, other: usize| takes(one).iter().any(|mine| {
                takes(other).iter().any(|theirs| mine.key == theirs.key && (mine.alone || theirs.alone))
            });
            let groups = by_resource(&meetings);
            for one in 0..8 {
                for other in one + 1..8 {
                    let meet = groups.iter().any(|group| group.parts(one, other));
                    prop_assert!(!meet || apart(one, other), "{one} and {other} still meet: {plan:?}");
                    // A key that was there keeps apart whom it kept apart, and whoever is added to it.
                    let has_old = |test| takes(test).iter().any(|held| held.key.starts_with('k'));
                    if !meet && apart(one, other) {
                        prop_assert!(has_old(one) && has_old(other), "{one} and {other} need not wait: {plan:?}");
                    }
                }
            }
        }
    }
}
