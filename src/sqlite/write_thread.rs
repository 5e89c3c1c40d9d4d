//! `write_thread`: a page of rows, as `read_thread` reads them, in one transaction; what is there under the
//! same keys is replaced.

use rusqlite::Connection;

use super::put::put;
use super::put_writes::put_writes;
use crate::error::Result;
use crate::model::EncodedRow;

/// Writes come before their checkpoint, as LangGraph stores them.
pub(super) fn write_thread(connection: &Connection, rows: &[EncodedRow]) -> Result<()> {
    for row in rows {
        for writes in &row.writes {
            put_writes(connection, writes)?;
        }
        if let Some(checkpoint) = &row.checkpoint {
            put(connection, checkpoint)?;
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
