//! `delete_for_runs`: finds the checkpoints whose metadata names a run; `remove` deletes them.

use super::engine::ReadTransaction;
use super::statements as sql;
use crate::error::Result;
use crate::model::{CheckpointKey, Removal, RemovalStep};

pub(super) fn delete_for_runs(transaction: &ReadTransaction<'_>, run_ids: &[String]) -> Result<Removal> {
    let run_ids = serde_json::Value::from(run_ids).to_string();
    let mut statement = transaction
        .connection
        .prepare_cached(sql::SELECT_RUN_CHECKPOINTS)?;
    let keys = statement.query_map([run_ids], |row| {
        Ok(CheckpointKey {
            thread_id: row.get(0)?,
            checkpoint_ns: row.get(1)?,
            checkpoint_id: row.get(2)?,
        })
    })?;
    let steps = keys
        .map(|key| Ok(RemovalStep::Checkpoint(key?)))
        .collect::<Result<_>>()?;
    Ok(Removal { steps })
}
