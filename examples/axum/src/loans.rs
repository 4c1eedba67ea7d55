//! The loans of books to readers.

use crate::error::Refusal;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

#[derive(Serialize)]
pub(crate) struct Loan {
    id: i64,
    title: String,
}

#[derive(Deserialize)]
pub(crate) struct NewLoan {
    reader: String,
}

pub(crate) async fn lend(
    State(pool): State<PgPool>,
    Path(book): Path<i64>,
    Json(new): Json<NewLoan>,
) -> Result<(StatusCode, Json<Loan>), Refusal> {
    let mut transaction = pool.begin().await?;
    // Locked, so that two requests do not both see the last copy.
    let (title, copies): (String, i32) =
        sqlx::query_as("SELECT title, copies FROM books WHERE id = $1 FOR UPDATE")
            .bind(book)
            .fetch_one(&mut *transaction)
            .await?;
    let id = sqlx::query_scalar("INSERT INTO loans (book, reader) VALUES ($1, $2) RETURNING id")
        .bind(book)
        .bind(new.reader)
        .fetch_one(&mut *transaction)
        .await
        .map_err(|error| Refusal::of(error, "the reader has this book"))?;
    let lent: i64 = sqlx::query_scalar("SELECT count(*) FROM loans WHERE book = $1")
        .bind(book)
        .fetch_one(&mut *transaction)
        .await?;
    if lent > i64::from(copies) {
        return Err(Refusal::Conflict("all copies are lent"));
    }
    transaction.commit().await?;
    Ok((StatusCode::CREATED, Json(Loan { id, title })))
}

pub(crate) async fn take_back(
    State(pool): State<PgPool>,
    Path(loan): Path<i64>,
) -> Result<StatusCode, Refusal> {
    let removed = sqlx::query("DELETE FROM loans WHERE id = $1")
        .bind(loan)
        .execute(&pool)
        .await?;
    match removed.rows_affected() {
        0 => Err(Refusal::NotFound),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

pub(crate) async fn list(
    State(pool): State<PgPool>,
    Path(reader): Path<String>,
) -> Result<Json<Vec<Loan>>, Refusal> {
    let loans: Vec<(i64, String)> = sqlx::query_as(
        "SELECT loans.id, title FROM loans JOIN books ON book = books.id WHERE reader = $1 ORDER BY title",
    )
    .bind(reader)
    .fetch_all(&pool)
    .await?;
    Ok(Json(
        loans.into_iter().map(|(id, title)| Loan { id, title }).collect(),
    ))
}
