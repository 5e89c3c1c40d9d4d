//! `put_writes`: one row a write, all in the caller's transaction.

use rusqlite::params;

use super::prepared::Prepared;
use super::shared::Shared;
use super::statements as sql;
use super::threads::{self, Noting};
use super::transaction::WriteTransaction;
use crate::chunk::{Binding, Kind};
use crate::error::Result;
use crate::model::{EncodedWrite, EncodedWrites, Format, OnConflict};

/// Writes that are ready to be stored.
pub(super) struct PutWrites {
    writes: EncodedWrites,
    /// By index of the writes.
    prepared: Vec<Prepared>,
}

impl PutWrites {
    pub(super) fn new(writes: EncodedWrites, shared: &Shared) -> Self {
        let is_compact = shared.format() == Format::Compact;
        let prepare = |write: &EncodedWrite| {
            let compression = shared.settings.compression;
            let value = write.value.clone();
            let mut prepared = Prepared::new(Kind::Write, value, writes.chunkable, None, compression);
            if is_compact {
                prepared.divide(&binding(&writes, write));
            }
            prepared
        };
        let prepared = writes.writes.iter().map(prepare).collect();
        Self { writes, prepared }
    }

    pub(super) fn run(&mut self, transaction: &WriteTransaction<'_>) -> Result<()> {
        let writes = &self.writes;
        let mut statement = transaction.connection.prepare_cached(match writes.on_conflict {
            OnConflict::Replace => sql::REPLACE_WRITE,
            OnConflict::Ignore => sql::INSERT_WRITE,
        })?;
        let key = &writes.key;
        let mut noting = Noting::new(transaction.connection, &key.thread_id);
        let mut status = None;
        for (write, prepared) in writes.writes.iter().zip(&mut self.prepared) {
            let columns = prepared.store(transaction, &binding(writes, write), &mut noting)?;
            let stored = statement.execute(params![
                key.thread_id,
                key.checkpoint_ns,
                key.checkpoint_id,
                writes.task_id,
                writes.task_path,
                write.index,
                write.channel,
                columns.tag,
                columns.data,
            ])?;
            if stored > 0 && key.checkpoint_ns.is_empty() {
                status = threads::status_of(&write.channel, &writes.task_id).or(status);
            }
        }
        if transaction.format.get() != Format::Compact {
            return Ok(());
        }
        if let Some(status) = status {
            threads::set_status(transaction.connection, key, status)?;
        }
        noting.finish_writes()
    }
}

fn binding<'a>(writes: &'a EncodedWrites, write: &'a EncodedWrite) -> Binding<'a> {
    Binding::Write {
        key: &writes.key,
        task_id: &writes.task_id,
        task_path: &writes.task_path,
        index: write.index,
        channel: &write.channel,
    }
}
