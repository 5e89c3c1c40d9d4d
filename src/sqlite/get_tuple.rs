//! `get_tuple`, and the pending sends of checkpoints from before they carried their own.

use rusqlite::params;

use super::engine::ReadTransaction;
use super::row;
use super::statements as sql;
use crate::chunk::Binding;
use crate::error::Result;
use crate::model::{CheckpointKey, StoredTuple, StoredWrite};

/// Where LangGraph stores the sends of a step.
const TASKS: &str = "__pregel_tasks";

pub(super) fn get_tuple(
    transaction: &ReadTransaction<'_>,
    thread_id: &str,
    checkpoint_ns: &str,
    checkpoint_id: Option<&str>,
) -> Result<Option<StoredTuple>> {
    if transaction.hides(thread_id) {
        return Ok(None);
    }
    let connection = transaction.connection;
    let mut statement;
    let mut rows = if let Some(checkpoint_id) = checkpoint_id {
        statement = connection.prepare_cached(sql::SELECT_CHECKPOINT)?;
        statement.query(params![thread_id, checkpoint_ns, checkpoint_id])?
    } else {
        statement = connection.prepare_cached(sql::SELECT_LATEST)?;
        statement.query(params![thread_id, checkpoint_ns])?
    };
    let Some(row) = rows.next()? else { return Ok(None) };
    let key = CheckpointKey {
        thread_id: thread_id.to_owned(),
        checkpoint_ns: checkpoint_ns.to_owned(),
        checkpoint_id: row.get(0)?,
    };
    // A damaged index leads to a row that is whole, and another one.
    if checkpoint_id.is_some_and(|asked| asked != key.checkpoint_id) {
        return Err(row::damaged(&key, "it was found in place of another"));
    }
    let parent_checkpoint_id: Option<String> = row.get(1)?;
    let binding = Binding::Checkpoint {
        key: &key,
        parent: parent_checkpoint_id.as_deref(),
        metadata: row::optional_bytes(row, 4)?,
    };
    let value = transaction.chunks.latest_value(row, 2, &binding)?;
    let metadata = row::payload(row, 4, &key)?;
    let mut by_checkpoint = connection.prepare_cached(transaction.statements.by_checkpoint)?;
    let writes = row::writes(
        &transaction.chunks,
        &mut by_checkpoint,
        params![thread_id, checkpoint_ns, key.checkpoint_id],
        &key,
    )?;
    Ok(Some(StoredTuple {
        key,
        parent_checkpoint_id,
        value,
        metadata,
        writes,
    }))
}

pub(super) fn pending_sends(
    transaction: &ReadTransaction<'_>,
    keys: &[CheckpointKey],
) -> Result<Vec<Vec<StoredWrite>>> {
    let mut by_channel = transaction
        .connection
        .prepare_cached(transaction.statements.by_channel)?;
    keys.iter()
        .map(|key| {
            let parameters = params![key.thread_id, key.checkpoint_ns, key.checkpoint_id, TASKS];
            row::writes(&transaction.chunks, &mut by_channel, parameters, key)
        })
        .collect()
}
