//! The SQL of `backup`, `restore`, `verify`, and of moving threads between files.

pub(in crate::sqlite) const PAGE_SIZE: &str = "PRAGMA page_size";
pub(in crate::sqlite) const QUICK_CHECK: &str = "PRAGMA quick_check(1)";
pub(in crate::sqlite) const INTEGRITY_CHECK: &str = "PRAGMA integrity_check(100)";
pub(in crate::sqlite) const LOCK_EXCLUSIVELY: &str = "BEGIN EXCLUSIVE";

/// It may hold NaN, hence JSON5 (2).
pub(in crate::sqlite) const IS_JSON: &str = "SELECT json_valid(CAST(?1 AS TEXT), 2)";

/// The first threads.
pub(in crate::sqlite) const SELECT_THREADS: &str = "
SELECT thread_id FROM checkpoints WHERE thread_id >= ?1 AND thread_id < ifnull(?2, x'')
UNION SELECT thread_id FROM writes WHERE thread_id >= ?1 AND thread_id < ifnull(?2, x'')
ORDER BY thread_id LIMIT ?3";
/// The same, with those of which there are only notes.
pub(in crate::sqlite) const SELECT_NOTED_THREADS: &str = "
SELECT thread_id FROM checkpoints WHERE thread_id >= ?1 AND thread_id < ifnull(?2, x'')
UNION SELECT thread_id FROM writes WHERE thread_id >= ?1 AND thread_id < ifnull(?2, x'')
UNION SELECT thread_id FROM checkpoint_threads WHERE thread_id >= ?1 AND thread_id < ifnull(?2, x'')
ORDER BY thread_id LIMIT ?3";

/// The keys of all checkpoints and writes after `(?1, ?2, ?3)`; from the first one after NULLs.
pub(in crate::sqlite) const SELECT_KEYS: &str = "
SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints
WHERE (thread_id, checkpoint_ns, checkpoint_id) > (ifnull(?1, ''), ifnull(?2, ''), ifnull(?3, ''))
UNION SELECT thread_id, checkpoint_ns, checkpoint_id FROM writes
WHERE (thread_id, checkpoint_ns, checkpoint_id) > (ifnull(?1, ''), ifnull(?2, ''), ifnull(?3, ''))
ORDER BY thread_id, checkpoint_ns, checkpoint_id LIMIT 256";

/// The last namespace of a thread before `?2`; the last one before NULL, since any text is less than a blob.
pub(in crate::sqlite) const NAMESPACE_BEFORE: &str = "
SELECT max(ns) FROM (
    SELECT max(checkpoint_ns) AS ns FROM checkpoints
    WHERE thread_id = ?1 AND checkpoint_ns < ifnull(?2, x'')
    UNION ALL
    SELECT max(checkpoint_ns) FROM writes
    WHERE thread_id = ?1 AND checkpoint_ns < ifnull(?2, x''))";

/// The ids in a namespace after `?3`, of checkpoints and of writes.
pub(in crate::sqlite) const SELECT_NAMESPACE_IDS: &str = "
SELECT checkpoint_id FROM checkpoints WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id > ?3
UNION SELECT checkpoint_id FROM writes WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id > ?3
ORDER BY checkpoint_id LIMIT 256";

/// The rows of a table with their keys, after a row id. No page that holds only a part of a value is read.
pub(in crate::sqlite) const CHECKPOINTS_BY_ROWID: &str = "
SELECT rowid, thread_id, checkpoint_ns, checkpoint_id, '', 0 FROM checkpoints NOT INDEXED
WHERE rowid > ?1 ORDER BY rowid";
pub(in crate::sqlite) const WRITES_BY_ROWID: &str = "
SELECT rowid, thread_id, checkpoint_ns, checkpoint_id, task_id, idx FROM writes NOT INDEXED
WHERE rowid > ?1 ORDER BY rowid";

/// The same after a key, from the index alone.
pub(in crate::sqlite) const CHECKPOINTS_BY_KEY: &str = "
SELECT rowid, thread_id, checkpoint_ns, checkpoint_id, '', 0
FROM checkpoints INDEXED BY sqlite_autoindex_checkpoints_1
WHERE (thread_id, checkpoint_ns, checkpoint_id) > (?1, ?2, ?3) AND ?4 IS NOT NULL AND ?5 IS NOT NULL
ORDER BY thread_id, checkpoint_ns, checkpoint_id";
pub(in crate::sqlite) const WRITES_BY_KEY: &str = "
SELECT rowid, thread_id, checkpoint_ns, checkpoint_id, task_id, idx
FROM writes INDEXED BY sqlite_autoindex_writes_1
WHERE (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) > (?1, ?2, ?3, ?4, ?5)
ORDER BY thread_id, checkpoint_ns, checkpoint_id, task_id, idx";

