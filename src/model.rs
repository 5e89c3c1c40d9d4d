//! The owned values that cross the layers. No Python, no SQL.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

mod lifecycle;
mod range;
mod size;
mod stats;
mod threads;

pub use lifecycle::{
    Carved, Deleted, Leased, OnExisting, Repaired, Rest, RowPlace, Salvaged, Scrubbed, Selection, Survey,
};
pub use range::ThreadRange;
pub use stats::{CacheStats, ReaderStats, Stats, WalStats, WriterStats};
pub use threads::{
    ChannelEntry, ChannelStored, HistoryPage, Notes, Thread, ThreadCursor, ThreadFilter, ThreadOrder,
};

/// Bytes made outside the engine, whoever owns them: a `Vec`, or a Python `bytes` object.
#[derive(Clone)]
pub struct Blob(Arc<dyn AsRef<[u8]> + Send + Sync>);

impl Blob {
    /// Wraps an owner of bytes; nothing is copied.
    pub fn new(owner: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self(Arc::new(owner))
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Blob({} bytes)", self.as_slice().len())
    }
}

/// What a serializer made: bytes as a rule; a `str` or `None` where a custom one returns that.
#[derive(Clone, Debug)]
pub enum Payload {
    /// SQL NULL.
    Null,
    /// SQL TEXT.
    Text(String),
    /// SQL BLOB.
    Bytes(Blob),
}

impl Payload {
    /// The stored bytes; empty for NULL.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Null => &[],
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(blob) => blob.as_slice(),
        }
    }
}

/// A serializer's `(type, data)` pair.
#[derive(Clone, Debug)]
pub struct TypedValue {
    /// The tag that selects the decoder, such as `msgpack`.
    pub tag: Option<String>,
    /// The data.
    pub payload: Payload,
}

impl TypedValue {
    /// Whether it is not encrypted: the tags of encrypted values have a `+`, and those have nothing in
    /// common with each other.
    pub fn is_plain(&self) -> bool {
        self.tag.as_ref().is_some_and(|tag| !tag.contains('+'))
    }
}

/// How new chunks are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// As zstd frames, where that saves an eighth.
    Zstd,
}

/// How a store keeps its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As `langgraph-checkpoint-sqlite` does: each value whole.
    Interop,
    /// As recipes, so that a step costs what it changed.
    Compact,
    /// Becoming interop: new rows are whole, and recipes are still there.
    Downgrading,
}

/// What the opening of a store found.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    /// Whether it was made.
    pub created: bool,
    /// How it keeps its rows.
    pub format: Format,
    /// Its size in bytes.
    pub size: u64,
}

/// The primary key of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CheckpointKey {
    /// The conversation.
    pub thread_id: String,
    /// `""` for the root graph, a path of tasks for a subgraph.
    pub checkpoint_ns: String,
    /// Sorts by time within one process.
    pub checkpoint_id: String,
}

/// One checkpoint on its way in.
#[derive(Debug)]
pub struct EncodedCheckpoint {
    /// Where it goes.
    pub key: CheckpointKey,
    /// The checkpoint it follows.
    pub parent_checkpoint_id: Option<String>,
    /// The serialized checkpoint.
    pub value: TypedValue,
    /// JSON text in UTF-8.
    pub metadata: Blob,
    /// Where only the serializer can read the value: a checkpoint in msgpack that has the same next nodes.
    pub outline: Option<Blob>,
    /// The value may be stored in parts: its serializer is one whose bytes are known.
    pub chunkable: bool,
}

/// What to do with a write whose key is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// Special writes (errors, interrupts, resumes) replace.
    Replace,
    /// A repeated task keeps its first result.
    Ignore,
}

/// One write of a task.
#[derive(Debug)]
pub struct EncodedWrite {
    /// Its place in the task's list; negative for special channels.
    pub index: i64,
    /// The channel.
    pub channel: String,
    /// The serialized value.
    pub value: TypedValue,
}

/// All writes of one `put_writes` call.
#[derive(Debug)]
pub struct EncodedWrites {
    /// The checkpoint the task ran from.
    pub key: CheckpointKey,
    /// The task.
    pub task_id: String,
    /// Its path in the graph; orders the writes of one step.
    pub task_path: String,
    /// Applies to every row of the call.
    pub on_conflict: OnConflict,
    /// As of [`EncodedCheckpoint`].
    pub chunkable: bool,
    /// The rows.
    pub writes: Vec<EncodedWrite>,
}

/// A stored write, in the order of `writes_sort_key`.
#[derive(Debug)]
pub struct StoredWrite {
    /// The task that made it.
    pub task_id: String,
    /// Its channel.
    pub channel: String,
    /// The serialized value.
    pub value: TypedValue,
}

