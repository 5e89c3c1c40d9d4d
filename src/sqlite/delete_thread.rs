//! `delete_thread`: both tables, one transaction.

use rusqlite::Connection;

use super::statements as sql;
use crate::error::Result;

pub(super) fn delete_thread(connection: &Connection, thread_id: &str) -> Result<()> {
    connection
        .prepare_cached(sql::DELETE_THREAD_CHECKPOINTS)?
        .execute([thread_id])?;
    connection
        .prepare_cached(sql::DELETE_THREAD_WRITES)?
        .execute([thread_id])?;
    Ok(())
}
