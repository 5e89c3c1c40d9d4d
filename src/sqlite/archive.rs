//! Copies a thread to another database and reads it back there, before it is deleted here.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::SqliteBackend;
use super::engine::Engine;
use super::manager::Location;
use super::notes;
use super::read_thread;
use super::settings::FormatChoice;
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::model::{
    Blob, EncodedCheckpoint, EncodedRow, EncodedWrite, EncodedWrites, Notes, OnConflict, Payload, ThreadPage,
    ThreadRow, TypedValue,
};

/// The database that threads go to.
pub(super) struct Archive(SqliteBackend);

impl Archive {
    pub(super) fn open(path: &Path, engine: &Arc<Engine>) -> Result<Self> {
        let mut settings = engine.settings().clone();
        settings.format = FormatChoice::Auto;
        settings.read_only = false;
        let archive = SqliteBackend::new(Location::File(path.to_path_buf()), settings, None);
        let here = engine.shared(crate::pending::patient)?;
        let there = archive.engine.shared(crate::pending::patient)?;
        if Arc::ptr_eq(&here, &there) {
            return Err(Error::Invalid(format!(
                "archive_to is the database itself, `{}`; name another file",
                path.display()
            )));
        }
        Ok(Self(archive))
    }

    /// Copies a thread, page by page, and compares what then is there.
    pub(super) fn add(&self, source: &Arc<Engine>, thread_id: &str) -> Result<()> {
        let mut copied = HashMap::new();
        let mut after = None;
        loop {
            let ThreadPage { rows, next } = read_page(source, thread_id, after)?;
            if rows.is_empty() {
                break;
            }
            copied.extend(rows.iter().map(digest));
            self.0
                .write_thread(rows.into_iter().map(encoded).collect())
                .wait()?;
            after = next;
        }
        self.add_notes(source, thread_id)?;
        let mut after = None;
        while !copied.is_empty() {
            let ThreadPage { rows, next } = read_page(&self.0.engine, thread_id, after)?;
            if rows.is_empty() {
                return Err(Error::Invalid(format!(
                    "the archive does not hold what was copied to it: {} checkpoints of a thread differ; \
                     nothing was deleted",
                    copied.len()
                )));
            }
            for (key, found) in rows.iter().map(digest) {
                if copied.get(&key) == Some(&found) {
                    copied.remove(&key);
                }
            }
            after = next;
        }
        Ok(())
    }

    /// What was said of the thread, but for its time to live: that is over.
    fn add_notes(&self, source: &Arc<Engine>, thread_id: &str) -> Result<()> {
        let name = thread_id.to_owned();
        let notes = source
            .read(Notes::default, move |transaction| {
                notes::read_notes(transaction, &name)
            })
            .wait()?;
        let notes = Notes {
            ttl: None,
            expires: None,
            ..notes
        };
        self.0.write_notes(thread_id.to_owned(), notes).wait()
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn read_page(engine: &Arc<Engine>, thread_id: &str, after: Option<(String, String)>) -> Result<ThreadPage> {
    let thread_id = thread_id.to_owned();
    let read = engine.read(ThreadPage::default, move |transaction| {
        read_thread::read_thread(transaction, &thread_id, after.as_ref())
    });
    read.wait()
}

/// The key of a row and a hash of all that it holds.
fn digest(row: &ThreadRow) -> ((String, String), blake3::Hash) {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    let typed = |add: &mut dyn FnMut(&[u8]), value: &TypedValue| {
        add(value.tag.as_deref().unwrap_or_default().as_bytes());
        add(value.payload.as_slice());
    };
    if let Some(tuple) = &row.checkpoint {
        add(tuple
            .parent_checkpoint_id
            .as_deref()
            .unwrap_or_default()
            .as_bytes());
        typed(&mut add, &tuple.value);
        add(metadata(&tuple.metadata).as_slice());
    }
    for placed in &row.writes {
        add(placed.write.task_id.as_bytes());
        add(placed.task_path.as_bytes());
        add(&placed.index.to_le_bytes());
        add(placed.write.channel.as_bytes());
        typed(&mut add, &placed.write.value);
    }
    let key = (row.key.checkpoint_ns.clone(), row.key.checkpoint_id.clone());
    (key, hasher.finalize())
}

fn metadata(payload: &Payload) -> Blob {
    match payload {
        Payload::Null => Blob::new(b"{}"),
        Payload::Text(text) => Blob::new(text.clone()),
        Payload::Bytes(blob) => blob.clone(),
    }
}

fn encoded(row: ThreadRow) -> EncodedRow {
    let mut writes: Vec<EncodedWrites> = Vec::new();
    for placed in row.writes {
        let (task_id, task_path) = (placed.write.task_id, placed.task_path);
        let write = EncodedWrite {
            index: placed.index,
            channel: placed.write.channel,
            value: placed.write.value,
        };
        match writes.last_mut() {
            Some(task) if task.task_id == task_id && task.task_path == task_path => task.writes.push(write),
            _ => writes.push(EncodedWrites {
                key: row.key.clone(),
                task_id,
                task_path,
                on_conflict: OnConflict::Replace,
                chunkable: true,
                writes: vec![write],
            }),
        }
    }
    EncodedRow {
        checkpoint: row.checkpoint.map(|tuple| EncodedCheckpoint {
            key: tuple.key,
            parent_checkpoint_id: tuple.parent_checkpoint_id,
            metadata: metadata(&tuple.metadata),
            value: tuple.value,
            chunkable: true,
            outline: None,
        }),
        writes,
    }
}
