//! The result of a test in one process.

/// The result of a test in one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestResult {
    /// The name of the test's program.
    pub(crate) binary: String,
    pub(crate) name: String,
    pub(crate) outcome: ReportedOutcome,
    /// The text that libtest printed of the failure, or the reason why the outcome is unknown. It can hold anything, so no
    /// report shows it.
    pub(crate) failure: Option<String>,
    pub(crate) pid: u32,
    /// The time of its beginning, in microseconds of real time; 0 if that is not known.
    pub(crate) began: u64,
    /// The time of its end; `None` if it did not end, or that is not known.
    pub(crate) ended: Option<u64>,
}

/// The outcome of a test as far as it was reported.
#[cfg_attr(
    not(has_observer),
    expect(dead_code, reason = "without an observer, no test has a known outcome")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReportedOutcome {
    Passed,
    Failed,
    Ignored,
    /// There is no result: the test's program broke off, or its text is incomplete.
    Unknown,
}

impl TestResult {
    /// Returns its duration in microseconds, if that is known.
    pub(crate) fn duration(&self) -> Option<u64> {
        let ended = self.ended.filter(|_| self.began > 0)?;
        Some(ended.saturating_sub(self.began))
    }
}