/// A stored checkpoint with its pending writes, of one read transaction.
#[derive(Debug)]
pub struct StoredTuple {
    /// Where it was found.
    pub key: CheckpointKey,
    /// The checkpoint it follows.
    pub parent_checkpoint_id: Option<String>,
    /// The serialized checkpoint.
    pub value: TypedValue,
    /// JSON text, or NULL.
    pub metadata: Payload,
    /// The writes stored at it.
    pub writes: Vec<StoredWrite>,
}

/// A value that a filter compares with.
#[derive(Clone, Debug, PartialEq)]
pub enum FilterValue {
    /// Matches JSON null and a missing key.
    Null,
    /// Also true (1) and false (0).
    Integer(i64),
    /// A float.
    Real(f64),
    /// Also compact JSON, for a list or an object.
    Text(String),
}

/// One condition on metadata: the value at a path equals a value.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataFilter {
    /// The JSON path to read, and the one to read where the first leads nowhere.
    pub paths: (String, Option<String>),
    /// What it must be.
    pub value: FilterValue,
}

/// Which checkpoints `list` returns, newest first.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// Only these threads.
    pub threads: ThreadRange,
    /// Only this thread.
    pub thread_id: Option<String>,
    /// Only this namespace.
    pub checkpoint_ns: Option<String>,
    /// Only this checkpoint.
    pub checkpoint_id: Option<String>,
    /// Only ids below this one.
    pub before: Option<String>,
    /// Only metadata that matches all of these.
    pub metadata: Vec<MetadataFilter>,
}

/// One page of `list`.
#[derive(Debug)]
pub struct Page {
    /// The tuples, newest first.
    pub tuples: Vec<StoredTuple>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<CheckpointKey>,
}

/// One step of a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemovalStep {
    /// This checkpoint's parent, the second one, goes: it will have none.
    CutParent(CheckpointKey, String),
    /// A checkpoint with the writes stored at it.
    Checkpoint(CheckpointKey),
    /// All writes of a namespace.
    NamespaceWrites {
        /// The thread.
        thread_id: String,
        /// The namespace.
        checkpoint_ns: String,
    },
    /// All that is left of a thread.
    Thread {
        /// The thread.
        thread_id: String,
        /// What it must still be; whatever it is if none.
        unless_changed: Option<ThreadMark>,
    },
}

/// What tells whether a thread was written to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadMark {
    /// The greatest id of its checkpoints.
    pub newest: Option<String>,
    /// The greatest row of its writes.
    pub last_write: i64,
}

impl ThreadMark {
    /// Whether something was stored since the other; what was deleted does not count.
    pub fn is_after(&self, other: &Self) -> bool {
        self.newest > other.newest || self.last_write > other.last_write
    }
}

/// What a removal keeps of each namespace, beside what those checkpoints need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// So many of the newest, and the newest in any case.
    pub last: usize,
    /// Those made since, in milliseconds after 1970.
    pub since: Option<i64>,
}

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Checkpoints.
    pub checkpoints: u64,
    /// Rows of writes.
    pub writes: u64,
    /// Bytes of the rows, and of the chunks that nothing else refers to.
    pub bytes: u64,
}

/// What a verb found to be removed, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// The steps.
    pub steps: Vec<RemovalStep>,
    /// How much goes.
    pub weight: Weight,
    /// What the ids of threads begin with that the caller does not see.
    pub prefix: String,
}

impl Removal {
    /// The threads of all steps, as the caller sees them.
    pub fn thread_ids(&self) -> impl Iterator<Item = &str> {
        let stored = self.steps.iter().map(|step| match step {
            RemovalStep::CutParent(key, _) | RemovalStep::Checkpoint(key) => key.thread_id.as_str(),
            RemovalStep::NamespaceWrites { thread_id, .. } | RemovalStep::Thread { thread_id, .. } => {
                thread_id
            }
        });
        stored.filter_map(|thread_id| thread_id.strip_prefix(&*self.prefix))
    }
}

/// Chunks of a thread that nothing refers to, nodes first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// The number of the thread.
    pub thread_no: i64,
    /// The thread's revision when it was looked at.
    pub revision: i64,
    /// The puts that the thread had seen then.
    pub puts: i64,
    /// Ids of chunks.
    pub chunks: Vec<i64>,
}

/// How far a sweep is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepProgress {
    /// Chunks that were deleted.
    pub chunks: usize,
    /// Slices that were committed.
    pub slices: i64,
}

