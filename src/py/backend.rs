//! `_core.SqliteBackend`: one method a verb. Each extracts its arguments and returns a call.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::call::PyCall;
use super::convert::{
    ConversionArgument, FilterArgument, KeyArgument, TypedArgument, WriteArgument, checkpoint_key,
    conversion, conversion_tuple, encoded_write, key_tuple, list_filter, typed_value,
};
use super::copying::{PyCopying, RowArgument, encoded_row};
use super::objects::{PyGarbage, PyRemoval, PyShapeBook};
use super::retention::{PolicyArgument, PyRetentionRun};
use super::settings::PySettings;
use super::threads::{CursorArgument, ThreadFilterArgument, thread_cursor, thread_filter};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::model::{
    Blob, Conversion, CopyProgress, EncodedCheckpoint, EncodedWrites, Format, Keep, OnConflict, Stats,
    StoredTuple, StoredWrite, SweepProgress, Swept, TypedValue,
};
use crate::pending::Pending;
use crate::retention::Term;
use crate::sqlite::{Location, SqliteBackend, lock_guard};

/// A SQLite store for the Python savers.
#[pyclass(name = "SqliteBackend", module = "langgraph_checkpoint_rust._core", frozen)]
pub(super) struct PySqliteBackend {
    /// Taken on drop only.
    backend: Option<SqliteBackend>,
}

#[pymethods]
impl PySqliteBackend {
    #[new]
    #[pyo3(signature = (path, settings, policy=None))]
    fn new(path: Option<PathBuf>, settings: PySettings, policy: Option<PolicyArgument>) -> PyResult<Self> {
        let location = path.map_or(Location::Memory, Location::File);
        let policy = policy.map(super::retention::policy);
        let backend = SqliteBackend::new(location, settings.try_into()?, policy);
        Ok(Self {
            backend: Some(backend),
        })
    }

    fn setup(&self) -> PyResult<PyCall> {
        Ok(PyCall::new(self.verbs()?.setup(), |py, opened| {
            let opened = opened?;
            object(py, (opened.created, format_name(opened.format), opened.size))
        }))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let backend = self.verbs()?;
        py.detach(|| backend.close());
        Ok(())
    }

    fn put(
        &self,
        key: KeyArgument,
        parent_checkpoint_id: Option<String>,
        value: TypedArgument,
        metadata: PyBackedBytes,
        outline: Option<PyBackedBytes>,
        chunkable: bool,
    ) -> PyResult<PyCall> {
        Ok(acknowledged(self.verbs()?.put(EncodedCheckpoint {
            key: checkpoint_key(key),
            parent_checkpoint_id,
            value: typed_value(value),
            metadata: Blob::new(metadata),
            outline: outline.map(Blob::new),
            chunkable,
        })))
    }

    fn put_writes(
        &self,
        key: KeyArgument,
        task_id: String,
        task_path: String,
        replace: bool,
        writes: Vec<WriteArgument>,
        chunkable: bool,
    ) -> PyResult<PyCall> {
        Ok(acknowledged(self.verbs()?.put_writes(EncodedWrites {
            key: checkpoint_key(key),
            task_id,
            task_path,
            on_conflict: if replace {
                OnConflict::Replace
            } else {
                OnConflict::Ignore
            },
            chunkable,
            writes: writes.into_iter().map(encoded_write).collect(),
        })))
    }

    fn get_tuple(
        &self,
        thread_id: String,
        checkpoint_ns: String,
        checkpoint_id: Option<String>,
    ) -> PyResult<PyCall> {
        let found = self.verbs()?.get_tuple(thread_id, checkpoint_ns, checkpoint_id);
        Ok(PyCall::new(found, |py, found| object(py, found?.as_ref())))
    }

    fn pending_sends(&self, keys: Vec<KeyArgument>) -> PyResult<PyCall> {
        let found = self
            .verbs()?
            .pending_sends(keys.into_iter().map(checkpoint_key).collect());
        Ok(PyCall::new(found, |py, found| {
            let sends = found?
                .iter()
                .map(|writes| write_tuples(py, writes))
                .collect::<PyResult<Vec<_>>>()?;
            object(py, sends)
        }))
    }

