//! Unneeded attributes: those that guard no observed conflict, and those that have no effect under nextest.

use super::attributes::Family;
use super::program::{Function, Program};
use cofferdam_conflicts::Runner;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// An attribute of a test that has no use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UnusedAttribute {
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// An executed test function and the resources that it accessed, by number, each with whether it wrote.
#[derive(Clone, Debug)]
pub(crate) struct ExecutedFunction<'a> {
    /// The number of the test. Several tests may be cases of one function, and one test may match several functions.
    pub(crate) test: usize,
    pub(crate) function: &'a Function,
    pub(crate) uses: BTreeMap<usize, bool>,
}

/// The tests that access a resource while they hold a key, and whether one of them writes.
#[derive(Default)]
struct KeyUse {
    users: BTreeSet<usize>,
    is_written: bool,
}

/// Returns the attributes that separate no conflicting tests.
pub(crate) fn unneeded(executed: &[ExecutedFunction<'_>]) -> Vec<UnusedAttribute> {
    let mut uses: BTreeMap<(Family, String, usize), KeyUse> = BTreeMap::new();
    for one in executed {
        for annotation in &one.function.annotations {
            for key in annotation.keys_taken() {
                for (resource, writes) in &one.uses {
                    let key_use = uses
                        .entry((annotation.family, key.clone(), *resource))
                        .or_default();
                    key_use.users.insert(one.test);
                    key_use.is_written |= writes;
                }
            }
        }
    }
    let needed: BTreeSet<(Family, String, usize)> = uses
        .into_iter()
        .filter(|(_, key_use)| key_use.is_written && key_use.users.len() > 1)
        .flat_map(|((family, key, _), key_use)| {
            key_use
                .users
                .into_iter()
                .map(move |user| (family, key.clone(), user))
        })
        .collect();
    // A module's attribute is needed if one of its tests needs it.
    let mut attributes: BTreeMap<UnusedAttribute, bool> = BTreeMap::new();
    for one in executed {
        for annotation in &one.function.annotations {
            let is_needed = annotation
                .keys_taken()
                .into_iter()
                .any(|key| needed.contains(&(annotation.family, key, one.test)));
            *attributes
                .entry(attribute_of(one.function, annotation))
                .or_default() |= is_needed;
        }
    }
    attributes
        .into_iter()
        .filter(|(_, is_needed)| !is_needed)
        .map(|(attribute, _)| attribute)
        .collect()
}

/// Returns the attributes that only keep threads apart: under nextest each test has its own process.
pub(crate) fn ineffective_under_nextest<'a>(
    programs: impl Iterator<Item = &'a Program>,
) -> BTreeSet<UnusedAttribute> {
    let functions = programs.flat_map(|program| &program.functions);
    let all = functions.flat_map(|function| function.annotations.iter().map(move |one| (function, one)));
    all.filter(|(_, annotation)| !annotation.family.holds_under(Runner::Nextest))
        .map(|(function, annotation)| attribute_of(function, annotation))
        .collect()
}

fn attribute_of(function: &Function, annotation: &super::Annotation) -> UnusedAttribute {
    UnusedAttribute {
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
    fn an_attribute_is_unneeded_if_its_key_separates_no_conflicting_tests() {
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
        // One test per name, and another case of `cases`.
        let names: BTreeSet<&str> = program.functions.iter().map(|one| one.name.as_str()).collect();
        let tests = names.into_iter().chain(["cases::second"]).enumerate();
        let executed = tests.flat_map(|(test, name)| {
            let functions = program.find(name).into_iter();
            functions.map(move |function| ExecutedFunction {
                test,
                function,
                uses: uses(&function.name).into_iter().collect(),
            })
        });
        let unneeded = unneeded(&executed.collect::<Vec<_>>());
        let lines: Vec<usize> = unneeded.iter().map(|one| one.line).collect();
        assert_eq!(lines, [4, 5, 6, 7, 9, 10]);

        let ineffective = ineffective_under_nextest([&program].into_iter());
        let lines: Vec<usize> = ineffective.iter().map(|one| one.line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 8, 9, 10, 11]);
        assert_eq!(ineffective.first().unwrap().text, "#[serial(a)]");
    }
}
