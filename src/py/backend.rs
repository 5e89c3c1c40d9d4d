//! `_core.SqliteBackend`: one method a verb. Each extracts its arguments and returns a call.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyDict;

use super::answers::{deleting, format_name, learning, object, removing, typed_tuples, write_tuples};
use super::call::{PyCall, acknowledged, stored};
use super::convert::{
    ConversionArgument, FilterArgument, KeyArgument, TypedArgument, WriteArgument, checkpoint_key,
    conversion, conversion_tuple, encoded_write, key_tuple, list_filter, typed_value,
};
use super::copying::{PyCopying, PySurvey, RowArgument, encoded_row};
use super::objects::{PyGarbage, PyRemoval, PyShapeBook};
use super::retention::{PolicyArgument, PyRetentionRun};
use super::settings::PySettings;
use super::stats::stats_dict;
use super::threads::{
    CursorArgument, NotesArgument, ThreadFilterArgument, thread_cursor, thread_filter, thread_notes,
};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::model::{
    Blob, Conversion, CopyProgress, EncodedCheckpoint, EncodedRow, EncodedWrites, Format, Keep, Leased,
    OnConflict, OnExisting, Page, Selection, StoredTuple, SweepProgress, Swept, ThreadPage, ThreadRange,
};
use crate::retention::Term;
use crate::scoped::Scoped;
use crate::sqlite::{Location, SqliteBackend};

