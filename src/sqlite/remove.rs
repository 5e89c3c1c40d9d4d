//! `remove`: carries out, in slices, what `prune` and `delete_for_runs` found.

use rusqlite::{Connection, params};

use super::rebind;
use super::slice::Slice;
use super::statements as sql;
use super::transaction::WriteTransaction;
use crate::error::Result;
use crate::model::{CheckpointKey, Removal, RemovalStep};

/// Takes the steps from `from` on; the number of the first one that is left.
pub(super) fn remove(transaction: &WriteTransaction<'_>, removal: &Removal, from: usize) -> Result<usize> {
    let connection = transaction.connection;
    let slice = Slice::begin();
    let mut done = from;
    for step in removal.steps.iter().skip(from) {
        match step {
            RemovalStep::CutParent(key, parent) => {
                rebind::cut_any_parent(connection, key, parent)?;
            }
            RemovalStep::Checkpoint(key) => {
                delete_checkpoint(connection, key)?;
            }
            RemovalStep::NamespaceWrites {
                thread_id,
                checkpoint_ns,
            } => {
                let mut statement = connection.prepare_cached(sql::DELETE_NAMESPACE_WRITES)?;
                statement.execute([thread_id, checkpoint_ns])?;
            }
        }
        done += 1;
        if slice.is_over() {
            break;
        }
    }
    Ok(done)
}

/// Removes one checkpoint and the writes stored at it; how many those were.
pub(super) fn delete_checkpoint(connection: &Connection, key: &CheckpointKey) -> Result<usize> {
    let place = params![key.thread_id, key.checkpoint_ns, key.checkpoint_id];
    let writes = connection
        .prepare_cached(sql::DELETE_CHECKPOINT_WRITES)?
        .execute(place)?;
    connection
        .prepare_cached(sql::DELETE_CHECKPOINT)?
        .execute(place)?;
    Ok(writes)
}
