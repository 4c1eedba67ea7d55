//! What outlives a test process.

mod fault;
mod fixture;
mod keeper;
mod port;
mod setup;

pub use fixture::Fixture;
pub use setup::{Setup, StopSignal};
