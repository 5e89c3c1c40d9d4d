//! `set_thread`, `archive_thread` and `unarchive_thread`: what users say of threads. In an interop file the
//! first of it makes the table.

use rusqlite::params;

use super::list_threads;
use super::schema;
use super::statements::threads as sql;
use super::threads;
use super::transaction::WriteTransaction;
use crate::error::Result;

/// A title or metadata that is given replaces the old one; an empty one removes it.
pub(super) fn set_thread(
    transaction: &WriteTransaction<'_>,
    thread_id: &str,
    title: Option<&str>,
    metadata: Option<&str>,
) -> Result<()> {
    let connection = transaction.connection;
    let existed = list_threads::find(connection, thread_id)?.is_some();
    let removes = title.is_none_or(str::is_empty) && metadata.is_none_or(|text| text == "{}");
    if removes && !(existed && schema::has_threads(connection)?) {
        return Ok(());
    }
    schema::add_threads(connection)?;
    let thread = threads::find_or_add(connection, thread_id)?;
    if let Some(title) = title {
        let title = (!title.is_empty()).then_some(title);
        connection
            .prepare_cached(sql::SET_TITLE)?
            .execute(params![thread.number, title])?;
    }
    if let Some(metadata) = metadata {
        let metadata = (metadata != "{}").then_some(metadata);
        connection
            .prepare_cached(sql::SET_METADATA)?
            .execute(params![thread.number, metadata])?;
    }
    if existed {
        // It may have been no more than its title.
        connection
            .prepare_cached(sql::UNLIST_EMPTY)?
            .execute(params![thread.number, thread_id])?;
        return Ok(());
    }
    threads::list_at(connection, thread.number, threads::now())
}

/// An unknown thread is none to archive.
pub(super) fn set_archived(
    transaction: &WriteTransaction<'_>,
    thread_id: &str,
    archived: bool,
) -> Result<()> {
    let connection = transaction.connection;
    if list_threads::find(connection, thread_id)?.is_none() {
        return Ok(());
    }
    schema::add_threads(connection)?;
    let thread = threads::find_or_add(connection, thread_id)?;
    connection
        .prepare_cached(sql::SET_ARCHIVED)?
        .execute(params![thread.number, archived])?;
    Ok(())
}
