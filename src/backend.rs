//! The verbs: the seam where another database plugs in.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Result;
use crate::model::{
    CheckpointKey, Conversion, CopyProgress, Deleted, DeltaHistory, EncodedCheckpoint, EncodedRow,
    EncodedWrites, Format, Garbage, HistoryPage, Keep, Leased, ListFilter, Notes, OnExisting, Opened, Page,
    Pages, Removal, Repaired, Salvaged, Scrubbed, Selection, Stats, Storage, StoredTuple, StoredWrite,
    Survey, SweepProgress, Swept, Thread, ThreadCursor, ThreadFilter, ThreadPage, ThreadRange, Vacuumed,
    Verified,
};
use crate::pending::Pending;
use crate::retention::{Policy, Run, Term};
use crate::shape::ShapeBook;
use crate::stepwise::Stepwise;

/// A store of checkpoints. Calls may come from any thread and hold nothing when they are done.
pub trait Backend: Send + Sync {
    /// Opens the store and makes its tables; the other verbs do it on first use.
    fn setup(&self) -> Pending<Opened>;

    /// How the store keeps its rows now.
    fn format(&self) -> Pending<Format>;

    /// Releases everything; further calls fail with `Closed`. Idempotent.
    fn close(&self);

    /// Figures of the store.
    fn stats(&self) -> Stats;

    /// Stores a checkpoint, replacing one with the same key. Fails with `BeingDeleted` if the thread is, and
    /// if the caller's lease of the thread is lost.
    fn put(&self, checkpoint: EncodedCheckpoint, lease: Option<String>) -> Pending<()>;

    /// Stores all writes of a call, or none. Fails as `put` does.
    fn put_writes(&self, writes: EncodedWrites, lease: Option<String>) -> Pending<()>;

    /// The checkpoint with this id, or the newest of the namespace.
    fn get_tuple(
        &self,
        thread_id: String,
        checkpoint_ns: String,
        checkpoint_id: Option<String>,
    ) -> Pending<Option<StoredTuple>>;

    /// The `__pregel_tasks` writes of each checkpoint, in order.
    fn pending_sends(&self, keys: Vec<CheckpointKey>) -> Pending<Vec<Vec<StoredWrite>>>;

    /// A page of at most `limit` tuples that sort after `after`.
    fn list(&self, filter: ListFilter, after: Option<CheckpointKey>, limit: usize) -> Pending<Page>;

    /// Deletes as many of the threads as a slice can, in their order, overwriting them if asked.
    fn delete_threads(&self, thread_ids: Vec<String>, overwrite: bool) -> Pending<Deleted>;

    /// Deletes a slice of what is left of deletions that no reader sees.
    fn finish_deletions(&self) -> Pending<Deleted>;

    /// Empties the log of what was written.
    fn scrub(&self) -> Pending<Scrubbed>;

    /// Takes or renews the lease of a thread.
    fn acquire_lease(&self, thread_id: String, token: String, milliseconds: i64) -> Pending<Leased>;

    /// Gives the lease of a thread back.
    fn release_lease(&self, thread_id: String, token: String) -> Pending<()>;

    /// Finds the checkpoints of some threads whose metadata names one of the runs.
    fn delete_for_runs(&self, run_ids: Vec<String>, threads: ThreadRange) -> Pending<Removal>;

    /// Finds the checkpoints that a copy of a part of a thread leaves out. Fails with `NeedShapes` as
    /// `prune` does.
    fn select(&self, thread_id: String, selection: Selection, shapes: Arc<ShapeBook>) -> Pending<Removal>;

    /// Copies a slice of a thread, or of a part of it; what to go on from, `None` at the end. Fails with
    /// `BeingDeleted` if one of the threads is.
    fn copy_thread(
        &self,
        source_thread_id: String,
        target_thread_id: String,
        without: Option<Arc<Removal>>,
        on_existing: OnExisting,
        progress: CopyProgress,
    ) -> Pending<Option<CopyProgress>>;

    /// Finds what the checkpoints of a thread that are kept do not need: all of it if nothing is kept.
    /// Fails with `NeedShapes` for checkpoints that `shapes` must learn first.
    fn prune(&self, thread_id: String, keep: Option<Keep>, shapes: Arc<ShapeBook>) -> Pending<Removal>;

    /// A run of a policy, of the store's own if none is given, over some threads. `dry_run` only tells what
    /// would go.
    fn apply_retention(
        &self,
        policy: Option<Policy>,
        dry_run: bool,
        shapes: Arc<ShapeBook>,
        threads: ThreadRange,
    ) -> Result<Box<dyn Run>>;

    /// Notes what a user says about a thread.
    fn set_term(&self, thread_id: String, term: Term) -> Pending<()>;

