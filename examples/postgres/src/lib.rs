//! The meeting rooms of a building: bookings, usage, and confirmation mails.
//!
//! PostgreSQL enforces the rules (`schema.sql`), so the tests need a real server.

mod bookings;
mod outbox;
mod usage;

pub use bookings::{BookingError, Bookings};
pub use outbox::Outbox;
pub use usage::{Usage, usage};

/// The schema of the database.
pub const SCHEMA: &str = include_str!("../schema.sql");
