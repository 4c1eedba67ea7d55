//! Runs jobs side by side and keeps their limits. Events come out; it knows neither the ledger nor the terminal.

pub(crate) mod event;
pub(crate) mod job;