/// A SQLite store for the Python savers.
#[pyclass(name = "SqliteBackend", module = "langgraph_checkpoint_rust._core", frozen)]
pub(super) struct PySqliteBackend {
    /// Taken on drop only.
    backend: Option<Arc<dyn Backend>>,
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
            backend: Some(Arc::new(backend)),
        })
    }

    fn scoped(&self, tenant: &str) -> PyResult<Self> {
        let store = Arc::clone(self.verbs()?);
        Ok(Self {
            backend: Some(Arc::new(Scoped::new(store, tenant))),
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

    #[allow(
        clippy::too_many_arguments,
        reason = "the border takes each value as Python has it"
    )]
    fn put(
        &self,
        key: KeyArgument,
        parent_checkpoint_id: Option<String>,
        value: TypedArgument,
        metadata: PyBackedBytes,
        outline: Option<PyBackedBytes>,
        chunkable: bool,
        lease: Option<String>,
    ) -> PyResult<PyCall> {
        let checkpoint = EncodedCheckpoint {
            key: checkpoint_key(key),
            parent_checkpoint_id,
            value: typed_value(value),
            metadata: Blob::new(metadata),
            outline: outline.map(Blob::new),
            chunkable,
        };
        let size = checkpoint.size();
        Ok(stored(self.verbs()?.put(checkpoint, lease), size))
    }

    #[expect(clippy::too_many_arguments, reason = "the stub names them")]
    fn put_writes(
        &self,
        key: KeyArgument,
        task_id: String,
        task_path: String,
        replace: bool,
        writes: Vec<WriteArgument>,
        chunkable: bool,
        lease: Option<String>,
    ) -> PyResult<PyCall> {
        let writes = EncodedWrites {
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
        };
        let size = writes.size();
        Ok(stored(self.verbs()?.put_writes(writes, lease), size))
    }

    fn get_tuple(
        &self,
        thread_id: String,
        checkpoint_ns: String,
        checkpoint_id: Option<String>,
    ) -> PyResult<PyCall> {
        let found = self.verbs()?.get_tuple(thread_id, checkpoint_ns, checkpoint_id);
        Ok(PyCall::measured(
            found,
            Some(StoredTuple::size_of_found),
            |py, found| object(py, found?.as_ref()),
        ))
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
        Ok(PyCall::measured(page, Some(Page::size), |py, page| {
            let page = page?;
            let tuples: Vec<&StoredTuple> = page.tuples.iter().collect();
            object(py, (tuples, page.next.as_ref().map(key_tuple)))
        }))
    }

    fn delete_threads(&self, thread_ids: Vec<String>, overwrite: bool) -> PyResult<PyCall> {
        Ok(deleting(self.verbs()?.delete_threads(thread_ids, overwrite)))
    }

    fn finish_deletions(&self) -> PyResult<PyCall> {
        Ok(deleting(self.verbs()?.finish_deletions()))
    }

    fn scrub(&self) -> PyResult<PyCall> {
        Ok(PyCall::new(self.verbs()?.scrub(), |py, scrubbed| {
            let scrubbed = scrubbed?;
            object(py, (scrubbed.wal_is_empty, scrubbed.free_pages))
        }))
    }

    fn acquire_lease(&self, thread_id: String, token: String, milliseconds: i64) -> PyResult<PyCall> {
        let leased = self.verbs()?.acquire_lease(thread_id, token, milliseconds);
        Ok(PyCall::new(leased, |py, leased| match leased? {
            Leased::Taken { fence } => object(py, (Some(fence), 0)),
            Leased::Held { milliseconds } => object(py, (None::<i64>, milliseconds)),
        }))
    }

    fn release_lease(&self, thread_id: String, token: String) -> PyResult<PyCall> {
        Ok(acknowledged(self.verbs()?.release_lease(thread_id, token)))
    }

    fn delete_for_runs(&self, run_ids: Vec<String>) -> PyResult<PyCall> {
        Ok(PyCall::new(
            self.verbs()?.delete_for_runs(run_ids, ThreadRange::default()),
            |py, removal| object(py, PyRemoval(Arc::new(removal?))),
        ))
    }

    fn select(
        &self,
        thread_id: String,
        up_to: Option<String>,
        last: Option<usize>,
        shapes: &PyShapeBook,
    ) -> PyResult<PyCall> {
        let selection = Selection { up_to, last };
        Ok(removing(self.verbs()?.select(
            thread_id,
            selection,
            Arc::clone(&shapes.0),
        )))
    }

    fn copy_thread(
        &self,
        source_thread_id: String,
        target_thread_id: String,
        without: Option<&PyRemoval>,
        on_existing: &str,
        progress: Option<CopyArgument>,
    ) -> PyResult<PyCall> {
        let progress = progress.map_or_else(CopyProgress::default, |(begun, writes_done, after)| {
            CopyProgress {
                begun,
                writes_done,
                after,
            }
        });
        let on_existing = match on_existing {
            "refuse" => OnExisting::Refuse,
            "replace" => OnExisting::Replace,
            _ => OnExisting::Merge,
        };
        let without = without.map(|removal| Arc::clone(&removal.0));
        let copied =
            self.verbs()?
                .copy_thread(source_thread_id, target_thread_id, without, on_existing, progress);
        Ok(PyCall::new(copied, |py, progress| match progress {
            Err(Error::BeingDeleted) => object(py, (true, None::<CopyArgument>)),
            progress => {
                let left = progress?.map(|left| (left.begun, left.writes_done, left.after));
                object(py, (false, left))
            }
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
        Ok(removing(removal))
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
        let run =
            self.verbs()?
                .apply_retention(policy, dry_run, Arc::clone(&shapes.0), ThreadRange::default())?;
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
        let threads = thread_id.map_or_else(ThreadRange::default, ThreadRange::one);
        Ok(PyCall::new(self.verbs()?.storage(threads), |py, storage| {
            object(py, &storage?)
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

    fn repair(&self, keys: Vec<KeyArgument>) -> PyResult<PyCall> {
        let keys = keys.into_iter().map(checkpoint_key).collect();
        Ok(PyCall::new(self.verbs()?.repair(keys), |py, repaired| {
            let repaired = repaired?;
            let done = (repaired.writes, repaired.threads, repaired.chunks);
            object(py, (repaired.left, done))
        }))
    }

    fn survey(&self, before: Option<&PySurvey>, gaps: u64) -> PyResult<PyCall> {
        let before = before.map(|survey| Arc::clone(&survey.0));
        Ok(PyCall::new(self.verbs()?.survey(before, gaps), |py, survey| {
            object(py, PySurvey(Arc::new(survey?)))
        }))
    }

    #[pyo3(signature = (survey, from_))]
    fn salvage(&self, survey: &PySurvey, from_: usize) -> PyResult<PyCall> {
        let salvaged = self.verbs()?.salvage(Arc::clone(&survey.0), from_);
        Ok(PyCall::new(salvaged, |py, salvaged| object(py, &salvaged?)))
    }

    fn thread_ids(&self, after: Option<&str>, noted: bool, limit: usize) -> PyResult<PyCall> {
        let mut threads = ThreadRange::default();
        after.inspect(|after| threads.begin_after(after));
        let found = self.verbs()?.thread_ids(threads, noted, limit);
        Ok(PyCall::new(found, |py, found| object(py, found?)))
    }

    fn read_thread(&self, thread_id: String, after: Option<(String, String)>) -> PyResult<PyCall> {
        let page = self.verbs()?.read_thread(thread_id, after);
        Ok(PyCall::measured(page, Some(ThreadPage::size), |py, page| {
            object(py, &page?)
        }))
    }

    fn write_thread(&self, thread_id: String, rows: Vec<RowArgument>) -> PyResult<PyCall> {
        let rows: Vec<_> = rows.into_iter().map(|row| encoded_row(&thread_id, row)).collect();
        let size = rows.iter().map(EncodedRow::size).sum();
        Ok(stored(self.verbs()?.write_thread(rows), size))
    }

    fn read_notes(&self, thread_id: String) -> PyResult<PyCall> {
        Ok(PyCall::new(self.verbs()?.read_notes(thread_id), |py, notes| {
            object(py, &notes?)
        }))
    }

    fn write_notes(&self, thread_id: String, notes: NotesArgument) -> PyResult<PyCall> {
        let notes = thread_notes(notes);
        Ok(acknowledged(self.verbs()?.write_notes(thread_id, notes)))
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let backend = self.verbs()?;
        stats_dict(py, py.detach(|| backend.stats()))
    }
}

impl PySqliteBackend {
    fn verbs(&self) -> Result<&Arc<dyn Backend>> {
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

/// `(the target was looked at, all writes are copied, (namespace, checkpoint) copied last)`.
type CopyArgument = (bool, bool, Option<(String, String)>);
