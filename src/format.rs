//! The formats of recordings, for tools that read them.
//!
//! A recorded run leaves one journal for each worker: lines of JSON, each a [`Record`]. A [`Snapshot`] is the state of a
//! process's caches at one moment. A session's [`account`] says which of its processes recorded. The pages
//! `docs/reference/journal.md` and `docs/reference/snapshot.md` describe the fields.
//!
//! Tests do not need this module. The crate `cofferdam-conflicts` reads all three with these definitions and finds the
//! conflicts in them.

pub use crate::diagnostics::{Cache, Claim, Entry, EntryState, Process, Snapshot};
pub use crate::diagnostics::{MARK as SNAPSHOT_MARK, VERSION as SNAPSHOT_VERSION};
pub use crate::error::chain as error_chain;
pub use crate::event::{Event, Record, VERSION as JOURNAL_VERSION, Why};
pub use crate::locator::lane::all::is_of_all as is_of_all_workers;
pub use crate::resource::{Access, Resource, ResourceKind, Scope};
pub use crate::run::teardown::FailedTeardown;
pub use crate::sys::marker::layout as account;

use std::path::{Path, PathBuf};

/// Returns the account of a session below cofferdam's directory `base`.
pub fn account_path(base: &Path, session: &str) -> PathBuf {
    crate::sys::marker::path(base, &crate::run::file_name(session))
}
