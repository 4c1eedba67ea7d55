//! When tests ran, and how they ended.

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
#[cfg_attr(
    not(has_observer),
    expect(dead_code, reason = "without an observer, no result is known")
)]
pub(crate) enum TestEnd {
    Passed,
    Failed,
    /// It was running when its program ended.
    Unfinished,
    /// A recording holds no results.
    NotKnown,
}

impl TestEnd {
    /// Returns its words in reports.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Unfinished => "unfinished",
            Self::NotKnown => "result not known",
        }
    }

    /// Returns whether it is known that the test did not pass.
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Unfinished)
    }
}
