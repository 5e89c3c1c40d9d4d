//! The rows of threads in a compact file: kept by each verb that changes what they are derived from, in its
//! transaction. How each column is derived is told in `docs/design.md`.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, params};

use super::chunks::Chunks;
use super::row;
use super::statements::threads as sql;
use crate::chunk::Binding;
use crate::error::Result;
use crate::model::{CheckpointKey, ThreadRange};

/// How far, in milliseconds, the time of the last put may be behind: the index is not touched more often.
const COARSE: i64 = 10_000;

/// The task of writes that no task made.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// A thread that is being written to.
pub(super) struct Thread {
    pub(super) number: i64,
    pub(super) revision: i64,
    updated: Option<i64>,
    head: Option<String>,
}

/// What one verb adds to a thread.
pub(super) struct Noting<'a> {
    connection: &'a Connection,
    thread_id: &'a str,
    thread: Option<Thread>,
    /// Of new chunks.
    bytes: i64,
}

/// What a checkpoint of the root graph says of its thread.
pub(super) struct Progress {
    pub(super) step: Option<i64>,
    pub(super) source: Option<String>,
    pub(super) run_id: Option<String>,
    /// The nodes that run next; None if only the serializer can read them.
    pub(super) nodes: Option<Vec<String>>,
}

/// Where the times of a row that has none come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    /// It is made now.
    Now,
    /// From the ids of its checkpoints.
    OfCheckpoints,
}

impl<'a> Noting<'a> {
    pub(super) fn new(connection: &'a Connection, thread_id: &'a str) -> Self {
        Self {
            connection,
            thread_id,
            thread: None,
            bytes: 0,
        }
    }

    pub(super) fn connection(&self) -> &'a Connection {
        self.connection
    }

    /// The thread's row; a new one if it has none.
    pub(super) fn thread(&mut self) -> Result<&mut Thread> {
        let thread = match self.thread.take() {
            Some(thread) => thread,
            None => find_or_add(self.connection, self.thread_id)?,
        };
        Ok(self.thread.insert(thread))
    }

    pub(super) fn add_bytes(&mut self, bytes: usize) {
        self.bytes += signed(bytes);
    }

    pub(super) fn replace_bytes(&mut self, old: i64) {
        self.bytes -= old;
    }

    /// Ends writes, which change the row only if they have chunks.
    pub(super) fn finish_writes(self) -> Result<()> {
        if let Some(thread) = &self.thread {
            self.connection
                .prepare_cached(sql::NOTE)?
                .execute(params![thread.number, 0, self.bytes])?;
        }
        Ok(())
    }

    /// Ends a put that added `rows` checkpoints.
    pub(super) fn finish_put(mut self, key: &CheckpointKey, rows: i64, progress: &Progress) -> Result<()> {
        let (connection, bytes) = (self.connection, self.bytes);
        let thread = self.thread()?;
        let thread_no = thread.number;
        let is_head = key.checkpoint_ns.is_empty()
            && thread.head.as_ref().is_none_or(|head| *head <= key.checkpoint_id);
        if is_head {
            let status = progress.status(connection, key)?;
            connection.prepare_cached(sql::NOTE_HEAD)?.execute(params![
                thread_no,
                rows,
                bytes,
                key.checkpoint_id,
                progress.step,
                progress.source,
                progress.run_id,
                status,
                progress.nodes_text(),
            ])?;
        } else {
            connection
                .prepare_cached(sql::NOTE)?
                .execute(params![thread_no, rows, bytes])?;
        }
        touch(connection, thread)
    }
}

impl Progress {
    /// Of a checkpoint on its way in; `nodes` is what its bytes say.
    pub(super) fn new(metadata: &[u8], nodes: Option<Vec<String>>) -> Self {
        let metadata: Option<serde_json::Value> = serde_json::from_slice(metadata).ok();
        let member = |name: &str| metadata.as_ref().and_then(|metadata| metadata.get(name));
        let text = |name| Some(member(name)?.as_str()?.to_owned());
        Self {
            step: member("step").and_then(serde_json::Value::as_i64),
            source: text("source"),
            run_id: text("run_id"),
            nodes,
        }
    }