    fn list(&self, filter: FilterArgument, after: Option<KeyArgument>, limit: usize) -> PyResult<PyCall> {
        let page = self
            .verbs()?
            .list(list_filter(filter), after.map(checkpoint_key), limit);
        Ok(PyCall::new(page, |py, page| {
            let page = page?;
            let tuples: Vec<&StoredTuple> = page.tuples.iter().collect();
            object(py, (tuples, page.next.as_ref().map(key_tuple)))
        }))
    }

    fn delete_thread(&self, thread_id: String) -> PyResult<PyCall> {
        Ok(PyCall::new(self.verbs()?.delete_thread(thread_id), |py, left| {
            object(py, left?)
        }))
    }

    fn delete_for_runs(&self, run_ids: Vec<String>) -> PyResult<PyCall> {
        Ok(PyCall::new(
            self.verbs()?.delete_for_runs(run_ids),
            |py, removal| object(py, PyRemoval(Arc::new(removal?))),
        ))
    }

    fn copy_thread(
        &self,
        source_thread_id: String,
        target_thread_id: String,
        progress: Option<CopyArgument>,
    ) -> PyResult<PyCall> {
        let progress = progress.map_or_else(CopyProgress::default, |(writes_done, after)| CopyProgress {
            writes_done,
            after,
        });
        let copied = self
            .verbs()?
            .copy_thread(source_thread_id, target_thread_id, progress);
        Ok(PyCall::new(copied, |py, progress| {
            object(
                py,
                progress?.map(|progress| (progress.writes_done, progress.after)),
            )
        }))
    }

    fn prune(
        &self,
        thread_id: String,
        keep: Option<(usize, Option<i64>)>,
        shapes: &PyShapeBook,
    ) -> PyResult<PyCall> {
        let keep = keep.map(|(last, since)| Keep { last, since });
        let removal = self.verbs()?.prune(thread_id, keep, Arc::clone(&shapes.0));
        Ok(PyCall::new(removal, |py, removal| {
            learning(py, removal, |removal| {
                Ok(object(py, PyRemoval(Arc::new(removal)))?.into_bound(py))
            })
        }))
    }

    fn format(&self) -> PyResult<PyCall> {
        Ok(PyCall::new(self.verbs()?.format(), |py, format| {
            object(py, format_name(format?))
        }))
    }

    fn apply_retention(
        &self,
        policy: Option<PolicyArgument>,
        dry_run: bool,
        shapes: &PyShapeBook,
    ) -> PyResult<PyRetentionRun> {
        let policy = policy.map(super::retention::policy);
        let run = self
            .verbs()?
            .apply_retention(policy, dry_run, Arc::clone(&shapes.0))?;
        Ok(PyRetentionRun::new(run))
    }

    fn set_term(&self, thread_id: String, term: &str, value: Option<i64>) -> PyResult<PyCall> {
        let term = match term {
            "pinned" => Term::Pinned(value.is_some()),
            "ttl" => Term::TimeToLive(value),
            _ => Term::Refreshed(value.unwrap_or_default()),
        };
        Ok(acknowledged(self.verbs()?.set_term(thread_id, term)))
    }

    fn garbage(&self, thread_id: String) -> PyResult<PyCall> {
        Ok(PyCall::new(self.verbs()?.garbage(thread_id), |py, garbage| {
            object(py, PyGarbage(Arc::new(garbage?)))
        }))
    }

    fn sweep(&self, garbage: &PyGarbage, progress: (usize, i64)) -> PyResult<PyCall> {
        let (chunks, slices) = progress;
        let progress = SweepProgress { chunks, slices };
        let swept = self.verbs()?.sweep(Arc::clone(&garbage.0), progress);
        Ok(PyCall::new(swept, |py, swept| {
            let (changed, left) = match swept? {
                Swept::Done => (false, None),
                Swept::Left(progress) => (false, Some((progress.chunks, progress.slices))),
                Swept::Changed => (true, None),
            };
            object(py, (changed, left))
        }))
    }

