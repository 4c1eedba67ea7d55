//! Attribution of records to tests.
//!
//! Under nextest each process is a test. Under `cargo test` each thread is one, known by a name that the observer read from
//! memory; the name counts if the thread gave itself the same name and the program lists it. A process that a test starts
//! belongs to that test.

use super::process_facts::{ChildStart, ProcessFacts, ThreadName, name_of};
use crate::findings::binary_of;
use crate::observe::format::{IN_SLOT, RUN, header};
use crate::observe::log::{Log, Record};
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

/// Time after the end of a test, in microseconds, in which records of its threads still count for it.
const AFTERWARDS: u64 = 20_000;

/// A test that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObservedTest {
    pub(crate) name: String,
    /// The name of its program.
    pub(crate) binary: String,
    /// The process whose environment it shares with other tests, and the time it began.
    pub(crate) pid: u32,
    pub(crate) started: u64,
    /// Whether the programs of the run run one after another.
    pub(crate) in_turn: bool,
    /// The time of its last record.
    pub(crate) end: u64,
}

/// A process started for a single test, because the thread names of its program could not be read.
#[derive(Clone, Debug)]
pub(crate) struct IsolatedRerun {
    pub(crate) test: String,
    /// The process the test originally ran in.
    pub(crate) pid: u32,
    pub(crate) started: u64,
}

/// Information beyond the logs.
#[derive(Debug, Default)]
pub(crate) struct KnownTests {
    /// The tests each program lists; absent for a program that cannot list them.
    pub(crate) lists: HashMap<PathBuf, BTreeSet<String>>,
    /// Reruns of single tests, by process ID.
    pub(crate) isolated: HashMap<u32, IsolatedRerun>,
    /// Processes whose tests were rerun one by one.
    pub(crate) replaced: BTreeSet<u32>,
}

/// The origin of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ProcessOrigin {
    test: Option<usize>,
    /// The log and record of its start, whose source line stands for the process.
    start: Option<(usize, u32)>,
    /// Whether reruns replace it.
    replaced: bool,
}

#[derive(Debug)]
enum LogOwner {
    /// The process belongs to one test, or to none that is known.
    One(ProcessOrigin),
    /// Its threads are tests, by thread number.
    Threads(HashMap<u32, usize>),
}

/// The tests of a run, and the owner of each log.
#[derive(Debug)]
pub(crate) struct Attribution {
    pub(crate) tests: Vec<ObservedTest>,
    log_owners: Vec<LogOwner>,
    /// Logs of programs whose harness is libtest.
    libtest_logs: BTreeSet<usize>,
    /// The numbers of tests that harnesses of their own began, by log.
    begun: HashMap<usize, usize>,
    /// Logs with tests that could not be distinguished, and the names they may have.
    pub(crate) ambiguous: Vec<(usize, BTreeSet<String>)>,
}

impl Attribution {
    pub(crate) fn of(logs: &[Log], known: &KnownTests) -> Self {
        let facts: Vec<ProcessFacts> = logs.iter().map(ProcessFacts::of).collect();
        let mut attribution = Self {
            tests: Vec::new(),
            log_owners: Vec::new(),
            libtest_logs: BTreeSet::new(),
            begun: HashMap::new(),
            ambiguous: Vec::new(),
        };
        for (index, (log, facts)) in logs.iter().zip(&facts).enumerate() {
            let owner = if log.is_test() && !known.replaced.contains(&log.pid()) {
                attribution.root(index, log, facts, known)
            } else {
                LogOwner::One(ProcessOrigin {
                    test: None,
                    start: None,
                    replaced: log.is_test(),
                })
            };
            attribution.log_owners.push(owner);
        }
        attribution.children(logs, &facts);
        attribution
    }

