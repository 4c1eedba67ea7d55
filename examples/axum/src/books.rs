//! The books of the library.

use crate::error::Refusal;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgPool, Row};

#[derive(Serialize)]
pub(crate) struct Book {
    id: i64,
    title: String,
    copies: i32,
    /// The copies that are not lent.
    available: i64,
}

impl FromRow<'_, PgRow> for Book {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            title: row.try_get("title")?,
            copies: row.try_get("copies")?,
            available: row.try_get("available")?,
        })
    }
}

#[derive(Deserialize)]
pub(crate) struct NewBook {
    title: String,
    copies: i32,
}

pub(crate) async fn add(
    State(pool): State<PgPool>,
    Json(new): Json<NewBook>,
) -> Result<(StatusCode, Json<Book>), Refusal> {
    let book = sqlx::query_as(
        "INSERT INTO books (title, copies) VALUES ($1, $2)
         RETURNING id, title, copies, copies::bigint AS available",
    )
    .bind(new.title)
    .bind(new.copies)
    .fetch_one(&pool)
    .await
    .map_err(|error| Refusal::of(error, "the library has this title"))?;
    Ok((StatusCode::CREATED, Json(book)))
}

pub(crate) async fn list(State(pool): State<PgPool>) -> Result<Json<Vec<Book>>, Refusal> {
    let books = sqlx::query_as(
        "SELECT id, title, copies, copies - (SELECT count(*) FROM loans WHERE book = books.id) AS available
         FROM books ORDER BY title",
    );
    Ok(Json(books.fetch_all(&pool).await?))
}

pub(crate) async fn find(State(pool): State<PgPool>, Path(book): Path<i64>) -> Result<Json<Book>, Refusal> {
    let found = sqlx::query_as(
        "SELECT id, title, copies, copies - (SELECT count(*) FROM loans WHERE book = books.id) AS available
         FROM books WHERE id = $1",
    );
    Ok(Json(found.bind(book).fetch_one(&pool).await?))
}

pub(crate) async fn remove(State(pool): State<PgPool>, Path(book): Path<i64>) -> Result<StatusCode, Refusal> {
    let removed = sqlx::query("DELETE FROM books WHERE id = $1")
        .bind(book)
        .execute(&pool)
        .await
        .map_err(|error| Refusal::of(error, ""))?;
    match removed.rows_affected() {
        0 => Err(Refusal::NotFound),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}
