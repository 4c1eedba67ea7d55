//! The only code that touches the outside: environment, clock, files' locks, processes, the exit hook.
//!
//! Everything above takes what it needs as values, so that it can be tested without an outside. This room
//! serves all others and knows none of them.

pub(crate) mod clock;
pub(crate) mod env;
pub(crate) mod erased;
pub(crate) mod exit_hook;
pub(crate) mod file_lock;
pub(crate) mod process;
#[cfg(all(test, not(loom)))]
pub(crate) mod role;
pub(crate) mod stderr;
pub(crate) mod sync;