    /// Finds the chunks of a thread that nothing refers to.
    fn garbage(&self, thread_id: String) -> Pending<Garbage>;

    /// Deletes a slice of what `garbage` found.
    fn sweep(&self, garbage: Arc<Garbage>, progress: SweepProgress) -> Pending<Swept>;

    /// Converts a slice of the store to a format; what is left, `None` at the end.
    fn convert(&self, target: Format, conversion: Conversion) -> Pending<Option<Conversion>>;

    /// Rows that a conversion looks at.
    fn count_rows(&self) -> Pending<u64>;

    /// Some threads that have chunks and sort after `after`.
    fn chunked_threads(&self, after: String) -> Pending<Vec<String>>;

    /// Writes the store anew without its free pages, in one go.
    fn rebuild(&self) -> Pending<()>;

    /// What the state of some threads costs.
    fn storage(&self, threads: ThreadRange) -> Pending<Storage>;

    /// Gives a slice of the free pages back.
    fn vacuum(&self) -> Pending<Vacuumed>;

    /// Carries out a slice of a removal, from step `from` on; the first step that is left.
    fn remove(&self, removal: Arc<Removal>, from: usize) -> Pending<usize>;

    /// The writes of each channel along the ancestors, back to its seed. Fails with `NeedShapes`
    /// as `prune` does.
    fn get_delta_channel_history(
        &self,
        thread_id: String,
        checkpoint_ns: String,
        checkpoint_id: Option<String>,
        channels: Vec<String>,
        shapes: Arc<ShapeBook>,
    ) -> Pending<DeltaHistory>;

    /// Copies the store, as of one moment, to a new file.
    fn backup(&self, target: PathBuf) -> Result<Stepwise<Pages>>;

    /// Replaces all that is stored by what a backup holds.
    fn restore(&self, source: PathBuf) -> Result<Stepwise<Pages>>;

    /// What the database's own check complains of.
    fn integrity(&self) -> Pending<Vec<String>>;

    /// Reads a slice of the rows after `after` to their ends.
    fn verify(&self, after: Option<CheckpointKey>) -> Pending<Verified>;

    /// A page of the threads that match and come after a cursor.
    fn list_threads(
        &self,
        filter: ThreadFilter,
        after: Option<ThreadCursor>,
        limit: usize,
    ) -> Pending<Vec<Thread>>;

    /// How many threads match.
    fn count_threads(&self, filter: ThreadFilter) -> Pending<u64>;

    /// What is known of a thread.
    fn get_thread(&self, thread_id: String) -> Pending<Option<Thread>>;

    /// Stores a user's title and metadata (JSON) for a thread, those that are given; empty ones are removed.
    fn set_thread(&self, thread_id: String, title: Option<String>, metadata: Option<String>) -> Pending<()>;

    /// What users said of a thread.
    fn read_notes(&self, thread_id: String) -> Pending<Notes>;

    /// Stores what users said of a thread elsewhere, over what was said of it here.
    fn write_notes(&self, thread_id: String, notes: Notes) -> Pending<()>;

    /// Leaves a thread out of listings.
    fn archive_thread(&self, thread_id: String) -> Pending<()>;

    /// Undoes `archive_thread`.
    fn unarchive_thread(&self, thread_id: String) -> Pending<()>;

    /// A page of at most `limit` checkpoints before one, with what is stored of one channel there.
    fn history(
        &self,
        thread_id: String,
        checkpoint_ns: String,
        channel: String,
        before: Option<String>,
        limit: usize,
    ) -> Pending<HistoryPage>;
    /// Deletes a slice of what nothing needs, writes at `keys` among them, and makes missing rows anew.
    fn repair(&self, keys: Vec<CheckpointKey>) -> Pending<Repaired>;

    /// Finds what is left of a damaged store; of one that was carved from another, beside what was found of that.
    fn survey(&self, before: Option<Arc<Survey>>, gaps: u64) -> Pending<Survey>;

    /// Reads a page of what a survey found, from a place of it on.
    fn salvage(&self, survey: Arc<Survey>, from: usize) -> Pending<Salvaged>;

    /// The first of some threads, at most `limit`; if asked, also those of which there are only notes.
    fn thread_ids(&self, threads: ThreadRange, noted: bool, limit: usize) -> Pending<Vec<String>>;

    /// A page of a thread's rows as they are stored.
    fn read_thread(&self, thread_id: String, after: Option<(String, String)>) -> Pending<ThreadPage>;

    /// Stores rows, replacing those with the same keys: all of them, or none. Fails with `BeingDeleted` if
    /// the thread is.
    fn write_thread(&self, rows: Vec<EncodedRow>) -> Pending<()>;
}
