//! The SQL on what is known of threads.

pub(crate) const SELECT: &str =
    "SELECT thread_no, revision, updated, head FROM checkpoint_threads WHERE thread_id = ?1";

pub(crate) const INSERT: &str = "INSERT INTO checkpoint_threads (thread_id) VALUES (?1)";

/// A put that does not change the thread's progress.
pub(crate) const NOTE: &str = "
UPDATE checkpoint_threads SET puts = puts + 1, checkpoints = checkpoints + ?2, bytes = bytes + ?3
WHERE thread_no = ?1";

/// The put of the newest checkpoint of the root graph.
pub(crate) const NOTE_HEAD: &str = "
UPDATE checkpoint_threads SET puts = puts + 1, checkpoints = checkpoints + ?2, bytes = bytes + ?3,
    head = ?4, step = ?5, source = ?6, run_id = ?7, status = ?8, nodes = ?9
WHERE thread_no = ?1";

/// Apart from the others: it moves an entry of the index.
pub(crate) const TOUCH: &str =
    "UPDATE checkpoint_threads SET updated = ?2, created = ifnull(created, ?2) WHERE thread_no = ?1";

/// What a write to a special channel of the newest checkpoint changes.
pub(crate) const SET_STATUS: &str = "
UPDATE checkpoint_threads SET status = ?3 WHERE thread_id = ?1 AND head = ?2 AND status IS NOT ?3";

/// The channel of the last write that says how the run from a checkpoint stands. Row ids tell the order: a
/// write that is replaced gets a new one. A run that is resumed stores what it is resumed with under the task
/// of nobody; a task that interrupts again stores the answers it had beside its question. With `max` the other
/// columns are those of its row, NULL if there is none; ORDER BY opens a temporary table for each put (7 of its 22
/// µs in the transaction).
pub(crate) const LAST_EVENT: &str = "
SELECT channel, max(rowid) FROM writes
WHERE thread_id = ?1 AND checkpoint_ns = '' AND checkpoint_id = ?2
    AND (channel IN ('__interrupt__', '__error__')
        OR channel = '__resume__' AND task_id = '00000000-0000-0000-0000-000000000000')";

/// The newest checkpoint of the root graph.
pub(crate) const SELECT_HEAD: &str = "
SELECT checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata FROM checkpoints
WHERE thread_id = ?1 AND checkpoint_ns = '' ORDER BY checkpoint_id DESC LIMIT 1";

pub(crate) const SELECT_BYTES: &str = "
SELECT ifnull(octet_length(checkpoint), 0) + ifnull(octet_length(metadata), 0) FROM checkpoints
WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3";

/// The checkpoints of a thread and their bytes.
pub(crate) const COUNT: &str = "
SELECT count(*), ifnull(sum(ifnull(octet_length(checkpoint), 0) + ifnull(octet_length(metadata), 0)), 0)
FROM checkpoints WHERE thread_id = ?1";

pub(crate) const COUNT_CHUNKS: &str =
    "SELECT ifnull(sum(octet_length(data)), 0) FROM checkpoint_chunks WHERE thread_no = ?1";

pub(crate) const SET_COUNTS: &str =
    "UPDATE checkpoint_threads SET checkpoints = ?2, bytes = ?3 WHERE thread_no = ?1";

/// What cannot be told of a checkpoint that is the newest still stays as its put told it.
pub(crate) const SET_HEAD: &str = "
UPDATE checkpoint_threads SET head = ?2, step = ?3, source = ?4, run_id = ?5,
    status = iif(head IS ?2, ifnull(?6, status), ?6), nodes = iif(head IS ?2, ifnull(?7, nodes), ?7)
WHERE thread_no = ?1";

/// A thread without checkpoints, title and metadata is not listed.
pub(crate) const UNLIST: &str = "
UPDATE checkpoint_threads SET updated = NULL, created = NULL
WHERE thread_no = ?1 AND checkpoints = 0 AND title IS NULL AND metadata IS NULL";

/// The same where the count is not kept.
pub(crate) const UNLIST_EMPTY: &str = "
UPDATE checkpoint_threads SET updated = NULL, created = NULL
WHERE thread_no = ?1 AND title IS NULL AND metadata IS NULL
    AND NOT EXISTS (SELECT 1 FROM checkpoints WHERE thread_id = ?2)";

pub(crate) const ADD_BYTES: &str = "UPDATE checkpoint_threads SET bytes = bytes + ?2 WHERE thread_no = ?1";
pub(crate) const REMOVE_ROWS: &str = "
UPDATE checkpoint_threads SET checkpoints = checkpoints - ?2, bytes = bytes - ?3 WHERE thread_id = ?1";

/// First and last checkpoint of any namespace; their ids hold the time.
pub(crate) const SELECT_IDS: &str =
    "SELECT min(checkpoint_id), max(checkpoint_id) FROM checkpoints WHERE thread_id = ?1";

/// The first thread of a range, by the keys of checkpoints. A blob sorts after every text.
pub(crate) const NEXT_THREAD: &str =
    "SELECT min(thread_id) FROM checkpoints WHERE thread_id >= ?1 AND thread_id < ifnull(?2, x'')";
pub(crate) const ID_OF: &str = "SELECT thread_id FROM checkpoint_threads WHERE thread_no = ?1";

/// When a thread was stored first and last, by the ids of the root graph's checkpoints, or else of all.
pub(crate) const FIRST_ID: &str = "
SELECT ifnull((SELECT min(checkpoint_id) FROM checkpoints WHERE thread_id = ?1 AND checkpoint_ns = ''),
    (SELECT min(checkpoint_id) FROM checkpoints WHERE thread_id = ?1))";
