//! The SQLite store.

mod admission;
mod alone;
mod archive;
mod backup;
mod carve;
mod checkpointer;
mod chunks;
mod clock;
mod convert;
mod copy_thread;
mod delete_for_runs;
mod delete_thread;
mod deletions;
mod engine;
pub mod filesystem;
pub mod foreign_sqlite;
pub mod fork;
mod gate;
mod get_delta_channel_history;
mod get_tuple;
mod group;
mod history;
mod janitor;
mod job;
mod lease;
mod list;
mod list_threads;
pub mod lock_guard;
mod manager;
mod notes;
mod pool;
mod prepared;
mod prune;
mod put;
mod put_writes;
mod read_thread;
mod reader;
mod rebind;
mod remove;
mod repair;
mod restore;
mod retention;
mod row;
mod salvage;
mod schema;
mod select;
mod set_thread;
mod settings;
mod shared;
mod slice;
mod statements;
mod storage;
mod sweep;
mod sync;
mod terms;
mod threads;
mod transaction;
mod vacuum;
mod verify;
mod weigh;
mod workers;
mod write_thread;
mod writer;

pub use manager::Location;
pub use settings::{
    AutoVacuum, FormatChoice, JournalMode, OnConflict, OnDeletedThread, OnForeignSqlite, Settings,
    Synchronous, TempStore,
};

use std::path::PathBuf;
use std::sync::Arc;

use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::model::{
    Carved, ChannelHistory, CheckpointKey, Conversion, CopyProgress, Deleted, DeltaHistory,
    EncodedCheckpoint, EncodedRow, EncodedWrites, Format, Garbage, HistoryPage, Keep, Leased, ListFilter,
    Notes, OnExisting, Opened, Page, Pages, Removal, Repaired, Salvaged, Scrubbed, Selection, Stats, Storage,
    StoredTuple, StoredWrite, Survey, SweepProgress, Swept, Thread, ThreadCursor, ThreadFilter, ThreadPage,
    ThreadRange, Vacuumed, Verified,
};
use crate::pending::Pending;
use crate::retention::{Policy, Run, Term};
use crate::shape::ShapeBook;
use crate::stepwise::Stepwise;
use admission::Admission;
use alone::Alone;
use copy_thread::Copy;
use delete_thread::Deletion;
use engine::Engine;
use job::TypedJob;
use put_writes::PutWrites;
use slice::Slice;
use transaction::WriteTransaction;

/// Checkpoints in one SQLite database.
#[derive(Debug)]
pub struct SqliteBackend {
    engine: Arc<Engine>,
}

impl SqliteBackend {
    /// A store at `location`; opened on first use. A policy with an interval is run from then on.
    pub fn new(location: Location, settings: Settings, policy: Option<Policy>) -> Self {
        Self {
            engine: Engine::new(location, settings, policy),
        }
    }
}

impl Drop for SqliteBackend {
    /// A run of the policy that is under way keeps the engine.
    fn drop(&mut self) {
        self.engine.household.dismiss();
    }
}

/// How the bundled SQLite was built: its version number and its compile options.
pub fn library() -> Result<(i32, Vec<String>)> {
    Ok((rusqlite::version_number(), manager::compile_options()?))
}

/// Reads the rows of a file that SQLite cannot open into a new one.
pub fn carve(source: PathBuf, target: PathBuf) -> Result<Stepwise<Carved>> {
    carve::carve(source, target)
}

impl Backend for SqliteBackend {
    fn setup(&self) -> Pending<Opened> {
        self.engine.open()
    }

    fn format(&self) -> Pending<Format> {
        self.engine.read(
            || Format::Interop,
            |transaction| schema::format(transaction.connection, schema::Access::Read),
        )
    }

    fn close(&self) {
        self.engine.close();
    }

    fn stats(&self) -> Stats {
        self.engine
            .shared_if_open()
            .map(|shared| Stats {
                retention: self.engine.household.stats(),
                ..shared.stats()
            })
            .unwrap_or_default()
    }

    fn apply_retention(
        &self,
        policy: Option<Policy>,
        dry_run: bool,
        shapes: Arc<ShapeBook>,
        threads: ThreadRange,
    ) -> Result<Box<dyn Run>> {
        let policy = policy.map(Arc::new).or_else(|| self.engine.household.policy());
        let policy = policy.ok_or_else(|| {
            Error::Invalid("this saver has no retention policy; pass one, or give it retention=".to_owned())
        })?;
        if policy.max_bytes.is_some() && !threads.is_all() {
            return Err(Error::Invalid(
                "max_bytes is about the whole file: leave it out of the policy of a tenant".to_owned(),
            ));
        }
        let run = retention::Retention::new(&self.engine, policy, dry_run, shapes, threads);
        Ok(Box::new(run))
    }

