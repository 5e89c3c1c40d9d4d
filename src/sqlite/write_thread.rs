//! `write_thread`: a page of rows, as `read_thread` reads them, in one transaction; what is there under the
//! same keys is replaced.

use super::deletions;
use super::put::Put;
use super::put_writes::PutWrites;
use super::shared::Shared;
use super::transaction::WriteTransaction;
use crate::error::Result;
use crate::model::EncodedRow;

/// A row that is ready to be stored.
pub(super) struct Row {
    writes: Vec<PutWrites>,
    checkpoint: Option<Put>,
}

impl Row {
    pub(super) fn new(row: EncodedRow, shared: &Shared) -> Self {
        let writes = row.writes.into_iter();
        Self {
            writes: writes.map(|writes| PutWrites::new(writes, shared)).collect(),
            checkpoint: row.checkpoint.map(|checkpoint| Put::new(checkpoint, shared)),
        }
    }
}

/// Writes come before their checkpoint, as LangGraph stores them.
pub(super) fn write_thread(transaction: &WriteTransaction<'_>, rows: &mut [Row]) -> Result<()> {
    for row in rows.iter() {
        let checkpoint = row.checkpoint.iter().map(Put::thread_id);
        for thread_id in checkpoint.chain(row.writes.iter().map(PutWrites::thread_id)) {
            deletions::check_hidden(transaction, thread_id)?;
        }
    }
    for row in rows {
        for writes in &mut row.writes {
            writes.run(transaction)?;
        }
        if let Some(checkpoint) = &mut row.checkpoint {
            checkpoint.run(transaction)?;
        }
    }
    Ok(())
}

impl EncodedRow {
    /// What it holds.
    pub(super) fn bytes(&self) -> usize {
        let checkpoint = self.checkpoint.as_ref().map_or(0, |checkpoint| {
            checkpoint.value.payload.as_slice().len() + checkpoint.metadata.as_slice().len()
        });
        let writes = self.writes.iter().flat_map(|task| &task.writes);
        checkpoint
            + writes
                .map(|write| write.value.payload.as_slice().len())
                .sum::<usize>()
    }
}
