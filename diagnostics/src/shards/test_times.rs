//! The times that tests took, from several sources.

use super::ListedProgram;
use std::collections::HashMap;

/// Recorded times of tests. Of several for one test, the first added counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestTimes {
    by_name: HashMap<String, Vec<TimedTest>>,
}

#[derive(Clone, Debug)]
struct TimedTest {
    binary: String,
    /// The directory of the package; empty if the source does not have it.
    package: String,
    micros: u64,
}

impl TestTimes {
    /// Adds the time of a test. `binary` is nextest's ID of its program, or the name of the program's file.
    pub(crate) fn add(&mut self, binary: &str, package: &str, test: &str, micros: u64) {
        let timed = TimedTest {
            binary: binary.to_owned(),
            package: package.to_owned(),
            micros,
        };
        self.by_name.entry(test.to_owned()).or_default().push(timed);
    }

    /// Returns the time of a test of this program. If no other program has a test of that name (`is_only`), the source need
    /// not name the program as we do.
    pub(super) fn of(&self, program: &ListedProgram, test: &str, is_only: bool) -> Option<u64> {
        let timed = self.by_name.get(test)?;
        let is_of_program = |timed: &&TimedTest| {
            timed.binary == program.id
                || timed.binary == program.binary
                    && (timed.package.is_empty() || program.dir.as_os_str() == timed.package.as_str())
        };
        let found = timed.iter().find(is_of_program);
        let found = found.or_else(|| timed.first().filter(|_| is_only));
        found.map(|timed| timed.micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shards::Tests;

    #[test]
    fn a_time_belongs_to_the_program_that_its_source_names_and_the_first_source_counts() {
        let program = |id: &str, dir: &str| ListedProgram {
            is_filtered: false,
            id: id.to_owned(),
            binary: "api".to_owned(),
            dir: dir.into(),
            selection: Vec::new(),
            harness_arguments: Vec::new(),
            tests: Tests::Each(Vec::new()),
        };
        let mut times = TestTimes::default();
        times.add("shop::api", "", "a", 1);
        times.add("api", "/w/desk", "a", 2);
        times.add("api", "/w/shop", "a", 3);
        times.add("suite", "", "b", 4);
        let (shop, desk) = (program("shop::api", "/w/shop"), program("desk::api", "/w/desk"));
        assert_eq!(times.of(&shop, "a", false), Some(1));
        assert_eq!(times.of(&desk, "a", false), Some(2));
        assert_eq!(times.of(&program("x::api", "/w/x"), "a", false), None);
        assert_eq!(
            (times.of(&shop, "b", true), times.of(&shop, "b", false)),
            (Some(4), None)
        );
    }
}
