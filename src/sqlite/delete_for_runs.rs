//! `delete_for_runs`: finds the checkpoints whose metadata names a run; `remove` deletes them.

use rusqlite::params;

use super::engine::ReadTransaction;
use super::schema;
use super::statements as sql;
use crate::error::Result;
use crate::model::{CheckpointKey, Format, Removal, RemovalStep, ThreadRange};

pub(super) fn delete_for_runs(
    transaction: &ReadTransaction<'_>,
    run_ids: &[String],
    threads: &ThreadRange,
) -> Result<Removal> {
    let run_ids = serde_json::Value::from(run_ids).to_string();
    let connection = transaction.connection;
    let mut statement =
        connection.prepare_cached(match schema::format(connection, schema::Access::Read)? {
            Format::Compact => sql::SELECT_INDEXED_RUN_CHECKPOINTS,
            Format::Interop | Format::Downgrading => sql::SELECT_RUN_CHECKPOINTS,
        })?;
    let parameters = params![run_ids, threads.from, threads.until];
    let keys = statement.query_map(parameters, |row| {
        Ok(CheckpointKey {
            thread_id: row.get(0)?,
            checkpoint_ns: row.get(1)?,
            checkpoint_id: row.get(2)?,
        })
    })?;
    let steps = keys
        .map(|key| Ok(RemovalStep::Checkpoint(key?)))
        .collect::<Result<_>>()?;
    Ok(Removal {
        steps,
        ..Removal::default()
    })
}
