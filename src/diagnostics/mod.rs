//! Data for tools: the caches of this process, the runs that were recorded, and the locks that are held.
//!
//! - [`collect`] takes a [`Snapshot`] of all caches of this process, to look at or to write to a file.
//! - [`runs`] lists the runs that were recorded below a base directory, [`clean`] removes those that are over, and [`locks`]
//!   lists the locks with their owners.
//!
//! The crate `cofferdam-conflicts` reads recordings back, by the definitions in [`format`](crate::format), and finds the
//! conflicts in them.
//!
//! Suites rarely call these functions. They are `#[inline]`, and so are those that only they call: a crate compiles those
//! that it uses.

mod clean;
mod locks;
mod recorded;
mod snapshot;

#[cfg(feature = "fixtures")]
pub use crate::fixture::end_run;
pub use crate::run::{base_dir, begin_run};
#[doc(hidden)]
pub use crate::run::{is_target, private_dir};
pub use clean::{CleanOptions, Cleaned, Fate, clean};
pub use locks::{Lock, LockHolder, LockState, locks};
pub use recorded::{RecordedRun, runs};
pub use snapshot::{Cache, Claim, Entry, EntryState, MARK, Process, Snapshot, VERSION, collect};
