//! How much a removal takes away: rows by their length, which SQLite knows without reading them, and the
//! chunks that nothing else refers to.

use std::collections::HashSet;

use rusqlite::{Connection, params};

use super::engine::ReadTransaction;
use super::row;
use super::schema::{self, Access};
use super::statements::retention as sql;
use super::sweep;
use crate::error::Result;
use crate::model::{Format, Removal, RemovalStep, ThreadMark, Weight};

/// The removal of all that a thread has.
pub(super) fn whole_thread(transaction: &ReadTransaction<'_>, thread_id: &str) -> Result<Removal> {
    let connection = transaction.connection;
    let mut weight = Weight::default();
    for (select, rows) in [
        (sql::WEIGH_THREAD_CHECKPOINTS, &mut weight.checkpoints),
        (sql::WEIGH_THREAD_WRITES, &mut weight.writes),
    ] {
        let (count, bytes) = connection
            .prepare_cached(select)?
            .query_row([thread_id], |row| Ok((row::count(row, 0)?, row::count(row, 1)?)))?;
        *rows = count;
        weight.bytes += bytes;
    }
    if schema::format(connection, Access::Read)? != Format::Interop {
        let bytes = connection
            .prepare_cached(sql::WEIGH_THREAD_CHUNKS)?
            .query_row([thread_id], |row| row::count(row, 0))?;
        weight.bytes += bytes;
    }
    let steps = if weight == Weight::default() {
        Vec::new()
    } else {
        vec![RemovalStep::Thread {
            thread_id: thread_id.to_owned(),
            unless_changed: None,
        }]
    };
    Ok(Removal {
        steps,
        weight,
        ..Removal::default()
    })
}

/// Tells whether a thread was written to since.
pub(super) fn mark(connection: &Connection, thread_id: &str) -> Result<ThreadMark> {
    let mut statement = connection.prepare_cached(sql::SELECT_MARK)?;
    Ok(statement.query_row([thread_id], |row| {
        Ok(ThreadMark {
            newest: row.get(0)?,
            last_write: row.get(1)?,
        })
    })?)
}

/// Fills in how much the steps take away.
pub(super) fn weigh(transaction: &ReadTransaction<'_>, thread_id: &str, removal: &mut Removal) -> Result<()> {
    let connection = transaction.connection;
    let mut checkpoint = connection.prepare_cached(sql::WEIGH_CHECKPOINT)?;
    let mut writes = connection.prepare_cached(sql::WEIGH_WRITES)?;
    let mut orphans = connection.prepare_cached(sql::WEIGH_ORPHANS)?;
    let mut gone = HashSet::new();
    let mut emptied = HashSet::new();
    let weight = &mut removal.weight;
    for step in &removal.steps {
        let figures = |row: &rusqlite::Row<'_>| Ok((row::count(row, 0)?, row::count(row, 1)?));
        let (count, bytes) = match step {
            RemovalStep::CutParent(..) | RemovalStep::Thread { .. } => continue,
            RemovalStep::Checkpoint(key) => {
                let place = params![key.thread_id, key.checkpoint_ns, key.checkpoint_id];
                let bytes = checkpoint.query_row(place, |row| row::count(row, 0))?;
                weight.checkpoints += 1;
                weight.bytes += bytes;
                gone.insert((key.checkpoint_ns.as_str(), key.checkpoint_id.as_str()));
                writes.query_row(place, figures)?
            }
            RemovalStep::NamespaceWrites { checkpoint_ns, .. } => {
                emptied.insert(checkpoint_ns.as_str());
                orphans.query_row([thread_id, checkpoint_ns], figures)?
            }
        };
        weight.writes += count;
        weight.bytes += bytes;
    }
    if weight.checkpoints > 0 && schema::format(connection, Access::Read)? != Format::Interop {
        let stays = |ns: &str, id: &str| !gone.contains(&(ns, id)) && !emptied.contains(ns);
        let live = sweep::live_chunks(connection, thread_id, stays)?;
        let mut statement = connection.prepare_cached(sql::SELECT_CHUNK_LENGTHS)?;
        let mut rows = statement.query([thread_id])?;
        while let Some(row) = rows.next()? {
            if !live.contains(&row.get(0)?) {
                weight.bytes += row::count(row, 1)?;
            }
        }
    }
    Ok(())
}
