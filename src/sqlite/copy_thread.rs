//! `copy_thread`: every row of a thread under another id, ids and parents unchanged.

use rusqlite::Connection;

use super::statements as sql;
use crate::error::Result;

pub(super) fn copy_thread(connection: &Connection, source: &str, target: &str) -> Result<()> {
    if source == target {
        return Ok(());
    }
    connection
        .prepare_cached(sql::COPY_CHECKPOINTS)?
        .execute([source, target])?;
    connection
        .prepare_cached(sql::COPY_WRITES)?
        .execute([source, target])?;
    Ok(())
}
