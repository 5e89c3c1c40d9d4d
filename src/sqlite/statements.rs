//! Every SQL text but the schema's. User input is bound, never spliced: the only text that is put
//! together comes from the closed set of fragments in [`list_keys`].

pub(super) mod deletions;
pub(super) mod maintenance;
pub(super) mod retention;
pub(super) mod threads;

use crate::model::{FilterValue, ListFilter};

/// The metadata as text, NULL where it is no JSON. It may hold NaN, hence JSON5 (2).
macro_rules! document {
    () => {
        "CASE WHEN json_valid(CAST(metadata AS TEXT), 2) THEN CAST(metadata AS TEXT) END"
    };
}

pub(super) const SCHEMA_VERSION: &str = "PRAGMA schema_version";
pub(super) const BEGIN_READ: &str = "BEGIN";
pub(super) const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";
pub(super) const COMMIT: &str = "COMMIT";
pub(super) const ROLLBACK: &str = "ROLLBACK";

pub(super) const SAVEPOINT: &str = "SAVEPOINT job";
pub(super) const ROLLBACK_TO: &str = "ROLLBACK TO job";
pub(super) const RELEASE: &str = "RELEASE job";
/// Changes when another connection commits.
pub(super) const DATA_VERSION: &str = "PRAGMA data_version";

pub(super) const CHECKPOINT_PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";
pub(super) const CHECKPOINT_TRUNCATE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

pub(super) const COMPILE_OPTIONS: &str = "PRAGMA compile_options";

