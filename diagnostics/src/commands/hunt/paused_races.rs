//! Races that too rarely happen by themselves: tests that share a resource run together, paused where they use it.

use super::budgeted_scenes::is;
use crate::hunt::{Class, HuntReport, Verdict};
use crate::rates::FailureRate;
use crate::scene::{Arrangement, Scene, TestId};
use cofferdam_conflicts::{Conflict, Grade, Test};

/// Returns the conflicts to try: those of tests without an explanation if there are any, else all.
pub(super) fn to_try(report: &HuntReport, conflicts: &[Conflict]) -> Vec<Conflict> {
    let unexplained: Vec<&TestId> = report
        .verdicts
        .iter()
        .filter(|verdict| verdict.is_unexplained())
        .map(|verdict| &verdict.test)
        .collect();
    let concerns = |conflict: &&Conflict| {
        let has = |test: &&&TestId| conflict.tests.iter().any(|one| is(one, test));
        unexplained.is_empty() || unexplained.iter().any(|test| has(&test))
    };
    conflicts.iter().filter(concerns).cloned().collect()
}

/// Enters the reproduced pairs of conflicts as races. A test that has a class keeps it.
pub(super) fn enter(confirmed: &[Conflict], all: &[TestId], report: &mut HuntReport) {
    let id = |test: &Test| all.iter().find(|id| is(test, id)).cloned();
    let reproduced = confirmed.iter().flat_map(|conflict| {
        let pairs = conflict
            .pairs
            .iter()
            .filter(|pair| pair.grade == Grade::Reproduced);
        pairs.map(|pair| (pair.tests.map(|test| &conflict.tests[test]), &pair.reason))
    });
    for ([test, culprit], reason) in reproduced {
        let (Some(test), Some(culprit)) = (id(test), id(culprit)) else {
            continue;
        };
        let known = report.verdicts.iter_mut().find(|verdict| verdict.test == test);
        let race = Verdict {
            class: Class::Race,
            culprits: vec![culprit.clone()],
            with: FailureRate::default(),
            without: FailureRate::default(),
            scene: Scene::of(vec![test.clone(), culprit.clone()], Arrangement::Parallel),
            reruns: known.as_ref().map_or(0, |known| known.reruns),
            paused: Some(reason.clone()),
            test: test.clone(),
        };
        match known {
            Some(known) if known.is_unexplained() => {
                *known = race;
                report.forget_open_examination(&test);
            }
            // Another culprit of the same test.
            Some(known) if known.paused.is_some() && !known.culprits.contains(&culprit) => {
                known.culprits.push(culprit);
            }
            Some(_) => {}
            None => report.verdicts.push(race),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hunt::{HuntOptions, Scenes, hunt};
    use crate::scene::{Outcome, SceneResult, StaticsPlan};
    use cofferdam_conflicts::{Kind, Pair};

    /// No time is left.
    struct NoScenes;

    impl Scenes for NoScenes {
        fn run(&mut self, _: &Scene) -> Option<SceneResult> {
            None
        }

        fn run_with_statics(&mut self, _: &Scene, _: &StaticsPlan) -> Option<SceneResult> {
            None
        }

        fn suspects(&self, _: &TestId) -> Vec<TestId> {
            Vec::new()
        }
    }

    fn observed(name: &str) -> Test {
        Test {
            run: String::new(),
            worker: String::new(),
            pid: 1,
            binary: "shop".to_owned(),
            package: String::new(),
            runner: None,
            name: Some(name.to_owned()),
            attempt: 1,
            grade: None,
            fails_alone: false,
            uses: Vec::new(),
        }
    }

    #[test]
    fn a_test_that_pauses_explain_is_no_longer_an_open_examination() {
        let id = |name: &str| TestId {
            binary: "shop".to_owned(),
            name: name.to_owned(),
        };
        let all = [id("a"), id("b"), id("c")];
        let mut as_is = SceneResult::default();
        for (test, outcome) in all
            .iter()
            .zip([Outcome::Failed, Outcome::Passed, Outcome::Failed])
        {
            as_is.outcomes.insert(test.clone(), outcome);
        }
        let mut report = hunt(&all, &as_is, &HuntOptions::default(), &mut NoScenes, &mut |_| {});
        let open = |report: &HuntReport| -> Vec<String> {
            let open = report
                .untried
                .iter()
                .filter(|what| what.starts_with("the examination"));
            open.cloned().collect()
        };
        assert_eq!(
            open(&report),
            ["the examination of shop a", "the examination of shop c"]
        );
        let conflict = Conflict {
            kind: Kind::SharedResource,
            resource: Some(cofferdam::Resource::env("CURRENCY")),
            service: None,
            grade: Some(Grade::Reproduced),
            overlapped: true,
            between_runs: false,
            message: String::new(),
            help: String::new(),
            output: None,
            name_parts: None,
            static_facts: None,
            tests: vec![observed("a"), observed("b")],
            use_count: 2,
            pairs: vec![Pair {
                tests: [0, 1],
                grade: Grade::Reproduced,
                tries: 4,
                reason: "a failed in 4 of 4 runs beside b".to_owned(),
            }],
            pair_count: 1,
        };
        enter(&[conflict], &all, &mut report);
        assert_eq!(report.verdicts[0].class, Class::Race);
        assert_eq!(open(&report), ["the examination of shop c"]);
    }
}