/// The same before a key, backwards.
pub(in crate::sqlite) const CHECKPOINTS_BY_KEY_BACK: &str = "
SELECT rowid, thread_id, checkpoint_ns, checkpoint_id, '', 0
FROM checkpoints INDEXED BY sqlite_autoindex_checkpoints_1
WHERE (thread_id, checkpoint_ns, checkpoint_id) < (?1, ?2, ?3) AND ?4 IS NOT NULL AND ?5 IS NOT NULL
ORDER BY thread_id DESC, checkpoint_ns DESC, checkpoint_id DESC LIMIT 1024";
pub(in crate::sqlite) const WRITES_BY_KEY_BACK: &str = "
SELECT rowid, thread_id, checkpoint_ns, checkpoint_id, task_id, idx
FROM writes INDEXED BY sqlite_autoindex_writes_1
WHERE (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) < (?1, ?2, ?3, ?4, ?5)
ORDER BY thread_id DESC, checkpoint_ns DESC, checkpoint_id DESC, task_id DESC, idx DESC LIMIT 1024";

pub(in crate::sqlite) const CHECKPOINT_OF_ROWID: &str =
    "SELECT parent_checkpoint_id, type, checkpoint, metadata FROM checkpoints WHERE rowid = ?1";

/// Some threads that have no row of their own.
pub(in crate::sqlite) const THREADS_WITHOUT_ROW: &str = "
SELECT DISTINCT thread_id FROM checkpoints
WHERE thread_id NOT IN (SELECT thread_id FROM checkpoint_threads WHERE thread_id IS NOT NULL)
    AND thread_id NOT IN (SELECT thread_id FROM checkpoint_deletions)
UNION SELECT DISTINCT thread_id FROM writes
WHERE thread_id NOT IN (SELECT thread_id FROM checkpoint_threads WHERE thread_id IS NOT NULL)
    AND thread_id NOT IN (SELECT thread_id FROM checkpoint_deletions)
LIMIT 64";
pub(in crate::sqlite) const THREAD_OF_NO: &str =
    "SELECT thread_id FROM checkpoint_threads WHERE thread_no = ?1";
pub(in crate::sqlite) const INSERT_THREAD_ROW: &str =
    "INSERT INTO checkpoint_threads (thread_no, thread_id, puts) VALUES (?1, ?2, 1)";
pub(in crate::sqlite) const NEWEST_ID_OF_THREAD: &str =
    "SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = ?1";
pub(in crate::sqlite) const COUNT_LOST_CHUNKS: &str = "
SELECT count(*) FROM checkpoint_chunks
WHERE thread_no NOT IN (SELECT thread_no FROM checkpoint_threads)";
pub(in crate::sqlite) const DELETE_SOME_LOST_CHUNKS: &str = "
DELETE FROM checkpoint_chunks WHERE id IN (SELECT id FROM checkpoint_chunks
    WHERE thread_no NOT IN (SELECT thread_no FROM checkpoint_threads) LIMIT 64)";

/// Rows as they were on their pages, with their row id first where they have one.
pub(in crate::sqlite) const CARVED_CHECKPOINT: &str = "
INSERT OR IGNORE INTO checkpoints
    (rowid, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
pub(in crate::sqlite) const CARVED_WRITE: &str = "
INSERT OR IGNORE INTO writes
    (rowid, thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
pub(in crate::sqlite) const CARVED_CHUNK: &str = "
INSERT OR IGNORE INTO checkpoint_chunks (id, thread_no, kind, hash, checksum, data)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
pub(in crate::sqlite) const CARVED_THREAD: &str = "
INSERT OR IGNORE INTO checkpoint_threads VALUES
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)";
pub(in crate::sqlite) const CARVED_DELETION: &str = "
INSERT OR IGNORE INTO checkpoint_deletions (thread_id, thread_no, overwrite) VALUES (?1, ?2, ?3)";
