//! The tables, in upstream's own words, and upstream's one migration.

use rusqlite::{Connection, OptionalExtension};

use crate::error::Result;

const TABLE_EXISTS: &str = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
const COLUMN_EXISTS: &str = "SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2";

/// Column for column as `langgraph-checkpoint-sqlite` 3.1.2 makes them: both libraries share the file.
const CREATE_TABLES: &str = "
CREATE TABLE IF NOT EXISTS checkpoints (
    thread_id TEXT NOT NULL,
    checkpoint_ns TEXT NOT NULL DEFAULT '',
    checkpoint_id TEXT NOT NULL,
    parent_checkpoint_id TEXT,
    type TEXT,
    checkpoint BLOB,
    metadata BLOB,
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
);
CREATE TABLE IF NOT EXISTS writes (
    thread_id TEXT NOT NULL,
    checkpoint_ns TEXT NOT NULL DEFAULT '',
    checkpoint_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    task_path TEXT NOT NULL DEFAULT '',
    idx INTEGER NOT NULL,
    channel TEXT NOT NULL,
    type TEXT,
    value BLOB,
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
);";

const ADD_TASK_PATH: &str = "ALTER TABLE writes ADD COLUMN task_path TEXT NOT NULL DEFAULT ''";

/// What the file offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schema {
    /// No tables, in a file that cannot be written: nothing is stored.
    Absent,
    /// Tables from before `task_path`, in a file that cannot be written.
    WithoutTaskPath,
    /// Today's tables.
    Current,
}

/// What is there now.
pub(super) fn inspect(connection: &Connection) -> Result<Schema> {
    let exists = |name: &str| connection.query_row(TABLE_EXISTS, [name], |_| Ok(())).optional();
    if exists("checkpoints")?.is_none() || exists("writes")?.is_none() {
        return Ok(Schema::Absent);
    }
    let column = connection
        .query_row(COLUMN_EXISTS, ["writes", "task_path"], |_| Ok(()))
        .optional()?;
    Ok(if column.is_some() {
        Schema::Current
    } else {
        Schema::WithoutTaskPath
    })
}

/// Brings the tables up to date inside the caller's write transaction; another process may have
/// done it since `inspect`.
pub(super) fn migrate(connection: &Connection) -> Result<()> {
    connection.execute_batch(CREATE_TABLES)?;
    if inspect(connection)? == Schema::WithoutTaskPath {
        connection.execute_batch(ADD_TASK_PATH)?;
    }
    Ok(())
}
