//! `copy_thread`: every row of a thread under another id, ids and parents unchanged. Writes come
//! before checkpoints and older checkpoints before newer ones, so that whatever a reader of the copy
//! meets half-way is whole.

use rusqlite::params;

use super::rebind::Mover;
use super::slice::Slice;
use super::statements as sql;
use super::threads::{self, Times};
use super::transaction::WriteTransaction;
use crate::error::{Error, Result};
use crate::model::{CopyProgress, Format};

/// What is left to copy from; None at the end.
pub(super) fn copy_thread(
    transaction: &WriteTransaction<'_>,
    source: &str,
    target: &str,
    progress: CopyProgress,
) -> Result<Option<CopyProgress>> {
    if source == target {
        return Ok(None);
    }
    let connection = transaction.connection;
    let slice = Slice::begin();
    let mut progress = progress;
    let mut mover = match transaction.format.get() {
        Format::Interop => None,
        Format::Downgrading => {
            return Err(Error::Invalid(
                "a database that is being downgraded copies no threads; call downgrade() to its end first"
                    .to_owned(),
            ));
        }
        Format::Compact => {
            connection
                .prepare_cached(sql::COPY_RUNS)?
                .execute([source, target])?;
            Some(Mover::new(connection, source, target)?)
        }
    };
    loop {
        let (next_key, copy) = if progress.writes_done {
            (sql::NEXT_CHECKPOINT_KEY, sql::COPY_CHECKPOINT)
        } else {
            (sql::NEXT_WRITES_KEY, sql::COPY_WRITES)
        };
        let after = progress.after.take();
        let (ns, id) = after
            .as_ref()
            .map_or((None, None), |(ns, id)| (Some(ns), Some(id)));
        let mut statement = connection.prepare_cached(next_key)?;
        let mut rows = statement.query(params![source, ns, id])?;
        let next: Option<(String, String)> = match rows.next()? {
            Some(row) => Some((row.get(0)?, row.get(1)?)),
            None => None,
        };
        drop(rows);
        match next {
            Some((ns, id)) => {
                connection
                    .prepare_cached(copy)?
                    .execute(params![source, target, ns, id])?;
                if let Some(mover) = &mut mover {
                    if progress.writes_done {
                        mover.checkpoint(&ns, &id)?;
                    } else {
                        mover.writes(&ns, &id)?;
                    }
                }
                progress.after = Some((ns, id));
            }
            None if progress.writes_done => break,
            None => progress.writes_done = true,
        }
        if slice.is_over() {
            if mover.is_some() {
                threads::recount(connection, target, Times::Now)?;
            }
            return Ok(Some(progress));
        }
    }
    if mover.is_some() {
        threads::recount(connection, target, Times::Now)?;
    }
    Ok(None)
}
