//! Tests of books.

mod support;

use serde_json::{Value, json};
use support::{MOST_CONNECTIONS, library, request};
use tokio::task::JoinSet;

#[cofferdam::test]
async fn a_new_library_has_no_books() {
    assert_eq!(library().await.get("/books").await, (200, json!([])));
}

#[cofferdam::test]
async fn the_first_book_has_number_one() {
    // Because no other test uses this database.
    let book = json!({ "title": "Emma", "copies": 2 });
    let added = json!({ "id": 1, "title": "Emma", "copies": 2, "available": 2 });
    assert_eq!(library().await.post("/books", book).await, (201, added));
}

#[cofferdam::test]
async fn a_book_that_was_added_is_found() {
    let library = library().await;
    let path = library.add("Emma", 1).await;
    let (status, book) = library.get(&path).await;
    assert_eq!((status, &book["title"]), (200, &json!("Emma")));
}

#[cofferdam::test]
async fn books_are_listed_by_title() {
    let library = library().await;
    for title in ["Persuasion", "Emma", "Lady Susan"] {
        library.add(title, 1).await;
    }
    let (_, books) = library.get("/books").await;
    let titles: Vec<&Value> = books
        .as_array()
        .unwrap()
        .iter()
        .map(|book| &book["title"])
        .collect();
    assert_eq!(titles, ["Emma", "Lady Susan", "Persuasion"]);
}

#[cofferdam::test]
async fn a_title_is_added_once() {
    let library = library().await;
    library.add("Emma", 1).await;
    let refused = json!({ "error": "the library has this title" });
    let again = json!({ "title": "Emma", "copies": 5 });
    assert_eq!(library.post("/books", again).await, (409, refused));
}

#[cofferdam::test]
async fn a_book_needs_a_title() {
    let (status, _) = library()
        .await
        .post("/books", json!({ "title": "", "copies": 1 }))
        .await;
    assert_eq!(status, 422);
}

#[cofferdam::test]
async fn a_book_needs_a_copy() {
    let (status, _) = library()
        .await
        .post("/books", json!({ "title": "Emma", "copies": 0 }))
        .await;
    assert_eq!(status, 422);
}

#[cofferdam::test]
async fn a_body_that_is_no_book_is_refused() {
    let (status, _) = library().await.post("/books", json!({ "name": "Emma" })).await;
    assert_eq!(status, 422);
}

#[cofferdam::test]
async fn titles_may_have_any_letters() {
    let library = library().await;
    for title in ["Война и мир", "紅樓夢", "'); DROP TABLE books; --"] {
        let path = library.add(title, 1).await;
        assert_eq!(library.get(&path).await.1["title"], title);
    }
}

#[cofferdam::test]
async fn a_book_that_nobody_added_is_not_found() {
    assert_eq!(
        library().await.get("/books/1").await,
        (404, json!({ "error": "not found" }))
    );
}

#[cofferdam::test]
async fn a_book_is_removed_once() {
    let library = library().await;
    let path = library.add("Emma", 1).await;
    assert_eq!(library.delete(&path).await.0, 204);
    assert_eq!(library.get(&path).await.0, 404);
    assert_eq!(library.delete(&path).await.0, 404);
}

#[cofferdam::test]
async fn a_book_that_is_lent_is_not_removed() {
    let library = library().await;
    let path = library.add("Emma", 1).await;
    library
        .post(&format!("{path}/loans"), json!({ "reader": "Ada" }))
        .await;
    assert_eq!(
        library.delete(&path).await,
        (409, json!({ "error": "the book is lent" }))
    );
}

#[cofferdam::test]
async fn requests_give_their_connections_back() {
    let library = library().await;
    let mut requests = JoinSet::new();
    for number in 0..20 {
        let book = json!({ "title": format!("Volume {number}"), "copies": 1 });
        requests.spawn(library.call("POST", "/books", book));
    }
    while let Some(response) = requests.join_next().await {
        assert_eq!(response.unwrap().0, 201);
    }
    assert!(library.idle_connections().await <= MOST_CONNECTIONS);
    library.has_no_foreign_session().await;
}

#[cofferdam::test]
async fn a_client_sees_what_another_added() {
    let mut library = library().await;
    let server = library.serve().await;
    let book = json!({ "title": "Emma", "copies": 1 });
    assert_eq!(request(server, "POST", "/books", book).await.0, 201);
    let (status, books) = request(server, "GET", "/books", Value::Null).await;
    assert_eq!((status, &books[0]["title"]), (200, &json!("Emma")));
}

#[cofferdam::test]
async fn more_clients_than_connections_are_all_answered() {
    let mut library = library().await;
    let server = library.serve().await;
    let mut clients = JoinSet::new();
    for _ in 0..4 * MOST_CONNECTIONS {
        clients.spawn(request(server, "GET", "/books", Value::Null));
    }
    while let Some(response) = clients.join_next().await {
        assert_eq!(response.unwrap(), (200, json!([])));
    }
    assert!(library.idle_connections().await <= MOST_CONNECTIONS);
}
