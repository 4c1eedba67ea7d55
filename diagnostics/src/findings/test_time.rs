//! When tests ran, and how they ended.

use super::{ReportedOutcome, TestResult};

/// One execution of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestTime {
    /// The worker; empty where tests were observed from outside.
    pub(crate) worker: String,
    pub(crate) binary: String,
    pub(crate) name: String,
    pub(crate) pid: u32,
    /// 1, or more for a retry.
    pub(crate) attempt: u64,
    /// The time of its beginning, in microseconds since 1970.
    pub(crate) began: u64,
    /// The time of its end; `None` if that is not known.
    pub(crate) ended: Option<u64>,
    pub(crate) result: TestEnd,
}

/// The way in which an execution ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TestEnd {
    Passed,
    Failed,
    /// Neither a result nor its end was seen.
    NoEnd,
    /// A recording holds no results.
    NotKnown,
}

impl TestTime {
    /// Returns the time of a test that was observed, unless it did not run, or its beginning is not known.
    pub(crate) fn of(result: &TestResult) -> Option<Self> {
        let ran = result.outcome != ReportedOutcome::Ignored && result.began > 0;
        ran.then(|| Self {
            worker: String::new(),
            binary: result.binary.clone(),
            name: result.name.clone(),
            pid: result.pid,
            attempt: 1,
            began: result.began,
            ended: result.ended,
            result: match result.outcome {
                ReportedOutcome::Passed => TestEnd::Passed,
                ReportedOutcome::Failed => TestEnd::Failed,
                ReportedOutcome::Unknown if result.ended.is_none() => TestEnd::NoEnd,
                ReportedOutcome::Ignored | ReportedOutcome::Unknown => TestEnd::NotKnown,
            },
        })
    }
}

impl TestEnd {
    /// Returns its words in reports.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NoEnd => "no end seen",
            Self::NotKnown => "result not known",
        }
    }

    /// Returns whether it is known that the test did not pass.
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::NoEnd)
    }
}
