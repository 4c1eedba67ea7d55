//! The usage of the rooms.

use postgres::{Client, Error};

/// One room on one day.
#[derive(Debug, PartialEq, Eq)]
pub struct Usage {
    pub room: String,
    pub bookings: i64,
    pub minutes: i64,
}

/// Returns every room on the day (like `2026-03-02`), the most used first. Of a booking past midnight, only the part on
/// that day counts.
pub fn usage(client: &mut Client, day: &str) -> Result<Vec<Usage>, Error> {
    let rows = client.query(
        "WITH day AS (SELECT tsrange($1::text::timestamp, $1::text::timestamp + interval '1 day') AS hours)
         SELECT name, count(number),
                coalesce(sum(extract(epoch FROM upper(during * hours) - lower(during * hours)) / 60), 0)::bigint
         FROM rooms CROSS JOIN day LEFT JOIN bookings ON room = name AND during && hours
         GROUP BY name ORDER BY 3 DESC, 1",
        &[&day],
    )?;
    let usage = rows.iter().map(|row| Usage {
        room: row.get(0),
        bookings: row.get(1),
        minutes: row.get(2),
    });
    Ok(usage.collect())
}
