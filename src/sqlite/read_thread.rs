//! `read_thread` and `thread_ids`: a thread's rows as they are stored, for another file. Subgraphs come
//! before the root graph and old checkpoints before new ones, so that a reader of a half-written copy
//! meets whole checkpoints.

use rusqlite::{Connection, OptionalExtension, params};

use super::engine::ReadTransaction;
use super::get_tuple::get_tuple;
use super::row;
use super::schema;
use super::slice::Slice;
use super::statements::maintenance as sql;
use crate::error::Result;
use crate::model::{CheckpointKey, PlacedWrite, StoredTuple, ThreadPage, ThreadRange, ThreadRow};

/// A page ends early once it holds this much.
const PAGE_BYTES: usize = 8 << 20;

pub(super) fn read_thread(
    transaction: &ReadTransaction<'_>,
    thread_id: &str,
    after: Option<&(String, String)>,
) -> Result<ThreadPage> {
    if transaction.hides(thread_id) {
        return Ok(ThreadPage::default());
    }
    let Some((checkpoint_ns, ids)) = next_ids(transaction.connection, thread_id, after)? else {
        return Ok(ThreadPage::default());
    };
    let slice = Slice::begin();
    let mut rows = Vec::new();
    let mut bytes = 0;
    let mut next = None;
    for checkpoint_id in ids {
        let key = CheckpointKey {
            thread_id: thread_id.to_owned(),
            checkpoint_ns: checkpoint_ns.clone(),
            checkpoint_id,
        };
        next = Some((key.checkpoint_ns.clone(), key.checkpoint_id.clone()));
        let row = read_row(transaction, key)?;
        bytes += row.bytes();
        rows.push(row);
        if bytes > PAGE_BYTES || slice.is_over() {
            break;
        }
    }
    Ok(ThreadPage { rows, next })
}

/// The ids after `after` in its namespace, or the first ones in the next namespace that has any.
fn next_ids(
    connection: &Connection,
    thread_id: &str,
    after: Option<&(String, String)>,
) -> Result<Option<(String, Vec<String>)>> {
    let mut before = connection.prepare_cached(sql::NAMESPACE_BEFORE)?;
    let mut namespace_before = |ns: Option<&str>| -> Result<Option<String>> {
        Ok(before.query_row(params![thread_id, ns], |row| row.get(0))?)
    };
    let mut statement = connection.prepare_cached(sql::SELECT_NAMESPACE_IDS)?;
    let (mut checkpoint_ns, mut after) = match after {
        Some((ns, id)) => (Some(ns.clone()), id.as_str()),
        None => (namespace_before(None)?, ""),
    };
    while let Some(ns) = checkpoint_ns {
        let ids = statement
            .query_map(params![thread_id, ns, after], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        if !ids.is_empty() {
            return Ok(Some((ns, ids)));
        }
        checkpoint_ns = namespace_before(Some(&ns))?;
        after = "";
    }
    Ok(None)
}

/// All that is stored under one key: a checkpoint, writes, or both.
pub(super) fn read_row(transaction: &ReadTransaction<'_>, key: CheckpointKey) -> Result<ThreadRow> {
    let found = get_tuple(
        transaction,
        &key.thread_id,
        &key.checkpoint_ns,
        Some(&key.checkpoint_id),
    )?;
    let (checkpoint, writes) = if let Some(mut tuple) = found {
        let writes = std::mem::take(&mut tuple.writes);
        (Some(tuple), writes)
    } else {
        let mut statement = transaction
            .connection
            .prepare_cached(transaction.statements.by_checkpoint)?;
        let writes = row::writes(
            &transaction.chunks,
            &mut statement,
            params![key.thread_id, key.checkpoint_ns, key.checkpoint_id],
            &key,
        )?;
        (None, writes)
    };
    let writes = writes
        .into_iter()
        .zip(places(transaction, &key)?)
        .map(|(write, (task_path, index))| PlacedWrite {
            write,
            task_path,
            index,
        })
        .collect();
    Ok(ThreadRow {
        key,
        checkpoint,
        writes,
    })
}

fn places(transaction: &ReadTransaction<'_>, key: &CheckpointKey) -> Result<Vec<(String, i64)>> {
    let mut statement = transaction
        .connection
        .prepare_cached(transaction.statements.places)?;
    let places = statement
        .query_map(
            params![key.thread_id, key.checkpoint_ns, key.checkpoint_id],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?
        .collect::<rusqlite::Result<_>>()?;
    Ok(places)
}

pub(super) fn thread_ids(
    transaction: &ReadTransaction<'_>,
    range: &ThreadRange,
    noted: bool,
    limit: usize,
) -> Result<Vec<String>> {
    let connection = transaction.connection;
    let mut statement = connection.prepare_cached(if noted && schema::has_threads(connection)? {
        sql::SELECT_NOTED_THREADS
    } else {
        sql::SELECT_THREADS
    })?;
    let most = i64::try_from(limit + transaction.hidden.len()).unwrap_or(i64::MAX);
    let mut threads = statement
        .query_map(params![range.from, range.until, most], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    threads.retain(|thread_id| !transaction.hides(thread_id));
    threads.truncate(limit);
    Ok(threads)
}

/// Whether a parent is stored.
pub(super) fn is_stored(connection: &Connection, key: &CheckpointKey, id: &str) -> Result<bool> {
    let found = connection
        .prepare_cached(super::statements::SELECT_ANCESTOR)?
        .query_row(params![key.thread_id, key.checkpoint_ns, id], |_| Ok(()))
        .optional()?;
    Ok(found.is_some())
}

impl ThreadRow {
    pub(super) fn bytes(&self) -> usize {
        let checkpoint =
            |tuple: &StoredTuple| tuple.value.payload.as_slice().len() + tuple.metadata.as_slice().len();
        let writes = self
            .writes
            .iter()
            .map(|placed| placed.write.value.payload.as_slice().len());
        self.checkpoint.as_ref().map_or(0, checkpoint) + writes.sum::<usize>()
    }
}
