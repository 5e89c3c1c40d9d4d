//! What users said of a thread, when the thread goes to another place: to a file of its own, another database, an
//! archive, or under another id beside itself. What is derived is not in it.

use rusqlite::{Connection, OptionalExtension, params};

use super::engine::ReadTransaction;
use super::schema;
use super::statements::threads as sql;
use super::threads;
use super::transaction::WriteTransaction;
use crate::error::Result;
use crate::model::Notes;

pub(super) fn read_notes(transaction: &ReadTransaction<'_>, thread_id: &str) -> Result<Notes> {
    let connection = transaction.connection;
    if transaction.hides(thread_id) || !schema::has_threads(connection)? {
        return Ok(Notes::default());
    }
    let found = connection
        .prepare_cached(sql::READ_NOTES)?
        .query_row([thread_id], |row| {
            Ok(Notes {
                title: row.get(0)?,
                metadata: row.get(1)?,
                archived: row.get(2)?,
                pinned: row.get(3)?,
                ttl: row.get(4)?,
                expires: row.get(5)?,
            })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// What is said replaces what was said before; what is not said stays. This makes the table in a file that has
/// none.
pub(super) fn write_notes(transaction: &WriteTransaction<'_>, thread_id: &str, notes: &Notes) -> Result<()> {
    if *notes == Notes::default() {
        return Ok(());
    }
    let connection = transaction.connection;
    schema::add_threads(connection)?;
    let thread = threads::find_or_add(connection, thread_id)?;
    connection.prepare_cached(sql::WRITE_NOTES)?.execute(params![
        thread.number,
        notes.title,
        notes.metadata,
        notes.archived,
        notes.pinned,
        notes.ttl,
        notes.expires
    ])?;
    Ok(())
}

/// Gives a copy the title and the metadata of its source, where it has none of its own. It is a thread of its own: it
/// is listed, and lives as long as any other.
pub(super) fn copy_notes(connection: &Connection, source: &str, target: &str) -> Result<()> {
    if !schema::has_threads(connection)? || !connection.prepare_cached(sql::IS_NAMED)?.exists([source])? {
        return Ok(());
    }
    threads::find_or_add(connection, target)?;
    connection
        .prepare_cached(sql::COPY_NOTES)?
        .execute([source, target])?;
    Ok(())
}
