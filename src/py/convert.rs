//! Values across the border. A Python `bytes` is borrowed, not copied, on its way in.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyString};

use crate::error::Error;
use crate::model::{
    Blob, CheckpointKey, Conversion, EncodedWrite, FilterValue, ListFilter, MetadataFilter, Payload, Stage,
    StoredTuple, StoredWrite, ThreadRange, TypedValue,
};

impl<'py> FromPyObject<'_, 'py> for Payload {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if object.is_none() {
            Ok(Self::Null)
        } else if let Ok(text) = object.cast::<PyString>() {
            Ok(Self::Text(text.to_str()?.to_owned()))
        } else if let Ok(bytes) = object.extract::<PyBackedBytes>() {
            Ok(Self::Bytes(Blob::new(bytes)))
        } else {
            Err(PyTypeError::new_err(format!(
                "a serializer must return bytes, not {}",
                object.get_type().name()?
            )))
        }
    }
}

impl<'py> IntoPyObject<'py> for &Payload {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(match self {
            Payload::Null => py.None().into_bound(py),
            Payload::Text(text) => PyString::new(py, text).into_any(),
            Payload::Bytes(blob) => PyBytes::new(py, blob.as_slice()).into_any(),
        })
    }
}

/// `(tag, data)` of a serializer.
pub(super) type TypedArgument = (Option<String>, Payload);

pub(super) fn typed_value((tag, payload): TypedArgument) -> TypedValue {
    TypedValue { tag, payload }
}

impl<'py> IntoPyObject<'py> for &TypedValue {
    type Target = pyo3::types::PyTuple;
    type Output = Bound<'py, pyo3::types::PyTuple>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        (self.tag.as_deref(), &self.payload).into_pyobject(py)
    }
}

impl<'py> IntoPyObject<'py> for &StoredWrite {
    type Target = pyo3::types::PyTuple;
    type Output = Bound<'py, pyo3::types::PyTuple>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        (self.task_id.as_str(), self.channel.as_str(), &self.value).into_pyobject(py)
    }
}

impl<'py> IntoPyObject<'py> for &StoredTuple {
    type Target = pyo3::types::PyTuple;
    type Output = Bound<'py, pyo3::types::PyTuple>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let writes = self
            .writes
            .iter()
            .map(|write| write.into_pyobject(py))
            .collect::<PyResult<Vec<_>>>()?;
        (
            self.key.thread_id.as_str(),
            self.key.checkpoint_ns.as_str(),
            self.key.checkpoint_id.as_str(),
            self.parent_checkpoint_id.as_deref(),
            &self.value,
            &self.metadata,
            writes,
        )
            .into_pyobject(py)
    }
}

/// `(index, channel, (tag, data))`.
pub(super) type WriteArgument = (i64, String, TypedArgument);

pub(super) fn encoded_write((index, channel, value): WriteArgument) -> EncodedWrite {
    EncodedWrite {
        index,
        channel,
        value: typed_value(value),
    }
}

/// `(thread_id, checkpoint_ns, checkpoint_id)`.
pub(super) type KeyArgument = (String, String, String);

pub(super) fn checkpoint_key((thread_id, checkpoint_ns, checkpoint_id): KeyArgument) -> CheckpointKey {
    CheckpointKey {
        thread_id,
        checkpoint_ns,
        checkpoint_id,
    }
}

pub(super) fn key_tuple(key: &CheckpointKey) -> (&str, &str, &str) {
    (&key.thread_id, &key.checkpoint_ns, &key.checkpoint_id)
}

/// `(path, second path, value)`.
pub(super) type ConditionArgument = (String, Option<String>, FilterValue);

pub(super) fn metadata_filter((first, second, value): ConditionArgument) -> MetadataFilter {
    MetadataFilter {
        paths: (first, second),
        value,
    }
}

/// `(thread_id, checkpoint_ns, checkpoint_id, before, [(path, second path, value)])`.
pub(super) type FilterArgument = (
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Vec<ConditionArgument>,
);

pub(super) fn list_filter(
    (thread_id, checkpoint_ns, checkpoint_id, before, metadata): FilterArgument,
) -> ListFilter {
    let metadata = metadata.into_iter().map(metadata_filter).collect();
    ListFilter {
        threads: ThreadRange::default(),
        thread_id,
        checkpoint_ns,
        checkpoint_id,
        before,
        metadata,
    }
}

impl<'py> FromPyObject<'_, 'py> for FilterValue {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if object.is_none() {
            Ok(Self::Null)
        } else if let Ok(text) = object.cast::<PyString>() {
            Ok(Self::Text(text.to_str()?.to_owned()))
        } else if object.is_instance_of::<pyo3::types::PyFloat>() {
            Ok(Self::Real(object.extract()?))
        } else {
            object.extract().map(Self::Integer).map_err(|_| {
                Error::Invalid("a filter compares with integers of at most 64 bits".to_owned()).into()
            })
        }
    }
}

/// `(stage, row id, rows looked at)`.
pub(super) type ConversionArgument = (u8, i64, u64);

pub(super) fn conversion((stage, rowid, rows): ConversionArgument) -> Conversion {
    let stage = match stage {
        0 => Stage::Begin,
        1 => Stage::Checkpoints(rowid),
        2 => Stage::Writes(rowid),
        3 => Stage::Threads(rowid),
        _ => Stage::End,
    };
    Conversion { stage, rows }
}

pub(super) fn conversion_tuple(conversion: Conversion) -> ConversionArgument {
    let (stage, rowid) = match conversion.stage {
        Stage::Begin => (0, 0),
        Stage::Checkpoints(rowid) => (1, rowid),
        Stage::Writes(rowid) => (2, rowid),
        Stage::Threads(number) => (3, number),
        Stage::End => (4, 0),
    };
    (stage, rowid, conversion.rows)
}
