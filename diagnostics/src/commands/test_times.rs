//! The times of tests, from recordings and observations.

use crate::findings::{TestEnd, TestTime};
#[cfg(has_observer)]
use crate::observe::{ReportedOutcome, TestResult};
use cofferdam_conflicts::Evidence;

/// The most executions of a recording that are kept: a session of many rounds has millions.
const KEPT: usize = 10_000;

/// Returns the executions of a recording, which holds their times and no results.
pub(super) fn of_recording(evidence: &Evidence) -> Vec<TestTime> {
    let executions = evidence.executions().take(KEPT);
    executions
        .map(|one| TestTime {
            worker: one.worker.to_owned(),
            binary: one.binary.to_owned(),
            name: one.test.to_owned(),
            pid: one.pid,
            attempt: one.attempt,
            began: one.begin,
            ended: Some(one.end),
            result: TestEnd::NotKnown,
        })
        .collect()
}

/// Returns the executions of an observed command whose beginning is known.
#[cfg(has_observer)]
pub(super) fn of_results(results: &[TestResult]) -> Vec<TestTime> {
    let ran = |result: &&TestResult| result.outcome != ReportedOutcome::Ignored && result.began > 0;
    let results = results.iter().filter(ran);
    results
        .map(|one| TestTime {
            worker: String::new(),
            binary: one.binary.clone(),
            name: one.name.clone(),
            pid: one.pid,
            attempt: 1,
            began: one.began,
            ended: one.ended,
            result: match one.outcome {
                ReportedOutcome::Passed => TestEnd::Passed,
                ReportedOutcome::Failed => TestEnd::Failed,
                _ if one.is_unfinished() => TestEnd::Unfinished,
                ReportedOutcome::Ignored | ReportedOutcome::Unknown => TestEnd::NotKnown,
            },
        })
        .collect()
}
