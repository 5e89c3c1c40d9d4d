//! The SQL of `backup`, `restore`, `verify`, and of moving threads between files.

pub(in crate::sqlite) const PAGE_SIZE: &str = "PRAGMA page_size";
pub(in crate::sqlite) const QUICK_CHECK: &str = "PRAGMA quick_check(1)";
pub(in crate::sqlite) const INTEGRITY_CHECK: &str = "PRAGMA integrity_check(100)";
pub(in crate::sqlite) const LOCK_EXCLUSIVELY: &str = "BEGIN EXCLUSIVE";

/// It may hold NaN, hence JSON5 (2).
pub(in crate::sqlite) const IS_JSON: &str = "SELECT json_valid(CAST(?1 AS TEXT), 2)";

/// The threads after `?1`; all after NULL.
pub(in crate::sqlite) const SELECT_THREADS: &str = "
SELECT thread_id FROM checkpoints WHERE ?1 IS NULL OR thread_id > ?1
UNION SELECT thread_id FROM writes WHERE ?1 IS NULL OR thread_id > ?1
ORDER BY thread_id LIMIT ?2";

/// The keys of all checkpoints and writes after `(?1, ?2, ?3)`; from the first one after NULLs.
pub(in crate::sqlite) const SELECT_KEYS: &str = "
SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints
WHERE ?1 IS NULL OR (thread_id, checkpoint_ns, checkpoint_id) > (?1, ?2, ?3)
UNION SELECT thread_id, checkpoint_ns, checkpoint_id FROM writes
WHERE ?1 IS NULL OR (thread_id, checkpoint_ns, checkpoint_id) > (?1, ?2, ?3)
ORDER BY thread_id, checkpoint_ns, checkpoint_id LIMIT 256";

/// The keys of a thread after `(?2, ?3)`: subgraphs before the root graph, old before new.
pub(in crate::sqlite) const SELECT_THREAD_ROWS: &str = "
SELECT checkpoint_ns, checkpoint_id FROM checkpoints
WHERE thread_id = ?1 AND (?2 IS NULL OR checkpoint_ns < ?2 OR (checkpoint_ns = ?2 AND checkpoint_id > ?3))
UNION SELECT checkpoint_ns, checkpoint_id FROM writes
WHERE thread_id = ?1 AND (?2 IS NULL OR checkpoint_ns < ?2 OR (checkpoint_ns = ?2 AND checkpoint_id > ?3))
ORDER BY checkpoint_ns DESC, checkpoint_id LIMIT 256";
