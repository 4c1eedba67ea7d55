//! The reason why a request is refused.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sqlx::error::ErrorKind;

pub(crate) enum Refusal {
    NotFound,
    Conflict(&'static str),
    Invalid(&'static str),
    Database(sqlx::Error),
}

#[derive(Serialize)]
struct Body {
    error: String,
}

impl Refusal {
    /// Returns the refusal of a statement, where `taken` says what a key that exists already means.
    pub(crate) fn of(error: sqlx::Error, taken: &'static str) -> Self {
        match error.as_database_error().map(|error| error.kind()) {
            Some(ErrorKind::UniqueViolation) => Self::Conflict(taken),
            Some(ErrorKind::ForeignKeyViolation) => Self::Conflict("the book is lent"),
            Some(ErrorKind::CheckViolation) => {
                Self::Invalid("a book has a title and a copy, a reader has a name")
            }
            _ => Self::Database(error),
        }
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::RowNotFound => Self::NotFound,
            error => Self::Database(error),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not found".to_owned()),
            Self::Conflict(reason) => (StatusCode::CONFLICT, reason.to_owned()),
            Self::Invalid(reason) => (StatusCode::UNPROCESSABLE_ENTITY, reason.to_owned()),
            Self::Database(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        };
        (status, Json(Body { error })).into_response()
    }
}
