//! Unneeded attributes: those that guard no observed conflict, and those that have no effect under nextest.

use super::attributes::Family;
use super::program::{Function, Program};
use cofferdam_conflicts::Runner;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// An attribute of a test.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Idle {
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// A test function that ran, and the resources it accessed, by number, each with whether it wrote to it.
#[derive(Clone, Debug)]
pub(crate) struct Ran<'a> {
    /// The number of the test. Several tests may be cases of one function, and one test may match several functions.
    pub(crate) test: usize,
    pub(crate) function: &'a Function,
    pub(crate) uses: BTreeMap<usize, bool>,
}

/// The tests that access a resource under a key, and whether one of them writes to it.
#[derive(Default)]
struct Met {
    users: BTreeSet<usize>,
    is_written: bool,
}

/// Returns the attributes that keep no conflicting tests apart.
pub(crate) fn guarding_nothing(ran: &[Ran<'_>]) -> Vec<Idle> {
    let mut met: BTreeMap<(Family, String, usize), Met> = BTreeMap::new();
    for one in ran {
        for annotation in &one.function.annotations {
            for key in annotation.held() {
                for (resource, writes) in &one.uses {
                    let met = met
                        .entry((annotation.family, key.clone(), *resource))
                        .or_default();
                    met.users.insert(one.test);
                    met.is_written |= writes;
                }
            }
        }
    }
    let busy: BTreeSet<(Family, String, usize)> = met
        .into_iter()
        .filter(|(_, met)| met.is_written && met.users.len() > 1)
        .flat_map(|((family, key, _), met)| {
            met.users.into_iter().map(move |user| (family, key.clone(), user))
        })
        .collect();
    // An attribute of a module counts for all its tests.
    let mut idle: BTreeMap<Idle, bool> = BTreeMap::new();
    for one in ran {
        for annotation in &one.function.annotations {
            let is_busy = annotation
                .held()
                .into_iter()
                .any(|key| busy.contains(&(annotation.family, key, one.test)));
            let there = idle.entry(idle_of(one.function, annotation)).or_default();
            *there |= is_busy;
        }
    }
    idle.into_iter()
        .filter(|(_, is_busy)| !is_busy)
        .map(|(idle, _)| idle)
        .collect()
}

/// Returns the attributes that only keep threads apart: under nextest each test has its own process.
pub(crate) fn doing_nothing_under_nextest<'a>(programs: impl Iterator<Item = &'a Program>) -> BTreeSet<Idle> {
    let functions = programs.flat_map(|program| &program.functions);
    let all = functions.flat_map(|function| function.annotations.iter().map(move |one| (function, one)));
    all.filter(|(_, annotation)| !annotation.family.holds_under(Runner::Nextest))
        .map(|(function, annotation)| idle_of(function, annotation))
        .collect()
}

fn idle_of(function: &Function, annotation: &super::Annotation) -> Idle {
    Idle {
        file: function.file.clone(),
        line: annotation.line,
        text: annotation.text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan::scan;
    use super::*;
    use std::path::Path;

    const TEXT: &str = "use serial_test::{file_serial, serial};
#[serial(a)] fn writes() {}
#[serial(a)] fn reads() {}
#[serial(a)] fn looks_elsewhere() {}
#[serial(b)] fn alone() {}
#[cofferdam::serial(a)] fn other_crate() {}
#[file_serial] fn does_nothing() {}
#[serial(c)] fn cases() {}
#[cfg(unix)] #[serial(d)] fn one_of_two() {}
#[cfg(windows)] #[serial(d)] fn one_of_two() {}
#[serial(m)] mod t { #[test] fn busy() {} #[test] fn busy_too() {} #[test] fn idle() {} }
";

    #[test]
    fn an_attribute_is_idle_if_nobody_who_has_its_key_meets_anybody() {
        let program = scan(Path::new("lib.rs"), None, &|_| Ok(TEXT.to_owned()));
        let uses = |name: &str| match name {
            "cases" | "one_of_two" => vec![(3, true)],
            "writes" => vec![(0, true)],
            "reads" => vec![(0, false), (1, false)],
            "looks_elsewhere" => vec![(1, false)],
            "alone" | "other_crate" => vec![(0, true)],
            "t::busy" | "t::busy_too" => vec![(2, true)],
            _ => Vec::new(),
        };
        // By name, and one more for the second case.
        let names: BTreeSet<&str> = program.functions.iter().map(|one| one.name.as_str()).collect();
        let tests = names.into_iter().chain(["cases::second"]).enumerate();
        let ran = tests.flat_map(|(test, name)| {
            let functions = program.find(name).into_iter();
            functions.map(move |function| Ran {
                test,
                function,
                uses: uses(&function.name).into_iter().collect(),
            })
        });
        let idle = guarding_nothing(&ran.collect::<Vec<_>>());
        let lines: Vec<usize> = idle.iter().map(|idle| idle.line).collect();
        assert_eq!(lines, [4, 5, 6, 7, 9, 10]);

        let nothing = doing_nothing_under_nextest([&program].into_iter());
        let lines: Vec<usize> = nothing.iter().map(|idle| idle.line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 8, 9, 10, 11]);
        assert_eq!(nothing.first().unwrap().text, "#[serial(a)]");
    }
}
