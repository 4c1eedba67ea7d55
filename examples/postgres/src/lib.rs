//! The meeting rooms of a house: who has which one when, how much they are used, and the mails that confirm it.
//!
//! The rules are PostgreSQL's to keep (`schema.sql`), so the tests want a real one.

mod bookings;
mod outbox;
mod usage;

pub use bookings::{BookingError, Bookings};
pub use outbox::Outbox;
pub use usage::{Usage, usage};

/// What the database has to have in it.
pub const SCHEMA: &str = include_str!("../schema.sql");