    /// Returns the test of a record. Records after the end of the test are not the test's: threads of a pool that it
    /// happened to start work for other tests by then.
    pub(crate) fn test(&self, log: usize, record: &Record<'_>) -> Option<usize> {
        let test = self.test_of(log, record.test)?;
        let is_over = matches!(self.log_owners[log], LogOwner::Threads(_))
            && record.at > self.tests[test].end.saturating_add(AFTERWARDS);
        (!is_over).then_some(test)
    }

    /// Returns whether libtest itself made the record, at its start or in the thread that waits for tests.
    pub(crate) fn is_harness(&self, log: usize, record: &Record<'_>) -> bool {
        record.test == 0 && self.libtest_logs.contains(&log)
    }

    /// Returns the test with that thread number in a log.
    pub(crate) fn test_of(&self, log: usize, number: u32) -> Option<usize> {
        match &self.log_owners[log] {
            _ if number == RUN => None,
            LogOwner::One(origin) => origin.test,
            LogOwner::Threads(tests) => tests.get(&number).copied(),
        }
    }

    /// Returns the log of the process that started a test's child process, and its call stack there.
    pub(crate) fn start(&self, log: usize) -> Option<(usize, u32)> {
        match &self.log_owners[log] {
            LogOwner::One(origin) => origin.start,
            LogOwner::Threads(_) => None,
        }
    }

    /// Returns the number of different tests that a harness of its own began in a process.
    pub(crate) fn begun_in(&self, log: usize) -> usize {
        self.begun.get(&log).copied().unwrap_or_default()
    }

    /// Returns whether reruns replace this process.
    pub(crate) fn is_replaced(&self, log: usize) -> bool {
        matches!(&self.log_owners[log], LogOwner::One(origin) if origin.replaced)
    }

    fn add(&mut self, test: ObservedTest) -> usize {
        self.tests.push(test);
        self.tests.len() - 1
    }

    fn root(&mut self, index: usize, log: &Log, facts: &ProcessFacts, known: &KnownTests) -> LogOwner {
        let one_test = |test| {
            LogOwner::One(ProcessOrigin {
                test: Some(test),
                start: None,
                replaced: false,
            })
        };
        let test = ObservedTest {
            name: String::new(),
            binary: binary_of(&facts.program),
            pid: log.pid(),
            started: log.header(header::MONOTONIC),
            in_turn: true,
            end: facts.last,
        };
        if let Some(isolated) = known.isolated.get(&log.pid()) {
            return one_test(self.add(ObservedTest {
                name: isolated.test.clone(),
                pid: isolated.pid,
                started: isolated.started,
                ..test
            }));
        }
        if let Some((name, binary)) = &facts.named {
            return one_test(self.add(ObservedTest {
                name: name.clone(),
                binary: binary.clone(),
                in_turn: false,
                ..test
            }));
        }
        let list = known.lists.get(&facts.program);
        let mut threads = HashMap::new();
        let mut is_ambiguous = false;
        let begins_tests = facts.begins_tests(list);
        if begins_tests {
            let names: BTreeSet<&str> = facts.tests(true).map(|(_, test)| &*test.long).collect();
            self.begun.insert(index, names.len());
        } else if list.is_some() {
            self.libtest_logs.insert(index);
        }
        let list = list.filter(|_| !begins_tests);
        for (number, thread) in facts.tests(begins_tests) {
            match name_of(thread, list) {
                ThreadName::Known(name) => {
                    let end = thread.over.unwrap_or(facts.last);
                    let test = ObservedTest {
                        name,
                        end,
                        ..test.clone()
                    };
                    threads.insert(number, self.add(test));
                }
                ThreadName::Ambiguous => is_ambiguous = true,
                ThreadName::NotATest => {}
            }
        }
        for (number, thread) in &facts.threads {
            let within = thread.within.filter(|_| !begins_tests);
            if let Some(test) = within.and_then(|within| threads.get(&within).copied()) {
                threads.insert(*number, test);
            }
        }
        if is_ambiguous {
            let ran = |name: &&String| facts.threads.iter().any(|(_, thread)| thread.may_be(name));
            let names = list.into_iter().flatten().filter(ran).cloned().collect();
            self.ambiguous.push((index, names));
        }
        LogOwner::Threads(threads)
    }