pub(crate) const LAST_ID: &str = "
SELECT ifnull((SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = ?1 AND checkpoint_ns = ''),
    (SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = ?1))";

/// Threads without checkpoints.
pub(crate) const ONLY_NOTES: &str = "
SELECT thread_id, updated FROM checkpoint_threads AS thread WHERE updated IS NOT NULL
    AND thread_id >= ?1 AND thread_id < ifnull(?2, x'')
    AND NOT EXISTS (SELECT 1 FROM checkpoints WHERE thread_id = thread.thread_id)";

/// What the user says of a thread.
pub(crate) const SELECT_NOTES: &str = "
SELECT title, metadata, archived, pinned, lease_expires > ?2, created, updated
FROM checkpoint_threads WHERE thread_id = ?1";

pub(crate) const SET_TITLE: &str = "UPDATE checkpoint_threads SET title = ?2 WHERE thread_no = ?1";
pub(crate) const SET_METADATA: &str = "UPDATE checkpoint_threads SET metadata = ?2 WHERE thread_no = ?1";
pub(crate) const SET_ARCHIVED: &str = "UPDATE checkpoint_threads SET archived = ?2 WHERE thread_no = ?1";

/// What users said of a thread.
pub(crate) const READ_NOTES: &str = "
SELECT title, metadata, archived, pinned, ttl, expires FROM checkpoint_threads WHERE thread_id = ?1";
pub(crate) const WRITE_NOTES: &str = "
UPDATE checkpoint_threads SET title = ifnull(?2, title), metadata = ifnull(?3, metadata),
    archived = max(archived, ?4), pinned = max(pinned, ?5), ttl = ifnull(?6, ttl), expires = ifnull(?7, expires)
WHERE thread_no = ?1";
pub(crate) const IS_NAMED: &str = "
SELECT 1 FROM checkpoint_threads WHERE thread_id = ?1 AND (title IS NOT NULL OR metadata IS NOT NULL)";
pub(crate) const COPY_NOTES: &str = "
UPDATE checkpoint_threads AS target
SET title = ifnull(target.title, source.title), metadata = ifnull(target.metadata, source.metadata)
FROM checkpoint_threads AS source WHERE source.thread_id = ?1 AND target.thread_id = ?2";

/// The columns of a listed thread, in the order of `Thread`.
macro_rules! columns {
    () => {
        "SELECT thread_no, thread_id, created, updated, checkpoints, bytes, step, source, run_id,
    iif(lease_expires > ?1, 'busy', status), nodes, title, metadata, archived, pinned
FROM checkpoint_threads "
    };
}

pub(crate) const SELECT_THREAD: &str = concat!(columns!(), "WHERE thread_id = ?2 AND updated IS NOT NULL");

/// By time, newest first; `?2` and `?3` are where the page begins.
pub(crate) const PAGE_BY_UPDATED: &str = concat!(
    columns!(),
    "WHERE updated <= ?2 AND (updated < ?2 OR thread_no < ?3)"
);
/// Threads are numbered as they are made.
pub(crate) const PAGE_BY_CREATED: &str = concat!(
    columns!(),
    "WHERE thread_no < ?3 AND ?2 IS NOT NULL AND updated IS NOT NULL"
);
pub(crate) const PAGE_BY_ID: &str = concat!(
    columns!(),
    "WHERE thread_id >= ifnull(?2, '') AND thread_id IS NOT ?2 AND ?3 IS NOT NULL AND updated IS NOT NULL"
);
pub(crate) const COUNT_THREADS: &str = "
SELECT count(*) FROM checkpoint_threads WHERE updated <= ?2 AND ?1 IS NOT NULL AND ?3 IS NOT NULL";

/// What all listings leave out or ask for: `?4` archived threads, NULL for both; `?5` the status; `?6` is the
/// time to live of threads that have none of their own.
pub(crate) const VISIBLE: &str = "
AND (pinned OR ifnull(ttl, ?6) IS NULL OR max(updated + ifnull(ttl, ?6), ifnull(expires, 0)) > ?1)
AND (?4 IS NULL OR archived = ?4)
AND (?5 IS NULL OR iif(lease_expires > ?1, 'busy', status) = ?5)";

/// Those of a range of threads are looked up by their ids, however they are ordered.
pub(crate) const IN_RANGE: &str =
    "AND likelihood(thread_id >= ?, 0.0001) AND likelihood(thread_id < ifnull(?, x''), 0.0001) ";

/// Tells for one member of the metadata whether it is a value.
pub(crate) const METADATA_IS: &str = "AND ifnull(json_extract(metadata, ?), json_extract(metadata, ?)) IS ?";
/// The same of any metadata, where there is no row to ask.
pub(crate) const MATCHES: &str = "SELECT ifnull(json_extract(?1, ?2), json_extract(?1, ?3)) IS ?4";

pub(crate) const ORDER_BY_UPDATED: &str = "ORDER BY updated DESC, thread_no DESC LIMIT ?";
pub(crate) const ORDER_BY_CREATED: &str = "ORDER BY thread_no DESC LIMIT ?";
pub(crate) const ORDER_BY_ID: &str = "ORDER BY thread_id LIMIT ?";

/// A checkpoint, by its id.
pub(crate) const HISTORY: &str = "
SELECT checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata FROM checkpoints
WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id < ?3 ORDER BY checkpoint_id DESC";
