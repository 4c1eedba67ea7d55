//! The tables, and how an older ledger becomes a newer one.

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// Says whose file this is, in its header.
pub(super) const APPLICATION: i64 = 0x636f_6664;

/// What leads from each version of the schema to the next. What was published once is never changed.
const MIGRATIONS: &[&str] = &[include_str!("schema_1.sql"), include_str!("schema_2.sql")];

/// The version that this build writes.
pub(super) fn version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// What a file is, by its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No tables yet.
    Empty,
    Older,
    Current,
    Newer(i64),
    /// Another program's.
    NotOurs,
}

pub(super) fn look(conn: &Connection) -> rusqlite::Result<Found> {
    // One look: between two, another process may have made it.
    let _look = if conn.is_autocommit() {
        Some(conn.unchecked_transaction()?)
    } else {
        None
    };
    let application: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let found: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if application != APPLICATION {
        let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let is_empty = application == 0 && found == 0 && tables == 0;
        return Ok(if is_empty { Found::Empty } else { Found::NotOurs });
    }
    Ok(match found.cmp(&version()) {
        std::cmp::Ordering::Less => Found::Older,
        std::cmp::Ordering::Equal => Found::Current,
        std::cmp::Ordering::Greater => Found::Newer(found),
    })
}

/// Brings the schema up to this build's. Who comes second finds it done: the version is read inside the transaction.
pub(super) fn migrate(conn: &mut Connection) -> rusqlite::Result<Found> {
    let change = Transaction::new(conn, TransactionBehavior::Immediate)?;
    let found = look(&change)?;
    if matches!(found, Found::Empty | Found::Older) {
        let done: i64 = change.pragma_query_value(None, "user_version", |row| row.get(0))?;
        for migration in MIGRATIONS.iter().skip(usize::try_from(done).unwrap_or(0)) {
            change.execute_batch(migration)?;
        }
        change.pragma_update(None, "application_id", APPLICATION)?;
        change.pragma_update(None, "user_version", version())?;
    }
    change.commit()?;
    Ok(found)
}
