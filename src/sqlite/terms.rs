//! How long a thread lives. What a user said of it is in the table of threads; the time of its newest checkpoint
//! is in that one's id. So a time to live that all threads share is stored nowhere.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::remove::delete_checkpoint;
use super::schema;
use super::statements::{self as all, retention as sql};
use super::threads;
use super::transaction::WriteTransaction;
use crate::error::Result;
use crate::model::{CheckpointKey, Format, Page};
use crate::retention::Term;

/// What a user said of a thread.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Terms {
    pub(super) pinned: bool,
    ttl: Option<i64>,
    expires: Option<i64>,
}

impl Terms {
    pub(super) fn read(connection: &Connection, thread_id: &str) -> Result<Self> {
        if !schema::has_threads(connection)? {
            return Ok(Self::default());
        }
        let found = connection
            .prepare_cached(sql::SELECT_TERMS)?
            .query_row([thread_id], |row| {
                Ok(Self {
                    pinned: row.get(0)?,
                    ttl: row.get(1)?,
                    expires: row.get(2)?,
                })
            })
            .optional()?;
        Ok(found.unwrap_or_default())
    }

    /// Whether its time is over, given when its newest checkpoint was made.
    pub(super) fn is_over(&self, newest: Option<i64>, default_ttl: Option<i64>) -> bool {
        let Some(ttl) = self.ttl.or(default_ttl).filter(|_| !self.pinned) else {
            return false;
        };
        let by_age = newest.map(|newest| newest.saturating_add(ttl));
        by_age
            .max(self.expires)
            .is_some_and(|expires| expires <= threads::now())
    }
}

/// Notes what a user says. This makes the table in a file that has none.
pub(super) fn set_term(transaction: &WriteTransaction<'_>, thread_id: &str, term: Term) -> Result<()> {
    let connection = transaction.connection;
    if !schema::has_threads(connection)? {
        if matches!(term, Term::Pinned(false) | Term::TimeToLive(None)) {
            return Ok(());
        }
        schema::add_threads(connection)?;
    }
    connection
        .prepare_cached(sql::INSERT_TERMS)?
        .execute([thread_id])?;
    match term {
        Term::Pinned(pinned) => connection
            .prepare_cached(sql::SET_PINNED)?
            .execute(params![thread_id, pinned])?,
        Term::TimeToLive(ttl) => {
            let expires = ttl.map(|ttl| threads::now().saturating_add(ttl));
            connection
                .prepare_cached(sql::SET_TTL)?
                .execute(params![thread_id, ttl, expires])?
        }
        Term::Refreshed(ttl) => {
            connection
                .prepare_cached(sql::SET_EXPIRES)?
                .execute(params![thread_id, threads::now(), ttl])?
        }
    };
    Ok(())
}

/// Whether a thread is invisible. Of its checkpoints the newest of the root graph and of one namespace count: a
/// subgraph that runs long stores nothing in the root's.
pub(super) fn is_expired(
    connection: &Connection,
    thread_id: &str,
    checkpoint_ns: &str,
    default_ttl: Option<i64>,
) -> Result<bool> {
    let terms = Terms::read(connection, thread_id)?;
    if terms.pinned || terms.ttl.or(default_ttl).is_none() {
        return Ok(false);
    }
    let mut newest = None;
    let mut statement = connection.prepare_cached(all::SELECT_LATEST_ID)?;
    for checkpoint_ns in ["", checkpoint_ns] {
        let id: Option<String> = statement
            .query_row([thread_id, checkpoint_ns], |row| row.get(0))
            .optional()?;
        let Some(id) = id else { continue };
        let Some(made) = threads::time_of(&id) else {
            return Ok(false);
        };
        newest = newest.max(Some(made));
    }
    Ok(terms.is_over(newest, default_ttl))
}

/// A run begins anew on a thread that was invisible to it: what no sweep came to yet goes now. What such a run
/// stored already, writes before their checkpoint, has ids that are greater.
pub(super) fn end_if_expired(
    transaction: &WriteTransaction<'_>,
    key: &CheckpointKey,
    default_ttl: Option<i64>,
) -> Result<()> {
    let connection = transaction.connection;
    if is_expired(connection, &key.thread_id, "", default_ttl)? {
        let place = [&key.thread_id, &key.checkpoint_id];
        let (mut rows, mut bytes) = (0, 0);
        let mut statement = connection.prepare_cached(sql::KEYS_BEFORE)?;
        let mut found = statement.query(place)?;
        while let Some(row) = found.next()? {
            let older = CheckpointKey {
                thread_id: key.thread_id.clone(),
                checkpoint_ns: row.get(0)?,
                checkpoint_id: row.get(1)?,
            };
            bytes += delete_checkpoint(connection, &older)?.bytes.unwrap_or_default();
            rows += 1;
        }
        connection
            .prepare_cached(sql::DELETE_WRITES_BEFORE)?
            .execute(place)?;
        if transaction.format.get() == Format::Compact {
            threads::note_removed(connection, &key.thread_id, rows, bytes)?;
            threads::refresh_head(connection, &key.thread_id)?;
        }
    }
    Ok(())
}

/// When a checkpoint was made that says so itself, in milliseconds after 1970; none if it is no time.
pub(super) fn time_in(connection: &Connection, timestamp: &str) -> Result<Option<i64>> {
    let mut statement = connection.prepare_cached(sql::MILLISECONDS)?;
    Ok(statement.query_row([timestamp], |row| row.get(0))?)
}

/// Takes the tuples of invisible threads from a page.
pub(super) fn hide_expired(connection: &Connection, page: &mut Page, default_ttl: Option<i64>) -> Result<()> {
    let mut known: HashMap<(String, String), bool> = HashMap::new();
    let mut visible = Vec::with_capacity(page.tuples.len());
    for tuple in page.tuples.drain(..) {
        let place = (tuple.key.thread_id.clone(), tuple.key.checkpoint_ns.clone());
        let expired = match known.get(&place) {
            Some(expired) => *expired,
            None => is_expired(connection, &place.0, &place.1, default_ttl)?,
        };
        known.insert(place, expired);
        if !expired {
            visible.push(tuple);
        }
    }
    page.tuples = visible;
    Ok(())
}
