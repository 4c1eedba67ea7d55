//! How much an observation saw.

/// What was watched from outside, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) tests: u64,
    /// Theirs.
    pub(crate) programs: u64,
    /// What was done to files, ports and the like, each once for a test.
    pub(crate) accesses: u64,
    /// Those of them whose test is not known.
    pub(crate) of_no_test: u64,
    /// Records that found no place in a log.
    pub(crate) dropped: u64,
    /// Processes whose system calls past libc were not seen, or not to their end.
    pub(crate) without_raw: u64,
    /// Programs with tests that could not be told apart.
    pub(crate) missed: u64,
}
