//! A connection that reads, and that can be stopped in the middle of a statement.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::sync::lock;
use crate::error::Result;
use crate::pending::{Cancel, GiveUp};

/// Virtual machine steps between two looks whether a reader shall stop: some 0.2 ms.
const STEPS: i32 = 10_000;

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
    pub(super) fn new(mut connection: Connection) -> Result<Self> {
        let stop = Arc::new(Mutex::new(Stop::default()));
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
            looked: None,
        };
        let result = job(&self.connection);
        *lock(&self.stop) = Stop::default();
        result
    }

    /// Whether no transaction was left open.
    pub(super) fn is_clean(&self) -> bool {
        self.connection.is_autocommit()
    }
}
