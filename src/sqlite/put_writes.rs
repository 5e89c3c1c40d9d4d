//! `put_writes`: one row a write, all in the caller's transaction.

use rusqlite::{Connection, params};

use super::statements as sql;
use crate::error::Result;
use crate::model::{EncodedWrites, OnConflict};

pub(super) fn put_writes(connection: &Connection, writes: &EncodedWrites) -> Result<()> {
    let mut statement = connection.prepare_cached(match writes.on_conflict {
        OnConflict::Replace => sql::REPLACE_WRITE,
        OnConflict::Ignore => sql::INSERT_WRITE,
    })?;
    let key = &writes.key;
    for write in &writes.writes {
        statement.execute(params![
            key.thread_id,
            key.checkpoint_ns,
            key.checkpoint_id,
            writes.task_id,
            writes.task_path,
            write.index,
            write.channel,
            write.value.tag,
            write.value.payload,
        ])?;
    }
    Ok(())
}
