//! Verbs that need the writer's connection outside of any transaction: `rebuild`, which writes the file
//! anew without its free pages, while other writers wait for all of it, and `scrub`, which empties the WAL.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::engine::{Engine, elsewhere};
use super::statements as sql;
use crate::error::{Error, Result};
use crate::model::Scrubbed;
use crate::pending::{Cancel, Done, GiveUp, Work, patient};

/// Between two tries for the lock.
const PAUSE: Duration = Duration::from_millis(5);

/// How long a scrub waits for readers of old pages.
const PATIENCE: Duration = Duration::from_secs(1);

/// A verb, which is tried until nobody else holds the lock.
pub(super) struct Alone<T> {
    pub(super) engine: Arc<Engine>,
    pub(super) work: fn(&Connection) -> Result<T>,
}

impl<T> Alone<T> {
    fn run(&self, give_up: GiveUp, cancel: &Cancel) -> Result<T> {
        let since = Instant::now();
        let stop = || give_up() || cancel.is_cancelled();
        let done = self.engine.shared(stop).and_then(|shared| {
            let writer = shared.writer.as_ref().ok_or_else(|| shared.read_only())?;
            let deadline = since + shared.settings.busy_timeout;
            loop {
                match writer.with_connection(self.work) {
                    Err(error) if error.is_busy() && Instant::now() < deadline => {}
                    result => return result,
                }
                if stop() {
                    return Err(Error::Interrupted);
                }
                std::thread::sleep(PAUSE);
            }
        });
        self.engine.sorted(since, done)
    }
}

impl<T: Send + 'static> Work<T> for Alone<T> {
    fn wait(self: Box<Self>, give_up: GiveUp) -> Result<T> {
        self.run(give_up, &Cancel::default())
    }

    fn then(self: Box<Self>, done: Done<T>) -> Cancel {
        let cancel = Cancel::default();
        let withdrawn = cancel.clone();
        elsewhere(done, move || self.run(patient, &withdrawn));
        cancel
    }
}

/// From now on the file gives pages back when asked, if it did not before.
pub(super) fn rebuild(connection: &Connection) -> Result<()> {
    connection.execute_batch(sql::CHOOSE_INCREMENTAL)?;
    Ok(connection.execute_batch(sql::VACUUM)?)
}

/// Brings the WAL into the database, and empties it.
pub(super) fn scrub(connection: &Connection) -> Result<Scrubbed> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let is_busy: bool = connection.query_row(sql::CHECKPOINT_TRUNCATE, [], |row| row.get(0))?;
        let free_pages: i64 = connection.query_row(sql::FREELIST_COUNT, [], |row| row.get(0))?;
        if !is_busy || Instant::now() >= deadline {
            return Ok(Scrubbed {
                wal_is_empty: !is_busy,
                free_pages,
            });
        }
        std::thread::sleep(PAUSE);
    }
}
