//! `put`: one row, and the chunks that are new.

use std::sync::Arc;

use rusqlite::params;

use super::admission::Admission;
use super::job::{Job, Order, TypedJob};
use super::prepared::Prepared;
use super::shared::Shared;
use super::statements as sql;
use super::terms;
use super::threads::{self, Noting, Progress};
use super::transaction::WriteTransaction;
use crate::chunk::{Binding, Kind, Known};
use crate::error::Result;
use crate::model::{EncodedCheckpoint, Format};
use crate::pending::Done;
use crate::progress;

/// The job that stores a checkpoint, and remembers its chunks once they are committed. With a `ttl` it begins a
/// thread, in place of one whose time is over.
#[expect(
    clippy::option_option,
    reason = "outer: nothing to look for; inner: no default"
)]
pub(super) fn job(
    checkpoint: EncodedCheckpoint,
    ttl: Option<Option<i64>>,
    admission: Admission,
    shared: &Shared,
    order: Order,
    done: Done<()>,
) -> Box<dyn Job> {
    let key = checkpoint.key.clone();
    let chunks = Arc::clone(&shared.chunks);
    let place = key.clone();
    let mut put = Put::new(checkpoint, shared);
    Box::new(TypedJob {
        order,
        work: move |transaction: &WriteTransaction<'_>| {
            if let Some(default) = ttl {
                terms::end_if_expired(transaction, &place, default)?;
            }
            admission.checkpoint(transaction, &put.checkpoint)?;
            put.run(transaction)
        },
        value: None,
        done: Box::new(move |stored: Result<Option<Known>>| {
            done(stored.map(|known| chunks.set(&key.thread_id, &key.checkpoint_ns, known)));
        }),
    })
}

/// A checkpoint that is ready to be stored.
pub(super) struct Put {
    checkpoint: EncodedCheckpoint,
    prepared: Prepared,
    /// What it says of its thread, if that was found out before the transaction.
    progress: Option<Progress>,
}

impl Put {
    pub(super) fn new(checkpoint: EncodedCheckpoint, shared: &Shared) -> Self {
        let key = &checkpoint.key;
        let is_compact = shared.format() == Format::Compact;
        let base = is_compact.then(|| shared.chunks.get(&key.thread_id, &key.checkpoint_ns));
        let value = checkpoint.value.clone();
        let compression = shared.settings.compression;
        let prepared = Prepared::new(
            Kind::Checkpoint,
            value,
            checkpoint.chunkable,
            base.flatten(),
            compression,
        );
        let mut put = Self {
            checkpoint,
            prepared,
            progress: None,
        };
        if is_compact {
            put.prepared.divide(&binding(&put.checkpoint));
            put.progress = Some(put.progress());
        }
        put
    }

    fn progress(&self) -> Progress {
        let outline = self.checkpoint.outline.as_ref();
        let nodes = match outline {
            Some(outline) => progress::next_nodes(outline.as_slice()),
            None => self.prepared.next_nodes(),
        };
        Progress::new(self.checkpoint.metadata.as_slice(), nodes)
    }

    pub(super) fn thread_id(&self) -> &str {
        &self.checkpoint.key.thread_id
    }

    /// What is known of the namespace once this is committed.
    pub(super) fn run(&mut self, transaction: &WriteTransaction<'_>) -> Result<Option<Known>> {
        let is_compact = transaction.format.get() == Format::Compact;
        if is_compact && self.progress.is_none() {
            self.progress = Some(self.progress());
        }
        let checkpoint = &self.checkpoint;
        let key = &checkpoint.key;
        let connection = transaction.connection;
        let mut noting = Noting::new(connection, &key.thread_id);
        let columns = self
            .prepared
            .store(transaction, &binding(checkpoint), &mut noting)?;
        let parameters = params![
            key.thread_id,
            key.checkpoint_ns,
            key.checkpoint_id,
            checkpoint.parent_checkpoint_id,
            columns.tag,
            columns.data,
            checkpoint.metadata,
        ];
        if is_compact {
            let added = connection
                .prepare_cached(sql::INSERT_CHECKPOINT)?
                .execute(parameters)?;
            if added == 0 {
                noting.replace_bytes(threads::bytes_of(connection, key)?);
                connection
                    .prepare_cached(sql::UPSERT_CHECKPOINT)?
                    .execute(parameters)?;
            }
            noting.add_bytes(columns.data.length() + checkpoint.metadata.as_slice().len());
            if let Some(progress) = &self.progress {
                noting.finish_put(key, i64::from(added > 0), progress)?;
            }
        } else {
            connection
                .prepare_cached(sql::UPSERT_CHECKPOINT)?
                .execute(parameters)?;
        }
        let metadata = checkpoint.metadata.as_slice();
        if is_compact && names_run(metadata) {
            connection
                .prepare_cached(sql::INSERT_RUN)?
                .execute(params![metadata, key.thread_id])?;
        }
        Ok(columns.known)
    }
}

fn binding(checkpoint: &EncodedCheckpoint) -> Binding<'_> {
    Binding::Checkpoint {
        key: &checkpoint.key,
        parent: checkpoint.parent_checkpoint_id.as_deref(),
        metadata: Some(checkpoint.metadata.as_slice()),
    }
}

/// Whether metadata may name a run; SQL looks closer.
fn names_run(metadata: &[u8]) -> bool {
    const NAME: &[u8] = b"\"run_id\"";
    metadata.windows(NAME.len()).any(|window| window == NAME)
}
