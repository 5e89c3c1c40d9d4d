//! The SQL of `prune`'s report and of retention.

/// A time in ISO 8601 in milliseconds after 1970; NULL if it is none.
pub(in crate::sqlite) const MILLISECONDS: &str =
    "SELECT CAST(round(unixepoch(?1, 'subsec') * 1000) AS INTEGER)";

pub(in crate::sqlite) const WEIGH_THREAD_CHECKPOINTS: &str = "
SELECT count(*), ifnull(sum(ifnull(length(checkpoint), 0) + ifnull(length(metadata), 0)), 0)
FROM checkpoints WHERE thread_id = ?1";
pub(in crate::sqlite) const WEIGH_THREAD_WRITES: &str =
    "SELECT count(*), ifnull(sum(length(value)), 0) FROM writes WHERE thread_id = ?1";
pub(in crate::sqlite) const WEIGH_THREAD_CHUNKS: &str = "
SELECT ifnull(sum(length(data)), 0) FROM checkpoint_chunks
WHERE thread_no = (SELECT thread_no FROM checkpoint_threads WHERE thread_id = ?1)";

pub(in crate::sqlite) const WEIGH_CHECKPOINT: &str = "
SELECT ifnull(length(checkpoint), 0) + ifnull(length(metadata), 0) FROM checkpoints
WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3";
pub(in crate::sqlite) const WEIGH_WRITES: &str = "
SELECT count(*), ifnull(sum(length(value)), 0) FROM writes
WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3";
/// Writes of a namespace whose checkpoint is not stored.
pub(in crate::sqlite) const WEIGH_ORPHANS: &str = "
SELECT count(*), ifnull(sum(length(value)), 0) FROM writes AS w
WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND NOT EXISTS (SELECT 1 FROM checkpoints AS c
    WHERE c.thread_id = w.thread_id AND c.checkpoint_ns = w.checkpoint_ns
        AND c.checkpoint_id = w.checkpoint_id)";
pub(in crate::sqlite) const SELECT_CHUNK_LENGTHS: &str = "
SELECT id, length(data) FROM checkpoint_chunks
WHERE thread_no = (SELECT thread_no FROM checkpoint_threads WHERE thread_id = ?1)";

/// Each put stores a new id, and each write a new row.
pub(in crate::sqlite) const SELECT_MARK: &str = "
SELECT (SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = ?1),
    (SELECT ifnull(max(rowid), 0) FROM writes WHERE thread_id = ?1)";

pub(in crate::sqlite) const SELECT_TERMS: &str =
    "SELECT pinned, ttl, expires FROM checkpoint_threads WHERE thread_id = ?1";
pub(in crate::sqlite) const INSERT_TERMS: &str =
    "INSERT OR IGNORE INTO checkpoint_threads (thread_id) VALUES (?1)";
pub(in crate::sqlite) const SET_PINNED: &str =
    "UPDATE checkpoint_threads SET pinned = ?2 WHERE thread_id = ?1";
pub(in crate::sqlite) const SET_TTL: &str =
    "UPDATE checkpoint_threads SET ttl = ?2, expires = ?3 WHERE thread_id = ?1";
/// `?2` is now, `?3` the time to live where the thread has none of its own.
pub(in crate::sqlite) const SET_EXPIRES: &str =
    "UPDATE checkpoint_threads SET expires = ?2 + ifnull(ttl, ?3) WHERE thread_id = ?1";

pub(in crate::sqlite) const SELECT_NEWEST: &str = "
SELECT checkpoint_ns, max(checkpoint_id) FROM checkpoints WHERE thread_id = ?1";
pub(in crate::sqlite) const HAS_WRITES: &str = "
SELECT EXISTS (SELECT 1 FROM writes
    WHERE thread_id = ?1 AND checkpoint_ns = '' AND checkpoint_id >= ?2)";
/// Bytes of the pages that are not free.
pub(in crate::sqlite) const USED_BYTES: &str = "
SELECT (page_count - freelist_count) * page_size
FROM pragma_page_count, pragma_freelist_count, pragma_page_size";

pub(in crate::sqlite) const KEYS_BEFORE: &str = "
SELECT checkpoint_ns, checkpoint_id FROM checkpoints WHERE thread_id = ?1 AND checkpoint_id < ?2";
pub(in crate::sqlite) const DELETE_WRITES_BEFORE: &str =
    "DELETE FROM writes WHERE thread_id = ?1 AND checkpoint_id < ?2";
