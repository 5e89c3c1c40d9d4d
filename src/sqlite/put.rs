//! `put`: one row.

use rusqlite::{Connection, params};

use super::statements as sql;
use crate::error::Result;
use crate::model::EncodedCheckpoint;

pub(super) fn put(connection: &Connection, checkpoint: &EncodedCheckpoint) -> Result<()> {
    let key = &checkpoint.key;
    connection
        .prepare_cached(sql::UPSERT_CHECKPOINT)?
        .execute(params![
            key.thread_id,
            key.checkpoint_ns,
            key.checkpoint_id,
            checkpoint.parent_checkpoint_id,
            checkpoint.value.tag,
            checkpoint.value.payload,
            checkpoint.metadata,
        ])?;
    Ok(())
}
