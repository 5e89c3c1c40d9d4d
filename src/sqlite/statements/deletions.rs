//! The SQL of deleting threads, of tombstones and of leases.

pub(in crate::sqlite) const SELECT_HIDDEN_THREADS: &str = "SELECT thread_id FROM checkpoint_deletions";
pub(in crate::sqlite) const IS_HIDDEN: &str = "SELECT 1 FROM checkpoint_deletions WHERE thread_id = ?1";
pub(in crate::sqlite) const SELECT_DELETION: &str =
    "SELECT thread_id, thread_no, overwrite FROM checkpoint_deletions LIMIT 1";
pub(in crate::sqlite) const INSERT_DELETION: &str =
    "INSERT INTO checkpoint_deletions (thread_id, thread_no, overwrite) VALUES (?1, ?2, ?3)";
pub(in crate::sqlite) const DELETE_DELETION: &str = "DELETE FROM checkpoint_deletions WHERE thread_id = ?1";

/// Subgraphs before the root graph, old before new.
pub(in crate::sqlite) const SELECT_SOME_THREAD_KEYS: &str = "
SELECT checkpoint_ns, checkpoint_id FROM checkpoints
WHERE thread_id = ?1 ORDER BY checkpoint_ns DESC, checkpoint_id LIMIT 256";
pub(in crate::sqlite) const DELETE_SOME_THREAD_WRITES: &str = "
DELETE FROM writes WHERE rowid IN (SELECT rowid FROM writes WHERE thread_id = ?1 LIMIT 256)";
pub(in crate::sqlite) const DELETE_SOME_THREAD_CHUNKS: &str = "
DELETE FROM checkpoint_chunks WHERE id IN
    (SELECT id FROM checkpoint_chunks WHERE thread_no = ?1 LIMIT 64)";
pub(in crate::sqlite) const DELETE_SOME_THREAD_RUNS: &str = "
DELETE FROM checkpoint_runs WHERE thread_id = ?1 AND run_id IN
    (SELECT run_id FROM checkpoint_runs WHERE thread_id = ?1 LIMIT 256)";
pub(in crate::sqlite) const SELECT_THREAD_NO: &str =
    "SELECT thread_no FROM checkpoint_threads WHERE thread_id = ?1";
/// Leaves the number of a thread behind, for its chunks.
pub(in crate::sqlite) const FORGET_THREAD: &str = "
UPDATE checkpoint_threads SET thread_id = NULL, created = NULL, updated = NULL, checkpoints = 0, bytes = 0,
    head = NULL, step = NULL, source = NULL, run_id = NULL, status = NULL, nodes = NULL, title = NULL,
    metadata = NULL, archived = 0, pinned = 0, ttl = NULL, expires = NULL, lease_token = NULL,
    lease_expires = NULL
WHERE thread_id = ?1";
pub(in crate::sqlite) const DELETE_THREAD_ROW: &str = "DELETE FROM checkpoint_threads WHERE thread_id = ?1";
pub(in crate::sqlite) const DELETE_THREAD: &str = "DELETE FROM checkpoint_threads WHERE thread_no = ?1";

/// A tombstone outlives the runs that were under way, not the file: the oldest go as new ones come.
pub(in crate::sqlite) const REPLACE_TOMBSTONE: &str =
    "INSERT OR REPLACE INTO checkpoint_tombstones (thread, boundary) VALUES (?1, ?2)";
pub(in crate::sqlite) const DELETE_OLD_TOMBSTONES: &str = "
DELETE FROM checkpoint_tombstones
WHERE id IN (SELECT id FROM checkpoint_tombstones ORDER BY id LIMIT 8) AND boundary < ?1";
pub(in crate::sqlite) const SELECT_TOMBSTONE: &str =
    "SELECT boundary FROM checkpoint_tombstones WHERE thread = ?1";

pub(in crate::sqlite) const SECURE_DELETE: &str = "PRAGMA secure_delete";
pub(in crate::sqlite) const SECURE_DELETE_ON: &str = "PRAGMA secure_delete = ON";
pub(in crate::sqlite) const SECURE_DELETE_OFF: &str = "PRAGMA secure_delete = OFF";

pub(in crate::sqlite) const INSERT_LEASE_ROW: &str =
    "INSERT OR IGNORE INTO checkpoint_threads (thread_id) VALUES (?1)";
/// The fence rises with each new holder.
pub(in crate::sqlite) const TAKE_LEASE: &str = "
UPDATE checkpoint_threads
SET lease_fence = lease_fence + (lease_token IS NOT ?2), lease_token = ?2, lease_expires = ?3
WHERE thread_id = ?1 AND (lease_token IS NULL OR lease_token = ?2 OR lease_expires <= ?4)
RETURNING lease_fence";
pub(in crate::sqlite) const SELECT_LEASE: &str =
    "SELECT lease_token, lease_expires FROM checkpoint_threads WHERE thread_id = ?1";
pub(in crate::sqlite) const RELEASE_LEASE: &str = "
UPDATE checkpoint_threads SET lease_token = NULL, lease_expires = NULL
WHERE thread_id = ?1 AND lease_token = ?2";
