//! The pool's connections: how they are made, when they are discarded, how a running one is stopped.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::Connection;

use super::gate;
use super::manager::{open_flags, open_reader};
use super::settings::Settings;
use super::sync::lock;
use crate::error::{Error, Result};
use crate::pending::{Cancel, GiveUp};

/// Virtual machine steps between two looks whether a reader shall stop: some 0.2 ms.
const STEPS: i32 = 10_000;

/// How often a reader that runs long looks for signals.
const LOOK: Duration = Duration::from_millis(200);

/// Makes the pool's readers.
#[derive(Debug)]
pub(super) struct ReaderManager {
    inner: SqliteConnectionManager,
    path: PathBuf,
    settings: Arc<Settings>,
    open: Arc<AtomicU32>,
}

/// A reader that is counted while it lives, and that can be stopped in the middle of a statement.
#[derive(Debug)]
pub(super) struct Reader {
    connection: Connection,
    open: Arc<AtomicU32>,
    stop: Arc<Mutex<Stop>>,
}

/// What the operation that a reader runs now is stopped by.
#[derive(Debug, Default)]
struct Stop {
    give_up: Option<GiveUp>,
    cancel: Option<Cancel>,
    looked: Option<Instant>,
}

impl Stop {
    fn wanted(&mut self) -> bool {
        if self.cancel.as_ref().is_some_and(Cancel::is_cancelled) {
            return true;
        }
        let now = Instant::now();
        let looked = *self.looked.get_or_insert(now);
        if now - looked < LOOK {
            return false;
        }
        self.looked = Some(now);
        self.give_up.is_some_and(|give_up| give_up())
    }
}

impl Reader {
    /// Runs `job`; it ends early, with `Interrupted`, when it is given up or cancelled.
    pub(super) fn run<T>(
        &self,
        give_up: GiveUp,
        cancel: &Cancel,
        job: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        *lock(&self.stop) = Stop {
            give_up: Some(give_up),
            cancel: Some(cancel.clone()),
            looked: None,
        };
        let result = job(&self.connection);
        *lock(&self.stop) = Stop::default();
        result
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ReaderManager {
    pub(super) fn new(path: &Path, settings: Arc<Settings>) -> Self {
        // Readers create temporary b-trees only; a read-only handle could not recover a WAL.
        let inner = SqliteConnectionManager::file(path).with_flags(open_flags(&settings));
        Self {
            inner,
            path: path.to_path_buf(),
            settings,
            open: Arc::default(),
        }
    }
}

impl r2d2::ManageConnection for ReaderManager {
    type Connection = Reader;
    type Error = Error;

    fn connect(&self) -> Result<Reader> {
        let _pass = gate::enter();
        let connection = open_reader(&self.inner, &self.path, &self.settings)?;
        let stop = Arc::new(Mutex::new(Stop::default()));
        let wanted = Arc::clone(&stop);
        connection.progress_handler(STEPS, Some(move || lock(&wanted).wanted()))?;
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(Reader {
            connection,
            open: Arc::clone(&self.open),
            stop,
        })
    }

    /// A local file cannot go away between two calls as a server can.
    fn is_valid(&self, _: &mut Reader) -> Result<()> {
        Ok(())
    }

    /// On return: a reader with a transaction left open, or above `pool_size`, is closed.
    fn has_broken(&self, reader: &mut Reader) -> bool {
        !reader.connection.is_autocommit() || self.open.load(Ordering::Relaxed) > self.settings.pool_size
    }
}