    fn set_term(&self, thread_id: String, term: Term) -> Pending<()> {
        self.engine.household.set_mortal();
        self.engine.write(0, move |transaction| {
            terms::set_term(transaction, &thread_id, term)
        })
    }

    fn put(&self, checkpoint: EncodedCheckpoint, lease: Option<String>) -> Pending<()> {
        let admission = Admission::new(self.engine.settings(), lease);
        let bytes = checkpoint.value.payload.as_slice().len() + checkpoint.metadata.as_slice().len();
        let begins = checkpoint.key.checkpoint_ns.is_empty() && checkpoint.parent_checkpoint_id.is_none();
        let ttl = self.engine.household.time_to_live().filter(|_| begins);
        self.engine.write_prepared(bytes, move |shared, order, done| {
            put::job(checkpoint, ttl, admission, shared, order, done)
        })
    }

    fn put_writes(&self, writes: EncodedWrites, lease: Option<String>) -> Pending<()> {
        let admission = Admission::new(self.engine.settings(), lease);
        let bytes = writes
            .writes
            .iter()
            .map(|write| write.value.payload.as_slice().len())
            .sum();
        self.engine.write_prepared(bytes, move |shared, order, done| {
            let mut put_writes = PutWrites::new(writes, shared);
            Box::new(TypedJob {
                order,
                work: move |transaction: &WriteTransaction<'_>| put_writes.run_if(&admission, transaction),
                value: None,
                done,
            })
        })
    }

    fn get_tuple(
        &self,
        thread_id: String,
        checkpoint_ns: String,
        checkpoint_id: Option<String>,
    ) -> Pending<Option<StoredTuple>> {
        let time_to_live = self.engine.household.time_to_live();
        self.engine.read(
            || None,
            move |transaction| {
                if let Some(default) = time_to_live
                    && terms::is_expired(transaction.connection, &thread_id, &checkpoint_ns, default)?
                {
                    return Ok(None);
                }
                get_tuple::get_tuple(transaction, &thread_id, &checkpoint_ns, checkpoint_id.as_deref())
            },
        )
    }

    fn pending_sends(&self, keys: Vec<CheckpointKey>) -> Pending<Vec<Vec<StoredWrite>>> {
        let count = keys.len();
        self.engine.read(
            move || std::iter::repeat_with(Vec::new).take(count).collect(),
            move |transaction| get_tuple::pending_sends(transaction, &keys),
        )
    }

    fn list(&self, filter: ListFilter, after: Option<CheckpointKey>, limit: usize) -> Pending<Page> {
        let time_to_live = self.engine.household.time_to_live();
        self.engine.read(
            || Page {
                tuples: Vec::new(),
                next: None,
            },
            move |transaction| {
                let mut page = list::list(transaction, &filter, after.as_ref(), limit)?;
                if let Some(default) = time_to_live {
                    terms::hide_expired(transaction.connection, &mut page, default)?;
                }
                Ok(page)
            },
        )
    }

    fn delete_threads(&self, thread_ids: Vec<String>, overwrite: bool) -> Pending<Deleted> {
        let bury = self.engine.settings().on_deleted_thread == OnDeletedThread::Raise;
        self.engine.write(0, move |transaction| {
            delete_thread::delete_threads(transaction, &thread_ids, Deletion { overwrite, bury })
        })
    }

    fn finish_deletions(&self) -> Pending<Deleted> {
        self.engine.write(0, |transaction| {
            let mut deleted = Deleted::default();
            delete_thread::go_on(transaction, &Slice::begin(), &mut deleted)?;
            Ok(deleted)
        })
    }

    fn scrub(&self) -> Pending<Scrubbed> {
        Pending::new(Alone {
            engine: Arc::clone(&self.engine),
            work: alone::scrub,
        })
    }

    fn acquire_lease(&self, thread_id: String, token: String, milliseconds: i64) -> Pending<Leased> {
        self.engine.write(0, move |transaction| {
            lease::acquire_lease(transaction, &thread_id, &token, milliseconds)
        })
    }

    fn release_lease(&self, thread_id: String, token: String) -> Pending<()> {
        self.engine.write(0, move |transaction| {
            lease::release_lease(transaction, &thread_id, &token)
        })
    }

