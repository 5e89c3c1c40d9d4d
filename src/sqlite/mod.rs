//! The SQLite store.

mod copy_thread;
mod delete_for_runs;
mod delete_thread;
mod engine;
mod get_delta_channel_history;
mod get_tuple;
mod list;
mod manager;
mod prune;
mod put;
mod put_writes;
mod row;
mod schema;
mod settings;
mod statements;

pub use manager::Location;
pub use settings::{AutoVacuum, JournalMode, Settings, Synchronous, TempStore};

use crate::backend::Backend;
use crate::error::Result;
use crate::model::{
    CheckpointKey, DeltaHistory, EncodedCheckpoint, EncodedWrites, ListFilter, Opened, Page, PruneStrategy,
    StoredTuple, StoredWrite,
};
use crate::shape::ShapeBook;
use engine::Engine;

/// Checkpoints in one SQLite database.
#[derive(Debug)]
pub struct SqliteBackend {
    engine: Engine,
}

impl SqliteBackend {
    /// A store at `location`; opened on first use.
    pub fn new(location: Location, settings: Settings) -> Self {
        Self {
            engine: Engine::new(location, settings),
        }
    }
}

/// How the bundled SQLite was built: its version number and its compile options.
pub fn library() -> Result<(i32, Vec<String>)> {
    Ok((rusqlite::version_number(), manager::compile_options()?))
}

impl Backend for SqliteBackend {
    fn setup(&self) -> Result<Opened> {
        self.engine.open()
    }

    fn close(&self) -> Result<()> {
        self.engine.close();
        Ok(())
    }

    fn put(&self, checkpoint: &EncodedCheckpoint) -> Result<()> {
        self.engine.write(|connection| put::put(connection, checkpoint))
    }

    fn put_writes(&self, writes: &EncodedWrites) -> Result<()> {
        self.engine
            .write(|connection| put_writes::put_writes(connection, writes))
    }

    fn get_tuple(
        &self,
        thread_id: &str,
        checkpoint_ns: &str,
        checkpoint_id: Option<&str>,
    ) -> Result<Option<StoredTuple>> {
        self.engine.read(None, |transaction| {
            get_tuple::get_tuple(transaction, thread_id, checkpoint_ns, checkpoint_id)
        })
    }

    fn pending_sends(&self, keys: &[CheckpointKey]) -> Result<Vec<Vec<StoredWrite>>> {
        let absent = keys.iter().map(|_| Vec::new()).collect();
        self.engine
            .read(absent, |transaction| get_tuple::pending_sends(transaction, keys))
    }

    fn list(&self, filter: &ListFilter, after: Option<&CheckpointKey>, limit: usize) -> Result<Page> {
        let absent = Page {
            tuples: Vec::new(),
            next: None,
        };
        self.engine.read(absent, |transaction| {
            list::list(transaction, filter, after, limit)
        })
    }

    fn delete_thread(&self, thread_id: &str) -> Result<()> {
        self.engine
            .write(|connection| delete_thread::delete_thread(connection, thread_id))
    }

    fn delete_for_runs(&self, run_ids: &[String]) -> Result<()> {
        self.engine
            .write(|connection| delete_for_runs::delete_for_runs(connection, run_ids))
    }

    fn copy_thread(&self, source_thread_id: &str, target_thread_id: &str) -> Result<()> {
        self.engine
            .write(|connection| copy_thread::copy_thread(connection, source_thread_id, target_thread_id))
    }

    fn prune(&self, thread_id: &str, strategy: PruneStrategy, shapes: &ShapeBook) -> Result<()> {
        self.engine
            .write(|connection| prune::prune(connection, thread_id, strategy, shapes))
    }

    fn get_delta_channel_history(
        &self,
        thread_id: &str,
        checkpoint_ns: &str,
        checkpoint_id: Option<&str>,
        channels: &[String],
        shapes: &ShapeBook,
    ) -> Result<DeltaHistory> {
        let absent = DeltaHistory {
            channels: channels
                .iter()
                .map(|_| crate::model::ChannelHistory {
                    writes: Vec::new(),
                    seed: None,
                })
                .collect(),
            seeds: Vec::new(),
        };
        self.engine.read(absent, |transaction| {
            get_delta_channel_history::get_delta_channel_history(
                transaction,
                thread_id,
                checkpoint_ns,
                checkpoint_id,
                channels,
                shapes,
            )
        })
    }
}
