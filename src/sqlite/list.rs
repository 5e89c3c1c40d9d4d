//! `list`: two statements a page. The first finds keys in the covering index, the second reads
//! those rows with their writes.

use rusqlite::ToSql;

use super::chunks::Chunks;
use super::engine::ReadTransaction;
use super::row;
use super::statements as sql;
use crate::chunk::Binding;
use crate::error::Result;
use crate::model::{CheckpointKey, FilterValue, ListFilter, Page, StoredTuple, StoredWrite};

/// A page ends early once it holds this much, so that a slow consumer keeps little in memory.
const PAGE_BYTES: usize = 8 << 20;

pub(super) fn list(
    transaction: &ReadTransaction<'_>,
    filter: &ListFilter,
    after: Option<&CheckpointKey>,
    limit: usize,
) -> Result<Page> {
    let keys = page_keys(transaction, filter, after, limit)?;
    let whole = keys.len() == limit;
    let mut tuples = read_page(transaction, &keys)?;
    let next = if whole || tuples.len() < keys.len() {
        tuples.last().map(|tuple| tuple.key.clone())
    } else {
        None
    };
    tuples.shrink_to_fit();
    Ok(Page { tuples, next })
}

fn page_keys(
    transaction: &ReadTransaction<'_>,
    filter: &ListFilter,
    after: Option<&CheckpointKey>,
    limit: usize,
) -> Result<Vec<(i64, CheckpointKey)>> {
    if filter
        .thread_id
        .as_ref()
        .is_some_and(|thread_id| transaction.hides(thread_id))
    {
        return Ok(Vec::new());
    }
    let most = limit;
    // Rows of threads that are being deleted come on top.
    let limit = if transaction.hidden.is_empty() {
        i64::try_from(limit).unwrap_or(i64::MAX)
    } else {
        i64::MAX
    };
    let mut parameters: Vec<&dyn ToSql> = Vec::new();
    let columns = [
        &filter.thread_id,
        &filter.checkpoint_ns,
        &filter.checkpoint_id,
        &filter.before,
    ];
    if !filter.threads.is_all() {
        parameters.extend([&filter.threads.from as &dyn ToSql, &filter.threads.until]);
    }
    parameters.extend(columns.into_iter().flatten().map(|value| -> &dyn ToSql { value }));
    if let Some(key) = after {
        let columns: [&dyn ToSql; 4] = [
            &key.checkpoint_id,
            &key.checkpoint_id,
            &key.thread_id,
            &key.checkpoint_ns,
        ];
        parameters.extend(columns);
    }
    for condition in &filter.metadata {
        parameters.push(&condition.paths.0);
        if let Some(path) = &condition.paths.1 {
            parameters.push(path);
        }
        match &condition.value {
            FilterValue::Null => {}
            FilterValue::Integer(number) => parameters.push(number),
            FilterValue::Real(number) => parameters.push(number),
            FilterValue::Text(text) => parameters.push(text),
        }
    }
    parameters.push(&limit);
    let mut statement = transaction
        .connection
        .prepare_cached(&sql::list_keys(filter, after.is_some()))?;
    let mut rows = statement.query(parameters.as_slice())?;
    let mut keys = Vec::new();
    while keys.len() < most
        && let Some(row) = rows.next()?
    {
        let key = CheckpointKey {
            thread_id: row.get(1)?,
            checkpoint_ns: row.get(2)?,
            checkpoint_id: row.get(3)?,
        };
        if !transaction.hides(&key.thread_id) {
            keys.push((row.get(0)?, key));
        }
    }
    Ok(keys)
}

/// Reads the rows of `keys`, in that order, up to [`PAGE_BYTES`].
fn read_page(transaction: &ReadTransaction<'_>, keys: &[(i64, CheckpointKey)]) -> Result<Vec<StoredTuple>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let ids = serde_json::Value::from(keys.iter().map(|(id, _)| *id).collect::<Vec<_>>()).to_string();
    let mut statement = transaction
        .connection
        .prepare_cached(transaction.statements.joined_page)?;
    let mut rows = statement.query([ids])?;
    let chunks = Chunks::keeping(transaction.connection);
    let mut tuples: Vec<StoredTuple> = Vec::new();
    let mut places: Vec<(String, i64)> = Vec::new();
    let mut current = None;
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        if current != Some(id) {
            if let Some(tuple) = tuples.last_mut() {
                row::sort_writes(&mut tuple.writes, &mut places);
            }
            if bytes > PAGE_BYTES {
                return Ok(tuples);
            }
            current = Some(id);
            let key = CheckpointKey {
                thread_id: row.get(1)?,
                checkpoint_ns: row.get(2)?,
                checkpoint_id: row.get(3)?,
            };
            let parent_checkpoint_id: Option<String> = row.get(4)?;
            let binding = Binding::Checkpoint {
                key: &key,
                parent: parent_checkpoint_id.as_deref(),
                metadata: row::optional_bytes(row, 7)?,
            };
            let value = chunks.value(row, 5, &binding)?;
            let metadata = row::payload(row, 7, &key)?;
            bytes += value.payload.as_slice().len() + metadata.as_slice().len();
            tuples.push(StoredTuple {
                key,
                parent_checkpoint_id,
                value,
                metadata,
                writes: Vec::new(),
            });
        }
        let Some(tuple) = tuples.last_mut() else { continue };
        if let Some(task_id) = row.get::<_, Option<String>>(8)? {
            let channel: String = row.get(9)?;
            let (task_path, index): (String, i64) = (row.get(12)?, row.get(13)?);
            let binding = Binding::Write {
                key: &tuple.key,
                task_id: &task_id,
                task_path: &task_path,
                index,
                channel: &channel,
            };
            let value = chunks.value(row, 10, &binding)?;
            bytes += value.payload.as_slice().len();
            tuple.writes.push(StoredWrite {
                task_id,
                channel,
                value,
            });
            places.push((task_path, index));
        }
    }
    if let Some(tuple) = tuples.last_mut() {
        row::sort_writes(&mut tuple.writes, &mut places);
    }
    Ok(tuples)
}
