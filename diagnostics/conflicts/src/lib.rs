//! Reads what cofferdam recorded, and finds the conflicts between tests in it.
//!
//! [`Evidence`] takes in journals and snapshots, also of other processes, runs and machines, and names the
//! [`Conflict`]s in them. `cargo cofferdam check` uses it; the library writes the files, by the definitions in
//! [`cofferdam::format`].
//!
//! ```
//! use cofferdam::diagnostics::collect;
//! use cofferdam_conflicts::Evidence;
//! let mut evidence = Evidence::new();
//! evidence.add(&collect());
//! assert_eq!(evidence.conflicts(), []);
//! ```

mod conflict;
mod counts;
mod detect;
mod evidence;
mod help;
mod interned_names;
mod journal_lines;
mod known_static;
mod places;
mod read_error;
mod record;
mod snapshot;
mod tables;

pub use conflict::{Conflict, Grade, Kind, NO_COMMON_LOCK, Pair, Runner, Severity, StaticFacts, Test, Use};
pub use counts::{CacheCount, ServiceCount};
pub use evidence::{Account, Evidence, Execution, LostProcess, Observed, Watched, reserve};
pub use help::{Harness, HelpContext, StaticPlace, SuiteApi};
pub use known_static::KnownStatic;
pub use read_error::ReadError;
pub use snapshot::read_snapshot;
