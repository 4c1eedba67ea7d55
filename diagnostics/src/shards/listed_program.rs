//! A test program with the tests that its runner would run.

use std::path::PathBuf;

/// A test program of a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListedProgram {
    /// Set if the command leaves out some of its tests, other than ignored ones.
    pub(crate) is_filtered: bool,
    /// Its ID in nextest: `shop` for the library of the package, `shop::api` for a test target.
    pub(crate) id: String,
    /// The name of its file without cargo's hash, as the observer calls it.
    pub(crate) binary: String,
    /// The directory of its package.
    pub(crate) dir: PathBuf,
    /// The arguments of `cargo test` that select the program; empty if nextest listed it.
    pub(crate) selection: Vec<String>,
    /// The arguments that its harness needs besides names.
    pub(crate) harness_arguments: Vec<String>,
    pub(crate) tests: Tests,
}

/// The tests of a program that are to be divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tests {
    /// Each can be chosen by its name.
    Each(Vec<String>),
    /// All run together: the program cannot run only some. Has the names that are known.
    #[cfg_attr(
        not(any(has_observer, test)),
        expect(
            dead_code,
            reason = "the tests of `cargo test` are listed where they can be observed"
        )
    )]
    Together(Vec<String>),
}

impl ListedProgram {
    /// Returns the names that are known.
    pub(super) fn names(&self) -> &[String] {
        match &self.tests {
            Tests::Each(names) | Tests::Together(names) => names,
        }
    }
}
