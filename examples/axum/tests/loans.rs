//! Tests of loans.

mod support;

use serde_json::{Value, json};
use support::{LIMIT, Library, library, request};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Lends the book with this path, and returns the response.
async fn lend(library: &Library, book: &str, reader: &str) -> (u16, Value) {
    library
        .post(&format!("{book}/loans"), json!({ "reader": reader }))
        .await
}

/// Returns the number of copies that are not lent.
async fn available(library: &Library, book: &str) -> Value {
    library.get(book).await.1["available"].take()
}

#[cofferdam::test]
async fn a_loan_has_the_title_of_its_book() {
    let library = library().await;
    let emma = library.add("Emma", 1).await;
    assert_eq!(
        lend(&library, &emma, "Ada").await,
        (201, json!({ "id": 1, "title": "Emma" }))
    );
}

#[cofferdam::test]
async fn a_book_that_is_lent_has_one_copy_less() {
    let library = library().await;
    let emma = library.add("Emma", 3).await;
    lend(&library, &emma, "Ada").await;
    assert_eq!(available(&library, &emma).await, 2);
}

#[cofferdam::test]
async fn the_list_of_books_has_the_copies_that_are_left() {
    let library = library().await;
    let emma = library.add("Emma", 3).await;
    lend(&library, &emma, "Ada").await;
    lend(&library, &emma, "Bob").await;
    assert_eq!(library.get("/books").await.1[0]["available"], 1);
}

#[cofferdam::test]
async fn a_book_that_came_back_is_available_again() {
    let library = library().await;
    let emma = library.add("Emma", 1).await;
    let (_, loan) = lend(&library, &emma, "Ada").await;
    assert_eq!(library.delete(&format!("/loans/{}", loan["id"])).await.0, 204);
    assert_eq!(available(&library, &emma).await, 1);
    assert_eq!(lend(&library, &emma, "Bob").await.0, 201);
}

#[cofferdam::test]
async fn a_loan_ends_once() {
    let library = library().await;
    let emma = library.add("Emma", 1).await;
    lend(&library, &emma, "Ada").await;
    assert_eq!(library.delete("/loans/1").await.0, 204);
    assert_eq!(library.delete("/loans/1").await.0, 404);
}

#[cofferdam::test]
async fn a_loan_that_never_began_does_not_end() {
    assert_eq!(library().await.delete("/loans/1").await.0, 404);
}

#[cofferdam::test]
async fn a_book_that_nobody_added_is_not_lent() {
    assert_eq!(lend(&library().await, "/books/1", "Ada").await.0, 404);
}

#[cofferdam::test]
async fn the_last_copy_is_lent_once() {
    let library = library().await;
    let emma = library.add("Emma", 1).await;
    lend(&library, &emma, "Ada").await;
    let refused = json!({ "error": "all copies are lent" });
    assert_eq!(lend(&library, &emma, "Bob").await, (409, refused));
}

#[cofferdam::test]
async fn a_reader_has_one_copy_of_a_book() {
    let library = library().await;
    let emma = library.add("Emma", 2).await;
    lend(&library, &emma, "Ada").await;
    let refused = json!({ "error": "the reader has this book" });
    assert_eq!(lend(&library, &emma, "Ada").await, (409, refused));
    assert_eq!(available(&library, &emma).await, 1);
}

#[cofferdam::test]
async fn a_loan_needs_a_reader() {
    let library = library().await;
    let emma = library.add("Emma", 1).await;
    assert_eq!(lend(&library, &emma, "").await.0, 422);
    assert_eq!(available(&library, &emma).await, 1);
}

#[cofferdam::test]
async fn a_reader_without_books_has_no_loans() {
    assert_eq!(library().await.get("/readers/Ada/loans").await, (200, json!([])));
}

#[cofferdam::test]
async fn readers_see_their_own_loans_by_title() {
    let library = library().await;
    for (title, reader) in [("Persuasion", "Ada"), ("Emma", "Ada"), ("Lady Susan", "Bob")] {
        let book = library.add(title, 1).await;
        lend(&library, &book, reader).await;
    }
    let loans = json!([{ "id": 2, "title": "Emma" }, { "id": 1, "title": "Persuasion" }]);
    assert_eq!(library.get("/readers/Ada/loans").await, (200, loans));
}

#[cofferdam::test]
async fn of_readers_at_one_time_one_gets_the_last_copy() {
    let library = library().await;
    let loans = format!("{}/loans", library.add("Emma", 1).await);
    let mut readers = JoinSet::new();
    for reader in 0..8 {
        readers.spawn(library.call("POST", &loans, json!({ "reader": format!("reader {reader}") })));
    }
    let mut statuses: Vec<u16> = readers
        .join_all()
        .await
        .into_iter()
        .map(|(status, _)| status)
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
}

#[cofferdam::test]
async fn a_request_that_is_cancelled_lends_nothing_and_keeps_no_connection() {
    let library = library().await;
    let emma = library.add("Emma", 1).await;
    let mut clerk = library.pool.begin().await.unwrap();
    let locked = sqlx::query("SELECT FROM books FOR UPDATE").execute(&mut *clerk);
    locked.await.unwrap();

    let mut requests = JoinSet::new();
    requests.spawn(library.call("POST", &format!("{emma}/loans"), json!({ "reader": "Ada" })));
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let waits = async {
        while sqlx::query_scalar::<_, i64>(waiting)
            .fetch_one(&*library.pool)
            .await
            .unwrap()
            == 0
        {}
    };
    timeout(LIMIT, waits)
        .await
        .expect("the request does not wait for the book");
    requests.shutdown().await;
    clerk.rollback().await.unwrap();

    library.idle_connections().await;
    library.has_no_foreign_session().await;
    assert_eq!(available(&library, &emma).await, 1);
}

#[cofferdam::test]
async fn a_book_is_lent_and_comes_back_over_the_network() {
    let mut library = library().await;
    let emma = library.add("Emma", 1).await;
    let server = library.serve().await;
    let ada = json!({ "reader": "Ada" });
    let (status, loan) = request(server, "POST", &format!("{emma}/loans"), ada).await;
    assert_eq!(status, 201);
    assert_eq!(available(&library, &emma).await, 0);
    let loan = format!("/loans/{}", loan["id"]);
    assert_eq!(request(server, "DELETE", &loan, Value::Null).await.0, 204);
    assert_eq!(available(&library, &emma).await, 1);
}
