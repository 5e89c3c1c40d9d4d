//! `repair`: drops what nothing can ever need, and makes the rows of threads anew that are missing.
//!
//! Writes whose checkpoint is not stored are live: LangGraph stores writes first. They are dropped only if
//! their checkpoint was made a day ago and the thread has stood still since.

use rusqlite::{Connection, OptionalExtension, params};

use super::clock;
use super::slice::Slice;
use super::statements::maintenance as sql;
use super::threads::{self, Times};
use super::transaction::WriteTransaction;
use super::{chunks, row, statements};
use crate::chunk;
use crate::error::Result;
use crate::model::{CheckpointKey, Format, Repaired};

/// After this time no checkpoint comes any more.
const PATIENCE: i64 = 24 * 60 * 60 * 1000;

/// A slice; `keys` are places where writes were found without their checkpoint.
pub(super) fn repair(transaction: &WriteTransaction<'_>, keys: &[CheckpointKey]) -> Result<Repaired> {
    let connection = transaction.connection;
    let slice = Slice::begin();
    let mut repaired = Repaired::default();
    let long_ago = clock::now().saturating_sub(PATIENCE);
    for key in keys {
        if is_orphan(connection, key, long_ago)? {
            let place = params![key.thread_id, key.checkpoint_ns, key.checkpoint_id];
            let mut delete = connection.prepare_cached(statements::DELETE_CHECKPOINT_WRITES)?;
            repaired.writes += delete.execute(place)? as u64;
        }
    }
    if transaction.format.get() == Format::Interop {
        return Ok(repaired);
    }
    let missing: Vec<String> = connection
        .prepare_cached(sql::THREADS_WITHOUT_ROW)?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for thread_id in &missing {
        add_row(connection, thread_id)?;
        repaired.threads += 1;
        if slice.is_over() {
            repaired.left = true;
            return Ok(repaired);
        }
    }
    if !missing.is_empty() {
        repaired.left = true;
        return Ok(repaired);
    }
    // Each thread that is there has its number: chunks of other numbers are nobody's.
    let mut delete = connection.prepare_cached(sql::DELETE_SOME_LOST_CHUNKS)?;
    loop {
        let chunks = delete.execute([])?;
        repaired.chunks += chunks as u64;
        if chunks == 0 {
            return Ok(repaired);
        }
        if slice.is_over() {
            repaired.left = true;
            return Ok(repaired);
        }
    }
}

fn is_orphan(connection: &Connection, key: &CheckpointKey, long_ago: i64) -> Result<bool> {
    let is_old = |id: &str| clock::time_of(id).is_some_and(|time| time < long_ago);
    if !is_old(&key.checkpoint_id) || super::read_thread::is_stored(connection, key, &key.checkpoint_id)? {
        return Ok(false);
    }
    let newest: Option<String> = connection
        .prepare_cached(sql::NEWEST_ID_OF_THREAD)?
        .query_row([&key.thread_id], |row| row.get(0))?;
    Ok(newest.is_none_or(|newest| is_old(&newest)))
}

/// Gives a thread its row, with the number that its recipes name.
fn add_row(connection: &Connection, thread_id: &str) -> Result<()> {
    let thread_no = number_of(connection, thread_id)?;
    let is_free = match thread_no {
        None => false,
        Some(thread_no) => connection
            .prepare_cached(sql::THREAD_OF_NO)?
            .query_row([thread_no], |_| Ok(()))
            .optional()?
            .is_none(),
    };
    connection
        .prepare_cached(sql::INSERT_THREAD_ROW)?
        .execute(params![thread_no.filter(|_| is_free), thread_id])?;
    threads::recount(connection, thread_id, Times::OfCheckpoints)?;
    Ok(())
}

fn number_of(connection: &Connection, thread_id: &str) -> Result<Option<i64>> {
    let mut key = CheckpointKey {
        thread_id: thread_id.to_owned(),
        ..CheckpointKey::default()
    };
    for select in [
        statements::SELECT_CHECKPOINT_RECIPES,
        statements::SELECT_WRITE_RECIPES,
    ] {
        let mut statement = connection.prepare_cached(select)?;
        let mut rows = statement.query(params![thread_id, chunk::TAG])?;
        while let Some(found) = rows.next()? {
            key.checkpoint_ns = found.get(0)?;
            key.checkpoint_id = found.get(1)?;
            let recipe = chunks::decode(row::bytes(found, 2)?, &key)?;
            if !recipe.ops.is_empty() {
                return Ok(Some(recipe.thread_no));
            }
        }
    }
    Ok(None)
}
