//! `survey` and `salvage`: what can still be read of a damaged file.
//!
//! A table is walked by row id: where a page cannot be read, the walk goes on behind it. The index of the
//! same table is walked by key, and names the rows that were on such pages. Rows are then read by row id, and
//! chunks by id, so that no index is needed.

use std::collections::{BTreeMap, HashSet};

use rusqlite::{Connection, Row, params};

use super::chunks::Chunks;
use super::engine::ReadTransaction;
use super::row;
use super::slice::Slice;
use super::statements::maintenance as sql;
use super::verify::damage;
use crate::chunk::Binding;
use crate::error::{Error, Result};
use crate::model::{
    CheckpointKey, Finding, PlacedWrite, RowPlace, Salvaged, StoredTuple, StoredWrite, Survey, ThreadRow,
};

/// Row ids that are tried one by one behind a page that cannot be read.
const SINGLE_STEPS: i64 = 4096;

/// A page of salvaged rows ends early once it holds this much.
const PAGE_BYTES: usize = 8 << 20;

/// The key of a write: its task and its place come last, and are empty for a checkpoint.
type FullKey = (CheckpointKey, String, i64);

/// `before` is what was found of the file that this one was carved from, and `gaps` are the pages that could not be read
/// then.
pub(super) fn survey(
    transaction: &ReadTransaction<'_>,
    before: Option<&Survey>,
    gaps: u64,
) -> Result<Survey> {
    let connection = transaction.connection;
    let mut survey = Survey {
        gaps,
        ..Survey::default()
    };
    let mut places: BTreeMap<CheckpointKey, RowPlace> = BTreeMap::new();
    let checkpoints = (sql::CHECKPOINTS_BY_KEY, sql::CHECKPOINTS_BY_KEY_BACK);
    let writes = (sql::WRITES_BY_KEY, sql::WRITES_BY_KEY_BACK);
    for (is_write, by_rowid, by_key) in [
        (false, sql::CHECKPOINTS_BY_ROWID, checkpoints),
        (true, sql::WRITES_BY_ROWID, writes),
    ] {
        let mut found = Vec::new();
        survey.gaps += walk_rowids(connection, by_rowid, &mut found)?;
        let known: HashSet<i64> = found.iter().map(|(rowid, _)| *rowid).collect();
        found.sort_unstable_by(|left, right| left.1.cmp(&right.1));
        let mut indexed = Vec::new();
        walk_keys(connection, by_key, &found, &mut indexed)?;
        let named = indexed
            .into_iter()
            .map(|(rowid, (key, ..))| (is_write, rowid, key));
        let named_before = before
            .into_iter()
            .flat_map(|before| before.missing.iter().cloned());
        let missing = named
            .chain(named_before.filter(|(of_write, ..)| *of_write == is_write))
            .filter(|(_, rowid, key)| !known.contains(rowid) && !transaction.hides(&key.thread_id));
        survey.missing.extend(missing);
        for (rowid, (key, ..)) in found {
            let place = places.entry(key).or_default();
            if is_write {
                place.writes.push(rowid);
            } else {
                place.checkpoint = Some(rowid);
            }
        }
    }
    survey.places = places
        .into_iter()
        .filter(|(key, _)| !transaction.hides(&key.thread_id))
        .collect();
    let mut lost: BTreeMap<&CheckpointKey, &str> = BTreeMap::new();
    for (is_write, _, key) in &survey.missing {
        lost.entry(key)
            .or_insert(if *is_write { "a write" } else { "the checkpoint" });
    }
    survey.lost = lost
        .into_iter()
        .map(|(key, what)| Finding {
            key: key.clone(),
            detail: format!("{what} is on a page that cannot be read"),
        })
        .collect();
    Ok(survey)
}

fn full_key(row: &Row<'_>) -> rusqlite::Result<(i64, FullKey)> {
    let key = CheckpointKey {
        thread_id: row.get(1)?,
        checkpoint_ns: row.get(2)?,
        checkpoint_id: row.get(3)?,
    };
    Ok((row.get(0)?, (key, row.get(4)?, row.get(5)?)))
}

