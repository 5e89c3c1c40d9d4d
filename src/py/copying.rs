//! `_core.Copying`, a backup or a restore under way, and what the verbs on whole files answer.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::call::PyCall;
use super::convert::{TypedArgument, key_tuple, typed_value};
use crate::model::{
    Blob, Carved, CheckpointKey, EncodedCheckpoint, EncodedRow, EncodedWrite, EncodedWrites, Finding,
    OnConflict, Pages, Payload, PlacedWrite, Salvaged, Survey, ThreadPage, ThreadRow, Verified,
};
use crate::stepwise::{Step, Stepwise};

/// A backup or a restore under way.
#[pyclass(name = "Copying", module = "langgraph_checkpoint_rust._core", frozen)]
pub(super) struct PyCopying(pub(super) Stepwise<Pages>);

#[pymethods]
impl PyCopying {
    fn step(&self) -> PyCall {
        PyCall::new(self.0.step(), |py, step| {
            let (over, pages) = match step? {
                Step::More(pages) => (false, pages),
                Step::Done(pages) => (true, pages),
            };
            let answer = (over, pages.done, pages.total, pages.page_size);
            Ok(answer.into_pyobject(py)?.into_any().unbind())
        })
    }

    fn abandon(&self) -> PyCall {
        PyCall::new(self.0.abandon(), |py, done| {
            done?;
            Ok(py.None())
        })
    }
}

/// The reading of a file that SQLite cannot open.
#[pyclass(name = "Carving", module = "langgraph_checkpoint_rust._core", frozen)]
pub(super) struct PyCarving(Stepwise<Carved>);

#[pymethods]
impl PyCarving {
    #[new]
    fn new(source: PathBuf, target: PathBuf) -> PyResult<Self> {
        Ok(Self(crate::sqlite::carve(source, target)?))
    }

    fn step(&self) -> PyCall {
        PyCall::new(self.0.step(), |py, step| {
            let (over, carved) = match step? {
                Step::More(carved) => (false, carved),
                Step::Done(carved) => (true, carved),
            };
            let answer = (over, carved.done, carved.total, carved.rows, carved.gaps);
            Ok(answer.into_pyobject(py)?.into_any().unbind())
        })
    }

    fn abandon(&self) -> PyCall {
        PyCall::new(self.0.abandon(), |py, done| {
            done?;
            Ok(py.None())
        })
    }
}

impl<'py> IntoPyObject<'py> for &PlacedWrite {
    type Target = PyTuple;
    type Output = Bound<'py, PyTuple>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let write = &self.write;
        (
            write.task_id.as_str(),
            self.task_path.as_str(),
            self.index,
            write.channel.as_str(),
            &write.value,
        )
            .into_pyobject(py)
    }
}

impl<'py> IntoPyObject<'py> for &ThreadRow {
    type Target = PyTuple;
    type Output = Bound<'py, PyTuple>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let checkpoint = self.checkpoint.as_ref().map(|tuple| {
            (
                tuple.parent_checkpoint_id.as_deref(),
                &tuple.value,
                &tuple.metadata,
            )
        });
        let writes = self
            .writes
            .iter()
            .map(|write| write.into_pyobject(py))
            .collect::<PyResult<Vec<_>>>()?;
        (
            self.key.checkpoint_ns.as_str(),
            self.key.checkpoint_id.as_str(),
            checkpoint,
            writes,
        )
            .into_pyobject(py)
    }
}

impl<'py> IntoPyObject<'py> for &ThreadPage {
    type Target = PyTuple;
    type Output = Bound<'py, PyTuple>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let rows = self
            .rows
            .iter()
            .map(|row| row.into_pyobject(py))
            .collect::<PyResult<Vec<_>>>()?;
        (rows, &self.next).into_pyobject(py)
    }
}

impl<'py> IntoPyObject<'py> for &Verified {
    type Target = PyTuple;
    type Output = Bound<'py, PyTuple>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        (
            self.checkpoints,
            self.writes,
            findings(&self.damaged),
            findings(&self.missing_parents),
            findings(&self.writes_without_checkpoint),
            self.next.as_ref().map(key_tuple),
        )
            .into_pyobject(py)
    }
}

/// What is left of a damaged database.
#[pyclass(name = "Survey", module = "langgraph_checkpoint_rust._core", frozen)]
pub(super) struct PySurvey(pub(super) Arc<Survey>);

#[pymethods]
impl PySurvey {
    fn __len__(&self) -> usize {
        self.0.places.len()
    }

    /// What is known to have been there: `(thread_id, checkpoint_ns, checkpoint_id, detail)`.
    #[getter]
    fn lost(&self) -> Vec<(&str, &str, &str, &str)> {
        findings(&self.0.lost)
    }

    /// Places in the tables where pages could not be read.
    #[getter]
    fn gaps(&self) -> u64 {
        self.0.gaps
    }
}

impl<'py> IntoPyObject<'py> for &Salvaged {
    type Target = PyTuple;
    type Output = Bound<'py, PyTuple>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let rows = self
            .rows
            .iter()
            .map(|row| row.into_pyobject(py))
            .collect::<PyResult<Vec<_>>>()?;
        let thread_id = self.rows.first().map(|row| row.key.thread_id.as_str());
        (thread_id, rows, findings(&self.lost), self.next).into_pyobject(py)
    }
}

fn findings(found: &[Finding]) -> Vec<(&str, &str, &str, &str)> {
    found
        .iter()
        .map(|finding| {
            let (thread_id, checkpoint_ns, checkpoint_id) = key_tuple(&finding.key);
            (thread_id, checkpoint_ns, checkpoint_id, finding.detail.as_str())
        })
        .collect()
}

/// `(namespace, id, (parent, checkpoint, metadata), [(task, path, index, channel, value)])`.
pub(super) type RowArgument = (
    String,
    String,
    Option<(Option<String>, TypedArgument, Payload)>,
    Vec<(String, String, i64, String, TypedArgument)>,
);

pub(super) fn encoded_row(
    thread_id: &str,
    (checkpoint_ns, checkpoint_id, checkpoint, placed): RowArgument,
) -> EncodedRow {
    let key = CheckpointKey {
        thread_id: thread_id.to_owned(),
        checkpoint_ns,
        checkpoint_id,
    };
    let mut writes: Vec<EncodedWrites> = Vec::new();
    for (task_id, task_path, index, channel, value) in placed {
        let write = EncodedWrite {
            index,
            channel,
            value: typed_value(value),
        };
        match writes.last_mut() {
            Some(task) if task.task_id == task_id && task.task_path == task_path => task.writes.push(write),
            _ => writes.push(EncodedWrites {
                key: key.clone(),
                task_id,
                task_path,
                on_conflict: OnConflict::Replace,
                chunkable: true,
                writes: vec![write],
            }),
        }
    }
    let checkpoint = checkpoint.map(|(parent_checkpoint_id, value, metadata)| EncodedCheckpoint {
        key,
        parent_checkpoint_id,
        value: typed_value(value),
        metadata: match metadata {
            Payload::Null => Blob::new(b"{}"),
            Payload::Text(text) => Blob::new(text),
            Payload::Bytes(blob) => blob,
        },
        outline: None,
        chunkable: true,
    });
    EncodedRow { checkpoint, writes }
}
