//! Assignment of keys to tests: the fewest changes that keep all conflicting tests apart. Pure, without effects.
//!
//! Two tests are kept apart by a key that both take, at least one of them exclusively. So tests that write a resource take
//! its key exclusively, and tests that only read take it shared. What remains to choose is which resources share a key, and
//! which existing keys to reuse.

use super::key_names;
use cofferdam::Resource;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A resource and the tests that share it, by number, each with whether it writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SharedResource {
    pub(crate) resource: Resource,
    pub(crate) users: BTreeMap<usize, bool>,
}

/// A key that a test already takes, by an attribute that works under the runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExistingKey {
    pub(crate) key: String,
    pub(crate) is_exclusive: bool,
    /// Set if new attributes can use it, because they are of its family.
    pub(crate) is_reusable: bool,
}

/// A key of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) name: String,
    /// Set if some tests already take it.
    pub(crate) is_existing: bool,
    pub(crate) resources: Vec<Resource>,
    /// The tests that take it exclusively, existing keys included.
    pub(crate) writers: BTreeSet<usize>,
    /// The tests that take it shared.
    pub(crate) readers: BTreeSet<usize>,
}

/// The keys to add to a test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeysToAdd {
    pub(crate) exclusive: BTreeSet<String>,
    pub(crate) shared: BTreeSet<String>,
}

/// The keys that separate all conflicting tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) keys: Vec<Key>,
    pub(crate) additions: BTreeMap<usize, KeysToAdd>,
    /// Resources whose tests are already separated.
    pub(crate) already_separated: Vec<Resource>,
}

impl Plan {
    /// Plans keys for these conflicts. `existing` are the keys that each test already takes, `taken` other names in use.
    pub(crate) fn of(
        shared_resources: &[SharedResource],
        existing: &HashMap<usize, Vec<ExistingKey>>,
        taken: &BTreeSet<String>,
    ) -> Self {
        let mut plan = Self::default();
        let mut groups = Vec::new();
        for group in by_resource(shared_resources) {
            if group.is_already_separated(existing) {
                plan.already_separated.extend(group.resources);
            } else {
                groups.push(group);
            }
        }
        let mut names = taken.clone();
        names.extend(existing.values().flatten().map(|existing| existing.key.clone()));
        for group in merged(groups) {
            let reused = group.reusable_key(existing);
            let name = reused
                .clone()
                .unwrap_or_else(|| key_names::new_key(&group.resources[0], &names));
            names.insert(name.clone());
            plan.add(group, name, reused.is_some(), existing);
        }
        plan
    }

    fn add(
        &mut self,
        group: KeyGroup,
        name: String,
        is_existing: bool,
        existing: &HashMap<usize, Vec<ExistingKey>>,
    ) {
        for (test, exclusive) in group.users() {
            if !has_key(existing, test, &name, exclusive) {
                let keys = self.additions.entry(test).or_default();
                if exclusive {
                    &mut keys.exclusive
                } else {
                    &mut keys.shared
                }
                .insert(name.clone());
            }
        }
        self.keys.push(Key {
            name,
            is_existing,
            resources: group.resources,
            writers: group.writers,
            readers: group.readers,
        });
    }
}

/// Returns whether a test already takes a key, exclusively if required.
fn has_key(existing: &HashMap<usize, Vec<ExistingKey>>, test: usize, key: &str, exclusive: bool) -> bool {
    let mut of_test = existing.get(&test).into_iter().flatten();
    of_test.any(|existing| existing.key == key && (existing.is_exclusive || !exclusive))
}

/// Resources that share a key, which the first one names.
#[derive(Clone, Debug)]
struct KeyGroup {
    resources: Vec<Resource>,
    writers: BTreeSet<usize>,
    readers: BTreeSet<usize>,
}