    /// Finds the test of each child process: by the process ID its start returned, otherwise by its parent, if the parent
    /// belongs to one test.
    fn children(&mut self, logs: &[Log], facts: &[ProcessFacts]) {
        let mut start: HashMap<u32, Vec<ChildStart>> = HashMap::new();
        let mut by_pid: HashMap<u32, Vec<usize>> = HashMap::new();
        for (index, (log, facts)) in logs.iter().zip(facts).enumerate() {
            by_pid.entry(log.pid()).or_default().push(index);
            for (pid, child) in &facts.children {
                start
                    .entry(*pid)
                    .or_default()
                    .push(ChildStart { log: index, ..*child });
            }
        }
        // Parents begin before their children.
        let mut order: Vec<usize> = (0..logs.len()).filter(|index| !logs[*index].is_test()).collect();
        order.sort_by_key(|index| logs[*index].began());
        for index in order {
            let began = logs[index].began();
            let slot = IN_SLOT as u32 | logs[index].header(header::SLOT) as u32;
            let starts = [logs[index].pid(), slot];
            let starts = starts.iter().filter_map(|key| start.get(key)).flatten();
            // Both a fork and the exec after it are recorded, and only the fork has a source line. Process IDs are reused,
            // so the record nearest in time counts.
            let near = |child: &&ChildStart| {
                let apart = child.at.abs_diff(began);
                (apart / 1_000_000, child.stack == 0, apart)
            };
            let origin = match starts.min_by_key(near) {
                Some(child) => match &self.log_owners[child.log] {
                    LogOwner::One(parent) => ProcessOrigin {
                        test: parent.test.filter(|_| child.test != RUN),
                        // The source line of a grandchild is where the test started the child.
                        start: parent.start.or(Some((child.log, child.stack))),
                        replaced: parent.replaced,
                    },
                    LogOwner::Threads(tests) => ProcessOrigin {
                        test: tests.get(&child.test).copied(),
                        start: Some((child.log, child.stack)),
                        replaced: false,
                    },
                },
                None => {
                    let parents = by_pid.get(&logs[index].parent()).map_or(&[][..], Vec::as_slice);
                    let parent = parents.iter().rfind(|parent| logs[**parent].began() <= began);
                    match parent.map(|parent| &self.log_owners[*parent]) {
                        Some(LogOwner::One(origin)) => *origin,
                        _ => continue,
                    }
                }
            };
            self.log_owners[index] = LogOwner::One(origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::format::Kind;
    use crate::observe::log::test_log::LogBuilder;

    fn list(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// The test of each access, by the path that was accessed.
    fn log_owners(logs: &[Log], known: &KnownTests) -> Vec<(String, Option<String>)> {
        let attribution = Attribution::of(logs, known);
        let mut found = Vec::new();
        for (index, log) in logs.iter().enumerate() {
            for record in log.records().filter(|record| record.kind.is_access()) {
                let test = attribution.test(index, &record);
                found.push((
                    record.words().into_owned(),
                    test.map(|test| attribution.tests[test].name.clone()),
                ));
            }
        }
        found
    }

    fn described(path: &str, test: Option<&str>) -> (String, Option<String>) {
        (path.to_owned(), test.map(str::to_owned))
    }

    #[test]
    fn threads_are_tests_and_what_they_start_is_theirs() {
        let mut root = LogBuilder::new(10, 1, true);
        root.record(1, 0, Kind::Program, 0, "/t/shop-0123456789abcdef", b"")
            .record(2, 0, Kind::Test, 1, "a", b"")
            .record(2, 0, Kind::Test, 2, "b", b"")
            .record(3, 1, Kind::Open, 0, "/by-a", b"")
            .record(4, 2, Kind::Child, 11, "", b"")
            .record(5, 0, Kind::Open, 0, "/by-main", b"");
        let mut child = LogBuilder::new(11, 10, false);
        child
            .record(5, 0, Kind::Open, 0, "/by-child", b"")
            .record(6, 0, Kind::Child, 12, "", b"");
        let mut grandchild = LogBuilder::new(12, 11, false);
        grandchild.record(7, 0, Kind::Open, 0, "/by-grandchild", b"");
        let mut stranger = LogBuilder::new(99, 10, false);
        stranger.record(7, 0, Kind::Open, 0, "/by-stranger", b"");
        let logs = [root.log(), child.log(), grandchild.log(), stranger.log()];
        assert_eq!(
            log_owners(&logs, &KnownTests::default()),
            [
                described("/by-a", Some("a")),
                described("/by-main", None),
                described("/by-child", Some("b")),
                described("/by-grandchild", Some("b")),
                described("/by-stranger", None),
            ]
        );
    }

    #[test]
    fn what_libtest_does_itself_is_told_from_what_may_be_a_test_s() {
        let mut root = LogBuilder::new(10, 1, true);
        root.record(1, 0, Kind::Program, 0, "/t/shop", b"")
            .record(2, 0, Kind::Test, 1, "a", b"")
            .record(3, 0, Kind::Open, 0, "/by-libtest", b"")
            .record(4, 1, Kind::Open, 0, "/by-a", b"");
        let logs = [root.log()];
        let mut known = KnownTests::default();
        // Without a list it may be a harness that runs tests on the main thread.
        for (has_list, wanted) in [(false, [false, false]), (true, [true, false])] {
            if has_list {
                known.lists.insert("/t/shop".into(), list(&["a"]));
            }
            let attribution = Attribution::of(&logs, &known);
            let records = logs[0].records().filter(|record| record.kind.is_access());
            let found: Vec<bool> = records.map(|record| attribution.is_harness(0, &record)).collect();
            assert_eq!(found, wanted);
        }
    }

    #[test]
    fn tests_that_a_harness_begins_are_tests_and_its_threads_are_none() {
        let within = |number: u64| number.to_ne_bytes();
        let mut root = LogBuilder::new(10, 1, true);
        root.record(1, 0, Kind::Program, 0, "/t/shop", b"")
            .record(2, 0, Kind::Test, 1, "pool", b"")
            .record(3, 1, Kind::Test, 2, "a", &within(1))
            .record(4, 2, Kind::Open, 0, "/by-a", b"")
            .record(5, 2, Kind::TestOver, 0, "", b"")
            .record(6, 1, Kind::Open, 0, "/by-pool", b"")
            .record(7, 0, Kind::Test, 3, "b", &within(0))
            .record(8, 3, Kind::Open, 0, "/by-b", b"");
        let logs = [root.log()];
        let mut known = KnownTests::default();
        let wanted = [("/by-a", Some("a")), ("/by-pool", None), ("/by-b", Some("b"))];
        let wanted = wanted.map(|(path, test)| described(path, test));
        assert_eq!(log_owners(&logs, &known), wanted);
        assert_eq!(Attribution::of(&logs, &known).begun_in(0), 2);
        // libtest-mimic has libtest's help and lists its tests, maybe under other names.
        known.lists.insert("/t/shop".into(), list(&["shop::a", "b"]));
        assert_eq!(log_owners(&logs, &known), wanted);
    }

    #[test]
    fn what_a_test_begins_in_a_program_of_libtest_is_a_part_of_it() {
        let mut root = LogBuilder::new(10, 1, true);
        root.record(1, 0, Kind::Program, 0, "/t/shop", b"")
            .record(2, 0, Kind::GetVariable, 0, "RUST_TEST_THREADS", b"")
            .record(2, 0, Kind::Test, 1, "a", b"")
            .record(3, 1, Kind::Test, 2, "part", &1_u64.to_ne_bytes())
            .record(4, 2, Kind::Open, 0, "/by-part", b"")
            .record(5, 2, Kind::Test, 3, "smaller_part", &2_u64.to_ne_bytes())
            .record(6, 3, Kind::Open, 0, "/by-smaller-part", b"");
        let mut known = KnownTests::default();
        known.lists.insert("/t/shop".into(), list(&["a"]));
        let attribution = Attribution::of(&[root.log()], &known);
        assert_eq!((attribution.tests.len(), attribution.begun_in(0)), (1, 0));
        assert_eq!(
            log_owners(&[root.log()], &known)[1..],
            [
                described("/by-part", Some("a")),
                described("/by-smaller-part", Some("a"))
            ]
        );
    }

    #[test]
    fn what_a_test_s_threads_do_when_it_is_over_is_nobody_s() {
        let mut root = LogBuilder::new(10, 1, true);
        root.record(1, 0, Kind::Test, 1, "a", b"")
            .record(2, 1, Kind::Open, 0, "/own", b"")
            .record(3, 1, Kind::TestOver, 0, "", b"")
            .record(4, 1, Kind::Open, 0, "/tidied-up", b"")
            .record(4 + AFTERWARDS, 1, Kind::Open, 0, "/for-another", b"");
        assert_eq!(
            log_owners(&[root.log()], &KnownTests::default()),
            [
                described("/own", Some("a")),
                described("/tidied-up", Some("a")),
                described("/for-another", None),
            ]
        );
    }

    #[test]
    fn under_nextest_a_process_is_a_test_with_all_that_it_starts() {
        let mut root = LogBuilder::new(10, 1, true);
        root.record(1, 0, Kind::Named, 0, "orders::a", b"shop::orders")
            .record(2, 0, Kind::Open, 0, "/a", b"");
        let mut child = LogBuilder::new(11, 10, false);
        child.record(5, 0, Kind::Open, 0, "/b", b"");
        let logs = [root.log(), child.log()];
        assert_eq!(
            log_owners(&logs, &KnownTests::default()),
            [
                described("/a", Some("orders::a")),
                described("/b", Some("orders::a"))
            ]
        );
        let attribution = Attribution::of(&logs, &KnownTests::default());
        assert_eq!(
            (attribution.tests[0].binary.as_str(), attribution.tests[0].in_turn),
            ("shop::orders", false)
        );
    }

    #[test]
    fn a_program_whose_tests_cannot_be_told_apart_is_told_of() {
        let mut root = LogBuilder::new(10, 1, true);
        root.record(1, 0, Kind::Program, 0, "/t/shop", b"")
            .record(2, 0, Kind::Test, 1, "", b"")
            .record(3, 1, Kind::ShortName, 0, "orders::a_long_", b"");
        let mut known = KnownTests::default();
        known.lists.insert(
            "/t/shop".into(),
            list(&["orders::a_long_name", "orders::a_long_other", "orders::b"]),
        );
        let both = list(&["orders::a_long_name", "orders::a_long_other"]);
        assert_eq!(Attribution::of(&[root.log()], &known).ambiguous, [(0, both)]);
        known.replaced.insert(10);
        let attribution = Attribution::of(&[root.log()], &known);
        assert!(attribution.ambiguous.is_empty() && attribution.is_replaced(0));
    }

    #[test]
    fn a_process_for_one_test_stands_for_the_program_s_own() {
        let mut root = LogBuilder::new(20, 1, true);
        root.record(1, 0, Kind::Open, 0, "/a", b"");
        let mut known = KnownTests::default();
        let isolated = IsolatedRerun {
            test: "a".to_owned(),
            pid: 10,
            started: 5,
        };
        known.isolated.insert(20, isolated);
        let attribution = Attribution::of(&[root.log()], &known);
        assert_eq!((attribution.tests[0].pid, attribution.tests[0].started), (10, 5));
    }
}