/// How a slice of a sweep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// Nothing is left.
    Done,
    /// To go on from here.
    Left(SweepProgress),
    /// The thread changed since it was looked at: nothing was deleted.
    Changed,
}

/// Where a conversion is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Nothing was done.
    #[default]
    Begin,
    /// After the thread with this number.
    Threads(i64),
    /// After this row of the checkpoints.
    Checkpoints(i64),
    /// After this row of the writes.
    Writes(i64),
    /// The rows are done.
    End,
}

/// How far a conversion is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conversion {
    /// What comes next.
    pub stage: Stage,
    /// Rows that were looked at.
    pub rows: u64,
}

/// What a channel costs, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// In the newest checkpoint of each namespace.
    pub live_bytes: u64,
    /// In all checkpoints, as if each were stored whole.
    pub logical_bytes: u64,
    /// As they are stored.
    pub stored_bytes: u64,
    /// Chunks that hold them.
    pub chunks: u64,
}

/// What the stored state costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// Checkpoints.
    pub checkpoints: u64,
    /// Rows of writes.
    pub writes: u64,
    /// Bytes of the checkpoints' metadata.
    pub metadata_bytes: u64,
    /// Bytes in the rows of writes.
    pub write_bytes: u64,
    /// By channel; `""` for the rest of the checkpoints and for what all channels share.
    pub channels: BTreeMap<String, Cost>,
}

/// What a slice of a vacuum did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vacuumed {
    /// Whether the file was made so that it can give pages back.
    pub can_shrink: bool,
    /// Pages given back.
    pub freed: u64,
    /// Free pages that are left in the file.
    pub left: u64,
}

/// How far the copy of a thread is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyProgress {
    /// The target was looked at.
    pub begun: bool,
    /// All writes are copied.
    pub writes_done: bool,
    /// The namespace and checkpoint that were copied last.
    pub after: Option<(String, String)>,
}

/// What one channel contributed along the ancestors of a checkpoint.
#[derive(Debug)]
pub struct ChannelHistory {
    /// Oldest first.
    pub writes: Vec<StoredWrite>,
    /// Index into [`DeltaHistory::seeds`] of the nearest ancestor that stores the channel.
    pub seed: Option<usize>,
}

/// The answer of `get_delta_channel_history`.
#[derive(Debug)]
pub struct DeltaHistory {
    /// One per requested channel, in order.
    pub channels: Vec<ChannelHistory>,
    /// Whole checkpoints that hold seeds.
    pub seeds: Vec<TypedValue>,
}

/// How far a backup or a restore is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// Pages copied.
    pub done: u64,
    /// Pages there are.
    pub total: u64,
    /// Bytes of a page.
    pub page_size: u32,
}

/// A stored write with its place.
#[derive(Debug)]
pub struct PlacedWrite {
    /// The write.
    pub write: StoredWrite,
    /// The task's path in the graph.
    pub task_path: String,
    /// Its place in the task's list.
    pub index: i64,
}

/// All that is stored under one key.
#[derive(Debug)]
pub struct ThreadRow {
    /// The key.
    pub key: CheckpointKey,
    /// The checkpoint, its writes taken out; none for writes whose checkpoint is still to come.
    pub checkpoint: Option<StoredTuple>,
    /// The writes, in the order of `writes_sort_key`.
    pub writes: Vec<PlacedWrite>,
}

/// All that is to be stored under one key.
#[derive(Debug)]
pub struct EncodedRow {
    /// The checkpoint, if there is one.
    pub checkpoint: Option<EncodedCheckpoint>,
    /// The writes, by task.
    pub writes: Vec<EncodedWrites>,
}

/// A page of a thread.
#[derive(Debug, Default)]
pub struct ThreadPage {
    /// Subgraphs before the root graph, old before new.
    pub rows: Vec<ThreadRow>,
    /// Namespace and id after which the next page begins; `None` at the end.
    pub next: Option<(String, String)>,
}

/// Something that `verify` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub key: CheckpointKey,
    /// What; no user data.
    pub detail: String,
}

/// What a slice of `verify` looked at, and found.
#[derive(Debug, Default)]
pub struct Verified {
    /// Checkpoints looked at.
    pub checkpoints: u64,
    /// Writes looked at.
    pub writes: u64,
    /// Rows that cannot be read to their end.
    pub damaged: Vec<Finding>,
    /// Checkpoints whose parent is not stored.
    pub missing_parents: Vec<Finding>,
    /// Writes whose checkpoint is not stored.
    pub writes_without_checkpoint: Vec<Finding>,
    /// The key after which the next slice begins; `None` at the end.
    pub next: Option<CheckpointKey>,
}
