//! The tests of an observation's conflicts, numbered.

use crate::findings::Observation;
use cofferdam_conflicts::Test;
use std::collections::HashMap;

/// All tests with a conflict, without duplicates. Their indexes identify them in plans.
pub(super) struct InvolvedTests<'a> {
    pub(super) all: Vec<&'a Test>,
    numbers: HashMap<(&'a str, &'a str, &'a str), usize>,
}

impl<'a> InvolvedTests<'a> {
    pub(super) fn of(observation: &'a Observation) -> Self {
        let mut tests = Self {
            all: Vec::new(),
            numbers: HashMap::new(),
        };
        for test in observation.conflicts.iter().flat_map(|conflict| &conflict.tests) {
            let next = tests.all.len();
            let number = *tests.numbers.entry(id_of(test)).or_insert(next);
            if number == next {
                tests.all.push(test);
            }
        }
        tests
    }

    pub(super) fn number(&self, test: &Test) -> Option<usize> {
        self.numbers.get(&id_of(test)).copied()
    }
}

/// Returns the package, program and name of a test.
fn id_of(test: &Test) -> (&str, &str, &str) {
    (&test.package, &test.binary, test.name())
}
