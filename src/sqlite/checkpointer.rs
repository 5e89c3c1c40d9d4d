//! Moves the WAL into the database: the only thread of this process that does, so that no commit
//! pays for it. Two checkpointers at once were the trigger of SQLite's WAL-reset corruption.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rusqlite::Connection;

use super::gate;
use super::settings::Settings;
use super::statements as sql;
use super::sync::{lock, wait, wait_for};
use crate::error::Result;

/// How long to let a blocked or postponed checkpoint rest.
const AGAIN: Duration = Duration::from_millis(500);

/// The checkpointer of one database. Its thread starts with the first request.
pub(super) struct Checkpointer {
    path: PathBuf,
    limit: u64,
    connect: Box<dyn Fn() -> Result<Connection> + Send + Sync>,
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct State {
    requested: bool,
    closed: bool,
    staffed: bool,
    statistics: WalStatistics,
}

/// What `stats()` tells of the WAL.
#[derive(Clone, Copy, Debug, Default)]
pub struct WalStatistics {
    /// Size of the file.
    pub bytes: u64,
    /// Pages in it after the last checkpoint, and how many of them are in the database.
    pub pages: i64,
    /// Pages of the WAL that are in the database.
    pub checkpointed_pages: i64,
    /// Checkpoints run.
    pub checkpoints: u64,
    /// Checkpoints that a reader of another process kept from finishing.
    pub blocked: u64,
}

impl Checkpointer {
    pub(super) fn new(
        path: &Path,
        settings: &Settings,
        connect: Box<dyn Fn() -> Result<Connection> + Send + Sync>,
    ) -> Self {
        let limit = settings.journal_size_limit;
        Self { path: path.to_path_buf(), limit, connect, state: Mutex::default(), bell: Condvar::new() }
    }

    /// Asks for a checkpoint soon.
    pub(super) fn request(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        state.requested = true;
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

    pub(super) fn statistics(&self) -> WalStatistics {
        WalStatistics { bytes: self.wal_bytes(), ..lock(&self.state).statistics }
    }

    fn serve(&self) {
        let mut connection = None;
        loop {
            let mut state = lock(&self.state);
            while !state.requested && !state.closed {
                state = wait(&self.bell, state);
            }
            if state.closed {
                drop(state);
                let pass = gate::enter();
                drop(connection);
                drop(pass);
                lock(&self.state).staffed = false;
                self.bell.notify_all();
                return;
            }
            state.requested = false;
            drop(state);
            if !self.checkpoint(&mut connection).unwrap_or(false) {
                let mut state = lock(&self.state);
                if !state.closed {
                    state = wait_for(&self.bell, state, AGAIN);
                    state.requested |= self.wal_bytes() > self.limit;
                }
            }
        }
    }

    /// True if the whole WAL is in the database, and the file within its limit.
    fn checkpoint(&self, slot: &mut Option<Connection>) -> Result<bool> {
        let _pass = gate::enter();
        let connection = match slot {
            Some(connection) => connection,
            empty => empty.insert((self.connect)()?),
        };
        // Waiting would be done with the write lock held.
        connection.busy_timeout(Duration::ZERO)?;
        let mut finished = self.run(connection, sql::CHECKPOINT_PASSIVE)?;
        if finished && self.wal_bytes() > self.limit {
            finished = self.run(connection, sql::CHECKPOINT_TRUNCATE)?;
        }
        Ok(finished)
    }

    fn run(&self, connection: &Connection, statement: &str) -> Result<bool> {
        let (busy, pages, checkpointed_pages): (bool, i64, i64) =
            connection.query_row(statement, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let finished = !busy && pages == checkpointed_pages;
        let statistics = &mut lock(&self.state).statistics;
        statistics.pages = pages;
        statistics.checkpointed_pages = checkpointed_pages;
        statistics.checkpoints += 1;
        statistics.blocked += u64::from(!finished);
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
