//! What a stored value is checked by.

use super::Hash;
use crate::model::CheckpointKey;

/// The checksum of a stored value: it covers the value's content and where it belongs, not the ids of
/// its chunks.
pub(crate) type Seal = [u8; 8];

/// The row a value belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Binding<'a> {
    Checkpoint {
        key: &'a CheckpointKey,
        parent: Option<&'a str>,
        metadata: Option<&'a [u8]>,
    },
    Write {
        key: &'a CheckpointKey,
        task_id: &'a str,
        task_path: &'a str,
        index: i64,
        channel: &'a str,
    },
}

impl Binding<'_> {
    pub(crate) fn key(&self) -> &CheckpointKey {
        match self {
            Self::Checkpoint { key, .. } | Self::Write { key, .. } => key,
        }
    }
}

/// Computes a seal, fed with the parts of a value in their order.
pub(crate) struct Sealer(blake3::Hasher);

impl Sealer {
    pub(crate) fn new(tag: &str) -> Self {
        let mut sealer = Self(blake3::Hasher::new_keyed(b"langgraph-checkpoint-rust seal 1"));
        sealer.field(Some(tag.as_bytes()));
        sealer
    }

    pub(crate) fn inline(&mut self, bytes: &[u8]) {
        self.part(b'i', bytes.len() as u64);
        self.0.update(bytes);
    }

    pub(crate) fn body(&mut self, tail: usize) {
        self.part(b'b', tail as u64);
    }

    pub(crate) fn leaf(&mut self, hash: &Hash) {
        self.part(b'l', hash.len() as u64);
        self.0.update(hash);
    }

    pub(crate) fn node(&mut self, hash: &Hash) {
        self.part(b'n', hash.len() as u64);
        self.0.update(hash);
    }

    pub(crate) fn finish(mut self, binding: &Binding<'_>) -> Seal {
        match binding {
            Binding::Checkpoint {
                key,
                parent,
                metadata,
            } => {
                self.part(b'c', 0);
                self.key(key);
                self.field(parent.map(str::as_bytes));
                self.field(*metadata);
            }
            Binding::Write {
                key,
                task_id,
                task_path,
                index,
                channel,
            } => {
                self.part(b'w', 0);
                self.key(key);
                for text in [task_id, task_path, channel] {
                    self.field(Some(text.as_bytes()));
                }
                self.0.update(&index.to_le_bytes());
            }
        }
        let mut seal = Seal::default();
        seal.copy_from_slice(&self.0.finalize().as_bytes()[..8]);
        seal
    }

    fn key(&mut self, key: &CheckpointKey) {
        for text in [&key.thread_id, &key.checkpoint_ns, &key.checkpoint_id] {
            self.field(Some(text.as_bytes()));
        }
    }

    fn part(&mut self, kind: u8, length: u64) {
        let mut head = [kind; 9];
        head[1..].copy_from_slice(&length.to_le_bytes());
        self.0.update(&head);
    }

    fn field(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => {
                self.part(b'f', bytes.len() as u64);
                self.0.update(bytes);
            }
            None => self.part(b'f', u64::MAX),
        }
    }
}
