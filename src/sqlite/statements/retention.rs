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
