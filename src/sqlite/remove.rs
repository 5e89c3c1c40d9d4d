//! `remove`: carries out, in slices, what `prune` and `delete_for_runs` found.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::delete_thread::{Deletion, delete_in, go_on};
use super::rebind;
use super::slice::Slice;
use super::statements as sql;
use super::threads;
use super::transaction::WriteTransaction;
use super::weigh;
use crate::error::Result;
use crate::model::{CheckpointKey, Deleted, Format, Removal, RemovalStep, Rest};

/// Takes the steps from `from` on; the number of the first one that is left.
pub(super) fn remove(
    transaction: &WriteTransaction<'_>,
    removal: &Removal,
    from: usize,
    slice: &Slice,
) -> Result<usize> {
    let connection = transaction.connection;
    let mut done = from;
    let mut removed: HashMap<&str, (i64, i64)> = HashMap::new();
    for step in removal.steps.iter().skip(from) {
        match step {
            RemovalStep::CutParent(key, parent) => {
                rebind::cut_any_parent(connection, key, parent)?;
            }
            RemovalStep::Checkpoint(key) => {
                if let Some(bytes) = delete_checkpoint(connection, key)?.bytes {
                    let (rows, sum) = removed.entry(&key.thread_id).or_default();
                    *rows += 1;
                    *sum += bytes;
                }
            }
            RemovalStep::NamespaceWrites {
                thread_id,
                checkpoint_ns,
            } => {
                let mut statement = connection.prepare_cached(sql::DELETE_NAMESPACE_WRITES)?;
                statement.execute([thread_id, checkpoint_ns])?;
            }
            RemovalStep::Thread {
                thread_id,
                unless_changed,
            } => {
                let changed = match unless_changed {
                    Some(mark) => weigh::mark(connection, thread_id)?.is_after(mark),
                    None => false,
                };
                if !changed {
                    let mut deleted = Deleted::default();
                    delete_in(transaction, thread_id, Deletion::default(), slice, &mut deleted)?;
                    if deleted.rest == Rest::Marked {
                        go_on(transaction, slice, &mut deleted)?;
                    }
                    if deleted.rest != Rest::None {
                        break;
                    }
                    removed.remove(thread_id.as_str());
                }
            }
        }
        done += 1;
        if slice.is_over() {
            break;
        }
    }
    if transaction.format.get() == Format::Compact {
        for (thread_id, (rows, bytes)) in removed {
            threads::note_removed(connection, thread_id, rows, bytes)?;
            threads::refresh_head(connection, thread_id)?;
        }
    }
    Ok(done)
}

/// What went with a checkpoint.
pub(super) struct Gone {
    /// The rows of writes stored at it.
    pub(super) writes: usize,
    /// Its bytes, if it was there.
    pub(super) bytes: Option<i64>,
}

/// Removes one checkpoint and the writes stored at it.
pub(super) fn delete_checkpoint(connection: &Connection, key: &CheckpointKey) -> Result<Gone> {
    let place = params![key.thread_id, key.checkpoint_ns, key.checkpoint_id];
    let writes = connection
        .prepare_cached(sql::DELETE_CHECKPOINT_WRITES)?
        .execute(place)?;
    let bytes = connection
        .prepare_cached(sql::DELETE_CHECKPOINT)?
        .query_row(place, |row| row.get(0))
        .optional()?;
    Ok(Gone { writes, bytes })
}