/// Stores nothing if the key is there.
pub(super) const INSERT_CHECKPOINT: &str = "
INSERT OR IGNORE INTO checkpoints
    (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

pub(super) const UPSERT_CHECKPOINT: &str = "
INSERT OR REPLACE INTO checkpoints
    (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

pub(super) const REPLACE_WRITE: &str = "
INSERT OR REPLACE INTO writes
    (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

pub(super) const INSERT_WRITE: &str = "
INSERT OR IGNORE INTO writes
    (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

pub(super) const SELECT_CHECKPOINT: &str = "
SELECT checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata FROM checkpoints
WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3";

pub(super) const SELECT_LATEST: &str = "
SELECT checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata FROM checkpoints
WHERE thread_id = ?1 AND checkpoint_ns = ?2 ORDER BY checkpoint_id DESC LIMIT 1";

pub(super) const SELECT_LATEST_ID: &str = "
SELECT checkpoint_id FROM checkpoints
WHERE thread_id = ?1 AND checkpoint_ns = ?2 ORDER BY checkpoint_id DESC LIMIT 1";

/// One step of the walk along the parents. Ids are monotonic within one process only, so the
/// walk never goes by their order.
pub(super) const SELECT_ANCESTOR: &str = "
SELECT parent_checkpoint_id, type, checkpoint, metadata FROM checkpoints
WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3";

/// The statements on `writes` that name `task_path`. A file from before that column that cannot be migrated,
/// being read-only, is read as if it were `''`.
pub(super) struct WriteStatements {
    /// Where the writes of a checkpoint belong, in the order of `writes_sort_key`.
    pub(super) places: &'static str,
    /// The writes of a checkpoint, in any order: `row::sort_writes` costs less than SQLite's sorter.
    pub(super) by_checkpoint: &'static str,
    /// A write, by its row id.
    pub(super) by_rowid: &'static str,
    /// The writes of a checkpoint to one channel.
    pub(super) by_channel: &'static str,
    /// A page of checkpoints, by a JSON array of row ids, each row once per write.
    pub(super) joined_page: &'static str,
}

pub(super) const WITH_TASK_PATH: WriteStatements = WriteStatements {
    places: "
SELECT task_path, idx FROM writes
WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3
ORDER BY task_path, task_id, idx",
    by_checkpoint: "
SELECT task_id, channel, type, value, task_path, idx FROM writes
WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3",
    by_rowid: "SELECT task_id, channel, type, value, task_path, idx FROM writes WHERE rowid = ?1",
    by_channel: "
SELECT task_id, channel, type, value, task_path, idx FROM writes
WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3 AND channel = ?4",
    joined_page: "
SELECT c.rowid, c.thread_id, c.checkpoint_ns, c.checkpoint_id, c.parent_checkpoint_id,
       c.type, c.checkpoint, c.metadata, w.task_id, w.channel, w.type, w.value, w.task_path, w.idx
FROM json_each(?1) AS page
CROSS JOIN checkpoints AS c ON c.rowid = page.value
LEFT JOIN writes AS w ON w.thread_id = c.thread_id AND w.checkpoint_ns = c.checkpoint_ns
    AND w.checkpoint_id = c.checkpoint_id",
};

pub(super) const WITHOUT_TASK_PATH: WriteStatements = WriteStatements {
    places: "
SELECT '', idx FROM writes
WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3
ORDER BY task_id, idx",
    by_checkpoint: "
SELECT task_id, channel, type, value, '', idx FROM writes
WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3",
    by_rowid: "SELECT task_id, channel, type, value, '', idx FROM writes WHERE rowid = ?1",
    by_channel: "
SELECT task_id, channel, type, value, '', idx FROM writes
WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3 AND channel = ?4",
    joined_page: "
SELECT c.rowid, c.thread_id, c.checkpoint_ns, c.checkpoint_id, c.parent_checkpoint_id,
       c.type, c.checkpoint, c.metadata, w.task_id, w.channel, w.type, w.value, '', w.idx
FROM json_each(?1) AS page
CROSS JOIN checkpoints AS c ON c.rowid = page.value
LEFT JOIN writes AS w ON w.thread_id = c.thread_id AND w.checkpoint_ns = c.checkpoint_ns
    AND w.checkpoint_id = c.checkpoint_id",
};

pub(super) const DELETE_NAMESPACE_WRITES: &str =
    "DELETE FROM writes WHERE thread_id = ?1 AND checkpoint_ns = ?2";

/// Yields the bytes of the row.
pub(super) const DELETE_CHECKPOINT: &str = "
DELETE FROM checkpoints WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3
RETURNING ifnull(octet_length(checkpoint), 0) + ifnull(octet_length(metadata), 0)";
pub(super) const DELETE_CHECKPOINT_WRITES: &str =
    "DELETE FROM writes WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3";

/// A full scan: an index on metadata would make upstream's own put fail.
pub(super) const SELECT_RUN_CHECKPOINTS: &str = concat!(
    "SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints WHERE json_extract(",
    document!(),
    ", '$.run_id') IN (SELECT value FROM json_each(?1))
AND +thread_id >= ?2 AND +thread_id < ifnull(?3, x'')"
);

/// The key after `(?2, ?3)`; the first one after NULLs.
pub(super) const NEXT_CHECKPOINT_KEY: &str = "
SELECT checkpoint_ns, checkpoint_id FROM checkpoints
WHERE thread_id = ?1 AND (checkpoint_ns, checkpoint_id) > (ifnull(?2, ''), ifnull(?3, ''))
ORDER BY checkpoint_ns, checkpoint_id LIMIT 1";

pub(super) const NEXT_WRITES_KEY: &str = "
SELECT checkpoint_ns, checkpoint_id FROM writes
WHERE thread_id = ?1 AND (checkpoint_ns, checkpoint_id) > (ifnull(?2, ''), ifnull(?3, ''))
ORDER BY checkpoint_ns, checkpoint_id LIMIT 1";

pub(super) const COPY_CHECKPOINT: &str = "
INSERT OR REPLACE INTO checkpoints
    (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata)
SELECT ?2, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata
FROM checkpoints WHERE thread_id = ?1 AND checkpoint_ns = ?3 AND checkpoint_id = ?4";

pub(super) const COPY_WRITES: &str = "
INSERT OR REPLACE INTO writes
    (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value)
SELECT ?2, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value
FROM writes WHERE thread_id = ?1 AND checkpoint_ns = ?3 AND checkpoint_id = ?4 ORDER BY rowid";

/// The tree of a thread: per checkpoint its parent, the root checkpoint its subgraph call started
/// from, and the channels with delta counters (a JSON object).
pub(super) const SELECT_TREE: &str = concat!(
    "SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, CAST(json_extract(",
    document!(),
    ", '$.parents.\"\"') AS TEXT), CAST(json_extract(",
    document!(),
    ", '$.counters_since_delta_snapshot') AS TEXT)
FROM checkpoints WHERE thread_id = ?1"
);

pub(super) const HAS_PENDING_SENDS: &str = "
SELECT EXISTS (SELECT 1 FROM writes
    WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3 AND channel = '__pregel_tasks')";

pub(super) const CUT_PARENT: &str = "
UPDATE checkpoints SET parent_checkpoint_id = NULL
WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3 AND parent_checkpoint_id = ?4";

/// Notes which thread a run went on in, if the metadata names one.
pub(super) const INSERT_RUN: &str = "
INSERT OR IGNORE INTO checkpoint_runs
SELECT json_extract(metadata, '$.run_id'), ?2
FROM (SELECT CASE WHEN json_valid(CAST(?1 AS TEXT), 2) THEN CAST(?1 AS TEXT) END AS metadata)
WHERE json_extract(metadata, '$.run_id') IS NOT NULL";

pub(super) const SELECT_CHUNK: &str =
    "SELECT thread_no, kind, hash, checksum, data FROM checkpoint_chunks WHERE id = ?1";

pub(super) const FIND_CHUNK: &str = "SELECT id FROM checkpoint_chunks WHERE thread_no = ?1 AND hash = ?2";

pub(super) const INSERT_CHUNK: &str =
    "INSERT INTO checkpoint_chunks (thread_no, kind, hash, checksum, data) VALUES (?1, ?2, ?3, ?4, ?5)";

pub(super) const SELECT_THREAD: &str =
    "SELECT thread_no, revision, puts FROM checkpoint_threads WHERE thread_id = ?1";

pub(super) const SELECT_CHUNK_KINDS: &str = "SELECT id, kind FROM checkpoint_chunks WHERE thread_no = ?1";

pub(super) const SELECT_CHECKPOINT_RECIPES: &str =
    "SELECT checkpoint_ns, checkpoint_id, checkpoint FROM checkpoints WHERE thread_id = ?1 AND type = ?2";
pub(super) const SELECT_WRITE_RECIPES: &str =
    "SELECT checkpoint_ns, checkpoint_id, value FROM writes WHERE thread_id = ?1 AND type = ?2";

/// Changes nothing if a put or another sweep came first.
pub(super) const RAISE_REVISION: &str = "
UPDATE checkpoint_threads SET revision = revision + 1
WHERE thread_no = ?1 AND revision = ?2 AND puts = ?3";

/// Yields the bytes of the chunk.
pub(super) const DELETE_CHUNK: &str =
    "DELETE FROM checkpoint_chunks WHERE id = ?1 RETURNING octet_length(data)";

/// The recipe of a checkpoint, to be written anew in another place.
pub(super) const SELECT_RECIPE: &str = "
SELECT parent_checkpoint_id, checkpoint, metadata FROM checkpoints
WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3 AND type = ?4";
pub(super) const UPDATE_RECIPE: &str = "
UPDATE checkpoints SET parent_checkpoint_id = ?4, checkpoint = ?5
WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3";
/// Of the writes that are also under the key of thread `?5`.
pub(super) const SELECT_WRITES_RECIPES: &str = "
SELECT rowid, task_id, task_path, idx, channel, value FROM writes AS copied
WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3 AND type = ?4
    AND EXISTS (SELECT 1 FROM writes WHERE thread_id = ?5 AND checkpoint_ns = ?2 AND checkpoint_id = ?3
        AND task_id = copied.task_id AND idx = copied.idx)";
pub(super) const UPDATE_WRITE_RECIPE: &str = "UPDATE writes SET value = ?2 WHERE rowid = ?1";

pub(super) const COPY_RUNS: &str = "
INSERT OR IGNORE INTO checkpoint_runs SELECT run_id, ?2 FROM checkpoint_runs WHERE thread_id = ?1";

/// The runs' threads are few: only their checkpoints are looked at.
pub(super) const SELECT_INDEXED_RUN_CHECKPOINTS: &str = concat!(
    "SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints
WHERE thread_id IN (SELECT thread_id FROM checkpoint_runs
    WHERE run_id IN (SELECT value FROM json_each(?1)) AND thread_id >= ?2 AND thread_id < ifnull(?3, x''))
AND json_extract(",
    document!(),
    ", '$.run_id') IN (SELECT value FROM json_each(?1))"
);

/// The row after a row id.
pub(super) const NEXT_CHECKPOINT_ROW: &str = "
SELECT rowid, thread_id, checkpoint_ns, checkpoint_id, type, checkpoint, parent_checkpoint_id, metadata
FROM checkpoints WHERE rowid > ?1 ORDER BY rowid LIMIT 1";
pub(super) const NEXT_WRITE_ROW: &str = "
SELECT rowid, thread_id, checkpoint_ns, checkpoint_id, type, value, task_id, task_path, idx, channel
FROM writes WHERE rowid > ?1 ORDER BY rowid LIMIT 1";
pub(super) const CONVERT_CHECKPOINT: &str =
    "UPDATE checkpoints SET type = ?2, checkpoint = ?3 WHERE rowid = ?1";
pub(super) const CONVERT_WRITE: &str = "UPDATE writes SET type = ?2, value = ?3 WHERE rowid = ?1";
pub(super) const COUNT_ROWS: &str =
    "SELECT (SELECT count(*) FROM checkpoints) + (SELECT count(*) FROM writes)";

/// The rows of a range of threads. A blob sorts after every text.
pub(super) const SELECT_STORED_CHECKPOINTS: &str = "
SELECT thread_id, checkpoint_ns, checkpoint_id, type, checkpoint, length(metadata) FROM checkpoints
WHERE thread_id >= ?1 AND thread_id < ifnull(?2, x'')";
pub(super) const SELECT_STORED_WRITES: &str = "
SELECT thread_id, checkpoint_ns, checkpoint_id, type, value, channel FROM writes
WHERE thread_id >= ?1 AND thread_id < ifnull(?2, x'')";
pub(super) const SELECT_CHUNK_LENGTH: &str = "SELECT kind, length(data) FROM checkpoint_chunks WHERE id = ?1";

pub(super) const CHUNKED_THREADS: &str = "
SELECT thread_id FROM checkpoint_threads WHERE thread_id > ?1 ORDER BY thread_id LIMIT 256";
pub(super) const AUTO_VACUUM: &str = "PRAGMA auto_vacuum";
pub(super) const FREELIST_COUNT: &str = "PRAGMA freelist_count";
pub(super) const CHOOSE_INCREMENTAL: &str = "PRAGMA auto_vacuum = INCREMENTAL";
pub(super) const VACUUM: &str = "VACUUM";
/// Each step of it frees one page.
pub(super) const INCREMENTAL_VACUUM: &str = "PRAGMA incremental_vacuum";

/// The keys of one page of `list`, with a parameter for each `?`: see `list.rs`.
pub(super) fn list_keys(filter: &ListFilter, after: bool) -> String {
    let mut conditions: Vec<&str> = Vec::new();
    if !filter.threads.is_all() {
        conditions.push("thread_id >= ? AND thread_id < ifnull(?, x'')");
    }
    if filter.thread_id.is_some() {
        conditions.push("thread_id = ?");
    }
    if filter.checkpoint_ns.is_some() {
        conditions.push("checkpoint_ns = ?");
    }
    if filter.checkpoint_id.is_some() {
        conditions.push("checkpoint_id = ?");
    }
    if filter.before.is_some() {
        conditions.push("checkpoint_id < ?");
    }
    if after {
        conditions.push("checkpoint_id <= ? AND (checkpoint_id < ? OR (thread_id, checkpoint_ns) > (?, ?))");
    }
    for condition in &filter.metadata {
        conditions.push(match (&condition.paths.1, &condition.value) {
            (None, FilterValue::Null) => concat!("json_extract(", document!(), ", ?) IS NULL"),
            (None, _) => concat!("json_extract(", document!(), ", ?) = ?"),
            (Some(_), FilterValue::Null) => concat!(
                "coalesce(json_extract(",
                document!(),
                ", ?), json_extract(",
                document!(),
                ", ?)) IS NULL"
            ),
            (Some(_), _) => concat!(
                "coalesce(json_extract(",
                document!(),
                ", ?), json_extract(",
                document!(),
                ", ?)) = ?"
            ),
        });
    }
    let clause = if conditions.is_empty() {
        String::new()
    } else {
        format!("WHERE {}", conditions.join(" AND "))
    };
    format!(
        "SELECT rowid, thread_id, checkpoint_ns, checkpoint_id FROM checkpoints {clause}
         ORDER BY checkpoint_id DESC, thread_id, checkpoint_ns LIMIT ?"
    )
}