/// Returns one group for each resource with a conflict.
fn by_resource(shared_resources: &[SharedResource]) -> Vec<KeyGroup> {
    let mut users: BTreeMap<&Resource, BTreeMap<usize, bool>> = BTreeMap::new();
    for shared in shared_resources {
        let users = users.entry(&shared.resource).or_default();
        for (test, writes) in &shared.users {
            *users.entry(*test).or_default() |= writes;
        }
    }
    let group = |(resource, users): (&Resource, BTreeMap<usize, bool>)| {
        let (writers, readers): (Vec<_>, Vec<_>) = users.into_iter().partition(|(_, writes)| *writes);
        KeyGroup {
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

/// Merges groups whose common key separates no further tests.
fn merged(mut groups: Vec<KeyGroup>) -> Vec<KeyGroup> {
    // The most used resource names the key.
    groups.sort_by_key(|group| std::cmp::Reverse(group.count()));
    let mut merged: Vec<KeyGroup> = Vec::new();
    for group in groups {
        match merged.iter_mut().find(|other| other.can_absorb(&group)) {
            Some(other) => other.absorb(group),
            None => merged.push(group),
        }
    }
    merged
}

impl KeyGroup {
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

    /// Returns whether the key separates two tests.
    fn separates(&self, one: usize, other: usize) -> bool {
        self.has(one) && self.has(other) && (self.writers.contains(&one) || self.writers.contains(&other))
    }

    /// Returns whether one key for both groups separates only those tests that two keys would.
    fn can_absorb(&self, other: &Self) -> bool {
        let users: BTreeSet<usize> = self.users().chain(other.users()).map(|(test, _)| test).collect();
        let mut writers = self.writers.union(&other.writers);
        writers.all(|writer| {
            let mut others = users.iter().filter(|user| *user != writer);
            others.all(|user| self.separates(*writer, *user) || other.separates(*writer, *user))
        })
    }

    fn absorb(&mut self, other: Self) {
        self.resources.extend(other.resources);
        self.writers.extend(other.writers);
        self.readers.extend(other.readers);
        self.readers.retain(|test| !self.writers.contains(test));
    }

    /// Returns whether existing keys already separate all conflicting tests.
    fn is_already_separated(&self, existing: &HashMap<usize, Vec<ExistingKey>>) -> bool {
        let of = |test: usize| existing.get(&test).map_or(&[][..], Vec::as_slice);
        let apart = |one: usize, other: usize| {
            of(one).iter().any(|mine| {
                let mut theirs = of(other).iter();
                theirs.any(|theirs| theirs.key == mine.key && (theirs.is_exclusive || mine.is_exclusive))
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
    fn reusable_key(&self, existing: &HashMap<usize, Vec<ExistingKey>>) -> Option<String> {
        let of_users = || {
            self.users()
                .flat_map(|(test, _)| existing.get(&test).into_iter().flatten())
        };
        let keys: BTreeSet<&str> = of_users().map(|existing| existing.key.as_str()).collect();
        let missing = |key: &str| {
            self.users()
                .filter(|(test, exclusive)| !has_key(existing, *test, key, *exclusive))
                .count()
        };
        let missing_writers = |key: &str| {
            let writers = self.writers.iter();
            writers
                .filter(|test| !has_key(existing, **test, key, true))
                .count()
        };
        // A test that takes a key shared cannot also take it exclusively.
        let would_clash = |key: &str| {
            self.writers
                .iter()
                .any(|test| has_key(existing, *test, key, false) && !has_key(existing, *test, key, true))
        };
        keys.into_iter()
            .filter(|key| !of_users().any(|existing| existing.key == *key && !existing.is_reusable))
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

    fn shared(name: &str, writers: &[usize], readers: &[usize]) -> SharedResource {
        let writers = writers.iter().map(|test| (*test, true));
        SharedResource {
            resource: file(name),
            users: writers.chain(readers.iter().map(|test| (*test, false))).collect(),
        }
    }

    fn existing(all: &[(usize, &str, bool)]) -> HashMap<usize, Vec<ExistingKey>> {
        let mut existing: HashMap<usize, Vec<ExistingKey>> = HashMap::new();
        for (test, key, exclusive) in all {
            let key = (*key).to_owned();
            existing.entry(*test).or_default().push(ExistingKey {
                is_reusable: !key.starts_with('!'),
                key,
                is_exclusive: *exclusive,
            });
        }
        existing
    }

    /// Returns the plan as text: `0: +a -b` if test 0 takes `a` exclusively and `b` shared.
    fn planned(shared_resources: &[SharedResource], present: &[(usize, &str, bool)]) -> String {
        let plan = Plan::of(shared_resources, &existing(present), &BTreeSet::new());
        let additions = plan.additions.iter().map(|(test, keys)| {
            let exclusive = keys.exclusive.iter().map(|key| format!(" +{key}"));
            let shared = keys.shared.iter().map(|key| format!(" -{key}"));
            format!("{test}:{}", exclusive.chain(shared).collect::<String>())
        });
        additions.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn writers_take_the_key_exclusively_and_readers_take_it_shared() {
        assert_eq!(planned(&[shared("a", &[0], &[1, 2])], &[]), "0: +a, 1: -a, 2: -a");
        assert_eq!(planned(&[shared("a", &[0, 1], &[])], &[]), "0: +a, 1: +a");
    }

    #[test]
    fn a_test_without_a_conflict_takes_no_key() {
        assert_eq!(planned(&[shared("a", &[0], &[])], &[]), "");
        assert_eq!(planned(&[shared("a", &[], &[0, 1])], &[]), "");
    }

    #[test]
    fn resources_of_the_same_tests_share_one_key() {
        let both = [shared("a", &[0, 1], &[]), shared("b", &[0, 1], &[])];
        assert_eq!(planned(&both, &[]), "0: +a, 1: +a");
        // Every pair of the second resource is also a pair of the first.
        let within = [shared("a", &[0, 1, 2], &[]), shared("b", &[2], &[1])];
        assert_eq!(planned(&within, &[]), "0: +a, 1: +a, 2: +a");
        // One test writes both, and two others read one each.
        let star = [shared("a", &[0], &[1]), shared("b", &[0], &[2])];
        assert_eq!(planned(&star, &[]), "0: +a, 1: -a, 2: -a");
    }

    #[test]
    fn tests_without_a_conflict_are_not_separated_to_save_a_key() {
        let chain = [shared("a", &[0, 1], &[]), shared("b", &[1, 2], &[])];
        assert_eq!(planned(&chain, &[]), "0: +a, 1: +a +b, 2: +b");
        let crossed = [shared("a", &[0], &[1, 2]), shared("b", &[1], &[0, 3])];
        assert_eq!(planned(&crossed, &[]), "0: +a -b, 1: +b -a, 2: -a, 3: -b");
    }

    #[test]
    fn an_existing_key_of_most_tests_is_reused_for_the_others() {
        let three = [shared("a", &[0, 1, 2], &[])];
        assert_eq!(planned(&three, &[(0, "db", true), (1, "db", true)]), "2: +db");
        // One of three is too few: the others would wait for unrelated tests.
        assert_eq!(planned(&three, &[(0, "db", true)]), "0: +a, 1: +a, 2: +a");
        // A writer needs the key exclusively.
        let four = [shared("a", &[0, 1, 2, 3], &[])];
        let present = [
            (0, "db", true),
            (1, "db", true),
            (2, "db", false),
            (3, "db", false),
        ];
        assert_eq!(planned(&four, &present), "0: +a, 1: +a, 2: +a, 3: +a");
        // The key of another crate's attribute does not count.
        assert_eq!(
            planned(&three, &[(0, "!db", true), (1, "!db", true)]),
            "0: +a, 1: +a, 2: +a"
        );
        let readers = [shared("a", &[0], &[1, 2])];
        assert_eq!(planned(&readers, &[(0, "db", true), (1, "db", false)]), "2: -db");
        // The number of readers without the key does not matter: they take it shared.
        let many = [shared("a", &[0, 1], &[2, 3, 4, 5])];
        let present = [(0, "", true), (1, "", true)];
        assert_eq!(planned(&many, &present), "2: -, 3: -, 4: -, 5: -");
        // If all readers have the key, only the writer without it changes.
        let all_but_one: Vec<_> = (0..6)
            .filter(|test| *test != 1)
            .map(|test| (test, "", test == 0))
            .collect();
        assert_eq!(planned(&many, &all_but_one), "1: +");
    }

    #[test]
    fn tests_that_existing_keys_separate_take_no_new_key() {
        let plan = |present: &[(usize, &str, bool)]| {
            Plan::of(
                &[shared("a", &[0], &[1, 2])],
                &existing(present),
                &BTreeSet::new(),
            )
        };
        let separated = plan(&[(0, "db", true), (1, "db", false), (2, "db", false)]);
        assert_eq!(
            (separated.already_separated, separated.additions),
            (vec![file("a")], BTreeMap::new())
        );
        let by_two = plan(&[(0, "x", true), (0, "y", true), (1, "x", true), (2, "y", false)]);
        assert_eq!(by_two.already_separated, [file("a")]);
        assert!(
            plan(&[(0, "db", false), (1, "db", false), (2, "db", false)])
                .already_separated
                .is_empty()
        );
    }

    #[test]
    fn a_new_key_gets_an_unused_name() {
        let taken = BTreeSet::from(["a".to_owned()]);
        let plan = Plan::of(&[shared("a", &[0, 1], &[])], &HashMap::new(), &taken);
        assert_eq!(plan.keys[0].name, "w_a");
    }

    fn shared_resources() -> impl Strategy<Value = Vec<SharedResource>> {
        let users = proptest::collection::btree_map(0..8usize, any::<bool>(), 0..6);
        let one = (0..5u8, users).prop_map(|(number, users)| SharedResource {
            resource: file(&format!("f{number}")),
            users,
        });
        proptest::collection::vec(one, 0..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn exactly_the_conflicting_tests_are_separated(
            shared_resources in shared_resources(),
            present in proptest::collection::vec((0..8usize, 0..2u8, any::<bool>()), 0..8),
        ) {
            let names: Vec<(usize, String, bool)> =
                present.iter().map(|(test, key, exclusive)| (*test, format!("k{key}"), *exclusive)).collect();
            let present: Vec<(usize, &str, bool)> =
                names.iter().map(|(test, key, exclusive)| (*test, key.as_str(), *exclusive)).collect();
            let existing = existing(&present);
            let plan = Plan::of(&shared_resources, &existing, &BTreeSet::new());
            let takes = |test: usize| {
                let mut all = existing.get(&test).cloned().unwrap_or_default();
                let more = plan.additions.get(&test).cloned().unwrap_or_default();
                let take = |key, is_exclusive| ExistingKey { key, is_exclusive, is_reusable: true };
                all.extend(more.exclusive.into_iter().map(|key| take(key, true)));
                all.extend(more.shared.into_iter().map(|key| take(key, false)));
                all
            };
            let apart = |one: usize, other: usize| takes(one).iter().any(|mine| {
                takes(other).iter().any(|theirs| mine.key == theirs.key && (mine.is_exclusive || theirs.is_exclusive))
            });
            let groups = by_resource(&shared_resources);
            for one in 0..8 {
                for other in one + 1..8 {
                    let conflict = groups.iter().any(|group| group.separates(one, other));
                    prop_assert!(!conflict || apart(one, other), "{one} and {other} are not separated: {plan:?}");
                    // An existing key also separates unrelated tests that take it.
                    let has_old = |test| takes(test).iter().any(|existing| existing.key.starts_with('k'));
                    if !conflict && apart(one, other) {
                        prop_assert!(has_old(one) && has_old(other), "{one} and {other} wait without need: {plan:?}");
                    }
                }
            }
        }
    }
}
