//! Chunks that nothing refers to: found in a read transaction, deleted in slices of write transactions.
//!
//! A put that comes in between may refer to a chunk that was found unused. It raises `puts`, a sweep
//! raises `revision`; a slice that finds either changed deletes nothing. Nodes go before leaves, so that
//! a node that is there has all its leaves. A chunk belongs to one thread, so only that thread is marked;
//! if one recipe of it cannot be read, nothing is deleted.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::chunks::{self, Kind};
use super::engine::ReadTransaction;
use super::row;
use super::schema;
use super::slice::Slice;
use super::statements as sql;
use super::threads;
use crate::chunk::{self, Op};
use crate::error::Result;
use crate::model::{CheckpointKey, Format, Garbage, SweepProgress, Swept};

/// Chunks deleted between two looks at the clock.
const STEP: usize = 32;

/// What of a thread's chunks is not referred to.
pub(super) fn garbage(transaction: &ReadTransaction<'_>, thread_id: &str) -> Result<Garbage> {
    let connection = transaction.connection;
    if schema::format(connection, schema::Access::Read)? == Format::Interop {
        return Ok(Garbage::default());
    }
    let thread = connection
        .prepare_cached(sql::SELECT_THREAD)?
        .query_row([thread_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((thread_no, revision, puts)) = thread else {
        return Ok(Garbage::default());
    };
    let live = live_chunks(connection, thread_id, |_, _| true)?;
    let mut statement = connection.prepare_cached(sql::SELECT_CHUNK_KINDS)?;
    let mut rows = statement.query([thread_no])?;
    let (mut nodes, mut leaves) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let (id, kind): (i64, i64) = (row.get(0)?, row.get(1)?);
        if !live.contains(&id) {
            let dead = if kind == Kind::Node as i64 {
                &mut nodes
            } else {
                &mut leaves
            };
            dead.push(id);
        }
    }
    nodes.append(&mut leaves);
    Ok(Garbage {
        thread_no,
        revision,
        puts,
        chunks: nodes,
    })
}

/// Some threads that have chunks and sort after `after`.
pub(super) fn chunked_threads(transaction: &ReadTransaction<'_>, after: &str) -> Result<Vec<String>> {
    let connection = transaction.connection;
    if schema::format(connection, schema::Access::Read)? == Format::Interop {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(sql::CHUNKED_THREADS)?;
    let threads = statement.query_map([after], |row| row.get(0))?;
    Ok(threads.collect::<rusqlite::Result<_>>()?)
}

/// The chunks that the rows of a thread refer to which stay, by namespace and id.
pub(super) fn live_chunks(
    connection: &Connection,
    thread_id: &str,
    stays: impl Fn(&str, &str) -> bool,
) -> Result<HashSet<i64>> {
    let mut live = HashSet::new();
    let mut nodes = HashSet::new();
    let mut key = CheckpointKey {
        thread_id: thread_id.to_owned(),
        checkpoint_ns: String::new(),
        checkpoint_id: String::new(),
    };
    for select in [sql::SELECT_CHECKPOINT_RECIPES, sql::SELECT_WRITE_RECIPES] {
        let mut statement = connection.prepare_cached(select)?;
        let mut rows = statement.query(params![thread_id, chunk::TAG])?;
        while let Some(found) = rows.next()? {
            (key.checkpoint_ns, key.checkpoint_id) = (found.get(0)?, found.get(1)?);
            if !stays(&key.checkpoint_ns, &key.checkpoint_id) {
                continue;
            }
            for op in &chunks::decode(row::bytes(found, 2)?, &key)?.ops {
                match op {
                    Op::Leaves(ids) => live.extend(ids),
                    Op::Nodes(ids) => nodes.extend(ids),
                    Op::Inline(_) | Op::Body(_) => {}
                }
            }
        }
    }
    for id in nodes {
        let node = chunks::read_chunk(connection, id)?;
        let leaves = node.and_then(|node| chunk::decode_node(&node.data));
        live.extend(leaves.ok_or_else(|| row::damaged(&key, &format!("chunk {id} cannot be read")))?);
        live.insert(id);
    }
    Ok(live)
}

/// Deletes a slice of what was found.
pub(super) fn sweep(connection: &Connection, garbage: &Garbage, progress: SweepProgress) -> Result<Swept> {
    if garbage.chunks.is_empty() {
        return Ok(Swept::Done);
    }
    let slice = Slice::begin();
    let raised = connection.prepare_cached(sql::RAISE_REVISION)?.execute(params![
        garbage.thread_no,
        garbage.revision + progress.slices,
        garbage.puts
    ])?;
    if raised == 0 {
        return Ok(Swept::Changed);
    }
    let mut delete = connection.prepare_cached(sql::DELETE_CHUNK)?;
    let mut done = progress.chunks;
    let mut bytes = 0;
    for step in garbage.chunks[done..].chunks(STEP) {
        for id in step {
            let deleted: Option<i64> = delete.query_row([id], |row| row.get(0)).optional()?;
            bytes += deleted.unwrap_or_default();
        }
        done += step.len();
        if slice.is_over() {
            break;
        }
    }
    threads::add_bytes(connection, garbage.thread_no, -bytes)?;
    if done == garbage.chunks.len() {
        return Ok(Swept::Done);
    }
    Ok(Swept::Left(SweepProgress {
        chunks: done,
        slices: progress.slices + 1,
    }))
}

/// Deletes the chunks of deleted threads until the slice is over; true if some are left.
pub(super) fn sweep_deleted(connection: &Connection, slice: &Slice) -> Result<bool> {
    let mut next = connection.prepare_cached(sql::SELECT_DELETED_THREAD)?;
    while let Some(thread_no) = next.query_row([], |row| row.get::<_, i64>(0)).optional()? {
        let mut delete = connection.prepare_cached(sql::DELETE_SOME_THREAD_CHUNKS)?;
        while delete.execute([thread_no])? > 0 {
            if slice.is_over() {
                return Ok(true);
            }
        }
        connection
            .prepare_cached(sql::DELETE_THREAD)?
            .execute([thread_no])?;
    }
    Ok(false)
}
