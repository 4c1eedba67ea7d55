//! The interface to the operating system: environment, clock, file locks, processes, the exit hook.
//!
//! All other modules take such facts as values, so that they can be tested without the system. This module knows no other.

#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) mod before_main;
#[cfg(all(any(feature = "fixtures", feature = "macros"), target_os = "linux", not(miri)))]
pub(crate) mod child;
pub(crate) mod clock;
#[cfg(all(feature = "fixtures", target_os = "linux", not(miri)))]
pub(crate) mod detach;
pub(crate) mod env;
pub(crate) mod erased;
pub(crate) mod exit_hook;
#[cfg(all(feature = "fixtures", target_os = "linux", not(miri)))]
pub(crate) mod family;
pub(crate) mod file_lock;
pub(crate) mod file_size;
pub(crate) mod folder;
pub(crate) mod marker;
pub(crate) mod observer;
#[cfg(all(
    any(all(target_os = "linux", feature = "fixtures"), all(unix, feature = "macros")),
    not(miri)
))]
pub(crate) mod poll;
#[cfg(all(feature = "macros", unix, not(miri)))]
pub(crate) mod preparation;
pub(crate) mod process;
#[cfg(all(test, not(loom)))]
pub(crate) mod role;
pub(crate) mod sorted;
pub(crate) mod stderr;
pub(crate) mod sync;
