//! `_core.SqliteBackend`: one method a verb. Extract, detach, convert.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyList, PyTuple};

use super::convert::{
    FilterArgument, KeyArgument, TypedArgument, WriteArgument, checkpoint_key, encoded_write, key_tuple,
    list_filter, typed_value,
};
use super::errors::detached;
use super::settings::PySettings;
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::model::{
    Blob, CheckpointKey, EncodedCheckpoint, EncodedWrites, OnConflict, PruneStrategy, StoredWrite, TypedValue,
};
use crate::shape::{Shape, ShapeBook};
use crate::sqlite::{Location, SqliteBackend};

/// A SQLite store for the Python savers.
#[pyclass(name = "SqliteBackend", module = "langgraph_checkpoint_rust._core", frozen)]
pub(super) struct PySqliteBackend {
    backend: SqliteBackend,
}

#[pymethods]
impl PySqliteBackend {
    #[new]
    fn new(path: Option<PathBuf>, settings: PySettings) -> PyResult<Self> {
        let location = path.map_or(Location::Memory, Location::File);
        Ok(Self {
            backend: SqliteBackend::new(location, settings.try_into()?),
        })
    }

    fn setup(&self, py: Python<'_>) -> PyResult<(bool, u64)> {
        let report = self.call(py, Backend::setup)?;
        Ok((report.created, report.size))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.call(py, Backend::close)
    }

    fn put(
        &self,
        py: Python<'_>,
        key: KeyArgument,
        parent_checkpoint_id: Option<String>,
        value: TypedArgument,
        metadata: PyBackedBytes,
    ) -> PyResult<()> {
        let checkpoint = EncodedCheckpoint {
            key: checkpoint_key(key),
            parent_checkpoint_id,
            value: typed_value(value),
            metadata: Blob::new(metadata),
        };
        self.call(py, |backend| backend.put(&checkpoint))
    }

    fn put_writes(
        &self,
        py: Python<'_>,
        key: KeyArgument,
        task_id: String,
        task_path: String,
        replace: bool,
        writes: Vec<WriteArgument>,
    ) -> PyResult<()> {
        let writes = EncodedWrites {
            key: checkpoint_key(key),
            task_id,
            task_path,
            on_conflict: if replace {
                OnConflict::Replace
            } else {
                OnConflict::Ignore
            },
            writes: writes.into_iter().map(encoded_write).collect(),
        };
        self.call(py, |backend| backend.put_writes(&writes))
    }

    fn get_tuple<'py>(
        &self,
        py: Python<'py>,
        thread_id: &str,
        checkpoint_ns: &str,
        checkpoint_id: Option<&str>,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let found = self.call(py, |backend| {
            backend.get_tuple(thread_id, checkpoint_ns, checkpoint_id)
        })?;
        found.map(|tuple| (&tuple).into_pyobject(py)).transpose()
    }

    fn pending_sends<'py>(
        &self,
        py: Python<'py>,
        keys: Vec<KeyArgument>,
    ) -> PyResult<Vec<Vec<Bound<'py, PyTuple>>>> {
        let keys: Vec<CheckpointKey> = keys.into_iter().map(checkpoint_key).collect();
        let found = self.call(py, |backend| backend.pending_sends(&keys))?;
        found.iter().map(|writes| write_tuples(py, writes)).collect()
    }

    fn list<'py>(
        &self,
        py: Python<'py>,
        filter: FilterArgument,
        after: Option<KeyArgument>,
        limit: usize,
    ) -> PyResult<(Vec<Bound<'py, PyTuple>>, Option<Bound<'py, PyTuple>>)> {
        let (filter, after) = (list_filter(filter), after.map(checkpoint_key));
        let page = self.call(py, |backend| backend.list(&filter, after.as_ref(), limit))?;
        let tuples = page
            .tuples
            .iter()
            .map(|tuple| tuple.into_pyobject(py))
            .collect::<PyResult<_>>()?;
        let next = page
            .next
            .as_ref()
            .map(|next| key_tuple(next).into_pyobject(py))
            .transpose()?;
        Ok((tuples, next))
    }

    fn delete_thread(&self, py: Python<'_>, thread_id: &str) -> PyResult<()> {
        self.call(py, |backend| backend.delete_thread(thread_id))
    }

    fn delete_for_runs(&self, py: Python<'_>, run_ids: Vec<String>) -> PyResult<()> {
        self.call(py, |backend| backend.delete_for_runs(&run_ids))
    }

    fn copy_thread(&self, py: Python<'_>, source_thread_id: &str, target_thread_id: &str) -> PyResult<()> {
        self.call(py, |backend| {
            backend.copy_thread(source_thread_id, target_thread_id)
        })
    }

    fn prune<'py>(
        &self,
        py: Python<'py>,
        thread_id: &str,
        delete: bool,
        shapes: &PyShapeBook,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let strategy = if delete {
            PruneStrategy::Delete
        } else {
            PruneStrategy::KeepLatest
        };
        let result = self.call_with(py, shapes, |backend, shapes| {
            backend.prune(thread_id, strategy, shapes)
        })?;
        answer(py, result, |()| Ok(py.None().into_bound(py)))
    }

    fn get_delta_channel_history<'py>(
        &self,
        py: Python<'py>,
        thread_id: &str,
        checkpoint_ns: &str,
        checkpoint_id: Option<&str>,
        channels: Vec<String>,
        shapes: &PyShapeBook,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let result = self.call_with(py, shapes, |backend, shapes| {
            backend.get_delta_channel_history(thread_id, checkpoint_ns, checkpoint_id, &channels, shapes)
        })?;
        answer(py, result, |history| {
            let channels = history
                .channels
                .iter()
                .map(|channel| Ok((write_tuples(py, &channel.writes)?, channel.seed)))
                .collect::<PyResult<Vec<_>>>()?;
            Ok((channels, typed_tuples(py, &history.seeds)?)
                .into_pyobject(py)?
                .into_any())
        })
    }
}

