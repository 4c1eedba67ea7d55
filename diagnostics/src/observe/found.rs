//! Conversion of conflicts to findings, which are stored and confirmed.

use crate::findings::{Access, Finding, Grade, Kind, Program, Runner, Test, Use};
use crate::observe::log::attribution;
use cofferdam::Resource;
use cofferdam::diagnostics::{Conflict, Kind as ConflictKind, Party};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

/// The observed tests and the directories of their programs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) tests: Vec<attribution::ObservedTest>,
    /// The directory of each process, by process ID.
    pub(crate) folders: HashMap<u32, PathBuf>,
}

/// A finding with the process of each of its tests.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) finding: Finding,
    pub(crate) pids: Vec<u32>,
    /// The time of the first access of each test, in microseconds.
    pub(crate) moments: Vec<u64>,
}

/// Returns the tests that ran, by program.
pub(crate) fn ran(seen: &Seen) -> Vec<Program> {
    let mut programs: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for test in &seen.tests {
        let program = (package(seen, test.pid), test.binary.clone());
        programs.entry(program).or_default().insert(test.name.clone());
    }
    let one = |((package, binary), tests): ((String, String), BTreeSet<String>)| Program {
        binary,
        package,
        tests: tests.into_iter().collect(),
    };
    programs.into_iter().map(one).collect()
}

fn package(seen: &Seen, pid: u32) -> String {
    let folder = seen.folders.get(&pid);
    folder
        .map(|folder| folder.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The source lines of a party's access.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Detail {
    pub(crate) place: Option<String>,
    pub(crate) test_place: Option<String>,
}

/// Returns one finding per conflict, in order.
pub(crate) fn found(
    conflicts: &[Conflict],
    seen: &Seen,
    detail: &mut dyn FnMut(&Party) -> Detail,
) -> Vec<Found> {
    let in_turn: HashMap<(u32, &str), bool> = seen
        .tests
        .iter()
        .map(|test| ((test.pid, test.name.as_str()), test.in_turn))
        .collect();
    let runner = |party: &Party| {
        let test = party.test.as_deref().unwrap_or_default();
        match in_turn.get(&(party.pid, test)) {
            Some(false) => Runner::Nextest,
            Some(true) | None => Runner::CargoTest,
        }
    };
    conflicts
        .iter()
        .map(|told| one(told, &runner, seen, detail))
        .collect()
}

fn one(
    told: &Conflict,
    runner: &impl Fn(&Party) -> Runner,
    seen: &Seen,
    detail: &mut dyn FnMut(&Party) -> Detail,
) -> Found {
    let resource = told.resource.as_ref();
    let mut found = Found {
        finding: Finding {
            kind: match told.kind {
                ConflictKind::OrderLeak => Kind::OrderLeak,
                _ => Kind::SharedResource,
            },
            resource: resource.cloned().unwrap_or_else(|| Resource::name("")),
            grade: Grade::Potential,
            overlapped: told.overlapped,
            origin: None,
            tests: Vec::new(),
            pairs: Vec::new(),
            pairs_in_all: 0,
            help: told.help.clone(),
        },
        pids: Vec::new(),
        moments: Vec::new(),
    };
    for party in &told.parties {
        let position = position(&mut found, party, runner, seen);
        let test = &mut found.finding.tests[position];
        let detail = detail(party);
        let access = match party.access {
            Some(cofferdam::Access::Write) => Access::Write,
            Some(cofferdam::Access::List) => Access::List,
            _ => Access::Read,
        };
        if !test.uses.iter().any(|known| known.access == access) {
            test.uses.push(Use {
                access,
                place: detail.place,
                test_place: detail.test_place,
            });
        }
        // Of several attempts, reruns start from the last.
        found.pids[position] = party.pid;
        found.moments[position] = found.moments[position].min(party.window.0);
    }
    found
}

fn position(found: &mut Found, party: &Party, runner: &impl Fn(&Party) -> Runner, seen: &Seen) -> usize {
    let name = party.test.as_deref().unwrap_or_default();
    let tests = &mut found.finding.tests;
    if let Some(known) = tests
        .iter()
        .position(|test| test.name == name && test.binary == party.binary)
    {
        return known;
    }
    tests.push(Test {
        name: name.to_owned(),
        binary: party.binary.clone(),
        package: package(seen, party.pid),
        runner: runner(party),
        fails_alone: false,
        grade: Grade::Potential,
        uses: Vec::new(),
    });
    found.pids.push(party.pid);
    found.moments.push(party.window.0);
    tests.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam::diagnostics::{Evidence, Observed};

    #[test]
    fn a_test_is_told_once_with_the_first_place_of_each_sort() {
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
        let seen = Seen {
            tests: Vec::new(),
            folders: [(7, PathBuf::from("/w/shop"))].into(),
        };
        let mut detail = |party: &Party| Detail {
            place: party.place.clone(),
            test_place: None,
        };
        let found = found(&evidence.conflicts(), &seen, &mut detail);
        assert_eq!(found.len(), 1);
        let Found {
            finding,
            pids,
            moments,
            ..
        } = &found[0];
        let told: Vec<_> = finding
            .tests
            .iter()
            .map(|test| (test.name.as_str(), test.uses.len(), test.package.as_str()))
            .collect();
        assert_eq!(told, [("a", 2, "/w/shop"), ("b", 2, "/w/shop")]);
        assert_eq!(finding.tests[1].uses[1].access, Access::List);
        assert_eq!((pids.as_slice(), moments.as_slice()), (&[7, 7][..], &[1, 4][..]));
        assert_eq!(
            (finding.kind, finding.resource.as_str()),
            (Kind::SharedResource, "/f")
        );
    }
}
