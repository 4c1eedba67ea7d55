//! Verdicts that have one cause, as one finding.

use crate::findings::{SharedUse, shared_uses};
use crate::fix::named_statics::NamedStatic;
use crate::hunt::{Class, StaticCause, Verdict, grouped};
use crate::scene::TestId;
use cofferdam_conflicts::Conflict;

/// Tests that fail for one reason.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cause {
    /// The first is the one that was examined first.
    pub(crate) verdicts: Vec<Verdict>,
    /// The observed resources that the tests share with the culprits; for a leftover and two runs, with other runs.
    pub(crate) uses: Vec<SharedUse>,
    /// Set if what its tests use was not observed: a harness of their own runs them.
    pub(crate) is_unobserved: bool,
    /// Other tests that use the one resource of a race: they were not seen to fail, or not examined.
    pub(crate) users: Vec<TestId>,
    /// The statics through which the first test fails, if experiments show that.
    pub(crate) static_cause: Option<StaticCause>,
    /// The single static among them, with the help for the tests that share it.
    pub(crate) static_use: Option<SharedUse>,
    /// The values, one for each process, that its tests and the culprits name, if nothing was observed or shown.
    pub(crate) statics: Vec<NamedStatic>,
}

/// Returns the causes, in the order of their first verdicts: verdicts with the same class and culprits have one cause, and so
/// have races on the same single resource or of the same two tests, with the tests that fail beside a second copy because of it. Tests that always fail
/// come last, as one: they would bury the unstable ones.
pub(super) fn causes(verdicts: &[Verdict], conflicts: &[Conflict], all: &[TestId]) -> Vec<Cause> {
    let mut causes = grouped_by_cause(verdicts, conflicts);
    for cause in &mut causes {
        cause.users = users(cause, conflicts, all);
    }
    causes
}

fn grouped_by_cause(verdicts: &[Verdict], conflicts: &[Conflict]) -> Vec<Cause> {
    let mut causes: Vec<Cause> = Vec::new();
    let (failing, unstable): (Vec<Verdict>, Vec<Verdict>) = verdicts
        .iter()
        .cloned()
        .partition(|verdict| verdict.class == Class::Failing);
    let (may_follow, others): (Vec<Verdict>, Vec<Verdict>) = unstable
        .into_iter()
        .partition(|verdict| verdict.class == Class::TwoRuns || is_rare_beside_others(verdict));
    for group in grouped(&others) {
        let first = group[0];
        let uses = shared_uses(&first.test, &first.culprits, is_race(first), conflicts);
        let same = causes.iter_mut().find(|cause| {
            let is_one = is_same(&cause.uses, &uses) || is_mutual(&cause.verdicts, group[0]);
            is_race(&cause.verdicts[0]) && is_race(group[0]) && is_one
        });
        let verdicts = group.into_iter().cloned();
        match same {
            Some(cause) => cause.verdicts.extend(verdicts),
            None => causes.push(Cause {
                verdicts: verdicts.collect(),
                uses,
                ..Cause::default()
            }),
        }
    }
    for verdict in may_follow {
        let belongs = |cause: &&mut Cause| {
            let mut races = cause.verdicts.iter().filter(|race| is_race(race));
            races.any(|race| race.culprits.contains(&verdict.test))
                || is_race(&cause.verdicts[0]) && uses_the_same(&verdict.test, &cause.uses, conflicts)
        };
        match causes.iter_mut().find(belongs) {
            Some(cause) => cause.verdicts.push(verdict),
            None => causes.push(Cause {
                verdicts: vec![verdict],
                ..Cause::default()
            }),
        }
    }
    if !failing.is_empty() {
        // What they make fail comes after them.
        let follows = |cause: &Cause| {
            let first = &cause.verdicts[0];
            first.class == Class::Cascade && failing.iter().any(|one| first.culprits.contains(&one.test))
        };
        let at = causes.iter().position(follows).unwrap_or(causes.len());
        let cause = Cause {
            verdicts: failing,
            ..Cause::default()
        };
        causes.insert(at, cause);
    }
    causes
}

/// Returns the tests that use the one resource of a race and are no part of it yet, in the order of `all`.
fn users(cause: &Cause, conflicts: &[Conflict], all: &[TestId]) -> Vec<TestId> {
    if !is_race(&cause.verdicts[0]) {
        return Vec::new();
    }
    let of = |verdict: &Verdict, test: &TestId| verdict.test == *test || verdict.culprits.contains(test);
    let is_new = |test: &&TestId| !cause.verdicts.iter().any(|verdict| of(verdict, test));
    let uses_it = |test: &&TestId| uses_the_same(test, &cause.uses, conflicts);
    all.iter().filter(is_new).filter(uses_it).cloned().collect()
}

fn is_race(verdict: &Verdict) -> bool {
    verdict.class == Class::Race
}