    fn delete_for_runs(&self, run_ids: Vec<String>, threads: ThreadRange) -> Pending<Removal> {
        self.engine.read(Removal::default, move |transaction| {
            delete_for_runs::delete_for_runs(transaction, &run_ids, &threads)
        })
    }

    fn select(&self, thread_id: String, selection: Selection, shapes: Arc<ShapeBook>) -> Pending<Removal> {
        self.engine.read(Removal::default, move |transaction| {
            select::select(transaction, &thread_id, &selection, &shapes)
        })
    }

    fn copy_thread(
        &self,
        source: String,
        target: String,
        without: Option<Arc<Removal>>,
        on_existing: OnExisting,
        progress: CopyProgress,
    ) -> Pending<Option<CopyProgress>> {
        self.engine.write(0, move |transaction| {
            let copy = Copy {
                source: &source,
                target: &target,
                without: without.as_deref(),
                on_existing,
            };
            copy_thread::copy_thread(transaction, &copy, progress.clone())
        })
    }

    fn prune(&self, thread_id: String, keep: Option<Keep>, shapes: Arc<ShapeBook>) -> Pending<Removal> {
        self.engine.read(Removal::default, move |transaction| match keep {
            Some(keep) => prune::prune(transaction, &thread_id, keep, &shapes),
            None => weigh::whole_thread(transaction, &thread_id),
        })
    }

    fn garbage(&self, thread_id: String) -> Pending<Garbage> {
        self.engine.read(Garbage::default, move |transaction| {
            sweep::garbage(transaction, &thread_id)
        })
    }

    fn sweep(&self, garbage: Arc<Garbage>, progress: SweepProgress) -> Pending<Swept> {
        self.engine.write(0, move |transaction| {
            sweep::sweep(transaction.connection, &garbage, progress)
        })
    }

    fn convert(&self, target: Format, conversion: Conversion) -> Pending<Option<Conversion>> {
        let compression = self.engine.settings().compression;
        self.engine.write(0, move |transaction| {
            convert::convert(transaction, target, conversion, compression)
        })
    }

    fn count_rows(&self) -> Pending<u64> {
        self.engine.read(
            || 0,
            |transaction| {
                let count: i64 = transaction
                    .connection
                    .query_row(statements::COUNT_ROWS, [], |row| row.get(0))?;
                Ok(u64::try_from(count).unwrap_or_default())
            },
        )
    }

    fn chunked_threads(&self, after: String) -> Pending<Vec<String>> {
        self.engine.read(Vec::new, move |transaction| {
            sweep::chunked_threads(transaction, &after)
        })
    }

    fn rebuild(&self) -> Pending<()> {
        Pending::new(Alone {
            engine: Arc::clone(&self.engine),
            work: alone::rebuild,
        })
    }

    fn storage(&self, threads: ThreadRange) -> Pending<Storage> {
        self.engine.read(Storage::default, move |transaction| {
            storage::storage(transaction, &threads)
        })
    }

    fn vacuum(&self) -> Pending<Vacuumed> {
        self.engine
            .write(0, |transaction| vacuum::vacuum(transaction.connection))
    }

    fn remove(&self, removal: Arc<Removal>, from: usize) -> Pending<usize> {
        self.engine.write(0, move |transaction| {
            remove::remove(transaction, &removal, from, &slice::Slice::begin())
        })
    }

    fn get_delta_channel_history(
        &self,
        thread_id: String,
        checkpoint_ns: String,
        checkpoint_id: Option<String>,
        channels: Vec<String>,
        shapes: Arc<ShapeBook>,
    ) -> Pending<DeltaHistory> {
        let count = channels.len();
        let empty = || ChannelHistory {
            writes: Vec::new(),
            seed: None,
        };
        self.engine.read(
            move || DeltaHistory {
                channels: std::iter::repeat_with(empty).take(count).collect(),
                seeds: Vec::new(),
            },
            move |transaction| {
                get_delta_channel_history::get_delta_channel_history(
                    transaction,
                    &thread_id,
                    &checkpoint_ns,
                    checkpoint_id.as_deref(),
                    &channels,
                    &shapes,
                )
            },
        )
    }

    fn backup(&self, target: PathBuf) -> Result<Stepwise<Pages>> {
        backup::backup(Arc::clone(&self.engine), target)
    }

    fn restore(&self, source: PathBuf) -> Result<Stepwise<Pages>> {
        restore::restore(Arc::clone(&self.engine), source)
    }

    fn integrity(&self) -> Pending<Vec<String>> {
        self.engine.read(Vec::new, verify::integrity)
    }

