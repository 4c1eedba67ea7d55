//! Looking at everything: the caches of this process, and the conflicts in what was recorded.
//!
//! - [`collect`] takes a [`Snapshot`] of all caches of this process, to look at or to write to a file.
//!
//! # Reading back
//!
//! With the feature `check`, which is what the binary is made with:
//!
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

#[cfg(feature = "check")]
mod clean;
#[cfg(feature = "check")]
mod conflict;
#[cfg(feature = "check")]
mod detect;
#[cfg(feature = "check")]
mod evidence;
#[cfg(feature = "check")]
mod help;
#[cfg(feature = "check")]
mod locks;
#[cfg(feature = "check")]
mod names;
#[cfg(feature = "check")]
mod read;
#[cfg(feature = "check")]
mod recorded;
mod snapshot;

#[cfg(feature = "check")]
pub use clean::{CleanOptions, Cleaned, Fate, clean};
#[cfg(feature = "check")]
pub use conflict::{Conflict, Kind, Party, Severity};
#[cfg(feature = "check")]
pub use evidence::{Account, CacheCount, Evidence, LostProcess, Observed, ServiceCount, Watched, reserve};
#[cfg(feature = "check")]
pub use help::{Harness, HelpContext, SuiteApi};
#[cfg(feature = "check")]
pub use locks::{Lock, LockHolder, LockState, locks};
#[cfg(feature = "check")]
pub use recorded::{RecordedRun, runs};
pub use snapshot::{Cache, Claim, Entry, EntryState, Process, Snapshot, collect};
