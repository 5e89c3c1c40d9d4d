//! What calls answer, and what they fail with that Python does not see.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::call::PyCall;
use super::objects::PyRemoval;
use crate::error::{Error, Result};
use crate::model::{Deleted, Format, Removal, Rest, StoredWrite, TypedValue};
use crate::pending::Pending;

pub(super) fn format_name(format: Format) -> &'static str {
    match format {
        Format::Interop => "interop",
        Format::Compact => "compact",
        Format::Downgrading => "downgrading",
    }
}

pub(super) fn object<'py, T: IntoPyObject<'py>>(py: Python<'py>, value: T) -> PyResult<Py<PyAny>>
where
    PyErr: From<T::Error>,
{
    use pyo3::BoundObject;
    Ok(value.into_pyobject(py)?.into_any().into_bound().unbind())
}

/// A slice of a deletion.
pub(super) fn deleting(pending: Pending<Deleted>) -> PyCall {
    PyCall::new(pending, |py, deleted| {
        let deleted = deleted?;
        let rest = match deleted.rest {
            Rest::None => None,
            Rest::Unmarked => Some("unmarked"),
            Rest::Marked => Some("marked"),
        };
        let counts = (deleted.checkpoints, deleted.writes, deleted.chunks);
        object(py, (rest, counts, deleted.threads))
    })
}

/// A call that finds what is to be removed.
pub(super) fn removing(pending: Pending<Removal>) -> PyCall {
    PyCall::new(pending, |py, removal| {
        learning(py, removal, |removal| {
            Ok(object(py, PyRemoval(Arc::new(removal)))?.into_bound(py))
        })
    })
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

pub(super) fn typed_tuples<'py>(
    py: Python<'py>,
    values: &[TypedValue],
) -> PyResult<Vec<Bound<'py, PyTuple>>> {
    values.iter().map(|value| value.into_pyobject(py)).collect()
}

pub(super) fn write_tuples<'py>(
    py: Python<'py>,
    writes: &[StoredWrite],
) -> PyResult<Vec<Bound<'py, PyTuple>>> {
    writes.iter().map(|write| write.into_pyobject(py)).collect()
}
