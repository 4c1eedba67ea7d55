//! The statics that tests of one process share. Sharing one is no conflict by itself: many are caches, pools or locks.

use super::Entry;
use serde::Serialize;

/// The observed uses of a suite's statics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statics {
    /// The number of programs whose statics were observed.
    pub(crate) programs: u64,
    /// The programs whose statics were not observed, or not to the end.
    pub(crate) unwatched: Vec<Entry>,
    /// The statics that several tests use and one of them changes, without those that are conflicts.
    pub(crate) shared: Vec<SharedStatic>,
    /// The numbers of pairs of tests at a static that were run again, and of all such pairs; `None` if none was to be.
    pub(crate) pairs: Option<(u64, u64)>,
    /// Whether no program runs several tests, as under nextest.
    pub(crate) are_apart: bool,
    /// The statics that tests shared in an earlier observation, if they are apart now.
    pub(crate) kept_apart: Vec<String>,
}

/// A static that several tests of a process use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SharedStatic {
    /// Its path: `shop::CACHE`.
    pub(crate) name: String,
    /// The line of its declaration: `src/lib.rs:7`.
    pub(crate) declared: Option<String>,
    pub(crate) binary: String,
    pub(crate) writers: Vec<StaticUse>,
    pub(crate) readers: Vec<StaticUse>,
}

/// A test that uses a static, and the line where it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct StaticUse {
    pub(crate) test: String,
    pub(crate) place: Option<String>,
}
