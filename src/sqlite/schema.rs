//! The tables: upstream's in its own words, with upstream's one migration, and those of the compact
//! format.

use rusqlite::{Connection, OptionalExtension};

use super::slice::Slice;
use crate::error::{Error, Result};
use crate::model::Format;

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

/// What is known of threads. `revision`, `puts` and the second group hold what can be derived from the
/// other tables, in a compact file only; the rest is the user's, and is kept in an interop file too, once
/// there is any. Times are milliseconds since 1970; `updated` is NULL for a thread that is not listed, and
/// moves so rarely that its index costs a put nothing as a rule. `thread_id` is NULL once the thread is
/// deleted, until its chunks are.
const CREATE_THREADS: &str = "
CREATE TABLE IF NOT EXISTS checkpoint_threads (
    thread_no INTEGER PRIMARY KEY AUTOINCREMENT,
    thread_id TEXT UNIQUE,
    revision INTEGER NOT NULL DEFAULT 0,
    puts INTEGER NOT NULL DEFAULT 0,

    created INTEGER,
    updated INTEGER,
    checkpoints INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    head TEXT,
    step INTEGER,
    source TEXT,
    run_id TEXT,
    status TEXT,
    nodes TEXT,

    title TEXT,
    metadata TEXT,
    archived INTEGER NOT NULL DEFAULT 0,
    pinned INTEGER NOT NULL DEFAULT 0,
    ttl INTEGER,
    expires INTEGER,
    lease_token TEXT,
    lease_fence INTEGER NOT NULL DEFAULT 0,
    lease_expires INTEGER
);
CREATE INDEX IF NOT EXISTS checkpoint_threads_by_updated ON checkpoint_threads (updated);";

/// The other tables of version 1 of the compact format. The triggers stop upstream's savers, which would store
/// rows beside ours; our connections run without triggers.
const CREATE_COMPACT: &str = "
CREATE TABLE checkpoint_meta (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE checkpoint_chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    thread_no INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    hash BLOB NOT NULL,
    data BLOB NOT NULL
);
CREATE UNIQUE INDEX checkpoint_chunks_by_hash ON checkpoint_chunks (thread_no, hash);
CREATE TABLE checkpoint_runs (
    run_id NOT NULL,
    thread_id TEXT NOT NULL,
    PRIMARY KEY (run_id, thread_id)
) WITHOUT ROWID;
CREATE INDEX checkpoint_runs_by_thread ON checkpoint_runs (thread_id);
CREATE TRIGGER checkpoint_format_checkpoints BEFORE INSERT ON checkpoints BEGIN
    SELECT RAISE(ABORT, 'this database is in the compact format of langgraph-checkpoint-rust: use its savers, or downgrade it with them');
END;
CREATE TRIGGER checkpoint_format_writes BEFORE INSERT ON writes BEGIN
    SELECT RAISE(ABORT, 'this database is in the compact format of langgraph-checkpoint-rust: use its savers, or downgrade it with them');
END;
INSERT INTO checkpoint_meta VALUES ('format', 'compact'), ('min_reader', '1'), ('min_writer', '1');";

/// What is left of the compact format once its chunks are gone.
const DROP_COMPACT: &str = "
DROP TRIGGER checkpoint_format_checkpoints;
DROP TRIGGER checkpoint_format_writes;
DROP TABLE checkpoint_runs;
DROP TABLE checkpoint_chunks;
DROP TABLE checkpoint_meta;
DELETE FROM checkpoint_threads WHERE thread_id IS NULL OR (title IS NULL AND metadata IS NULL AND archived = 0
    AND pinned = 0 AND ttl IS NULL AND expires IS NULL AND lease_expires IS NULL);
UPDATE checkpoint_threads SET checkpoints = 0, bytes = 0, head = NULL, step = NULL, source = NULL,
    run_id = NULL, status = NULL, nodes = NULL;";

const HAS_NOTES: &str = "SELECT 1 FROM checkpoint_threads LIMIT 1";
const DROP_THREADS: &str = "DROP TABLE checkpoint_threads";

const SET_FORMAT: &str = "UPDATE checkpoint_meta SET value = ?1 WHERE key = 'format'";
const HAS_RECIPES: &str = "
SELECT EXISTS (SELECT 1 FROM checkpoints WHERE type = 'chunked')
    OR EXISTS (SELECT 1 FROM writes WHERE type = 'chunked')";
const DELETE_SOME_CHUNKS: &str =
    "DELETE FROM checkpoint_chunks WHERE id IN (SELECT id FROM checkpoint_chunks LIMIT 64)";