    fn convert(&self, target: &str, progress: Option<ConversionArgument>) -> PyResult<PyCall> {
        let target = match target {
            "compact" => Format::Compact,
            _ => Format::Interop,
        };
        let conversion = progress.map_or_else(Conversion::default, conversion);
        let left = self.verbs()?.convert(target, conversion);
        Ok(PyCall::new(left, |py, left| {
            object(py, left?.map(conversion_tuple))
        }))
    }

    fn count_rows(&self) -> PyResult<PyCall> {
        Ok(PyCall::new(self.verbs()?.count_rows(), |py, count| {
            object(py, count?)
        }))
    }

    fn chunked_threads(&self, after: String) -> PyResult<PyCall> {
        let threads = self.verbs()?.chunked_threads(after);
        Ok(PyCall::new(threads, |py, threads| object(py, threads?)))
    }

    fn rebuild(&self) -> PyResult<PyCall> {
        Ok(acknowledged(self.verbs()?.rebuild()))
    }

    fn storage(&self, thread_id: Option<String>) -> PyResult<PyCall> {
        Ok(PyCall::new(self.verbs()?.storage(thread_id), |py, storage| {
            let storage = storage?;
            let channels: BTreeMap<_, _> = storage
                .channels
                .into_iter()
                .map(|(channel, cost)| {
                    let figures = (
                        cost.live_bytes,
                        cost.logical_bytes,
                        cost.stored_bytes,
                        cost.chunks,
                    );
                    (channel, figures)
                })
                .collect();
            let rows = (storage.checkpoints, storage.writes);
            object(py, (rows, storage.metadata_bytes, storage.write_bytes, channels))
        }))
    }

    fn vacuum(&self) -> PyResult<PyCall> {
        Ok(PyCall::new(self.verbs()?.vacuum(), |py, vacuumed| {
            let vacuumed = vacuumed?;
            object(py, (vacuumed.can_shrink, vacuumed.freed, vacuumed.left))
        }))
    }

    #[pyo3(signature = (removal, from_))]
    fn remove(&self, removal: &PyRemoval, from_: usize) -> PyResult<PyCall> {
        let left = self.verbs()?.remove(Arc::clone(&removal.0), from_);
        Ok(PyCall::new(left, |py, left| object(py, left?)))
    }

    fn get_delta_channel_history(
        &self,
        thread_id: String,
        checkpoint_ns: String,
        checkpoint_id: Option<String>,
        channels: Vec<String>,
        shapes: &PyShapeBook,
    ) -> PyResult<PyCall> {
        let shapes = Arc::clone(&shapes.0);
        let history = self.verbs()?.get_delta_channel_history(
            thread_id,
            checkpoint_ns,
            checkpoint_id,
            channels,
            shapes,
        );
        Ok(PyCall::new(history, |py, history| {
            learning(py, history, |history| {
                let channels = history
                    .channels
                    .iter()
                    .map(|channel| Ok((write_tuples(py, &channel.writes)?, channel.seed)))
                    .collect::<PyResult<Vec<_>>>()?;
                Ok((channels, typed_tuples(py, &history.seeds)?)
                    .into_pyobject(py)?
                    .into_any())
            })
        }))
    }

    fn backup(&self, target: PathBuf) -> PyResult<PyCopying> {
        Ok(PyCopying(self.verbs()?.backup(target)?))
    }

    fn restore(&self, source: PathBuf) -> PyResult<PyCopying> {
        Ok(PyCopying(self.verbs()?.restore(source)?))
    }

    fn integrity(&self) -> PyResult<PyCall> {
        Ok(PyCall::new(self.verbs()?.integrity(), |py, found| {
            object(py, found?)
        }))
    }

    fn verify(&self, after: Option<KeyArgument>) -> PyResult<PyCall> {
        let verified = self.verbs()?.verify(after.map(checkpoint_key));
        Ok(PyCall::new(verified, |py, verified| object(py, &verified?)))
    }