    /// As far as the stored data tells it.
    pub(super) fn status(
        &self,
        connection: &Connection,
        key: &CheckpointKey,
    ) -> Result<Option<&'static str>> {
        let event: Option<String> = connection
            .prepare_cached(sql::LAST_EVENT)?
            .query_row([&key.thread_id, &key.checkpoint_id], |row| row.get(0))?;
        let led_to = event.and_then(|channel| status_of(&channel, NOBODY));
        Ok(match (led_to, &self.nodes) {
            (Some("pending") | None, None) => None,
            (Some("pending") | None, Some(nodes)) => Some(if nodes.is_empty() { "done" } else { "pending" }),
            (status, _) => status,
        })
    }

    pub(super) fn nodes_text(&self) -> Option<String> {
        let nodes = self.nodes.as_ref()?;
        Some(serde_json::Value::from(nodes.as_slice()).to_string())
    }
}

/// The status that a task's write to this channel leads to.
pub(super) fn status_of(channel: &str, task_id: &str) -> Option<&'static str> {
    match channel {
        "__interrupt__" => Some("interrupted"),
        "__error__" => Some("error"),
        "__resume__" if task_id == NOBODY => Some("pending"),
        _ => None,
    }
}

/// Notes where writes to special channels led, if they are the newest checkpoint's.
pub(super) fn set_status(connection: &Connection, key: &CheckpointKey, status: &str) -> Result<()> {
    connection
        .prepare_cached(sql::SET_STATUS)?
        .execute([&key.thread_id, &key.checkpoint_id, status])?;
    Ok(())
}

/// Milliseconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// When a checkpoint was made, in milliseconds: its id is a UUID of version 6, as a rule.
pub(super) fn time_of(checkpoint_id: &str) -> Option<i64> {
    /// Of 100 ns, between 1582 and 1970.
    const EPOCH: i64 = 0x01b2_1dd2_1381_4000;
    let (high, rest) = checkpoint_id.split_once('-')?;
    let (middle, rest) = rest.split_once('-')?;
    let (low, _) = rest.split_once('-')?;
    let low = low.strip_prefix('6')?;
    if (high.len(), middle.len(), low.len()) != (8, 4, 3) {
        return None;
    }
    let ticks = i64::from_str_radix(&format!("{high}{middle}{low}"), 16).ok()?;
    Some((ticks - EPOCH) / 10_000)
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

pub(super) fn find_or_add(connection: &Connection, thread_id: &str) -> Result<Thread> {
    let found = connection
        .prepare_cached(sql::SELECT)?
        .query_row([thread_id], |row| {
            Ok(Thread {
                number: row.get(0)?,
                revision: row.get(1)?,
                updated: row.get(2)?,
                head: row.get(3)?,
            })
        })
        .optional()?;
    if let Some(thread) = found {
        return Ok(thread);
    }
    connection.prepare_cached(sql::INSERT)?.execute([thread_id])?;
    Ok(Thread {
        number: connection.last_insert_rowid(),
        revision: 0,
        updated: None,
        head: None,
    })
}

/// Lists the thread, and moves its time if that is too far behind.
fn touch(connection: &Connection, thread: &Thread) -> Result<()> {
    let now = now();
    // A clock that was set back counts too.
    if thread
        .updated
        .is_none_or(|updated| (now - updated).abs() >= COARSE)
    {
        list_at(connection, thread.number, now)?;
    }
    Ok(())
}

/// Makes the thread one of those that are listed.
pub(super) fn list_at(connection: &Connection, thread_no: i64, time: i64) -> Result<()> {
    connection
        .prepare_cached(sql::TOUCH)?
        .execute(params![thread_no, time])?;
    Ok(())
}

/// Notes that chunks of a thread are referred to; the thread's number.
pub(super) fn raise_puts(connection: &Connection, thread_id: &str) -> Result<i64> {
    let thread_no = find_or_add(connection, thread_id)?.number;
    connection
        .prepare_cached(sql::NOTE)?
        .execute(params![thread_no, 0, 0])?;
    Ok(thread_no)
}

/// Notes that a thread's stored bytes changed.
pub(super) fn add_bytes(connection: &Connection, thread_no: i64, bytes: i64) -> Result<()> {
    connection
        .prepare_cached(sql::ADD_BYTES)?
        .execute([thread_no, bytes])?;
    Ok(())
}

/// Notes what was removed of a thread: checkpoints, and their bytes.
pub(super) fn note_removed(connection: &Connection, thread_id: &str, rows: i64, bytes: i64) -> Result<()> {
    connection
        .prepare_cached(sql::REMOVE_ROWS)?
        .execute(params![thread_id, rows, bytes])?;
    Ok(())
}

/// Derives all of a row anew; the thread's number.
pub(super) fn recount(connection: &Connection, thread_id: &str, times: Times) -> Result<i64> {
    let thread = find_or_add(connection, thread_id)?;
    let thread_no = thread.number;
    let (rows, bytes): (i64, i64) = connection
        .prepare_cached(sql::COUNT)?
        .query_row([thread_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let chunks: i64 = connection
        .prepare_cached(sql::COUNT_CHUNKS)?
        .query_row([thread_no], |row| row.get(0))?;
    connection
        .prepare_cached(sql::SET_COUNTS)?
        .execute(params![thread_no, rows, bytes + chunks])?;
    if rows > 0 {
        match times {
            Times::Now => touch(connection, &thread)?,
            Times::OfCheckpoints if thread.updated.is_some() => {}
            Times::OfCheckpoints => {
                let ids: (String, String) = connection
                    .prepare_cached(sql::SELECT_IDS)?
                    .query_row([thread_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
                let last = time_of(&ids.1).unwrap_or_else(now);
                list_at(connection, thread_no, time_of(&ids.0).unwrap_or(last))?;
                list_at(connection, thread_no, last)?;
            }
        }
    }
    refresh_head(connection, thread_id)?;
    Ok(thread_no)
}

/// As `recount`, of the thread that sorts after the one with a number; None at the end.
pub(super) fn recount_next(connection: &Connection, after: i64) -> Result<Option<i64>> {
    let after: Option<Option<String>> = connection
        .prepare_cached(sql::ID_OF)?
        .query_row([after], |row| row.get(0))
        .optional()?;
    let mut range = ThreadRange::default();
    if let Some(after) = after.flatten() {
        range.begin_after(&after);
    }
    let Some(thread_id) = next_thread(connection, &range)? else {
        return Ok(None);
    };
    recount(connection, &thread_id, Times::OfCheckpoints).map(Some)
}

/// The first thread of a range, by the keys of checkpoints.
pub(super) fn next_thread(connection: &Connection, range: &ThreadRange) -> Result<Option<String>> {
    let mut statement = connection.prepare_cached(sql::NEXT_THREAD)?;
    Ok(statement.query_row(params![range.from, range.until], |row| row.get(0))?)
}

/// Derives the thread's progress anew, from its newest checkpoint.
pub(super) fn refresh_head(connection: &Connection, thread_id: &str) -> Result<()> {
    let thread_no = find_or_add(connection, thread_id)?.number;
    let head = progress_of(connection, thread_id)?;
    let status = match &head {
        Some((key, progress)) => progress.status(connection, key)?,
        None => None,
    };
    connection.prepare_cached(sql::SET_HEAD)?.execute(params![
        thread_no,
        head.as_ref().map(|(key, _)| &key.checkpoint_id),
        head.as_ref().and_then(|(_, progress)| progress.step),
        head.as_ref().and_then(|(_, progress)| progress.source.as_ref()),
        head.as_ref().and_then(|(_, progress)| progress.run_id.as_ref()),
        status,
        head.as_ref().and_then(|(_, progress)| progress.nodes_text()),
    ])?;
    connection.prepare_cached(sql::UNLIST)?.execute([thread_no])?;
    Ok(())
}

/// The newest checkpoint of the root graph, and what it says.
pub(super) fn progress_of(
    connection: &Connection,
    thread_id: &str,
) -> Result<Option<(CheckpointKey, Progress)>> {
    let mut statement = connection.prepare_cached(sql::SELECT_HEAD)?;
    let mut rows = statement.query([thread_id])?;
    let Some(found) = rows.next()? else {
        return Ok(None);
    };
    let key = CheckpointKey {
        thread_id: thread_id.to_owned(),
        checkpoint_ns: String::new(),
        checkpoint_id: found.get(0)?,
    };
    let parent: Option<String> = found.get(1)?;
    let metadata = row::optional_bytes(found, 4)?;
    let binding = Binding::Checkpoint {
        key: &key,
        parent: parent.as_deref(),
        metadata,
    };
    let nodes = Chunks::new(connection).next_nodes(found, 2, &binding)?;
    let progress = Progress::new(metadata.unwrap_or_default(), nodes);
    Ok(Some((key, progress)))
}

/// The bytes of a stored checkpoint.
pub(super) fn bytes_of(connection: &Connection, key: &CheckpointKey) -> Result<i64> {
    let place = [&key.thread_id, &key.checkpoint_ns, &key.checkpoint_id];
    let bytes = connection
        .prepare_cached(sql::SELECT_BYTES)?
        .query_row(place, |row| row.get(0))
        .optional()?;
    Ok(bytes.unwrap_or_default())
}
