//! The rows of a timeline: the tests of each worker, in rows in which none overlap.

use crate::findings::TestTime;
use std::collections::{BTreeMap, HashMap};

/// Executions of tests in rows.
pub(super) struct Lanes<'a> {
    pub(super) tests: &'a [TestTime],
    /// In the order in which they are shown.
    pub(super) all: Vec<Lane>,
    /// The positions of tests in the list, by process and name.
    by_name: HashMap<(u32, &'a str), Vec<usize>>,
    /// The lane of each test.
    lane_of: Vec<usize>,
    last: u64,
}

/// A row: tests that did not overlap, by their positions in the list, in the order in which they began.
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) tests: Vec<usize>,
}

impl<'a> Lanes<'a> {
    /// Returns the rows of these tests; `None` if there are none.
    pub(super) fn of(tests: &'a [TestTime]) -> Option<Self> {
        let last = tests.iter().map(|test| test.ended.unwrap_or(test.began)).max()?;
        let mut by_name: HashMap<(u32, &str), Vec<usize>> = HashMap::new();
        for (index, test) in tests.iter().enumerate() {
            by_name.entry((test.pid, &test.name)).or_default().push(index);
        }
        let all = in_lanes(tests, last);
        let mut lane_of = vec![0; tests.len()];
        for (number, lane) in all.iter().enumerate() {
            lane.tests.iter().for_each(|test| lane_of[*test] = number);
        }
        Some(Self {
            tests,
            all,
            by_name,
            lane_of,
            last,
        })
    }

    /// Returns the position of a test's execution that includes a moment, if it is in the list.
    pub(super) fn find(&self, pid: u32, name: &str, at: u64) -> Option<usize> {
        let mut same = self.by_name.get(&(pid, name))?.iter().copied();
        same.find(|test| {
            let test = &self.tests[*test];
            test.began <= at && at <= self.end(test)
        })
    }

    /// Returns the end of a test; the last moment of all if it is not known.
    pub(super) fn end(&self, test: &TestTime) -> u64 {
        end(test, self.last)
    }

    /// Returns the number of the row of a test.
    pub(super) fn number(&self, test: usize) -> usize {
        self.lane_of[test]
    }
}

fn end(test: &TestTime, last: u64) -> u64 {
    test.ended.unwrap_or(last).max(test.began + 1)
}

/// Puts the tests of each worker into rows; tests without a worker share rows.
fn in_lanes(tests: &[TestTime], last: u64) -> Vec<Lane> {
    let mut by_worker: BTreeMap<(usize, &str), Vec<usize>> = BTreeMap::new();
    for (index, test) in tests.iter().enumerate() {
        // `w10` comes after `w9`.
        let key = (test.worker.len(), test.worker.as_str());
        by_worker.entry(key).or_default().push(index);
    }
    let mut lanes: Vec<Lane> = Vec::new();
    for ((_, worker), mut indices) in by_worker {
        indices.sort_by_key(|index| tests[*index].began);
        let mut rows: Vec<(u64, Vec<usize>)> = Vec::new();
        for index in indices {
            let test = &tests[index];
            let free = rows.iter_mut().find(|(end, _)| *end <= test.began);
            match free {
                Some((busy_until, row)) => {
                    *busy_until = end(test, last);
                    row.push(index);
                }
                None => rows.push((end(test, last), vec![index])),
            }
        }
        let before = lanes.len();
        lanes.extend(rows.into_iter().enumerate().map(|(number, (_, tests))| Lane {
            name: if worker.is_empty() {
                (before + number + 1).to_string()
            } else {
                worker.to_owned()
            },
            tests,
        }));
    }
    lanes
}
