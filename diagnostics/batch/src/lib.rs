//! Runs batches of commands within limits and records them in a ledger.
//!
//! `cargo cofferdam` builds its `run`, `status`, `list` and `show` commands on this crate. It knows commands and
//! processes, but neither tests nor resources nor conflicts, and it depends on no other package of the workspace. It is
//! no public API: its version is that of the command.
//!
//! - [`jobs`] reads jobs and limits from the command line, from files and from `cofferdam.toml`.
//! - [`executor`] runs the jobs of a [`JobSource`](executor::JobSource) and reports each step as an event.
//! - [`ledger`] stores sessions, jobs and attempts in one SQLite file that many processes use at once.
//! - [`processes`] finds the processes of a job or a session; [`proc`] is the only module that reads `/proc`.

#![expect(
    missing_docs,
    reason = "not an API: many fields and variants need no more than their names"
)]

pub mod executor;
pub mod jobs;
pub mod ledger;
pub mod proc;
pub mod processes;
#[cfg(unix)]
pub mod signals;
pub mod spawn;