impl PySqliteBackend {
    fn call<T: Send>(
        &self,
        py: Python<'_>,
        verb: impl FnOnce(&SqliteBackend) -> Result<T> + Send,
    ) -> PyResult<T> {
        Ok(detached(py, || verb(&self.backend))??)
    }

    /// As `call`, for verbs that may meet checkpoints that only their serializer can read. Those
    /// go back to Python, which decodes them outside any transaction and calls again.
    fn call_with<T: Send>(
        &self,
        py: Python<'_>,
        shapes: &PyShapeBook,
        verb: impl FnOnce(&SqliteBackend, &ShapeBook) -> Result<T> + Send,
    ) -> PyResult<Answer<T>> {
        match detached(py, || verb(&self.backend, &shapes.0.lock()))? {
            Ok(result) => Ok(Answer::Done(result)),
            Err(Error::NeedShapes(unknown)) => Ok(Answer::Learn(unknown)),
            Err(error) => Err(error.into()),
        }
    }
}

/// What a verb that needs outlines says.
enum Answer<T> {
    Done(T),
    Learn(Vec<TypedValue>),
}

/// `(result, [])`, or `(None, [checkpoints to learn])`.
fn answer<'py, T>(
    py: Python<'py>,
    answer: Answer<T>,
    convert: impl FnOnce(T) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyTuple>> {
    match answer {
        Answer::Done(result) => (convert(result)?, PyList::empty(py)).into_pyobject(py),
        Answer::Learn(unknown) => (py.None(), typed_tuples(py, &unknown)?).into_pyobject(py),
    }
}

/// The outlines of checkpoints that only their serializer can read.
#[pyclass(name = "ShapeBook", module = "langgraph_checkpoint_rust._core", frozen)]
#[derive(Default)]
pub(super) struct PyShapeBook(Mutex<ShapeBook>);

#[pymethods]
impl PyShapeBook {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn learn(
        &self,
        value: TypedArgument,
        version: i64,
        channel_versions: HashSet<String>,
        channel_values: HashMap<String, bool>,
    ) {
        let shape = Shape {
            version,
            channel_versions,
            channel_values,
        };
        self.0.lock().learn(&typed_value(value), shape);
    }
}

fn typed_tuples<'py>(py: Python<'py>, values: &[TypedValue]) -> PyResult<Vec<Bound<'py, PyTuple>>> {
    values.iter().map(|value| value.into_pyobject(py)).collect()
}

fn write_tuples<'py>(py: Python<'py>, writes: &[StoredWrite]) -> PyResult<Vec<Bound<'py, PyTuple>>> {
    writes.iter().map(|write| write.into_pyobject(py)).collect()
}
