//! `list_threads`, `count_threads` and `get_thread`. A compact file has a row for each thread; in an interop
//! file the keys tell which threads there are, and the newest checkpoint how each stands.

use std::cmp::Reverse;

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::engine::ReadTransaction;
use super::schema::{self, Access};
use super::statements::{self, threads as sql};
use super::terms;
use super::threads::{self, time_of};
use crate::error::Result;
use crate::model::{FilterValue, Format, MetadataFilter, Thread, ThreadCursor, ThreadFilter, ThreadOrder};

pub(super) fn list_threads(
    transaction: &ReadTransaction<'_>,
    filter: &ThreadFilter,
    after: Option<&ThreadCursor>,
    limit: usize,
) -> Result<Vec<Thread>> {
    let connection = transaction.connection;
    if schema::format(connection, Access::Read)? != Format::Compact {
        return listed_by_keys(connection, filter, after, limit);
    }
    let (select, order) = match filter.order {
        ThreadOrder::Updated => (sql::PAGE_BY_UPDATED, sql::ORDER_BY_UPDATED),
        ThreadOrder::Created => (sql::PAGE_BY_CREATED, sql::ORDER_BY_CREATED),
        ThreadOrder::Id => (sql::PAGE_BY_ID, sql::ORDER_BY_ID),
    };
    let text = statement(select, filter, order);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    with_parameters(filter, after, Some(&limit), |parameters| {
        let mut statement = connection.prepare_cached(&text)?;
        let threads = statement.query_map(parameters, thread)?;
        Ok(threads.collect::<rusqlite::Result<_>>()?)
    })
}

pub(super) fn count_threads(transaction: &ReadTransaction<'_>, filter: &ThreadFilter) -> Result<u64> {
    let connection = transaction.connection;
    if schema::format(connection, Access::Read)? != Format::Compact {
        return Ok(listed_by_keys(connection, filter, None, usize::MAX)?.len() as u64);
    }
    let text = statement(sql::COUNT_THREADS, filter, "");
    with_parameters(filter, None, None, |parameters| {
        let count: i64 = connection
            .prepare_cached(&text)?
            .query_row(parameters, |row| row.get(0))?;
        Ok(count.unsigned_abs())
    })
}

pub(super) fn get_thread(transaction: &ReadTransaction<'_>, thread_id: &str) -> Result<Option<Thread>> {
    find(transaction.connection, thread_id)
}

/// A thread, in a file of any format.
pub(super) fn find(connection: &Connection, thread_id: &str) -> Result<Option<Thread>> {
    if schema::format(connection, Access::Read)? != Format::Compact {
        let has_notes = schema::has_threads(connection)?;
        return described(connection, thread_id, has_notes);
    }
    Ok(connection
        .prepare_cached(sql::SELECT_THREAD)?
        .query_row(params![threads::now(), thread_id], thread)
        .optional()?)
}

fn statement(select: &str, filter: &ThreadFilter, order: &str) -> String {
    let mut text = [select, sql::VISIBLE].concat();
    if !filter.threads.is_all() {
        text.push_str(sql::IN_RANGE);
    }
    for _ in &filter.metadata {
        text.push_str(sql::METADATA_IS);
    }
    text.push_str(order);
    text
}

/// Binds what all listings have, in the order of `VISIBLE`.
fn with_parameters<T>(
    filter: &ThreadFilter,
    after: Option<&ThreadCursor>,
    limit: Option<&i64>,
    run: impl FnOnce(&[&dyn ToSql]) -> Result<T>,
) -> Result<T> {
    let now = threads::now();
    let time = after.map_or(i64::MAX, |after| after.time);
    let thread_id = after.map(|after| after.thread_id.as_str());
    let thread_no = after.map_or(i64::MAX, |after| after.thread_no);
    let begin: &dyn ToSql = match filter.order {
        ThreadOrder::Id => &thread_id,
        _ => &time,
    };
    let mut parameters: Vec<&dyn ToSql> = vec![
        &now,
        begin,
        &thread_no,
        &filter.archived,
        &filter.status,
        &filter.ttl,
    ];
    if !filter.threads.is_all() {
        parameters.extend([&filter.threads.from as &dyn ToSql, &filter.threads.until]);
    }
    for condition in &filter.metadata {
        parameters.extend(condition_parameters(condition));
    }
    if let Some(limit) = limit {
        parameters.push(limit);
    }
    run(&parameters)
}

fn condition_parameters(condition: &MetadataFilter) -> [&dyn ToSql; 3] {
    let (first, second) = &condition.paths;
    [first, second.as_ref().unwrap_or(first), &condition.value]
}

impl ToSql for FilterValue {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        match self {
            Self::Null => rusqlite::types::Null.to_sql(),
            Self::Integer(number) => number.to_sql(),
            Self::Real(number) => number.to_sql(),
            Self::Text(text) => text.to_sql(),
        }
    }
}

