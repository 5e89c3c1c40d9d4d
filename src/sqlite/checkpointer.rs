//! Moves the WAL into the database: the only thread of this process that does, so that no commit
//! pays for it. Two checkpointers at once were the trigger of SQLite's WAL-reset corruption.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

use rusqlite::Connection;

use super::gate;
use super::settings::{Settings, Synchronous};
use super::statements as sql;
use super::sync::{lock, wait, wait_for};
use crate::error::Result;
use crate::model::WalStats;

/// Runs a closure while the writer of this process waits.
pub(super) type Pause = Box<dyn Fn(&mut dyn FnMut()) + Send + Sync>;

/// A WAL of so many times `wal_autocheckpoint` is long: the rest is moved while the writer waits, which takes two
/// syncs. Where each commit syncs that is little, and a sync takes twice as long while the file grows.
const LONG: i64 = 4;
const LONG_WHERE_COMMITS_SYNC: i64 = 1;

/// Bytes of a page of the WAL, to tell when it is worth a look at the file.
const PAGE: u64 = 4096;

/// How long to let a blocked or postponed checkpoint rest.
const AGAIN: Duration = Duration::from_millis(500);

/// The checkpointer of one database. Its thread starts with the first request.
pub(super) struct Checkpointer {
    path: PathBuf,
    limit: u64,
    threshold: u32,
    /// In pages.
    long: i64,
    /// Keeps the writer of this process off while the closure runs.
    pause: OnceLock<Pause>,
    connect: Box<dyn Fn() -> Result<Connection> + Send + Sync>,
    connection: Mutex<Option<Connection>>,
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct State {
    requested: bool,
    closed: bool,
    staffed: bool,
    /// The WAL is above its limit; it shall not stay so once writing ends.
    above: bool,
    /// Pages in the WAL when a checkpoint was last asked for.
    baseline: u32,
    stats: WalStats,
}

impl Checkpointer {
    pub(super) fn new(
        path: &Path,
        settings: &Settings,
        connect: Box<dyn Fn() -> Result<Connection> + Send + Sync>,
    ) -> Self {
        Self {
            path: path.to_path_buf(),
            limit: settings.journal_size_limit,
            threshold: settings.wal_autocheckpoint,
            long: i64::from(settings.wal_autocheckpoint)
                * match settings.synchronous {
                    Synchronous::Normal => LONG,
                    Synchronous::Full | Synchronous::Extra => LONG_WHERE_COMMITS_SYNC,
                },
            pause: OnceLock::new(),
            connect,
            connection: Mutex::new(None),
            state: Mutex::default(),
            bell: Condvar::new(),
        }
    }

    /// Says how the writer is kept off.
    pub(super) fn set_pause(&self, pause: Pause) {
        drop(self.pause.set(pause));
    }

    /// Notes how many pages the WAL has after a commit; when it grew by `wal_autocheckpoint`, a
    /// checkpoint follows soon.
    pub(super) fn note(self: &Arc<Self>, pages: u32) {
        let mut state = lock(&self.state);
        if pages < state.baseline {
            state.baseline = 0;
        }
        let due = pages - state.baseline >= self.threshold;
        let above = u64::from(pages) * PAGE > self.limit;
        if self.threshold == 0 || !due && above <= state.above {
            return;
        }
        if due {
            state.baseline = pages;
            state.requested = true;
        }
        state.above |= above;
        if !state.staffed && !state.closed {
            let checkpointer = Arc::clone(self);
            let spawned = std::thread::Builder::new()
                .name("lgcheckpoint-wal".to_owned())
                .spawn(move || checkpointer.serve());
            // Without a thread the WAL grows until the next request finds one.
            state.staffed = spawned.is_ok();
        }
        self.bell.notify_one();
    }

    /// Sends the thread home.
    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
        self.bell.notify_all();
        let mut state = lock(&self.state);
        while state.staffed {
            state = wait_for(&self.bell, state, AGAIN);
        }
    }

    /// Closes the connection; the next checkpoint opens it again.
    pub(super) fn suspend(&self) {
        let connection = lock(&self.connection).take();
        drop(connection);
    }

    pub(super) fn stats(&self) -> WalStats {
        WalStats {
            bytes: self.wal_bytes(),
            ..lock(&self.state).stats
        }
    }

    fn serve(&self) {
        loop {
            let mut state = lock(&self.state);
            while !state.requested && !state.closed {
                if state.above {
                    state = wait_for(&self.bell, state, AGAIN);
                    state.above = self.wal_bytes() > self.limit;
                    state.requested |= state.above;
                } else {
                    state = wait(&self.bell, state);
                }
            }
            if state.closed {
                drop(state);
                let pass = gate::enter();
                self.suspend();
                drop(pass);
                lock(&self.state).staffed = false;
                self.bell.notify_all();
                return;
            }
            state.requested = false;
            drop(state);
            if !self.checkpoint().unwrap_or(false) {
                let mut state = lock(&self.state);
                if !state.closed {
                    state = wait_for(&self.bell, state, AGAIN);
                    state.requested |= self.wal_bytes() > self.limit;
                }
            }
        }
    }

    /// True if the whole WAL is in the database, and the file within its limit.
    fn checkpoint(&self) -> Result<bool> {
        let _pass = gate::enter();
        let mut slot = lock(&self.connection);
        let connection = match &mut *slot {
            Some(connection) => connection,
            empty => empty.insert((self.connect)()?),
        };
        // Waiting would be done with the write lock held.
        connection.busy_timeout(Duration::ZERO)?;
        let mut finished = self.run(connection, sql::CHECKPOINT_PASSIVE)?;
        let pages = lock(&self.state).stats.pages;
        if pages >= self.long
            && let Some(pause) = self.pause.get()
        {
            // Under steady load each checkpoint finds the WAL longer than when it began, and it never
            // starts afresh. What came meanwhile is little: the writer waits for that much.
            let mut rest = Ok(finished);
            pause(&mut || rest = self.run(connection, sql::CHECKPOINT_PASSIVE));
            finished = rest?;
        }
        if finished && self.wal_bytes() > self.limit {
            finished = self.run(connection, sql::CHECKPOINT_TRUNCATE)?;
        }
        Ok(finished)
    }

    fn run(&self, connection: &Connection, statement: &str) -> Result<bool> {
        let (busy, pages, checkpointed_pages): (bool, i64, i64) =
            connection.query_row(statement, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let finished = !busy && pages == checkpointed_pages;
        let stats = &mut lock(&self.state).stats;
        stats.pages = pages;
        stats.checkpointed_pages = checkpointed_pages;
        stats.checkpoints += 1;
        stats.blocked += u64::from(!finished);
        Ok(finished)
    }

    fn wal_bytes(&self) -> u64 {
        let mut wal = self.path.clone().into_os_string();
        wal.push("-wal");
        std::fs::metadata(wal).map_or(0, |file| file.len())
    }
}

impl std::fmt::Debug for Checkpointer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Checkpointer")
    }
}
