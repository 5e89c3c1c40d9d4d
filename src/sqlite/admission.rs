//! Whether a put may be stored: looked at first, inside its transaction.

use rusqlite::{OptionalExtension, params};

use super::clock;
use super::deletions;
use super::schema;
use super::settings::{OnConflict, OnDeletedThread, Settings};
use super::statements::{self, deletions as sql};
use super::transaction::WriteTransaction;
use crate::error::{Error, Result};
use crate::model::{CheckpointKey, EncodedCheckpoint, Format};

/// What a saver's settings, and the lease that it holds, ask of each put.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    on_deleted_thread: OnDeletedThread,
    on_conflict: OnConflict,
    lease: Option<String>,
}

impl Admission {
    pub(super) fn new(settings: &Settings, lease: Option<String>) -> Self {
        Self {
            on_deleted_thread: settings.on_deleted_thread,
            on_conflict: settings.on_conflict,
            lease,
        }
    }

    pub(super) fn checkpoint(
        &self,
        transaction: &WriteTransaction<'_>,
        checkpoint: &EncodedCheckpoint,
    ) -> Result<()> {
        let key = &checkpoint.key;
        let parent = checkpoint.parent_checkpoint_id.as_deref();
        deletions::check_hidden(transaction, &key.thread_id)?;
        self.check_lease(transaction, &key.thread_id)?;
        if self.on_deleted_thread == OnDeletedThread::Raise
            && let Some(parent) = parent
        {
            deletions::check_late(transaction, key, parent)?;
        }
        if self.on_conflict == OnConflict::Raise {
            check_head(transaction, key, parent)?;
        }
        Ok(())
    }

    pub(super) fn writes(&self, transaction: &WriteTransaction<'_>, key: &CheckpointKey) -> Result<()> {
        deletions::check_hidden(transaction, &key.thread_id)?;
        self.check_lease(transaction, &key.thread_id)?;
        if self.on_deleted_thread == OnDeletedThread::Raise {
            deletions::check_late(transaction, key, &key.checkpoint_id)?;
        }
        Ok(())
    }

    fn check_lease(&self, transaction: &WriteTransaction<'_>, thread_id: &str) -> Result<()> {
        let Some(token) = &self.lease else { return Ok(()) };
        let connection = transaction.connection;
        let held = (transaction.format.get() != Format::Interop
            || schema::has_table(connection, "checkpoint_threads")?)
        .then(|| {
            connection
                .prepare_cached(sql::SELECT_LEASE)?
                .query_row([thread_id], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })
        .transpose()?
        .flatten();
        let is_ours = |(holder, expires): (Option<String>, Option<i64>)| {
            holder.as_deref() == Some(token) && expires.is_some_and(|expires| expires > clock::now())
        };
        if held.is_some_and(is_ours) {
            return Ok(());
        }
        Err(Error::LeaseLost {
            thread_id: thread_id.to_owned(),
        })
    }
}

/// Fails unless the parent is the newest checkpoint of its namespace. A checkpoint may be stored again.
fn check_head(transaction: &WriteTransaction<'_>, key: &CheckpointKey, parent: Option<&str>) -> Result<()> {
    let connection = transaction.connection;
    let head: Option<String> = connection
        .prepare_cached(statements::SELECT_LATEST_ID)?
        .query_row(params![key.thread_id, key.checkpoint_ns], |row| row.get(0))
        .optional()?;
    if head.as_deref() == parent || super::read_thread::is_stored(connection, key, &key.checkpoint_id)? {
        return Ok(());
    }
    Err(Error::ConcurrentWrite {
        thread_id: key.thread_id.clone(),
        head: head.unwrap_or_else(|| "none".to_owned()),
    })
}