    fn verify(&self, after: Option<CheckpointKey>) -> Pending<Verified> {
        self.engine.read(Verified::default, move |transaction| {
            verify::verify(transaction, after.as_ref())
        })
    }

    fn list_threads(
        &self,
        mut filter: ThreadFilter,
        after: Option<ThreadCursor>,
        limit: usize,
    ) -> Pending<Vec<Thread>> {
        filter.ttl = self.engine.household.time_to_live().flatten();
        self.engine.read(Vec::new, move |transaction| {
            list_threads::list_threads(transaction, &filter, after.as_ref(), limit)
        })
    }

    fn count_threads(&self, mut filter: ThreadFilter) -> Pending<u64> {
        filter.ttl = self.engine.household.time_to_live().flatten();
        self.engine.read(
            || 0,
            move |transaction| list_threads::count_threads(transaction, &filter),
        )
    }

    fn get_thread(&self, thread_id: String) -> Pending<Option<Thread>> {
        let time_to_live = self.engine.household.time_to_live();
        self.engine.read(
            || None,
            move |transaction| {
                if let Some(default) = time_to_live
                    && terms::is_expired(transaction.connection, &thread_id, "", default)?
                {
                    return Ok(None);
                }
                list_threads::get_thread(transaction, &thread_id)
            },
        )
    }

    fn set_thread(&self, thread_id: String, title: Option<String>, metadata: Option<String>) -> Pending<()> {
        self.engine.write(0, move |transaction| {
            set_thread::set_thread(transaction, &thread_id, title.as_deref(), metadata.as_deref())
        })
    }

    fn read_notes(&self, thread_id: String) -> Pending<Notes> {
        self.engine.read(Notes::default, move |transaction| {
            notes::read_notes(transaction, &thread_id)
        })
    }

    fn write_notes(&self, thread_id: String, notes: Notes) -> Pending<()> {
        if notes.ttl.is_some() {
            self.engine.household.set_mortal();
        }
        self.engine.write(0, move |transaction| {
            notes::write_notes(transaction, &thread_id, &notes)
        })
    }

    fn archive_thread(&self, thread_id: String) -> Pending<()> {
        self.engine.write(0, move |transaction| {
            set_thread::set_archived(transaction, &thread_id, true)
        })
    }

    fn unarchive_thread(&self, thread_id: String) -> Pending<()> {
        self.engine.write(0, move |transaction| {
            set_thread::set_archived(transaction, &thread_id, false)
        })
    }

    fn history(
        &self,
        thread_id: String,
        checkpoint_ns: String,
        channel: String,
        before: Option<String>,
        limit: usize,
    ) -> Pending<HistoryPage> {
        self.engine.read(HistoryPage::default, move |transaction| {
            history::history(
                transaction,
                &thread_id,
                &checkpoint_ns,
                &channel,
                before.as_deref(),
                limit,
            )
        })
    }

    fn repair(&self, keys: Vec<CheckpointKey>) -> Pending<Repaired> {
        self.engine
            .write(0, move |transaction| repair::repair(transaction, &keys))
    }

    fn survey(&self, before: Option<Arc<Survey>>, gaps: u64) -> Pending<Survey> {
        self.engine.read(Survey::default, move |transaction| {
            salvage::survey(transaction, before.as_deref(), gaps)
        })
    }

    fn salvage(&self, survey: Arc<Survey>, from: usize) -> Pending<Salvaged> {
        self.engine.read(Salvaged::default, move |transaction| {
            salvage::salvage(transaction, &survey, from)
        })
    }

    fn thread_ids(&self, threads: ThreadRange, noted: bool, limit: usize) -> Pending<Vec<String>> {
        self.engine.read(Vec::new, move |transaction| {
            read_thread::thread_ids(transaction, &threads, noted, limit)
        })
    }

    fn read_thread(&self, thread_id: String, after: Option<(String, String)>) -> Pending<ThreadPage> {
        self.engine.read(ThreadPage::default, move |transaction| {
            read_thread::read_thread(transaction, &thread_id, after.as_ref())
        })
    }

    fn write_thread(&self, rows: Vec<EncodedRow>) -> Pending<()> {
        let bytes = rows.iter().map(EncodedRow::bytes).sum();
        self.engine.write_prepared(bytes, move |shared, order, done| {
            let mut rows: Vec<_> = rows
                .into_iter()
                .map(|row| write_thread::Row::new(row, shared))
                .collect();
            Box::new(TypedJob {
                order,
                work: move |transaction: &WriteTransaction<'_>| {
                    write_thread::write_thread(transaction, &mut rows)
                },
                value: None,
                done,
            })
        })
    }
}