    fn list_threads(
        &self,
        filter: ThreadFilterArgument,
        after: Option<CursorArgument>,
        limit: usize,
    ) -> PyResult<PyCall> {
        let threads = self
            .verbs()?
            .list_threads(thread_filter(filter)?, after.map(thread_cursor), limit);
        Ok(PyCall::new(threads, |py, threads| {
            object(py, threads?.iter().collect::<Vec<_>>())
        }))
    }

    fn count_threads(&self, filter: ThreadFilterArgument) -> PyResult<PyCall> {
        let count = self.verbs()?.count_threads(thread_filter(filter)?);
        Ok(PyCall::new(count, |py, count| object(py, count?)))
    }

    fn get_thread(&self, thread_id: String) -> PyResult<PyCall> {
        let found = self.verbs()?.get_thread(thread_id);
        Ok(PyCall::new(found, |py, found| object(py, found?.as_ref())))
    }

    fn set_thread(
        &self,
        thread_id: String,
        title: Option<String>,
        metadata: Option<String>,
    ) -> PyResult<PyCall> {
        Ok(acknowledged(self.verbs()?.set_thread(thread_id, title, metadata)))
    }

    fn archive_thread(&self, thread_id: String) -> PyResult<PyCall> {
        Ok(acknowledged(self.verbs()?.archive_thread(thread_id)))
    }

    fn unarchive_thread(&self, thread_id: String) -> PyResult<PyCall> {
        Ok(acknowledged(self.verbs()?.unarchive_thread(thread_id)))
    }

    fn history(
        &self,
        thread_id: String,
        checkpoint_ns: String,
        channel: String,
        before: Option<String>,
        limit: usize,
    ) -> PyResult<PyCall> {
        let page = self
            .verbs()?
            .history(thread_id, checkpoint_ns, channel, before, limit);
        Ok(PyCall::new(page, |py, page| object(py, &page?)))
    }

    fn thread_ids(&self, limit: usize) -> PyResult<PyCall> {
        let found = self.verbs()?.thread_ids(limit);
        Ok(PyCall::new(found, |py, found| object(py, found?)))
    }

    fn read_thread(&self, thread_id: String, after: Option<(String, String)>) -> PyResult<PyCall> {
        let page = self.verbs()?.read_thread(thread_id, after);
        Ok(PyCall::new(page, |py, page| object(py, &page?)))
    }

