//! The only code that touches the outside: environment, clock, files' locks, processes, the exit hook.
//!
//! Everything above takes what it needs as values, so that it can be tested without an outside. This room
//! serves all others and knows none of them.

#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) mod before_main;
#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) mod child;
pub(crate) mod clock;
#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) mod detach;
pub(crate) mod env;
pub(crate) mod erased;
pub(crate) mod exit_hook;
pub(crate) mod file_lock;
pub(crate) mod file_size;
pub(crate) mod folder;
pub(crate) mod marker;
pub(crate) mod observer;
#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) mod poll;
pub(crate) mod process;
#[cfg(all(test, not(loom)))]
pub(crate) mod role;
pub(crate) mod stderr;
pub(crate) mod sync;
