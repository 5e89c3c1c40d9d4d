//! Columns to values and values to parameters.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Row, Statement, ToSql};

use super::chunks::Chunks;
use crate::chunk::Binding;
use crate::error::{Error, Result};
use crate::model::{Blob, CheckpointKey, Payload, StoredWrite, TypedValue};

impl ToSql for Payload {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(blob) => ValueRef::Blob(blob.as_slice()),
        }))
    }
}

impl ToSql for Blob {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.as_slice())))
    }
}

/// Reads a serialized column. Numbers there are no saver's work.
pub(super) fn payload(row: &Row<'_>, column: usize, key: &CheckpointKey) -> Result<Payload> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => Payload::Null,
        ValueRef::Blob(bytes) => Payload::Bytes(Blob::new(bytes.to_vec())),
        ValueRef::Text(text) => Payload::Text(
            std::str::from_utf8(text)
                .map_err(|_| damaged(key, "a stored text is not UTF-8"))?
                .to_owned(),
        ),
        ValueRef::Integer(_) | ValueRef::Real(_) => {
            return Err(damaged(key, "a number is stored where serialized data belongs"));
        }
    })
}

/// The bytes of a serialized column where they lie; none for NULL.
pub(super) fn bytes<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a [u8]> {
    Ok(optional_bytes(row, column)?.unwrap_or_default())
}

/// The bytes of a column where they lie.
pub(super) fn optional_bytes<'a>(row: &'a Row<'_>, column: usize) -> Result<Option<&'a [u8]>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => Some(bytes),
        _ => None,
    })
}

/// A count or a length.
pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or_default())
}

pub(super) fn typed_value(row: &Row<'_>, column: usize, key: &CheckpointKey) -> Result<TypedValue> {
    Ok(TypedValue {
        tag: row.get(column)?,
        payload: payload(row, column + 1, key)?,
    })
}

pub(super) fn damaged(key: &CheckpointKey, detail: &str) -> Error {
    Error::CorruptRow {
        thread_id: key.thread_id.clone(),
        checkpoint_id: key.checkpoint_id.clone(),
        detail: detail.to_owned(),
    }
}

/// Runs a statement that yields `task_id, channel, type, value, task_path, idx`.
pub(super) fn writes(
    chunks: &Chunks<'_>,
    statement: &mut Statement<'_>,
    parameters: impl rusqlite::Params,
    key: &CheckpointKey,
) -> Result<Vec<StoredWrite>> {
    let mut rows = statement.query(parameters)?;
    let mut writes = Vec::new();
    let mut places = Vec::new();
    while let Some(row) = rows.next()? {
        let (task_id, channel): (String, String) = (row.get(0)?, row.get(1)?);
        let (task_path, index): (String, i64) = (row.get(4)?, row.get(5)?);
        let binding = Binding::Write {
            key,
            task_id: &task_id,
            task_path: &task_path,
            index,
            channel: &channel,
        };
        writes.push(StoredWrite {
            value: chunks.value(row, 2, &binding)?,
            task_id,
            channel,
        });
        places.push((task_path, index));
    }
    sort_writes(&mut writes, &mut places);
    Ok(writes)
}

/// Sorts the writes of a checkpoint by `writes_sort_key`; `places` are their task paths and indexes.
pub(super) fn sort_writes(writes: &mut Vec<StoredWrite>, places: &mut Vec<(String, i64)>) {
    let mut sorted: Vec<_> = writes.drain(..).zip(places.drain(..)).collect();
    sorted.sort_by(
        |(left, (left_path, left_index)), (right, (right_path, right_index))| {
            (left_path, &left.task_id, left_index).cmp(&(right_path, &right.task_id, right_index))
        },
    );
    writes.extend(sorted.into_iter().map(|(write, _)| write));
}
