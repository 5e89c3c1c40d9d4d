//! How many bytes of state a value holds: what a serializer made, and metadata.

use super::{
    EncodedCheckpoint, EncodedRow, EncodedWrites, Page, StoredTuple, ThreadPage, ThreadRow, TypedValue,
};

impl TypedValue {
    fn size(&self) -> usize {
        self.payload.as_slice().len()
    }
}

impl EncodedCheckpoint {
    /// Bytes of the value and the metadata.
    pub fn size(&self) -> usize {
        self.value.size() + self.metadata.as_slice().len()
    }
}

impl EncodedWrites {
    /// Bytes of the values.
    pub fn size(&self) -> usize {
        self.writes.iter().map(|write| write.value.size()).sum()
    }
}

impl StoredTuple {
    /// Bytes of the value, the metadata and the writes.
    pub fn size(&self) -> usize {
        let writes: usize = self.writes.iter().map(|write| write.value.size()).sum();
        self.value.size() + self.metadata.as_slice().len() + writes
    }
}

impl StoredTuple {
    /// The same of one that may not be there.
    pub fn size_of_found(found: &Option<Self>) -> usize {
        found.as_ref().map_or(0, Self::size)
    }
}

impl Page {
    /// Bytes of the tuples.
    pub fn size(&self) -> usize {
        self.tuples.iter().map(StoredTuple::size).sum()
    }
}

impl ThreadPage {
    /// Bytes of the rows.
    pub fn size(&self) -> usize {
        self.rows.iter().map(ThreadRow::size).sum()
    }
}

impl ThreadRow {
    /// Bytes of the checkpoint and the writes.
    pub fn size(&self) -> usize {
        let writes: usize = self.writes.iter().map(|write| write.write.value.size()).sum();
        self.checkpoint.as_ref().map_or(0, StoredTuple::size) + writes
    }
}

impl EncodedRow {
    /// Bytes of the checkpoint and the writes.
    pub fn size(&self) -> usize {
        let writes: usize = self.writes.iter().map(EncodedWrites::size).sum();
        self.checkpoint.as_ref().map_or(0, EncodedCheckpoint::size) + writes
    }
}
