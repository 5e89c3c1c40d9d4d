//! `delete_thread`: checkpoints, writes and chunks. A thread too large for one slice loses its oldest
//! checkpoints first, its root namespace last: until the end, its latest state is whole. Then its number
//! is left without a thread, so that what is stored under its id later has chunks of its own; the old ones
//! go last.

use super::remove::delete_checkpoint;
use super::schema;
use super::slice::Slice;
use super::statements as sql;
use super::sweep;
use super::threads;
use super::transaction::WriteTransaction;
use crate::error::Result;
use crate::model::{CheckpointKey, Format};

/// True if something is left.
pub(super) fn delete_thread(
    transaction: &WriteTransaction<'_>,
    thread_id: &str,
    slice: &Slice,
) -> Result<bool> {
    let connection = transaction.connection;
    let keys = connection
        .prepare_cached(sql::SELECT_THREAD_KEYS)?
        .query_map([thread_id], |row| {
            Ok(CheckpointKey {
                thread_id: thread_id.to_owned(),
                checkpoint_ns: row.get(0)?,
                checkpoint_id: row.get(1)?,
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let is_compact = transaction.format.get() == Format::Compact;
    let (mut rows, mut bytes) = (0, 0);
    for key in &keys {
        if slice.is_over() {
            if is_compact {
                threads::note_removed(connection, thread_id, rows, bytes)?;
            }
            return Ok(true);
        }
        bytes += delete_checkpoint(connection, key)?.unwrap_or_default();
        rows += 1;
    }
    if is_compact {
        threads::note_removed(connection, thread_id, rows, bytes)?;
    }
    // Writes whose checkpoint was never stored.
    let mut statement = connection.prepare_cached(sql::DELETE_SOME_THREAD_WRITES)?;
    while statement.execute([thread_id])? > 0 {
        if slice.is_over() {
            return Ok(true);
        }
    }
    if transaction.format.get() == Format::Interop {
        if schema::has_threads(connection)? {
            connection
                .prepare_cached(sql::DELETE_THREAD_ROW)?
                .execute([thread_id])?;
        }
        return Ok(false);
    }
    connection
        .prepare_cached(sql::FORGET_THREAD)?
        .execute([thread_id])?;
    connection
        .prepare_cached(sql::DELETE_THREAD_RUNS)?
        .execute([thread_id])?;
    sweep::sweep_deleted(connection, slice)
}
