//! Tests of bookings.

mod support;

use meeting_rooms::{BookingError, Bookings};
use std::sync::Barrier;
use std::thread;
use support::{Database, database};

fn desk(database: &Database) -> Bookings {
    Bookings::open(&database.url).unwrap()
}

#[test]
fn a_room_that_somebody_has_is_not_booked_again() {
    let mut desk = desk(&database());
    // The first number, because no other test uses this database.
    let number = desk
        .book("Library", "2026-03-02 09:00", "2026-03-02 10:00", "ann")
        .unwrap();
    assert_eq!(number, 1);
    let refused = desk.book("Library", "2026-03-02 09:30", "2026-03-02 10:30", "bob");
    assert!(matches!(refused, Err(BookingError::Taken)), "{refused:?}");
    // Before it, after it, and beside it.
    desk.book("Library", "2026-03-02 08:00", "2026-03-02 09:00", "bob")
        .unwrap();
    desk.book("Library", "2026-03-02 10:00", "2026-03-02 11:00", "bob")
        .unwrap();
    desk.book("Garden", "2026-03-02 09:00", "2026-03-02 10:00", "bob")
        .unwrap();
}

#[test]
fn a_cancelled_booking_frees_its_room() {
    let mut desk = desk(&database());
    let number = desk
        .book("Attic", "2026-03-02 09:00", "2026-03-02 17:00", "ann")
        .unwrap();
    assert_eq!(
        desk.free("2026-03-02 12:00", "2026-03-02 13:00").unwrap(),
        ["Garden", "Library"]
    );
    assert!(desk.cancel(number).unwrap());
    assert!(!desk.cancel(number).unwrap());
    assert_eq!(
        desk.free("2026-03-02 12:00", "2026-03-02 13:00").unwrap(),
        ["Garden", "Library", "Attic"]
    );
}

#[test]
fn of_two_clerks_who_book_at_one_time_one_gets_the_room() {
    let database = database();
    let both = Barrier::new(2);
    let book = |who| {
        let mut desk = desk(&database);
        both.wait();
        desk.book("Garden", "2026-03-02 09:00", "2026-03-02 10:00", who)
    };
    let booked = thread::scope(|scope| {
        let clerks = ["ann", "bob"].map(|who| scope.spawn(move || book(who)));
        clerks.map(|clerk| clerk.join().unwrap())
    });
    assert_eq!(
        booked.iter().filter(|booked| booked.is_ok()).count(),
        1,
        "{booked:?}"
    );
}

#[test]
fn what_cannot_be_booked_says_why() {
    let mut desk = desk(&database());
    let refused = desk.book("Cellar", "2026-03-02 09:00", "2026-03-02 10:00", "ann");
    assert!(matches!(refused, Err(BookingError::NoSuchRoom)), "{refused:?}");
    for to in ["2026-03-02 09:00", "2026-03-02 08:00"] {
        let refused = desk.book("Attic", "2026-03-02 09:00", to, "ann");
        assert!(matches!(refused, Err(BookingError::NoTime)), "{refused:?}");
    }
}
