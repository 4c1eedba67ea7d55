//! Tests of the usage: totals, which any other test's bookings would change.

mod support;

use meeting_rooms::{Bookings, usage};
use postgres::{Client, NoTls};
use support::{Database, database};

const DAY: &str = "2026-03-02";

fn used(database: &Database) -> Vec<(String, i64, i64)> {
    let mut client = Client::connect(&database.url, NoTls).unwrap();
    let usage = usage(&mut client, DAY).unwrap().into_iter();
    usage
        .map(|usage| (usage.room, usage.bookings, usage.minutes))
        .collect()
}

fn rows(rows: [(&str, i64, i64); 3]) -> Vec<(String, i64, i64)> {
    rows.map(|(room, bookings, minutes)| (room.to_owned(), bookings, minutes))
        .into()
}

#[test]
fn a_day_without_bookings_has_all_rooms_in_it() {
    assert_eq!(
        used(&database()),
        rows([("Attic", 0, 0), ("Garden", 0, 0), ("Library", 0, 0)])
    );
}

#[test]
fn the_room_that_is_used_most_comes_first() {
    let database = database();
    let mut desk = Bookings::open(&database.url).unwrap();
    desk.book("Garden", "2026-03-02 09:00", "2026-03-02 10:00", "ann")
        .unwrap();
    desk.book("Library", "2026-03-02 09:00", "2026-03-02 12:00", "bob")
        .unwrap();
    desk.book("Library", "2026-03-02 14:00", "2026-03-02 14:45", "ann")
        .unwrap();
    assert_eq!(
        used(&database),
        rows([("Library", 2, 225), ("Garden", 1, 60), ("Attic", 0, 0)])
    );
}

#[test]
fn a_night_counts_as_far_as_it_is_on_that_day() {
    let database = database();
    let mut desk = Bookings::open(&database.url).unwrap();
    desk.book("Attic", "2026-03-01 23:00", "2026-03-02 00:30", "ann")
        .unwrap();
    desk.book("Attic", "2026-03-02 23:50", "2026-03-03 04:00", "ann")
        .unwrap();
    desk.book("Attic", "2026-03-03 09:00", "2026-03-03 10:00", "ann")
        .unwrap();
    assert_eq!(
        used(&database),
        rows([("Attic", 2, 40), ("Garden", 0, 0), ("Library", 0, 0)])
    );
}

#[test]
fn what_was_cancelled_was_not_used() {
    let database = database();
    let mut desk = Bookings::open(&database.url).unwrap();
    let number = desk
        .book("Garden", "2026-03-02 09:00", "2026-03-02 10:00", "ann")
        .unwrap();
    desk.cancel(number).unwrap();
    assert_eq!(
        used(&database),
        rows([("Attic", 0, 0), ("Garden", 0, 0), ("Library", 0, 0)])
    );
}
