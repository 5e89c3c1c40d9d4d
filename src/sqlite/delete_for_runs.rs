//! `delete_for_runs`: the checkpoints whose metadata names a run, and their writes.

use rusqlite::{Connection, params};

use super::statements as sql;
use crate::error::Result;
use crate::model::CheckpointKey;

pub(super) fn delete_for_runs(connection: &Connection, run_ids: &[String]) -> Result<()> {
    let run_ids = serde_json::Value::from(run_ids).to_string();
    let keys = connection
        .prepare_cached(sql::SELECT_RUN_CHECKPOINTS)?
        .query_map([run_ids], |row| {
            Ok(CheckpointKey {
                thread_id: row.get(0)?,
                checkpoint_ns: row.get(1)?,
                checkpoint_id: row.get(2)?,
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for key in &keys {
        delete_checkpoint(connection, key)?;
    }
    Ok(())
}

/// Removes one checkpoint and the writes stored at it.
pub(super) fn delete_checkpoint(connection: &Connection, key: &CheckpointKey) -> Result<()> {
    for statement in [sql::DELETE_CHECKPOINT_WRITES, sql::DELETE_CHECKPOINT] {
        connection.prepare_cached(statement)?.execute(params![
            key.thread_id,
            key.checkpoint_ns,
            key.checkpoint_id
        ])?;
    }
    Ok(())
}
