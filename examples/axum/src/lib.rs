//! A library that lends books over HTTP.

mod books;
mod error;
mod loans;

use axum::Router;
use axum::routing::{delete, get, post};
use sqlx::PgPool;

/// The schema of the database.
pub const SCHEMA: &str = include_str!("../schema.sql");

/// Returns the routes of the library.
pub fn app(pool: PgPool) -> Router {
    Router::new()
        .route("/books", get(books::list).post(books::add))
        .route("/books/{book}", get(books::find).delete(books::remove))
        .route("/books/{book}/loans", post(loans::lend))
        .route("/loans/{loan}", delete(loans::take_back))
        .route("/readers/{reader}/loans", get(loans::list))
        .with_state(pool)
}