/// Returns whether a test failed beside others, never alone, and too rarely to show why.
fn is_rare_beside_others(verdict: &Verdict) -> bool {
    let is_unexplained = matches!(verdict.class, Class::Unexplained { .. });
    is_unexplained && verdict.without.runs > 0 && verdict.without.failed == 0
}

/// Returns whether a test is in the conflict on the one resource of a race.
fn uses_the_same(test: &TestId, uses: &[SharedUse], conflicts: &[Conflict]) -> bool {
    let [only] = uses else { return false };
    let mut on_it = conflicts
        .iter()
        .filter(|conflict| conflict.resource.as_ref() == Some(&only.resource));
    on_it.any(|conflict| {
        conflict
            .tests
            .iter()
            .any(|one| test.is_named(&one.binary, one.name()))
    })
}

fn is_same(some: &[SharedUse], others: &[SharedUse]) -> bool {
    matches!((some, others), ([one], [other]) if one.resource == other.resource)
}

/// Returns whether one of these tests fails beside the other, and that beside it.
fn is_mutual(verdicts: &[Verdict], other: &Verdict) -> bool {
    verdicts
        .iter()
        .any(|one| one.culprits.contains(&other.test) && other.culprits.contains(&one.test))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rates::FailureRate;
    use crate::scene::{Arrangement, Scene};

    fn verdict(name: &str, class: Class, culprits: &[&str]) -> Verdict {
        let test = |name: &str| TestId {
            binary: "shop".to_owned(),
            name: name.to_owned(),
        };
        Verdict {
            test: test(name),
            class,
            culprits: culprits.iter().map(|name| test(name)).collect(),
            with: FailureRate::default(),
            without: FailureRate::default(),
            scene: Scene::of(vec![test(name)], Arrangement::Parallel),
            reruns: 1,
            paused: None,
        }
    }

    #[test]
    fn tests_that_fail_beside_each_other_have_one_cause() {
        let verdicts = [
            verdict("a", Class::Race, &["b"]),
            verdict("b", Class::Race, &["a"]),
            verdict("c", Class::Race, &["a"]),
        ];
        let causes = causes(&verdicts, &[], &[]);
        let sizes: Vec<usize> = causes.iter().map(|cause| cause.verdicts.len()).collect();
        assert_eq!(sizes, [3]);
    }

    #[test]
    fn a_culprit_that_failed_too_rarely_to_show_why_belongs_to_its_race() {
        let unexplained = |name, failed| Verdict {
            without: FailureRate { failed, runs: 200 },
            ..verdict(name, Class::Unexplained { why: String::new() }, &[])
        };
        let verdicts = [
            unexplained("a", 0),
            verdict("b", Class::Race, &["a", "d"]),
            unexplained("c", 0),
            unexplained("d", 1),
        ];
        let causes = causes(&verdicts, &[], &[]);
        let names: Vec<Vec<&str>> = causes
            .iter()
            .map(|cause| cause.verdicts.iter().map(|one| one.test.name.as_str()).collect())
            .collect();
        assert_eq!(names, [vec!["b", "a"], vec!["d"], vec!["c"]]);
    }

    #[test]
    fn tests_that_always_fail_come_last_together() {
        let verdicts = [
            verdict("a", Class::Failing, &[]),
            verdict("b", Class::Failing, &[]),
            verdict("c", Class::Victim, &["d"]),
        ];
        let causes = causes(&verdicts, &[], &[]);
        let sizes: Vec<usize> = causes.iter().map(|cause| cause.verdicts.len()).collect();
        assert_eq!(sizes, [1, 2]);
    }

    #[test]
    fn a_test_that_always_fails_comes_before_those_that_fail_because_of_it() {
        let verdicts = [
            verdict("c", Class::Victim, &["d"]),
            verdict("a", Class::Failing, &[]),
            verdict("b", Class::Cascade, &["a"]),
        ];
        let causes = causes(&verdicts, &[], &[]);
        let names: Vec<&str> = causes
            .iter()
            .map(|cause| cause.verdicts[0].test.name.as_str())
            .collect();
        assert_eq!(names, ["c", "a", "b"]);
    }

    #[test]
    fn a_culprit_that_fails_beside_a_second_copy_belongs_to_its_race() {
        let verdicts = [
            verdict("a", Class::TwoRuns, &[]),
            verdict("b", Class::Race, &["a"]),
            verdict("c", Class::Race, &["a"]),
            verdict("d", Class::TwoRuns, &[]),
            verdict("e", Class::Victim, &["a"]),
        ];
        let causes = causes(&verdicts, &[], &[]);
        let names: Vec<Vec<&str>> = causes
            .iter()
            .map(|cause| cause.verdicts.iter().map(|one| one.test.name.as_str()).collect())
            .collect();
        assert_eq!(names, [vec!["b", "c", "a"], vec!["e"], vec!["d"]]);
    }
}
