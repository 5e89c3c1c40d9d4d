//! `verify`: whether each stored row can be read to its end, slice by slice, and `integrity`, SQLite's own
//! check. No class is imported: msgpack is walked, not decoded.

use rusqlite::{Rows, params};

use super::chunks::Chunks;
use super::engine::ReadTransaction;
use super::read_thread::{is_stored, read_row};
use super::schema;
use super::slice::Slice;
use super::statements::maintenance as sql;
use crate::error::{Error, Result};
use crate::model::{CheckpointKey, Finding, Format, Payload, ThreadRow, TypedValue, Verified};
use crate::shape;

pub(super) fn integrity(transaction: &ReadTransaction<'_>) -> Result<Vec<String>> {
    let mut statement = transaction.connection.prepare(sql::INTEGRITY_CHECK)?;
    let mut rows = statement.query([])?;
    let mut complaints = Vec::new();
    loop {
        match rows.next().map_err(Error::from) {
            Ok(Some(row)) => complaints.push(row.get(0)?),
            Ok(None) => break,
            // Even the check may stumble over what it checks.
            Err(error) if error.is_damage() => {
                complaints.push(error.to_string());
                break;
            }
            Err(error) => return Err(error),
        }
    }
    complaints.retain(|line| line != "ok");
    if complaints.is_empty()
        && schema::format(transaction.connection, schema::Access::Read)? != Format::Interop
    {
        let lost: i64 = transaction
            .connection
            .query_row(sql::COUNT_LOST_CHUNKS, [], |row| row.get(0))?;
        if lost > 0 {
            complaints.push(format!(
                "{lost} chunks belong to no thread; repair() sees to that"
            ));
        }
    }
    Ok(complaints)
}

pub(super) fn verify(transaction: &ReadTransaction<'_>, after: Option<&CheckpointKey>) -> Result<Verified> {
    let (thread_id, ns, id) = after.map_or((None, None, None), |key| {
        (
            Some(&key.thread_id),
            Some(&key.checkpoint_ns),
            Some(&key.checkpoint_id),
        )
    });
    let slice = Slice::begin();
    let transaction = &ReadTransaction {
        connection: transaction.connection,
        statements: transaction.statements,
        chunks: Chunks::keeping(transaction.connection),
        hidden: transaction.hidden.clone(),
    };
    let mut verified = Verified::default();
    let mut statement = transaction.connection.prepare_cached(sql::SELECT_KEYS)?;
    let mut rows = statement.query(params![thread_id, ns, id])?;
    loop {
        let key = match next_key(&mut rows) {
            Ok(Some(key)) => key,
            Ok(None) => break,
            Err(error) if error.is_damage() => {
                // Nothing behind it can be found.
                let detail = format!("the rows behind this one: {error}");
                let last = verified.next.take().or_else(|| after.cloned());
                verified.damaged.push(Finding {
                    key: last.unwrap_or_default(),
                    detail,
                });
                return Ok(verified);
            }
            Err(error) => return Err(error),
        };
        verified.next = Some(key.clone());
        if transaction.hides(&key.thread_id) {
            continue;
        }
        let row = read_row(transaction, key.clone());
        match row.and_then(|row| look(transaction, &row, &mut verified)) {
            Ok(()) => {}
            Err(error) if error.is_damage() => {
                let detail = match error {
                    Error::CorruptRow { detail, .. } => detail,
                    other => other.to_string(),
                };
                verified.damaged.push(Finding { key, detail });
            }
            Err(error) => return Err(error),
        }
        if slice.is_over() {
            break;
        }
    }
    Ok(verified)
}

fn next_key(rows: &mut Rows<'_>) -> Result<Option<CheckpointKey>> {
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(CheckpointKey {
        thread_id: row.get(0)?,
        checkpoint_ns: row.get(1)?,
        checkpoint_id: row.get(2)?,
    }))
}

fn look(transaction: &ReadTransaction<'_>, row: &ThreadRow, verified: &mut Verified) -> Result<()> {
    let finding = |detail: String| Finding {
        key: row.key.clone(),
        detail,
    };
    verified.writes += row.writes.len() as u64;
    for placed in &row.writes {
        if let Some(detail) = damage(&placed.write.value) {
            let channel = &placed.write.channel;
            verified
                .damaged
                .push(finding(format!("the write to channel `{channel}`: {detail}")));
        }
    }
    let Some(tuple) = &row.checkpoint else {
        let count = row.writes.len();
        verified
            .writes_without_checkpoint
            .push(finding(format!("{count} writes")));
        return Ok(());
    };
    verified.checkpoints += 1;
    if let Some(detail) = damage(&tuple.value) {
        verified
            .damaged
            .push(finding(format!("the checkpoint: {detail}")));
    }
    if !is_json(transaction, &tuple.metadata)? {
        verified
            .damaged
            .push(finding("the metadata is no JSON".to_owned()));
    }
    if let Some(parent) = tuple.parent_checkpoint_id.as_deref().filter(|id| !id.is_empty())
        && !is_stored(transaction.connection, &row.key, parent)?
    {
        verified
            .missing_parents
            .push(finding(format!("parent {parent} is not stored")));
    }
    Ok(())
}

/// What is wrong with a value. A tag that only its serializer knows is taken as it is.
pub(super) fn damage(value: &TypedValue) -> Option<String> {
    let bytes = value.payload.as_slice();
    match (value.tag.as_deref(), &value.payload) {
        (None, _) => Some("it has no type tag".to_owned()),
        (Some("msgpack"), _) if !shape::is_whole(bytes) => {
            Some(format!("its {} bytes are no whole msgpack value", bytes.len()))
        }
        (Some("json"), _) if bytes.is_empty() => Some("it is empty".to_owned()),
        _ => None,
    }
}

fn is_json(transaction: &ReadTransaction<'_>, metadata: &Payload) -> Result<bool> {
    if matches!(metadata, Payload::Null) {
        return Ok(true);
    }
    let mut statement = transaction.connection.prepare_cached(sql::IS_JSON)?;
    let valid: Option<bool> = statement.query_row([metadata], |row| row.get(0))?;
    Ok(valid == Some(true))
}
