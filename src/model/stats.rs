//! Figures of a store.

use crate::retention::RetentionStats;

/// Figures of the writer, of all savers of one file.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriterStats {
    /// Groups committed.
    pub groups: u64,
    /// Jobs committed.
    pub jobs: u64,
    /// Most jobs in one group.
    pub largest_group: u64,
    /// Groups that the database rolled back as a whole; their jobs were tried again one by one.
    pub void_groups: u64,
    /// Jobs that wait now.
    pub queued: u64,
    /// Times that the write lock was found taken by another process.
    pub lock_waits: u64,
}

/// Figures of the readers.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReaderStats {
    /// Connections open.
    pub open: u32,
    /// Of them not in use.
    pub idle: u32,
    /// The most there may be.
    pub size: u32,
    /// Calls that had to wait for one.
    pub waits: u64,
    /// Of them those that waited in vain.
    pub timeouts: u64,
    /// How long they waited, in microseconds.
    pub waited_microseconds: u64,
}

/// Figures of the cache of what was stored last, by which a put tells what it changes.
#[derive(Clone, Copy, Debug, Default)]
pub struct CacheStats {
    /// Puts that found the last encoding.
    pub hits: u64,
    /// Puts that did not.
    pub misses: u64,
    /// Encodings in it.
    pub entries: u64,
    /// What they take.
    pub bytes: u64,
}

/// Figures of the write-ahead log.
#[derive(Clone, Copy, Debug, Default)]
pub struct WalStats {
    /// Size of the file.
    pub bytes: u64,
    /// Pages in it at the last checkpoint.
    pub pages: i64,
    /// Of them in the database.
    pub checkpointed_pages: i64,
    /// Checkpoints run.
    pub checkpoints: u64,
    /// Checkpoints that did not finish, for a reader of another process.
    pub blocked: u64,
}

/// Figures of a store; all zero while it is not open.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// The writer.
    pub writer: WriterStats,
    /// The readers.
    pub readers: ReaderStats,
    /// The cache of encodings.
    pub cache: CacheStats,
    /// The write-ahead log.
    pub wal: WalStats,
    /// The saver's retention policy.
    pub retention: RetentionStats,
}
