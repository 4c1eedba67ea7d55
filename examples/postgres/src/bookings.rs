//! Bookings of rooms.

use postgres::error::SqlState;
use postgres::{Client, NoTls};
use std::fmt;

/// The bookings in the database.
pub struct Bookings {
    client: Client,
}

/// The reason why a room cannot be booked.
#[derive(Debug)]
pub enum BookingError {
    /// It is booked at that time.
    Taken,
    /// There is no such room.
    NoSuchRoom,
    /// The end is not after the beginning.
    NoTime,
    Database(postgres::Error),
}

impl Bookings {
    pub fn open(url: &str) -> Result<Self, postgres::Error> {
        let client = Client::connect(url, NoTls)?;
        Ok(Self { client })
    }

    /// Books a room, and writes the confirmation mail. Times are like `2026-03-02 09:00`.
    pub fn book(&mut self, room: &str, from: &str, to: &str, who: &str) -> Result<i32, BookingError> {
        let mut transaction = self.client.transaction()?;
        let number: i32 = transaction
            .query_one(
                "INSERT INTO bookings (room, during, who)
                 VALUES ($1, tsrange($2::text::timestamp, $3::text::timestamp), $4) RETURNING number",
                &[&room, &from, &to, &who],
            )?
            .get(0);
        let text = format!("{room} is yours from {from} to {to}");
        transaction.execute(
            "INSERT INTO mails (recipient, text) VALUES ($1, $2)",
            &[&who, &text],
        )?;
        transaction.commit()?;
        Ok(number)
    }

    /// Cancels a booking. Returns whether it existed.
    pub fn cancel(&mut self, number: i32) -> Result<bool, postgres::Error> {
        let deleted = self
            .client
            .execute("DELETE FROM bookings WHERE number = $1", &[&number])?;
        Ok(deleted == 1)
    }

    /// Returns the rooms that are free for this entire time, the smallest first.
    pub fn free(&mut self, from: &str, to: &str) -> Result<Vec<String>, postgres::Error> {
        let rows = self.client.query(
            "SELECT name FROM rooms WHERE NOT EXISTS (
                 SELECT FROM bookings
                 WHERE room = name AND during && tsrange($1::text::timestamp, $2::text::timestamp)
             ) ORDER BY seats",
            &[&from, &to],
        )?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

impl From<postgres::Error> for BookingError {
    fn from(error: postgres::Error) -> Self {
        match error.code() {
            Some(&SqlState::EXCLUSION_VIOLATION) => Self::Taken,
            Some(&SqlState::FOREIGN_KEY_VIOLATION) => Self::NoSuchRoom,
            Some(&SqlState::CHECK_VIOLATION | &SqlState::DATA_EXCEPTION) => Self::NoTime,
            _ => Self::Database(error),
        }
    }
}

impl fmt::Display for BookingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => f.write_str("somebody has the room then"),
            Self::NoSuchRoom => f.write_str("the house has no such room"),
            Self::NoTime => f.write_str("a booking has to end after it begins"),
            Self::Database(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BookingError {}
