//! The SQLite store.

mod archive;
mod backup;
mod checkpointer;
mod chunks;
mod convert;
mod copy_thread;
mod delete_for_runs;
mod delete_thread;
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
mod list;
mod list_threads;
pub mod lock_guard;
mod manager;
mod pool;
mod prepared;
mod prune;
mod put;
mod put_writes;
mod read_thread;
mod reader;
mod rebind;
mod rebuild;
mod remove;
mod restore;
mod retention;
mod row;
mod schema;
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
    AutoVacuum, FormatChoice, JournalMode, OnForeignSqlite, Settings, Synchronous, TempStore,
};

use std::path::PathBuf;
use std::sync::Arc;

use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::model::{
    ChannelHistory, CheckpointKey, Conversion, CopyProgress, DeltaHistory, EncodedCheckpoint, EncodedRow,
    EncodedWrites, Format, Garbage, HistoryPage, Keep, ListFilter, Opened, Page, Pages, Removal, Stats,
    Storage, StoredTuple, StoredWrite, SweepProgress, Swept, Thread, ThreadCursor, ThreadFilter, ThreadPage,
    Vacuumed, Verified,
};
use crate::pending::Pending;
use crate::retention::{Policy, Run, Term};
use crate::shape::ShapeBook;
use crate::stepwise::Stepwise;
use engine::Engine;
use job::TypedJob;
use put_writes::PutWrites;
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
    ) -> Result<Box<dyn Run>> {
        let policy = policy.map(Arc::new).or_else(|| self.engine.household.policy());
        let policy = policy.ok_or_else(|| {
            Error::Invalid("this saver has no retention policy; pass one, or give it retention=".to_owned())
        })?;
        let run = retention::Retention::new(&self.engine, policy, dry_run, shapes);
        Ok(Box::new(run))
    }

    fn set_term(&self, thread_id: String, term: Term) -> Pending<()> {
        self.engine.household.set_mortal();
        self.engine.write(0, move |transaction| {
            terms::set_term(transaction, &thread_id, term)
        })
    }

    fn put(&self, checkpoint: EncodedCheckpoint) -> Pending<()> {
        let bytes = checkpoint.value.payload.as_slice().len() + checkpoint.metadata.as_slice().len();
        let begins = checkpoint.key.checkpoint_ns.is_empty() && checkpoint.parent_checkpoint_id.is_none();
        let ttl = self.engine.household.time_to_live().filter(|_| begins);
        self.engine.write_prepared(bytes, move |shared, order, done| {
            put::job(checkpoint, ttl, shared, order, done)
        })
    }

    fn put_writes(&self, writes: EncodedWrites) -> Pending<()> {
        let bytes = writes
            .writes
            .iter()
            .map(|write| write.value.payload.as_slice().len())
            .sum();
        self.engine.write_prepared(bytes, move |shared, order, done| {
            let mut put_writes = PutWrites::new(writes, shared);
            Box::new(TypedJob {
                order,
                work: move |transaction: &WriteTransaction<'_>| put_writes.run(transaction),
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

    fn delete_thread(&self, thread_id: String) -> Pending<bool> {
        self.engine.write(0, move |transaction| {
            delete_thread::delete_thread(transaction, &thread_id, &slice::Slice::begin())
        })
    }

    fn delete_for_runs(&self, run_ids: Vec<String>) -> Pending<Removal> {
        self.engine.read(Removal::default, move |transaction| {
            delete_for_runs::delete_for_runs(transaction, &run_ids)
        })
    }

    fn copy_thread(
        &self,
        source: String,
        target: String,
        progress: CopyProgress,
    ) -> Pending<Option<CopyProgress>> {
        self.engine.write(0, move |transaction| {
            copy_thread::copy_thread(transaction, &source, &target, progress.clone())
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
        Pending::new(rebuild::Rebuild(Arc::clone(&self.engine)))
    }

    fn storage(&self, thread_id: Option<String>) -> Pending<Storage> {
        self.engine.read(Storage::default, move |transaction| {
            storage::storage(transaction, thread_id.as_deref())
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

    fn thread_ids(&self, limit: usize) -> Pending<Vec<String>> {
        self.engine.read(Vec::new, move |transaction| {
            read_thread::thread_ids(transaction, limit)
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