fn thread(row: &Row<'_>) -> rusqlite::Result<Thread> {
    Ok(Thread {
        thread_no: row.get(0)?,
        thread_id: row.get(1)?,
        created: row.get::<_, Option<i64>>(2)?.unwrap_or_default(),
        updated: row.get(3)?,
        checkpoints: row.get(4)?,
        bytes: row.get(5)?,
        step: row.get(6)?,
        source: row.get(7)?,
        run_id: row.get(8)?,
        status: row.get(9)?,
        nodes: row.get(10)?,
        title: row.get(11)?,
        metadata: row.get(12)?,
        archived: row.get(13)?,
        pinned: row.get(14)?,
    })
}

/// The same without rows of threads: each thread that there is costs some seeks, and each that is described
/// the reading of its newest checkpoint.
fn listed_by_keys(
    connection: &Connection,
    filter: &ThreadFilter,
    after: Option<&ThreadCursor>,
    limit: usize,
) -> Result<Vec<Thread>> {
    let has_notes = schema::has_threads(connection)?;
    let mut found = Vec::new();
    let mut range = filter.threads.clone();
    while let Some(thread_id) = threads::next_thread(connection, &range)? {
        range.begin_after(&thread_id);
        let time = time_by_keys(connection, &thread_id, filter.order)?;
        found.push((Reverse(time), thread_id));
    }
    if has_notes {
        let mut statement = connection.prepare_cached(sql::ONLY_NOTES)?;
        let mut rows = statement.query(params![filter.threads.from, filter.threads.until])?;
        while let Some(row) = rows.next()? {
            let time = match filter.order {
                ThreadOrder::Id => 0,
                _ => row.get(1)?,
            };
            found.push((Reverse(time), row.get(0)?));
        }
    }
    found.sort_unstable();
    let begin = after.map_or(0, |after| {
        let time = match filter.order {
            ThreadOrder::Id => 0,
            _ => after.time,
        };
        found.partition_point(|(at, id)| (*at, id) <= (Reverse(time), &after.thread_id))
    });
    let mut threads = Vec::new();
    for (_, thread_id) in &found[begin..] {
        if threads.len() == limit {
            break;
        }
        if let Some(thread) = described(connection, thread_id, has_notes)?
            && matches(connection, &thread, filter)?
        {
            threads.push(thread);
        }
    }
    Ok(threads)
}

/// When a thread was stored last, or first.
fn time_by_keys(connection: &Connection, thread_id: &str, order: ThreadOrder) -> Result<i64> {
    let select = match order {
        ThreadOrder::Id => return Ok(0),
        ThreadOrder::Updated => sql::LAST_ID,
        ThreadOrder::Created => sql::FIRST_ID,
    };
    let id: Option<String> = connection
        .prepare_cached(select)?
        .query_row([thread_id], |row| row.get(0))?;
    Ok(id.as_deref().and_then(time_of).unwrap_or_default())
}

fn described(connection: &Connection, thread_id: &str, has_notes: bool) -> Result<Option<Thread>> {
    let (checkpoints, bytes): (i64, i64) = connection
        .prepare_cached(sql::COUNT)?
        .query_row([thread_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut thread = Thread {
        thread_id: thread_id.to_owned(),
        checkpoints,
        bytes,
        ..Thread::default()
    };
    let mut listed = checkpoints > 0;
    let mut is_busy = false;
    if has_notes {
        let mut statement = connection.prepare_cached(sql::SELECT_NOTES)?;
        let mut rows = statement.query(params![thread_id, threads::now()])?;
        if let Some(row) = rows.next()? {
            thread.title = row.get(0)?;
            thread.metadata = row.get(1)?;
            thread.archived = row.get(2)?;
            thread.pinned = row.get(3)?;
            is_busy = row.get::<_, Option<bool>>(4)? == Some(true);
            thread.created = row.get::<_, Option<i64>>(5)?.unwrap_or_default();
            let updated: Option<i64> = row.get(6)?;
            thread.updated = updated.unwrap_or_default();
            listed |= updated.is_some() && (thread.title.is_some() || thread.metadata.is_some());
        }
    }
    if !listed {
        return Ok(None);
    }
    if checkpoints > 0 {
        thread.created = time_by_keys(connection, thread_id, ThreadOrder::Created)?;
        thread.updated = time_by_keys(connection, thread_id, ThreadOrder::Updated)?;
    }
    if let Some((key, progress)) = threads::progress_of(connection, thread_id)? {
        thread.status = progress.status(connection, &key)?.map(str::to_owned);
        thread.nodes = progress.nodes_text();
        thread.step = progress.step;
        thread.source = progress.source;
        thread.run_id = progress.run_id;
    }
    if is_busy {
        thread.status = Some("busy".to_owned());
    }
    Ok(Some(thread))
}

fn matches(connection: &Connection, thread: &Thread, filter: &ThreadFilter) -> Result<bool> {
    if filter
        .archived
        .is_some_and(|archived| archived != thread.archived)
        || (filter.status.is_some() && filter.status != thread.status)
        || terms::is_expired(connection, &thread.thread_id, "", filter.ttl)?
    {
        return Ok(false);
    }
    for condition in &filter.metadata {
        let [first, second, value] = condition_parameters(condition);
        let is_same: bool = connection
            .prepare_cached(statements::threads::MATCHES)?
            .query_row(params![thread.metadata, first, second, value], |row| row.get(0))?;
        if !is_same {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
