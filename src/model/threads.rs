//! Threads, and a channel along the checkpoints.

use super::{MetadataFilter, StoredWrite, ThreadRange, TypedValue};

/// What is known of a thread. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thread {
    /// Its number; 0 where it has none.
    pub thread_no: i64,
    /// The thread.
    pub thread_id: String,
    /// When it was first stored.
    pub created: i64,
    /// When it was last stored, within some seconds.
    pub updated: i64,
    /// Checkpoints, of all namespaces.
    pub checkpoints: i64,
    /// Bytes of them and of its chunks.
    pub bytes: i64,
    /// Of the newest checkpoint of the root graph.
    pub step: Option<i64>,
    /// As `step`.
    pub source: Option<String>,
    /// As `step`.
    pub run_id: Option<String>,
    /// How it stands, as far as the stored data tells.
    pub status: Option<String>,
    /// The nodes that run next, as JSON.
    pub nodes: Option<String>,
    /// The user's name for it.
    pub title: Option<String>,
    /// The user's JSON.
    pub metadata: Option<String>,
    /// Whether listings leave it out.
    pub archived: bool,
    /// Whether it is kept whatever the retention says.
    pub pinned: bool,
}

/// What users said of a thread. Times are milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Its name.
    pub title: Option<String>,
    /// JSON.
    pub metadata: Option<String>,
    /// Whether listings leave it out.
    pub archived: bool,
    /// Whether it is kept whatever the retention says.
    pub pinned: bool,
    /// Its own time to live.
    pub ttl: Option<i64>,
    /// Until when it lives at least, since 1970.
    pub expires: Option<i64>,
}

/// The order of a listing of threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThreadOrder {
    /// Last stored first.
    #[default]
    Updated,
    /// Newest first.
    Created,
    /// By id.
    Id,
}

/// Which threads to list.
#[derive(Clone, Debug, Default)]
pub struct ThreadFilter {
    /// Only these.
    pub threads: ThreadRange,
    /// Only threads that stand so.
    pub status: Option<String>,
    /// Only archived ones, or only others.
    pub archived: Option<bool>,
    /// Only those whose user's metadata matches all of these.
    pub metadata: Vec<MetadataFilter>,
    /// In which order.
    pub order: ThreadOrder,
    /// The time to live, in ms, of threads that have none of their own.
    pub ttl: Option<i64>,
}

/// Where a page of threads ends: time, number and id of its last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadCursor {
    /// The time it is ordered by.
    pub time: i64,
    /// Its number.
    pub thread_no: i64,
    /// Its id.
    pub thread_id: String,
}

/// A channel at one checkpoint.
#[derive(Debug)]
pub struct ChannelEntry {
    /// The checkpoint.
    pub checkpoint_id: String,
    /// What is stored of the channel there.
    pub stored: ChannelStored,
}

/// What is stored of a channel.
#[derive(Debug)]
pub enum ChannelStored {
    /// Its value.
    Value(TypedValue),
    /// The snapshot that the writes after it begin with.
    Seed(TypedValue),
    /// What the step before the checkpoint wrote to it.
    Writes(Vec<StoredWrite>),
    /// The whole checkpoint, which only its serializer can read.
    Checkpoint(TypedValue),
}

/// A page of `history`.
#[derive(Debug, Default)]
pub struct HistoryPage {
    /// Newest first.
    pub entries: Vec<ChannelEntry>,
    /// The checkpoint before which the next page begins; `None` at the end.
    pub next: Option<String>,
}