const SELECT_META: &str = "SELECT key, value FROM checkpoint_meta";

/// The version of the compact format that this library reads and writes.
const VERSION: i64 = 1;

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

/// Whether there is a table of threads: in an interop file, once a user said something of one.
pub(super) fn has_threads(connection: &Connection) -> Result<bool> {
    Ok(connection
        .prepare_cached(TABLE_EXISTS)?
        .exists(["checkpoint_threads"])?)
}

/// Makes the table of threads.
pub(super) fn add_threads(connection: &Connection) -> Result<()> {
    Ok(connection.execute_batch(CREATE_THREADS)?)
}

/// What a version to come may not be asked to bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// The format of the file. Fails if it is of a version to come, which this library would misread or damage.
pub(super) fn format(connection: &Connection, access: Access) -> Result<Format> {
    let exists = |name: &str| connection.query_row(TABLE_EXISTS, [name], |_| Ok(())).optional();
    if exists("checkpoint_meta")?.is_none() {
        return Ok(Format::Interop);
    }
    let mut format = Format::Interop;
    let mut statement = connection.prepare_cached(SELECT_META)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (key, value): (String, String) = (row.get(0)?, row.get(1)?);
        match key.as_str() {
            "format" if value == "compact" => format = Format::Compact,
            "format" if value == "downgrading" => format = Format::Downgrading,
            "min_reader" | "min_writer" => {
                let needs = value.parse().unwrap_or(i64::MAX);
                if needs > VERSION && (key == "min_reader" || access == Access::Write) {
                    return Err(Error::NewerSchema { needs });
                }
            }
            _ => {}
        }
    }
    Ok(format)
}

/// Brings the tables up to date inside the caller's write transaction; another process may have
/// done it since `inspect`. Tables that are made now are of the format `made`.
pub(super) fn migrate(connection: &Connection, made: Format) -> Result<()> {
    let exists = |name: &str| connection.query_row(TABLE_EXISTS, [name], |_| Ok(())).optional();
    let is_new = exists("checkpoints")?.is_none() && exists("writes")?.is_none();
    connection.execute_batch(CREATE_TABLES)?;
    if is_new && made == Format::Compact {
        connection.execute_batch(CREATE_THREADS)?;
        connection.execute_batch(CREATE_COMPACT)?;
    }
    if inspect(connection)? == Schema::WithoutTaskPath {
        connection.execute_batch(ADD_TASK_PATH)?;
    }
    Ok(())
}

/// Makes new rows be of the format that the file is going to have; the format they have.
pub(super) fn begin_conversion(connection: &Connection, target: Format) -> Result<Format> {
    match (format(connection, Access::Write)?, target) {
        (Format::Interop, Format::Compact) => {
            connection.execute_batch(CREATE_THREADS)?;
            connection.execute_batch(CREATE_COMPACT)?;
            Ok(Format::Compact)
        }
        (Format::Compact | Format::Downgrading, Format::Compact) => {
            connection.execute(SET_FORMAT, ["compact"])?;
            Ok(Format::Compact)
        }
        (Format::Interop, _) => Ok(Format::Interop),
        (Format::Compact | Format::Downgrading, _) => {
            connection.execute(SET_FORMAT, ["downgrading"])?;
            Ok(Format::Downgrading)
        }
    }
}

/// Removes chunks, and at the end what else the compact format added; false if something is left. No new
/// recipe can have come: the marker is read by each write.
pub(super) fn end_downgrade(connection: &Connection, slice: &Slice) -> Result<Ended> {
    if format(connection, Access::Write)? == Format::Interop {
        return Ok(Ended::Done);
    }
    if connection.query_row(HAS_RECIPES, [], |row| row.get(0))? {
        return Ok(Ended::RecipesLeft);
    }
    let mut delete = connection.prepare_cached(DELETE_SOME_CHUNKS)?;
    while delete.execute([])? > 0 {
        if slice.is_over() {
            return Ok(Ended::ChunksLeft);
        }
    }
    drop(delete);
    connection.execute_batch(DROP_COMPACT)?;
    if !connection.prepare(HAS_NOTES)?.exists([])? {
        connection.execute_batch(DROP_THREADS)?;
    }
    Ok(Ended::Done)
}

/// How a slice of the end of a downgrade ended.
pub(super) enum Ended {
    /// The file is in interop format.
    Done,
    /// To be called again.
    ChunksLeft,
    /// Rows were renumbered meanwhile: to be looked for once more.
    RecipesLeft,
}
