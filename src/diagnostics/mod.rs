//! Looking at everything: the caches of this process, and the conflicts in what was recorded.
//!
//! - [`collect`] takes a [`Snapshot`] of all caches of this process, to look at or to write to a file.
//! - [`Evidence`] reads journals and snapshots back, also of other processes, runs and machines, and names the
//!   [`Conflict`]s in them. `cargo cofferdam check` is made of it.
//! - [`runs`] tells which runs were recorded below a base folder, [`clean`] removes those that are over, and [`locks`]
//!   tells which locks are held, and by whom.
//!
//! ```
//! use cofferdam::diagnostics::{Evidence, collect};
//! let mut evidence = Evidence::new();
//! evidence.add(&collect());
//! assert_eq!(evidence.conflicts(), []);
//! ```

mod clean;
mod conflict;
mod detect;
mod evidence;
mod json;
mod locks;
mod names;
mod read;
mod recorded;
mod snapshot;

pub use clean::{CleanOptions, Cleaned, Fate, clean};
pub use conflict::{Conflict, Kind, Party, Severity};
pub use evidence::{Evidence, Watched};
pub use locks::{Lock, LockHolder, LockState, locks};
pub use recorded::{RecordedRun, runs};
pub use snapshot::{Cache, Claim, Entry, EntryState, Process, Snapshot, collect};
