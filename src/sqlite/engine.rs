//! The life of a store: opened on first use, one writer, a pool of readers, closed once.
//!
//! Lock order: `state` is never held while `writer` is waited for, nor across SQL other than the
//! opening's own.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;

use super::manager::{self, Location, ReaderManager};
use super::schema::{self, Schema};
use super::settings::Settings;
use super::statements::{self as sql, WriteStatements};
use crate::error::{Error, Result};
use crate::model::Opened;

/// One database: where it is, how it is set, and its connections while it is open.
#[derive(Debug)]
pub(super) struct Engine {
    location: Location,
    settings: Arc<Settings>,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Unopened,
    Open(Arc<Connections>),
    Closed,
}

/// Field order is drop order: readers go before the writer, whose close is the one that may
/// checkpoint the WAL.
#[derive(Debug)]
struct Connections {
    readers: Option<r2d2::Pool<ReaderManager>>,
    writer: Mutex<Connection>,
    schema: Schema,
    read_only: bool,
    opened: Opened,
}

/// A connection inside a read transaction, with the statements that fit the file.
pub(super) struct ReadTransaction<'a> {
    pub(super) connection: &'a Connection,
    pub(super) statements: &'static WriteStatements,
}

impl Engine {
    pub(super) fn new(location: Location, settings: Settings) -> Self {
        Self {
            location,
            settings: Arc::new(settings),
            state: Mutex::new(State::Unopened),
        }
    }

    pub(super) fn open(&self) -> Result<Opened> {
        self.sorted(|| Ok(self.connections()?.opened))
    }

    pub(super) fn close(&self) {
        // Calls in flight hold the connections; the last of them closes.
        let state = std::mem::replace(&mut *self.state.lock(), State::Closed);
        drop(state);
    }

    /// Runs `job` in one read transaction: all it reads is of one moment. `absent` is the answer
    /// of a file without tables.
    pub(super) fn read<T>(
        &self,
        absent: T,
        job: impl FnOnce(&ReadTransaction<'_>) -> Result<T>,
    ) -> Result<T> {
        self.sorted(|| {
            let connections = self.connections()?;
            let statements = match connections.schema {
                Schema::Absent => return Ok(absent),
                Schema::WithoutTaskPath => &sql::WITHOUT_TASK_PATH,
                Schema::Current => &sql::WITH_TASK_PATH,
            };
            let run = |connection: &Connection| {
                let transaction = Transaction::begin(connection, sql::BEGIN_READ)?;
                let result = job(&ReadTransaction {
                    connection,
                    statements,
                })?;
                transaction.commit()?;
                Ok(result)
            };
            match &connections.readers {
                Some(pool) => run(&self.reader(pool)?.connection),
                None => run(&*self.writer(&connections)?),
            }
        })
    }

    /// Runs `job` in one write transaction: all of it is stored, or nothing.
    pub(super) fn write<T>(&self, job: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.sorted(|| {
            let connections = self.connections()?;
            if connections.read_only {
                return Err(Error::ReadOnly {
                    path: self.location.path().to_path_buf(),
                    detail: if self.settings.read_only {
                        "`read_only` is set"
                    } else {
                        "write-protected"
                    }
                    .to_owned(),
                });
            }
            let writer = self.writer(&connections)?;
            let transaction = Transaction::begin(&writer, sql::BEGIN_WRITE)?;
            let result = job(&writer)?;
            transaction.commit()?;
            Ok(result)
        })
    }

    fn connections(&self) -> Result<Arc<Connections>> {
        let mut state = self.state.lock();
        match &*state {
            State::Open(connections) => Ok(Arc::clone(connections)),
            State::Closed => Err(Error::Closed {
                path: self.location.path().to_path_buf(),
            }),
            State::Unopened => {
                let connections = Arc::new(self.connect()?);
                *state = State::Open(Arc::clone(&connections));
                Ok(connections)
            }
        }
    }

    fn connect(&self) -> Result<Connections> {
        let (writer, created) = manager::open_writer(&self.location, &self.settings)?;
        let read_only = writer.is_readonly("main")?;
        let mut schema = schema::inspect(&writer)?;
        if schema != Schema::Current && !read_only {
            let transaction = Transaction::begin(&writer, sql::BEGIN_WRITE)?;
            schema::migrate(&writer)?;
            transaction.commit()?;
            schema = Schema::Current;
        }
        let readers = match &self.location {
            Location::Memory => None,
            Location::File(path) => Some(
                r2d2::Pool::builder()
                    .max_size((self.settings.pool_size + self.settings.max_overflow).max(1))
                    .min_idle(Some(0))
                    .test_on_check_out(false)
                    .max_lifetime(self.settings.pool_recycle)
                    .idle_timeout(None)
                    .connection_timeout(self.settings.pool_timeout)
                    .error_handler(Box::new(r2d2::NopErrorHandler))
                    .build_unchecked(ReaderManager::new(path, Arc::clone(&self.settings))),
            ),
        };
        let size = std::fs::metadata(self.location.path()).map_or(0, |file| file.len());
        let opened = Opened { created, size };
        Ok(Connections {
            readers,
            writer: Mutex::new(writer),
            schema,
            read_only,
            opened,
        })
    }

    fn reader(&self, pool: &r2d2::Pool<ReaderManager>) -> Result<r2d2::PooledConnection<ReaderManager>> {
        pool.get().map_err(|_| Error::PoolTimeout {
            path: self.location.path().to_path_buf(),
            size: pool.max_size(),
            waited: self.settings.pool_timeout,
        })
    }

    fn writer<'a>(&self, connections: &'a Connections) -> Result<MutexGuard<'a, Connection>> {
        connections
            .writer
            .try_lock_for(self.settings.busy_timeout)
            .ok_or_else(|| Error::Busy {
                path: self.location.path().to_path_buf(),
                waited: self.settings.busy_timeout,
            })
    }

    fn sorted<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        call().map_err(|error| error.at(self.location.path(), started.elapsed()))
    }
}

/// An open transaction; dropped without `commit`, also by a panic, it is rolled back.
struct Transaction<'a> {
    connection: &'a Connection,
}

impl<'a> Transaction<'a> {
    fn begin(connection: &'a Connection, statement: &'static str) -> Result<Self> {
        connection.prepare_cached(statement)?.execute([])?;
        Ok(Self { connection })
    }

    fn commit(self) -> Result<()> {
        self.connection.prepare_cached(sql::COMMIT)?.execute([])?;
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.connection.is_autocommit() {
            return;
        }
        // If even this fails, the next BEGIN on this connection reports it, and a pooled one is
        // discarded on return.
        let rollback = self
            .connection
            .prepare_cached(sql::ROLLBACK)
            .and_then(|mut statement| statement.execute([]));
        drop(rollback);
    }
}
