//! What is known of deleted threads.
//!
//! A thread that is too large for one transaction is deleted behind a marker, in compact files: from the
//! first transaction on no reader shows it, and whoever stores in it deletes it to its end first.
//! The marker goes last, with the thread's chunks, so that another process can go on at any point.
//!
//! A tombstone says when a thread was deleted, by the hash of its id: an id may be personal data.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::clock;
use super::schema;
use super::statements::deletions as sql;
use super::transaction::WriteTransaction;
use crate::error::{Error, Result};
use crate::model::{CheckpointKey, Format};

/// A run that began before a deletion is over by then.
const TOMBSTONE_LIFE: Duration = Duration::from_hours(30 * 24);

/// The threads that are being deleted.
pub(super) fn hidden(connection: &Connection, format: Format) -> Result<Vec<String>> {
    if format == Format::Interop {
        return Ok(Vec::new());
    }
    match select_hidden(connection) {
        // Another process may just have downgraded the file.
        Err(_) if !schema::has_table(connection, "checkpoint_deletions")? => Ok(Vec::new()),
        hidden => Ok(hidden?),
    }
}

/// Fails where there is no such table: as it is prepared or, if that was before, as it runs.
fn select_hidden(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached(sql::SELECT_HIDDEN_THREADS)?;
    let threads = statement.query_map([], |row| row.get(0))?;
    threads.collect()
}

/// Fails if the thread is being deleted.
pub(super) fn check_hidden(transaction: &WriteTransaction<'_>, thread_id: &str) -> Result<()> {
    if !transaction.hides.get() || transaction.format.get() == Format::Interop {
        return Ok(());
    }
    let mut statement = transaction.connection.prepare_cached(sql::IS_HIDDEN)?;
    if statement.exists([thread_id])? {
        return Err(Error::BeingDeleted);
    }
    Ok(())
}

/// Notes that a thread is deleted now. An interop file gets the table only where it is asked for.
pub(super) fn bury(transaction: &WriteTransaction<'_>, thread_id: &str, asked: bool) -> Result<()> {
    let connection = transaction.connection;
    if transaction.format.get() == Format::Interop {
        if !asked {
            return Ok(());
        }
        schema::add_tombstones(connection)?;
    }
    connection
        .prepare_cached(sql::DELETE_OLD_TOMBSTONES)?
        .execute([clock::newest_id(TOMBSTONE_LIFE)])?;
    connection
        .prepare_cached(sql::REPLACE_TOMBSTONE)?
        .execute(params![hash(thread_id), clock::newest_id(Duration::ZERO)])?;
    Ok(())
}

/// Fails if `checkpoint_id` is not newer than the deletion of its thread. What is stored came later, by an
/// import, a copy or a restore.
pub(super) fn check_late(
    transaction: &WriteTransaction<'_>,
    key: &CheckpointKey,
    checkpoint_id: &str,
) -> Result<()> {
    let connection = transaction.connection;
    if transaction.format.get() == Format::Interop && !schema::has_table(connection, "checkpoint_tombstones")?
    {
        return Ok(());
    }
    let boundary: Option<String> = connection
        .prepare_cached(sql::SELECT_TOMBSTONE)?
        .query_row([hash(&key.thread_id)], |row| row.get(0))
        .optional()?;
    let Some(boundary) = boundary else { return Ok(()) };
    if *checkpoint_id > *boundary || super::read_thread::is_stored(connection, key, checkpoint_id)? {
        return Ok(());
    }
    Err(Error::ThreadDeleted {
        thread_id: key.thread_id.clone(),
    })
}

fn hash(thread_id: &str) -> [u8; 16] {
    crate::chunk::leaf_hash(thread_id.as_bytes())
}