    fn write_thread(&self, thread_id: String, rows: Vec<RowArgument>) -> PyResult<PyCall> {
        let rows = rows.into_iter().map(|row| encoded_row(&thread_id, row)).collect();
        Ok(acknowledged(self.verbs()?.write_thread(rows)))
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let backend = self.verbs()?;
        let Stats {
            writer,
            readers,
            wal,
            retention,
        } = py.detach(|| backend.stats());
        let guard = lock_guard::counters();
        let parts: [(&str, Vec<(&str, Bound<'py, PyAny>)>); 5] = [
            (
                "writer",
                vec![
                    ("groups", object(py, writer.groups)?.into_bound(py)),
                    ("jobs", object(py, writer.jobs)?.into_bound(py)),
                    ("largest_group", object(py, writer.largest_group)?.into_bound(py)),
                    ("void_groups", object(py, writer.void_groups)?.into_bound(py)),
                    ("queued", object(py, writer.queued)?.into_bound(py)),
                    ("lock_waits", object(py, writer.lock_waits)?.into_bound(py)),
                ],
            ),
            (
                "readers",
                vec![
                    ("open", object(py, readers.open)?.into_bound(py)),
                    ("idle", object(py, readers.idle)?.into_bound(py)),
                    ("size", object(py, readers.size)?.into_bound(py)),
                ],
            ),
            (
                "wal",
                vec![
                    ("bytes", object(py, wal.bytes)?.into_bound(py)),
                    ("pages", object(py, wal.pages)?.into_bound(py)),
                    (
                        "checkpointed_pages",
                        object(py, wal.checkpointed_pages)?.into_bound(py),
                    ),
                    ("checkpoints", object(py, wal.checkpoints)?.into_bound(py)),
                    ("blocked", object(py, wal.blocked)?.into_bound(py)),
                ],
            ),
            (
                "retention",
                vec![
                    ("runs", object(py, retention.runs)?.into_bound(py)),
                    ("threads", object(py, retention.threads)?.into_bound(py)),
                    (
                        "checkpoints",
                        object(py, retention.weight.checkpoints)?.into_bound(py),
                    ),
                    ("writes", object(py, retention.weight.writes)?.into_bound(py)),
                    ("bytes", object(py, retention.weight.bytes)?.into_bound(py)),
                    ("skipped", object(py, retention.skipped)?.into_bound(py)),
                    ("failed", object(py, retention.failed)?.into_bound(py)),
                ],
            ),
            (
                "lock_guard",
                vec![
                    ("status", object(py, guard_status())?.into_bound(py)),
                    ("files", object(py, guard.files)?.into_bound(py)),
                    (
                        "private_descriptors",
                        object(py, guard.private_descriptors)?.into_bound(py),
                    ),
                    (
                        "parked_descriptors",
                        object(py, guard.parked_descriptors)?.into_bound(py),
                    ),
                    ("refused_locks", object(py, guard.refused_locks)?.into_bound(py)),
                ],
            ),
        ];
        let stats = PyDict::new(py);
        for (name, figures) in parts {
            let part = PyDict::new(py);
            for (figure, value) in figures {
                part.set_item(figure, value)?;
            }
            stats.set_item(name, part)?;
        }
        Ok(stats)
    }
}

impl PySqliteBackend {
    fn verbs(&self) -> Result<&SqliteBackend> {
        self.backend
            .as_ref()
            .ok_or_else(|| Error::Panicked("a backend was used after its drop".to_owned()))
    }
}

impl Drop for PySqliteBackend {
    /// The last saver of a file closes it, which may wait for the disk: not with the GIL held.
    fn drop(&mut self) {
        if let Some(backend) = self.backend.take() {
            let mut backend = Some(backend);
            Python::try_attach(|py| py.detach(|| drop(backend.take())));
            // Where nothing can be attached, the interpreter is gone, and so is the last caller.
            drop(backend);
        }
    }
}

fn format_name(format: Format) -> &'static str {
    match format {
        Format::Interop => "interop",
        Format::Compact => "compact",
        Format::Downgrading => "downgrading",
    }
}

fn guard_status() -> &'static str {
    match lock_guard::status() {
        lock_guard::Status::Active => "active",
        lock_guard::Status::Disabled => "disabled",
        lock_guard::Status::Undecided => "undecided",
        lock_guard::Status::Unsupported(reason) => reason,
    }
}

/// A call that answers None.
fn acknowledged(pending: Pending<()>) -> PyCall {
    PyCall::new(pending, |py, done| {
        done?;
        Ok(py.None())
    })
}

pub(super) fn object<'py, T: IntoPyObject<'py>>(py: Python<'py>, value: T) -> PyResult<Py<PyAny>>
where
    PyErr: From<T::Error>,
{
    use pyo3::BoundObject;
    Ok(value.into_pyobject(py)?.into_any().into_bound().unbind())
}

/// `(result, [])`, or `(None, [checkpoints])` for those that only their serializer can read: Python
/// decodes them, outside any transaction, and calls again.
pub(super) fn learning<'py, T>(
    py: Python<'py>,
    result: Result<T>,
    convert: impl FnOnce(T) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Py<PyAny>> {
    match result {
        Ok(result) => object(py, (convert(result)?, PyList::empty(py))),
        Err(Error::NeedShapes(unknown)) => object(py, (py.None(), typed_tuples(py, &unknown)?)),
        Err(error) => Err(error.into()),
    }
}

/// `(all writes are copied, (namespace, checkpoint) copied last)`.
type CopyArgument = (bool, Option<(String, String)>);

fn typed_tuples<'py>(py: Python<'py>, values: &[TypedValue]) -> PyResult<Vec<Bound<'py, PyTuple>>> {
    values.iter().map(|value| value.into_pyobject(py)).collect()
}

fn write_tuples<'py>(py: Python<'py>, writes: &[StoredWrite]) -> PyResult<Vec<Bound<'py, PyTuple>>> {
    writes.iter().map(|write| write.into_pyobject(py)).collect()
}
