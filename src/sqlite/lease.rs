//! `acquire_lease` and `release_lease`: who may go on in a thread, until when.

use rusqlite::{OptionalExtension, params};

use super::clock;
use super::schema;
use super::statements::deletions as sql;
use super::transaction::WriteTransaction;
use crate::error::Result;
use crate::model::{Format, Leased};

/// Takes a lease, or renews it for its holder.
pub(super) fn acquire_lease(
    transaction: &WriteTransaction<'_>,
    thread_id: &str,
    token: &str,
    milliseconds: i64,
) -> Result<Leased> {
    let connection = transaction.connection;
    if transaction.format.get() == Format::Interop {
        schema::add_threads(connection)?;
    }
    let now = clock::now();
    connection
        .prepare_cached(sql::INSERT_LEASE_ROW)?
        .execute([thread_id])?;
    let expires = now.saturating_add(milliseconds);
    let fence = connection
        .prepare_cached(sql::TAKE_LEASE)?
        .query_row(params![thread_id, token, expires, now], |row| row.get(0))
        .optional()?;
    if let Some(fence) = fence {
        return Ok(Leased::Taken { fence });
    }
    let expires: Option<i64> = connection
        .prepare_cached(sql::SELECT_LEASE)?
        .query_row([thread_id], |row| row.get(1))?;
    Ok(Leased::Held {
        milliseconds: expires.unwrap_or(now).saturating_sub(now),
    })
}

/// Gives a lease back; nothing happens if it is another's by now.
pub(super) fn release_lease(transaction: &WriteTransaction<'_>, thread_id: &str, token: &str) -> Result<()> {
    let connection = transaction.connection;
    if transaction.format.get() == Format::Interop && !schema::has_table(connection, "checkpoint_threads")? {
        return Ok(());
    }
    connection
        .prepare_cached(sql::RELEASE_LEASE)?
        .execute([thread_id, token])?;
    Ok(())
}
