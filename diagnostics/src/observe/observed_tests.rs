//! Completes conflicts with what an observation knows of their tests.

use super::log::attribution::ObservedTest;
use crate::findings::{Program, ReportedOutcome, TestResult};
use cofferdam_conflicts::{Conflict, Runner, Test, Use};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

/// The observed tests and the directories of their programs.
#[derive(Clone, Debug, Default)]
pub(crate) struct ObservedTests {
    pub(crate) tests: Vec<ObservedTest>,
    /// The directory of each process, by process ID.
    pub(crate) folders: HashMap<u32, PathBuf>,
    /// The processes of tests that nextest started.
    nextest: HashSet<u32>,
}

impl ObservedTests {
    pub(crate) fn new(tests: Vec<ObservedTest>, folders: HashMap<u32, PathBuf>) -> Self {
        let alone = tests.iter().filter(|test| !test.in_turn);
        Self {
            nextest: alone.map(|test| test.pid).collect(),
            tests,
            folders,
        }
    }

    /// Returns the directory of the package whose program a process runs.
    pub(crate) fn package(&self, pid: u32) -> String {
        let folder = self.folders.get(&pid);
        folder
            .map(|folder| folder.to_string_lossy().into_owned())
            .unwrap_or_default()
    }
}

/// Returns the tests that ran, by program, with the times of those that passed.
pub(crate) fn ran(observed: &ObservedTests, results: &[TestResult]) -> Vec<Program> {
    let mut programs: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for test in &observed.tests {
        let program = (observed.package(test.pid), test.binary.clone());
        programs.entry(program).or_default().insert(test.name.clone());
    }
    let mut times: BTreeMap<(String, String), BTreeMap<String, u64>> = BTreeMap::new();
    for result in results {
        if let Some(ended) = result.ended.filter(|_| result.outcome == ReportedOutcome::Passed) {
            let program = (observed.package(result.pid), result.binary.clone());
            let micros = ended.saturating_sub(result.began);
            times
                .entry(program)
                .or_default()
                .insert(result.name.clone(), micros);
        }
    }
    let one = |(program, tests): ((String, String), BTreeSet<String>)| {
        let micros = times.remove(&program).unwrap_or_default();
        let (package, binary) = program;
        Program {
            binary,
            package,
            tests: tests.into_iter().collect(),
            micros,
        }
    };
    programs.into_iter().map(one).collect()
}

/// The lines of a use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SourceLines {
    pub(crate) place: Option<String>,
    pub(crate) test_place: Option<String>,
}

/// Adds to a conflict what detection does not know: the packages and runners of its tests, and the lines of their uses. Each
/// test is in it once, with the first line of each way in which it uses the resource.
pub(crate) fn complete(
    conflict: &mut Conflict,
    observed: &ObservedTests,
    lines_of: &mut dyn FnMut(&Test, &Use) -> SourceLines,
) {
    let mut tests: Vec<Test> = Vec::new();
    for mut test in std::mem::take(&mut conflict.tests) {
        let uses = std::mem::take(&mut test.uses);
        let known = tests
            .iter()
            .position(|known| known.name == test.name && known.binary == test.binary);
        let position = known.unwrap_or(tests.len());
        if known.is_none() {
            test.package = observed.package(test.pid);
            test.runner = Some(if observed.nextest.contains(&test.pid) {
                Runner::Nextest
            } else {
                Runner::CargoTest
            });
            tests.push(test.clone());
        }
        let merged = &mut tests[position];
        // Of several attempts the last is the one to start from.
        (merged.pid, merged.attempt) = (test.pid, test.attempt);
        for used in uses {
            if let Some(first) = merged.uses.iter_mut().find(|first| first.access == used.access) {
                (first.from, first.to) = (first.from.min(used.from), first.to.max(used.to));
                continue;
            }
            let SourceLines { place, test_place } = lines_of(&test, &used);
            merged.uses.push(Use {
                place,
                test_place,
                ..used
            });
        }
    }
    conflict.tests = tests;
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_conflicts::{Evidence, Observed};

    #[test]
    fn a_test_is_in_a_conflict_once_with_the_first_line_of_each_way() {
        let mut evidence = Evidence::new();
        evidence.list_up_to(usize::MAX);
        for (test, access, place, at) in [
            ("a", cofferdam::Access::Write, "a.rs:1", 1),
            ("a", cofferdam::Access::Write, "a.rs:2", 2),
            ("a", cofferdam::Access::Read, "a.rs:3", 3),
            ("b", cofferdam::Access::Write, "", 4),
            ("b", cofferdam::Access::List, "a.rs:4", 5),
        ] {
            evidence.observe(&Observed {
                run: "r",
                binary: "shop",
                pid: 7,
                started: 0,
                in_turn: true,
                test,
                attempt: 1,
                resource: cofferdam::Resource::file("/f"),
                access,
                guards: &[],
                place,
                window: (at, 9),
            });
        }
        let observed = ObservedTests::new(Vec::new(), [(7, PathBuf::from("/w/shop"))].into());
        let mut lines = |_: &Test, used: &Use| SourceLines {
            place: used.place.clone(),
            test_place: None,
        };
        let mut conflicts = evidence.conflicts();
        conflicts
            .iter_mut()
            .for_each(|conflict| complete(conflict, &observed, &mut lines));
        let [conflict] = &conflicts[..] else {
            panic!("{conflicts:?}")
        };
        let tests: Vec<_> = conflict
            .tests
            .iter()
            .map(|test| (test.name(), test.uses.len(), test.package.as_str(), test.pid))
            .collect();
        assert_eq!(tests, [("a", 2, "/w/shop", 7), ("b", 2, "/w/shop", 7)]);
        assert_eq!(conflict.tests[1].uses[1].access, Some(cofferdam::Access::List));
        let first = |test: &Test| test.uses.iter().map(|used| used.from).min();
        assert_eq!(
            (first(&conflict.tests[0]), first(&conflict.tests[1])),
            (Some(1), Some(4))
        );
    }
}