/// The rows of a table that can be read; how many gaps there are between them.
fn walk_rowids(connection: &Connection, select: &str, found: &mut Vec<(i64, FullKey)>) -> Result<u64> {
    let mut gaps = 0;
    let mut after = i64::MIN;
    loop {
        let behind = match read_on(connection, select, params![after], found) {
            Ok(()) => return Ok(gaps),
            Err(error) if error.is_damage() => found.last().map_or(after, |(rowid, _)| (*rowid).max(after)),
            Err(error) => return Err(error),
        };
        gaps += 1;
        // A first page that cannot be read: row ids begin at 1.
        let mut step = 1;
        let mut next = behind.max(0);
        loop {
            if next - behind.max(0) >= SINGLE_STEPS {
                step *= 2;
            }
            next = match next.checked_add(step) {
                Some(next) => next,
                None => return Ok(gaps),
            };
            match can_read(connection, select, params![next]) {
                Ok(()) => break,
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        after = next;
    }
}

/// The rows of a table as its index tells them. `known` are keys, sorted, to go on from behind a page that
/// cannot be read.
fn walk_keys(
    connection: &Connection,
    (select, select_back): (&str, &str),
    known: &[(i64, FullKey)],
    indexed: &mut Vec<(i64, FullKey)>,
) -> Result<()> {
    let mut after: FullKey = Default::default();
    loop {
        let (key, task_id, index) = &after;
        let place = params![
            key.thread_id,
            key.checkpoint_ns,
            key.checkpoint_id,
            task_id,
            index
        ];
        match read_on(connection, select, place, indexed) {
            Ok(()) => return Ok(()),
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
        if let Some((_, last)) = indexed.iter().max_by(|left, right| left.1.cmp(&right.1))
            && *last > after
        {
            after = last.clone();
        }
        let from = known.partition_point(|(_, key)| *key <= after);
        let readable = known[from..].iter().find(|(_, (key, task_id, index))| {
            let place = params![
                key.thread_id,
                key.checkpoint_ns,
                key.checkpoint_id,
                task_id,
                index
            ];
            can_read(connection, select, place).is_ok()
        });
        match readable {
            Some((_, key)) => after = key.clone(),
            None => return Ok(()),
        }
        // What is before it on the same page.
        let (key, task_id, index) = &after;
        let place = params![
            key.thread_id,
            key.checkpoint_ns,
            key.checkpoint_id,
            task_id,
            index
        ];
        match read_on(connection, select_back, place, indexed) {
            Err(error) if !error.is_damage() => return Err(error),
            _ => {}
        }
    }
}

fn read_on(
    connection: &Connection,
    select: &str,
    after: impl rusqlite::Params,
    found: &mut Vec<(i64, FullKey)>,
) -> Result<()> {
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query(after)?;
    while let Some(row) = rows.next()? {
        found.push(full_key(row)?);
    }
    Ok(())
}

fn can_read(connection: &Connection, select: &str, after: impl rusqlite::Params) -> Result<()> {
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query(after)?;
    if let Some(row) = rows.next()? {
        full_key(row)?;
    }
    Ok(())
}

/// A page of rows of one thread, from a place of the survey on.
pub(super) fn salvage(transaction: &ReadTransaction<'_>, survey: &Survey, from: usize) -> Result<Salvaged> {
    let reader = ReadTransaction {
        connection: transaction.connection,
        statements: transaction.statements,
        chunks: Chunks::keeping(transaction.connection),
        hidden: Vec::new(),
    };
    let slice = Slice::begin();
    let mut salvaged = Salvaged {
        next: from,
        ..Salvaged::default()
    };
    let mut bytes = 0;
    for (key, place) in &survey.places[from.min(survey.places.len())..] {
        let is_other = salvaged
            .rows
            .first()
            .is_some_and(|row| row.key.thread_id != key.thread_id);
        if is_other || bytes > PAGE_BYTES || (slice.is_over() && salvaged.next > from) {
            break;
        }
        salvaged.next += 1;
        let row = read_place(&reader, key, place, &mut salvaged.lost)?;
        if survey.gaps > 0 {
            salvaged.lost.extend(missing(survey, place, &row));
        }
        bytes += row.bytes();
        if row.checkpoint.is_some() || !row.writes.is_empty() {
            salvaged.rows.push(row);
        }
    }
    Ok(salvaged)
}

/// What must have been there, as what is left tells.
fn missing(survey: &Survey, place: &RowPlace, row: &ThreadRow) -> Option<Finding> {
    if place.checkpoint.is_none() {
        return Some(Finding {
            key: row.key.clone(),
            detail: "writes are there, and their checkpoint is not".to_owned(),
        });
    }
    let parent = row.checkpoint.as_ref()?.parent_checkpoint_id.as_ref()?;
    let key = CheckpointKey {
        checkpoint_id: parent.clone(),
        ..row.key.clone()
    };
    let is_there = survey.places.binary_search_by(|(other, _)| other.cmp(&key));
    is_there.is_err().then(|| Finding {
        key,
        detail: "a checkpoint names it as its parent, and it is not there".to_owned(),
    })
}

fn read_place(
    reader: &ReadTransaction<'_>,
    key: &CheckpointKey,
    place: &RowPlace,
    lost: &mut Vec<Finding>,
) -> Result<ThreadRow> {
    let mut found = |what: &str, error: Error| {
        if !error.is_damage() {
            return Err(error);
        }
        let detail = match error {
            Error::CorruptRow { detail, .. } => detail,
            other => other.to_string(),
        };
        lost.push(Finding {
            key: key.clone(),
            detail: format!("{what}: {detail}"),
        });
        Ok(())
    };
    let mut row = ThreadRow {
        key: key.clone(),
        checkpoint: None,
        writes: Vec::new(),
    };
    if let Some(rowid) = place.checkpoint {
        match read_checkpoint(reader, key, rowid) {
            Ok(tuple) => match damage(&tuple.value) {
                None => row.checkpoint = Some(tuple),
                Some(detail) => found("the checkpoint", row::damaged(key, &detail))?,
            },
            Err(error) => found("the checkpoint", error)?,
        }
    }
    for rowid in &place.writes {
        match read_write(reader, key, *rowid) {
            Ok(write) => match damage(&write.write.value) {
                None => row.writes.push(write),
                Some(detail) => found("a write", row::damaged(key, &detail))?,
            },
            Err(error) => found("a write", error)?,
        }
    }
    row.writes.sort_by(|left, right| {
        let order = |placed: &PlacedWrite| {
            (
                placed.task_path.clone(),
                placed.write.task_id.clone(),
                placed.index,
            )
        };
        order(left).cmp(&order(right))
    });
    Ok(row)
}

fn read_checkpoint(reader: &ReadTransaction<'_>, key: &CheckpointKey, rowid: i64) -> Result<StoredTuple> {
    let mut statement = reader.connection.prepare_cached(sql::CHECKPOINT_OF_ROWID)?;
    let mut rows = statement.query([rowid])?;
    let found = rows.next()?.ok_or_else(|| row::damaged(key, "the row is gone"))?;
    let parent_checkpoint_id: Option<String> = found.get(0)?;
    let binding = Binding::Checkpoint {
        key,
        parent: parent_checkpoint_id.as_deref(),
        metadata: row::optional_bytes(found, 3)?,
    };
    let value = reader.chunks.value(found, 1, &binding)?;
    let metadata = row::payload(found, 3, key)?;
    Ok(StoredTuple {
        key: key.clone(),
        value,
        metadata,
        parent_checkpoint_id,
        writes: Vec::new(),
    })
}

fn read_write(reader: &ReadTransaction<'_>, key: &CheckpointKey, rowid: i64) -> Result<PlacedWrite> {
    let mut statement = reader.connection.prepare_cached(reader.statements.by_rowid)?;
    let mut rows = statement.query([rowid])?;
    let found = rows.next()?.ok_or_else(|| row::damaged(key, "the row is gone"))?;
    let (task_id, channel, task_path): (String, String, String) =
        (found.get(0)?, found.get(1)?, found.get(4)?);
    let index = found.get(5)?;
    let binding = Binding::Write {
        key,
        task_id: &task_id,
        task_path: &task_path,
        index,
        channel: &channel,
    };
    let value = reader.chunks.value(found, 2, &binding)?;
    Ok(PlacedWrite {
        write: StoredWrite {
            task_id,
            channel,
            value,
        },
        task_path,
        index,
    })
}
