//! Async tests of mails.

mod support;

use cofferdam::Worker;
use meeting_rooms::{Bookings, Outbox};
use support::{Database, database};
use tokio_postgres::NoTls;

/// Returns a database with the mails of this many bookings. Blocking calls run on a separate thread of this worker.
async fn booked(bookings: u32) -> Database {
    let prepare = move || {
        let database = database();
        let mut desk = Bookings::open(&database.url).unwrap();
        for hour in 0..bookings {
            let (from, to) = (
                format!("2026-03-02 {hour:02}:00"),
                format!("2026-03-02 {hour:02}:59"),
            );
            desk.book("Attic", &from, &to, &format!("guest {hour}")).unwrap();
        }
        database
    };
    tokio::task::spawn_blocking(Worker::current().wrap(prepare))
        .await
        .unwrap()
}

async fn outbox(database: &Database) -> Outbox {
    let (client, connection) = tokio_postgres::connect(&database.url, NoTls).await.unwrap();
    tokio::spawn(connection);
    Outbox::new(client)
}

#[tokio::test]
async fn each_booking_is_confirmed_by_one_mail() {
    let database = booked(2).await;
    let mut outbox = outbox(&database).await;
    let mut sent = Vec::new();
    while outbox
        .send_one(async |to, _| {
            sent.push(to.to_owned());
            true
        })
        .await
        .unwrap()
    {}
    assert_eq!(sent, ["guest 0", "guest 1"]);
}

#[tokio::test]
async fn what_could_not_be_sent_is_tried_again() {
    let database = booked(1).await;
    let mut outbox = outbox(&database).await;
    assert!(outbox.send_one(async |_, _| false).await.unwrap());
    let mut text = String::new();
    assert!(
        outbox
            .send_one(async |_, message| {
                text = message.to_owned();
                true
            })
            .await
            .unwrap()
    );
    assert_eq!(text, "Attic is yours from 2026-03-02 00:00 to 2026-03-02 00:59");
    assert!(!outbox.send_one(async |_, _| true).await.unwrap());
}

#[tokio::test]
async fn two_senders_never_have_the_same_mail_in_hand() {
    let database = booked(2).await;
    let (mut one, mut other) = (outbox(&database).await, outbox(&database).await);
    let mut sent = Vec::new();
    let found = one.send_one(async |first, _| {
        // The first mail is being sent while the other sender looks for one, and looks again.
        assert!(
            other
                .send_one(async |second, _| {
                    sent.push(second.to_owned());
                    true
                })
                .await
                .unwrap()
        );
        assert!(!other.send_one(async |_, _| true).await.unwrap());
        sent.push(first.to_owned());
        true
    });
    assert!(found.await.unwrap());
    assert_eq!(sent, ["guest 1", "guest 0"]);
}
