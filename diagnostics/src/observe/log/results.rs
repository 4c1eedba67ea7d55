//! The result of each test of an observed process, from what its harness printed and from the status of the process.

pub(in crate::observe) use super::libtest_output::RUNNING_AT_END;
use super::libtest_output::{Reported, is_slow_note, outcomes};
use super::process_facts::{ProcessFacts, ThreadName, name_of};
use crate::findings::{ReportedOutcome, TestResult, binary_of};
use crate::observe::format::{Kind, TRUNCATED};
use crate::observe::log::Log;
use std::collections::BTreeMap;

/// The failure of a test whose own process left no exit status.
const ENDED_BY_SIGNAL: &str = "its process was ended by a signal";

impl TestResult {
    /// Returns whether the test has no result because its program ended while it ran.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.outcome == ReportedOutcome::Unknown && self.failure.as_deref() == Some(RUNNING_AT_END)
    }

    /// Returns whether it was running when its program was ended from outside, or when it ended the program by a signal.
    pub(crate) fn is_without_end(&self) -> bool {
        self.is_unfinished() || self.failure.as_deref() == Some(ENDED_BY_SIGNAL)
    }
}

/// Returns the results of the processes that a runner started. A process that became another program counts once.
pub(crate) fn of_all<'a>(logs: impl Iterator<Item = &'a Log>) -> Vec<TestResult> {
    let logs: Vec<&Log> = logs.filter(|log| log.is_test()).collect();
    let mut results = Vec::new();
    for (index, log) in logs.iter().enumerate() {
        let is_replaced = |later: &&Log| later.pid() == log.pid() && later.parent() == log.parent();
        if log.exit_status().is_some() || !logs[index + 1..].iter().any(is_replaced) {
            results.extend(of(log));
        }
    }
    results
}

/// Returns the results of one process.
fn of(log: &Log) -> Vec<TestResult> {
    let facts = ProcessFacts::of(log);
    if let Some((name, binary)) = &facts.named {
        let (outcome, failure) = match log.exit_status() {
            Some(0) => (ReportedOutcome::Passed, None),
            Some(status) => (
                ReportedOutcome::Failed,
                Some(format!("its process exited with status {status}")),
            ),
            None => (ReportedOutcome::Failed, Some(ENDED_BY_SIGNAL.to_owned())),
        };
        return vec![TestResult {
            binary: binary.clone(),
            name: name.clone(),
            outcome,
            failure,
            pid: log.pid(),
            began: log.records().next().map_or(0, |record| record.at),
            ended: log.exit_status().map(|_| log.exited_at().max(facts.last)),
        }];
    }
    let (mut text, mut is_complete) = (Vec::new(), true);
    // A test on the main thread begins when its name is printed.
    let mut printed = 0;
    for record in log.records().filter(|record| record.kind == Kind::Printed) {
        text.extend(record.text);
        if !is_slow_note(&String::from_utf8_lossy(record.text)) {
            printed = record.at;
        }
        is_complete &= u64::from(record.value) & TRUNCATED == 0;
    }
    let mut times: BTreeMap<String, (u64, Option<u64>)> = BTreeMap::new();
    for (_, thread) in facts.tests(facts.begins_tests(None)) {
        if let ThreadName::Known(name) = name_of(thread, None) {
            times.insert(name, (thread.began, thread.over));
        }
    }
    let is_over = |(name, (_, over)): (&String, &(u64, Option<u64>))| (name.clone(), over.is_some());
    let ran = times.iter().map(is_over).collect();
    let text = String::from_utf8_lossy(&text);
    let reported = outcomes(&text, is_complete, &ran);
    let binary = binary_of(&facts.program);
    let result = |(name, reported): (String, Reported)| {
        let has_result = reported.outcome != ReportedOutcome::Unknown;
        let of_thread = times.get(&name).copied();
        let (began, ended) = of_thread.unwrap_or((printed, has_result.then_some(printed)));
        TestResult {
            binary: binary.clone(),
            name,
            outcome: reported.outcome,
            failure: reported.failure,
            pid: log.pid(),
            began,
            ended,
        }
    };
    reported.into_iter().map(result).collect()
}

#[cfg(test)]
mod tests {
    use super::ReportedOutcome::{Failed, Passed, Unknown};
    use super::*;
    use crate::observe::log::test_log::LogBuilder;

    fn found(logs: &[Log]) -> Vec<(String, String, ReportedOutcome)> {
        of_all(logs.iter())
            .into_iter()
            .map(|result| (result.binary, result.name, result.outcome))
            .collect()
    }

    fn one(binary: &str, name: &str, outcome: ReportedOutcome) -> (String, String, ReportedOutcome) {
        (binary.to_owned(), name.to_owned(), outcome)
    }

    #[test]
    fn the_pieces_that_libtest_printed_are_one_text() {
        let mut log = LogBuilder::new(10, 1, true);
        log.record(1, 0, Kind::Program, 0, "/t/shop-0123456789abcdef", b"")
            .record(2, 0, Kind::Test, 1, "a", b"")
            .record(2, 0, Kind::Test, 2, "b", b"");
        for piece in ["test ", "a", " ... ", "ok", "\n", "test b ... FAIL", "ED\n"] {
            log.record(3, 0, Kind::Printed, 0, piece, b"");
        }
        assert_eq!(
            found(&[log.log()]),
            [one("shop", "a", Passed), one("shop", "b", Failed)]
        );
    }

    #[test]
    fn a_truncated_text_makes_no_test_pass_by_its_counts() {
        let text = "..\ntest result: ok. 1 passed; 0 failed; 0 ignored\n";
        for (value, wanted) in [(0, Passed), (TRUNCATED, Unknown)] {
            let mut log = LogBuilder::new(10, 1, true);
            log.record(2, 0, Kind::Test, 1, "a", b"")
                .record(3, 0, Kind::Printed, 0, text, b"")
                .record(3, 0, Kind::Printed, value, "", b"");
            assert_eq!(found(&[log.log()]), [one("", "a", wanted)]);
        }
    }

    #[test]
    fn a_process_of_one_test_passes_with_status_0_only() {
        let log = |pid, status| {
            let mut log = LogBuilder::new(pid, 1, true);
            log.record(1, 0, Kind::Named, 0, "orders::a", b"shop::orders");
            log.exits(status).log()
        };
        let logs = [log(1, Some(0)), log(2, Some(101)), log(3, None)];
        let wanted = |outcome| one("shop::orders", "orders::a", outcome);
        assert_eq!(found(&logs), [wanted(Passed), wanted(Failed), wanted(Failed)]);
    }

    #[test]
    fn a_process_of_one_test_lasts_until_it_exits() {
        let mut log = LogBuilder::new(1, 1, true);
        log.record(3, 0, Kind::Named, 0, "a", b"shop")
            .exits(Some(0))
            .exits_at(90);
        let [result] = &of_all([log.log()].iter())[..] else {
            panic!()
        };
        assert_eq!((result.began, result.ended), (3, Some(90)));
    }

    #[test]
    fn a_process_that_became_another_program_has_the_result_of_that() {
        let mut log = LogBuilder::new(7, 1, true);
        log.record(1, 0, Kind::Named, 0, "a", b"shop");
        let before = log.log();
        assert_eq!(
            found(&[before, log.exits(Some(0)).log()]),
            [one("shop", "a", Passed)]
        );
    }
}
