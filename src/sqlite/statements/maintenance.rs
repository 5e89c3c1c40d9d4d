//! The SQL of `backup`, `restore`, `verify`, and of moving threads between files.

pub(in crate::sqlite) const PAGE_SIZE: &str = "PRAGMA page_size";
pub(in crate::sqlite) const QUICK_CHECK: &str = "PRAGMA quick_check(1)";
pub(in crate::sqlite) const INTEGRITY_CHECK: &str = "PRAGMA integrity_check(100)";
pub(in crate::sqlite) const LOCK_EXCLUSIVELY: &str = "BEGIN EXCLUSIVE";

/// It may hold NaN, hence JSON5 (2).
pub(in crate::sqlite) const IS_JSON: &str = "SELECT json_valid(CAST(?1 AS TEXT), 2)";

/// The first threads.
pub(in crate::sqlite) const SELECT_THREADS: &str = "
SELECT thread_id FROM checkpoints UNION SELECT thread_id FROM writes ORDER BY thread_id LIMIT ?1";

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
