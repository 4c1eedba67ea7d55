//! Runs batches of commands within limits and records them in a ledger.
//!
//! This crate is the part of `cargo cofferdam` that knows nothing of tests, resources and conflicts. It cannot depend on
//! the library or on the command.

#![expect(missing_docs, reason = "fields and variants whose names say all")]

pub mod child;
pub mod executor;
pub mod jobs;
pub mod ledger;
pub mod processes;
#[cfg(unix)]
pub mod signals;
