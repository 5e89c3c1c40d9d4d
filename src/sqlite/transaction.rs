//! Transactions and savepoints that end on every path.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ffi};

use super::lock_guard;
use super::statements as sql;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::model::Format;

/// Between two tries to commit.
const PAUSE: Duration = Duration::from_millis(1);

/// What a write has to go on.
pub(super) struct WriteTransaction<'a> {
    pub(super) connection: &'a Connection,
    /// How rows are kept. A verb that changes it says so here.
    pub(super) format: Cell<Format>,
    /// Whether threads may be being deleted. A verb that begins such a deletion says so here.
    pub(super) hides: Cell<bool>,
    /// The same as in an earlier transaction if only this writer has committed since.
    pub(super) epoch: u64,
}

/// An open transaction; dropped without `commit`, also by a panic, it is rolled back.
pub(super) struct Transaction<'a>(Option<&'a Connection>);

impl<'a> Transaction<'a> {
    pub(super) fn begin_read(connection: &'a Connection) -> Result<Self> {
        execute(connection, sql::BEGIN_READ)?;
        Ok(Self(Some(connection)))
    }

    pub(super) fn begin_write(connection: &'a Connection) -> Result<Self> {
        let begin = if faults::planted(Fault::Deferred) {
            sql::BEGIN_READ
        } else {
            sql::BEGIN_WRITE
        };
        execute(connection, begin)?;
        Ok(Self(Some(connection)))
    }

    /// Waits for nobody, and lets nobody in.
    pub(super) fn begin_exclusive(connection: &'a Connection) -> Result<Self> {
        execute(connection, sql::maintenance::LOCK_EXCLUSIVELY)?;
        Ok(Self(Some(connection)))
    }

    /// Takes charge of a transaction that is open.
    pub(super) fn resume(connection: &'a Connection) -> Self {
        Self(Some(connection))
    }

    /// Leaves the transaction open, for `resume`.
    pub(super) fn keep(mut self) {
        self.0 = None;
    }

    pub(super) fn commit(self) -> Result<()> {
        self.commit_by(Instant::now(), || false)
    }

    /// Commits, trying again until `deadline` while readers block it. When `stop` says true, it ends
    /// with `Interrupted`, rolled back.
    pub(super) fn commit_by(self, deadline: Instant, mut stop: impl FnMut() -> bool) -> Result<()> {
        let Some(connection) = self.0 else { return Ok(()) };
        loop {
            match commit_once(connection) {
                Err(error) if error.is_busy() && Instant::now() < deadline => {
                    if stop() {
                        return Err(Error::Interrupted);
                    }
                    std::thread::sleep(PAUSE);
                }
                result => return result,
            }
        }
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.0
            && !connection.is_autocommit()
        {
            // Should even this fail, the next BEGIN on this connection reports it, and a pooled
            // one is discarded on return.
            drop(execute(connection, sql::ROLLBACK));
        }
    }
}

/// Runs `work` so that its failure leaves nothing behind, and what came before it stays.
pub(super) fn isolated(connection: &Connection, work: impl FnOnce() -> Result<()>) -> Result<()> {
    execute(connection, sql::SAVEPOINT)?;
    let result = work();
    // A full disk or a failed write rolls everything back, savepoints included.
    if !connection.is_autocommit() {
        if result.is_err() {
            execute(connection, sql::ROLLBACK_TO)?;
        }
        execute(connection, sql::RELEASE)?;
    }
    result
}

fn commit_once(connection: &Connection) -> Result<()> {
    let (committed, written) = lock_guard::gathered(|| execute(connection, sql::COMMIT));
    match committed {
        // Not to be tried again: what is missing in the log cannot be added.
        Err(error) if error.is_busy() && written.is_err() => Err(log_error().into()),
        result => result,
    }
}

fn log_error() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_WRITE), None)
}

fn execute(connection: &Connection, statement: &'static str) -> Result<()> {
    connection.prepare_cached(statement)?.execute([])?;
    Ok(())
}
