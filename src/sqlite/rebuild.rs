//! `rebuild`: writes the file anew without its free pages. Not in slices: other writers wait for all of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::engine::{Engine, elsewhere};
use super::statements as sql;
use crate::error::{Error, Result};
use crate::pending::{Cancel, Done, GiveUp, Work, patient};

/// Between two tries for the lock.
const PAUSE: Duration = Duration::from_millis(5);

/// The verb.
pub(super) struct Rebuild(pub(super) Arc<Engine>);

impl Rebuild {
    fn run(&self, give_up: GiveUp, cancel: &Cancel) -> Result<()> {
        let since = Instant::now();
        let stop = || give_up() || cancel.is_cancelled();
        let rebuilt = self.0.shared(stop).and_then(|shared| {
            let writer = shared.writer.as_ref().ok_or_else(|| shared.read_only())?;
            let deadline = since + shared.settings.busy_timeout;
            loop {
                match writer.with_connection(rebuild) {
                    Err(error) if error.is_busy() && Instant::now() < deadline => {}
                    result => return result,
                }
                if stop() {
                    return Err(Error::Interrupted);
                }
                std::thread::sleep(PAUSE);
            }
        });
        self.0.sorted(since, rebuilt)
    }
}

impl Work<()> for Rebuild {
    fn wait(self: Box<Self>, give_up: GiveUp) -> Result<()> {
        self.run(give_up, &Cancel::default())
    }

    fn then(self: Box<Self>, done: Done<()>) -> Cancel {
        let cancel = Cancel::default();
        let withdrawn = cancel.clone();
        elsewhere(done, move || self.run(patient, &withdrawn));
        cancel
    }
}

/// From now on the file gives pages back when asked, if it did not before.
fn rebuild(connection: &Connection) -> Result<()> {
    connection.execute_batch(sql::CHOOSE_INCREMENTAL)?;
    Ok(connection.execute_batch(sql::VACUUM)?)
}
