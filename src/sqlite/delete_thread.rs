//! `delete_threads`: checkpoints, writes, runs and chunks. What one slice cannot delete goes behind a
//! marker in a compact file (`deletions.rs`); an interop file may not have one: there the oldest
//! checkpoints go first and the root namespace last, so that until the end the latest state is whole.

use rusqlite::{Connection, OptionalExtension, params};

use super::deletions;
use super::remove::delete_checkpoint;
use super::schema;
use super::slice::Slice;
use super::statements::deletions as sql;
use super::transaction::WriteTransaction;
use crate::error::Result;
use crate::model::{CheckpointKey, Deleted, Format, Rest};

/// What a deletion is to do beside deleting.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deletion {
    /// Overwrite what is deleted.
    pub(super) overwrite: bool,
    /// Leave a tombstone in an interop file too.
    pub(super) bury: bool,
}

/// Deletes threads, as many as a slice can.
pub(super) fn delete_threads(
    transaction: &WriteTransaction<'_>,
    thread_ids: &[String],
    deletion: Deletion,
) -> Result<Deleted> {
    let slice = Slice::begin();
    let mut deleted = Deleted::default();
    for thread_id in thread_ids {
        delete_in(transaction, thread_id, deletion, &slice, &mut deleted)?;
        if deleted.rest == Rest::Unmarked {
            return Ok(deleted);
        }
        deleted.threads += 1;
        if deleted.rest == Rest::Marked || slice.is_over() {
            return Ok(deleted);
        }
    }
    go_on(transaction, &slice, &mut deleted)?;
    Ok(deleted)
}

/// One thread, inside another verb's slice.
pub(super) fn delete_in(
    transaction: &WriteTransaction<'_>,
    thread_id: &str,
    deletion: Deletion,
    slice: &Slice,
    deleted: &mut Deleted,
) -> Result<()> {
    let connection = transaction.connection;
    deletions::bury(transaction, thread_id, deletion.bury)?;
    let _overwriting = Overwriting::begin(connection, deletion.overwrite)?;
    if transaction.format.get() == Format::Interop {
        if delete_rows(connection, thread_id, slice, deleted)? {
            deleted.rest = Rest::Unmarked;
        } else if schema::has_threads(connection)? {
            connection
                .prepare_cached(sql::DELETE_THREAD_ROW)?
                .execute([thread_id])?;
        }
        return Ok(());
    }
    let mut is_hidden = connection.prepare_cached(sql::IS_HIDDEN)?;
    if is_hidden.exists([thread_id])? {
        deleted.rest = Rest::Marked;
        return Ok(());
    }
    let thread_no = connection
        .prepare_cached(sql::SELECT_THREAD_NO)?
        .query_row([thread_id], |row| row.get(0))
        .optional()?;
    if delete_all(connection, thread_id, thread_no, slice, deleted)? {
        connection.prepare_cached(sql::INSERT_DELETION)?.execute(params![
            thread_id,
            thread_no,
            deletion.overwrite
        ])?;
        transaction.hides.set(true);
        connection
            .prepare_cached(sql::FORGET_THREAD)?
            .execute([thread_id])?;
        deleted.rest = Rest::Marked;
    }
    Ok(())
}

/// Goes on with the threads that are marked, until the slice is over.
pub(super) fn go_on(transaction: &WriteTransaction<'_>, slice: &Slice, deleted: &mut Deleted) -> Result<()> {
    deleted.rest = Rest::None;
    if transaction.format.get() == Format::Interop {
        return Ok(());
    }
    let connection = transaction.connection;
    let mut next = connection.prepare_cached(sql::SELECT_DELETION)?;
    loop {
        let marked: Option<(String, Option<i64>, bool)> =
            next.query_row([], |row| row.try_into()).optional()?;
        let Some((thread_id, thread_no, overwrite)) = marked else {
            return Ok(());
        };
        let _overwriting = Overwriting::begin(connection, overwrite)?;
        if slice.is_over() || delete_all(connection, &thread_id, thread_no, slice, deleted)? {
            deleted.rest = Rest::Marked;
            return Ok(());
        }
        connection
            .prepare_cached(sql::DELETE_DELETION)?
            .execute([&thread_id])?;
    }
}

/// Deletes all of a thread in a compact file; true if something is left.
fn delete_all(
    connection: &Connection,
    thread_id: &str,
    thread_no: Option<i64>,
    slice: &Slice,
    deleted: &mut Deleted,
) -> Result<bool> {
    if delete_rows(connection, thread_id, slice, deleted)? {
        return Ok(true);
    }
    let mut delete = connection.prepare_cached(sql::DELETE_SOME_THREAD_RUNS)?;
    while delete.execute([thread_id])? > 0 {
        if slice.is_over() {
            return Ok(true);
        }
    }
    if let Some(thread_no) = thread_no {
        let mut delete = connection.prepare_cached(sql::DELETE_SOME_THREAD_CHUNKS)?;
        loop {
            let chunks = delete.execute([thread_no])?;
            deleted.chunks += chunks as u64;
            if chunks == 0 {
                break;
            }
            if slice.is_over() {
                return Ok(true);
            }
        }
        connection
            .prepare_cached(sql::DELETE_THREAD)?
            .execute([thread_no])?;
    }
    Ok(false)
}

/// Deletes checkpoints and writes; true if some are left.
fn delete_rows(
    connection: &Connection,
    thread_id: &str,
    slice: &Slice,
    deleted: &mut Deleted,
) -> Result<bool> {
    loop {
        let keys = connection
            .prepare_cached(sql::SELECT_SOME_THREAD_KEYS)?
            .query_map([thread_id], |row| {
                Ok(CheckpointKey {
                    thread_id: thread_id.to_owned(),
                    checkpoint_ns: row.get(0)?,
                    checkpoint_id: row.get(1)?,
                })
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        if keys.is_empty() {
            break;
        }
        // However slow it is, a slice deletes something.
        for key in &keys {
            deleted.writes += delete_checkpoint(connection, key)?.writes as u64;
            deleted.checkpoints += 1;
            if slice.is_over() {
                return Ok(true);
            }
        }
    }
    // Writes whose checkpoint was never stored.
    let mut statement = connection.prepare_cached(sql::DELETE_SOME_THREAD_WRITES)?;
    loop {
        let writes = statement.execute([thread_id])?;
        deleted.writes += writes as u64;
        if writes == 0 {
            return Ok(false);
        }
        if slice.is_over() {
            return Ok(true);
        }
    }
}

/// While it lives, SQLite overwrites with zeros what this connection deletes.
struct Overwriting<'a>(Option<&'a Connection>);

impl<'a> Overwriting<'a> {
    fn begin(connection: &'a Connection, wanted: bool) -> Result<Self> {
        let was_on = wanted && connection.query_row(sql::SECURE_DELETE, [], |row| row.get::<_, i64>(0))? == 1;
        if !wanted || was_on {
            return Ok(Self(None));
        }
        connection.query_row(sql::SECURE_DELETE_ON, [], |_| Ok(()))?;
        Ok(Self(Some(connection)))
    }
}

impl Drop for Overwriting<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.0 {
            // Left on it costs time only.
            drop(connection.query_row(sql::SECURE_DELETE_OFF, [], |_| Ok(())));
        }
    }
}
