//! Values of deletion, leases, copies, repair and recovery.

use super::{CheckpointKey, Finding, ThreadRow};

/// What is left of a deletion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rest {
    /// Nothing.
    #[default]
    None,
    /// Rows that readers see: the same call deletes them.
    Unmarked,
    /// Rows that no reader sees, of this thread or another.
    Marked,
}

/// What a slice of a deletion deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// What is left.
    pub rest: Rest,
    /// Threads that no reader sees any more.
    pub threads: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Writes.
    pub writes: u64,
    /// Chunks.
    pub chunks: u64,
}

/// What was done to the file so that deleted bytes are gone from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// The write-ahead log is empty, or there is none.
    pub wal_is_empty: bool,
    /// Pages that are free and still in the file.
    pub free_pages: i64,
}

/// How the try to take a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leased {
    /// It is the caller's.
    Taken {
        /// Rises with each new holder.
        fence: i64,
    },
    /// It is another's.
    Held {
        /// For how much longer, unless it is renewed.
        milliseconds: i64,
    },
}

/// Which checkpoints of a thread are copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// This checkpoint of the root graph, and its ancestors; the newest if none is named.
    pub up_to: Option<String>,
    /// No more than so many of them.
    pub last: Option<usize>,
}

/// Where the rows of a key are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowPlace {
    /// The row id of the checkpoint.
    pub checkpoint: Option<i64>,
    /// The row ids of the writes.
    pub writes: Vec<i64>,
}

/// What is left of a damaged store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// What can be found.
    pub places: Vec<(CheckpointKey, RowPlace)>,
    /// What is known to have been there.
    pub lost: Vec<Finding>,
    /// Places in the tables where pages could not be read.
    pub gaps: u64,
    /// Rows that an index names and that could not be found: of a checkpoint, or of a write.
    pub missing: Vec<(bool, i64, CheckpointKey)>,
}

/// What was read of a file that the database itself cannot read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carved {
    /// Pages looked at.
    pub done: u64,
    /// Pages of the file.
    pub total: u64,
    /// Rows found.
    pub rows: u64,
    /// Pages that are damaged: nothing tells what they are there for.
    pub gaps: u64,
}

/// A page of what is left of a damaged store.
#[derive(Debug, Default)]
pub struct Salvaged {
    /// Rows of one thread.
    pub rows: Vec<ThreadRow>,
    /// What could be found, and not be read.
    pub lost: Vec<Finding>,
    /// The place to go on from.
    pub next: usize,
}

/// What a slice of a repair did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Writes deleted whose checkpoint never came.
    pub writes: u64,
    /// Rows of threads made anew.
    pub threads: u64,
    /// Chunks deleted that belong to no thread.
    pub chunks: u64,
    /// Whether something is left to do.
    pub left: bool,
}

/// What to do with a thread that is copied to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExisting {
    /// What has the same ids is replaced, the rest stays.
    #[default]
    Merge,
    /// Fail.
    Refuse,
    /// Delete it first.
    Replace,
}
