//! The binary, run as people run it: real processes over journals made by hand.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[cfg(unix)]
mod batch;
mod check;
mod clean;
mod hostile;
mod ledger;
#[cfg(unix)]
mod locks;
mod namespace;
mod pages;
mod recording;
mod run;
mod suites;
