//! The tables of the ledger, and their migrations.

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// The number in the header of a database that marks it as a ledger.
pub(super) const APPLICATION: i64 = 0x636f_6664;

/// The steps from each version of the schema to the next. A published step never changes.
const MIGRATIONS: &[&str] = &[include_str!("schema_1.sql"), include_str!("schema_2.sql")];

/// Returns the version that this build writes.
pub(super) fn version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// The kind of a database file, by its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SchemaState {
    /// No tables yet.
    Empty,
    Older,
    Current,
    Newer(i64),
    /// The database of another program.
    Foreign,
}

pub(super) fn state(conn: &Connection) -> rusqlite::Result<SchemaState> {
    // One transaction: between two reads, another process may create the tables.
    let _read = if conn.is_autocommit() {
        Some(conn.unchecked_transaction()?)
    } else {
        None
    };
    let application: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let found: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if application != APPLICATION {
        let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let is_empty = application == 0 && found == 0 && tables == 0;
        return Ok(if is_empty {
            SchemaState::Empty
        } else {
            SchemaState::Foreign
        });
    }
    Ok(match found.cmp(&version()) {
        std::cmp::Ordering::Less => SchemaState::Older,
        std::cmp::Ordering::Equal => SchemaState::Current,
        std::cmp::Ordering::Greater => SchemaState::Newer(found),
    })
}

/// Brings the schema up to date. The version is read inside the transaction, so that of two processes the second finds
/// it done.
pub(super) fn migrate(conn: &mut Connection) -> rusqlite::Result<SchemaState> {
    let change = Transaction::new(conn, TransactionBehavior::Immediate)?;
    let found = state(&change)?;
    if matches!(found, SchemaState::Empty | SchemaState::Older) {
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
