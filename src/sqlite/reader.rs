//! A connection that reads, and that can be stopped in the middle of a statement.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::sync::lock;
use crate::error::{Error, Result};
use crate::pending::{Cancel, GiveUp};

/// Virtual machine steps between two looks whether a reader shall stop: some 0.2 ms.
const STEPS: i32 = 10_000;

/// Between two tries for a lock, which readers need in `JournalMode::Delete`.
const PAUSE: Duration = Duration::from_millis(1);

/// How often a reader that runs long looks for signals.
const LOOK: Duration = Duration::from_millis(200);

/// A reader.
#[derive(Debug)]
pub(super) struct Reader {
    connection: Connection,
    stop: Arc<Mutex<Stop>>,
}

/// What the operation that a reader runs now is stopped by.
#[derive(Debug, Default)]
struct Stop {
    give_up: Option<GiveUp>,
    cancel: Option<Cancel>,
    looked: Option<Instant>,
    /// Since when it waits for a lock.
    blocked: Option<Instant>,
    /// It was told to stop.
    stopped: bool,
}

impl Stop {
    fn wanted(&mut self) -> bool {
        self.stopped = self.stopped || self.asked();
        self.stopped
    }

    fn asked(&mut self) -> bool {
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

    /// Waits a little for another connection's lock; false if that is to end. `tries` were made before.
    fn wait_on(&mut self, tries: i32, patience: Duration) -> bool {
        if tries == 0 {
            self.blocked = None;
        }
        let blocked = *self.blocked.get_or_insert_with(Instant::now);
        if blocked.elapsed() >= patience || self.wanted() {
            return false;
        }
        std::thread::sleep(PAUSE);
        true
    }
}

impl Reader {
    /// `patience` is for locks of other connections.
    pub(super) fn new(mut connection: Connection, patience: Duration) -> Result<Self> {
        let stop = Arc::new(Mutex::new(Stop::default()));
        let waiting = Arc::clone(&stop);
        connection.busy_handler(Some(move |tries| lock(&waiting).wait_on(tries, patience)))?;
        let wanted = Arc::clone(&stop);
        // Not `sqlite3_interrupt`: that one would also stop what the connection runs next.
        connection.progress_handler(STEPS, Some(move || lock(&wanted).wanted()))?;
        Ok(Self { connection, stop })
    }

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
            ..Stop::default()
        };
        let result = job(&self.connection);
        let stop = std::mem::take(&mut *lock(&self.stop));
        match result {
            Err(error) if stop.stopped && error.is_busy() => Err(Error::Interrupted),
            result => result,
        }
    }

    /// Whether no transaction was left open.
    pub(super) fn is_clean(&self) -> bool {
        self.connection.is_autocommit()
    }
}
