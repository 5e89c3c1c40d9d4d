//! Parts of an encoding on their way through upstream's Python code.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::raw;
use super::wire::Writer;

/// From this length on bytes are not copied before the whole is put together.
pub(super) const SEGMENT: usize = 16 * 1024;

/// Bytes that some object owns.
#[derive(Debug)]
pub(super) enum Segment<'py> {
    Bytes(Bound<'py, PyBytes>),
    Text(Bound<'py, PyString>),
}

impl AsRef<[u8]> for Segment<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.as_bytes(),
            // The UTF-8 was made when the segment was; the object keeps it.
            Self::Text(text) => raw::utf8(text.as_any().as_borrowed()).unwrap_or_default(),
        }
    }
}

/// A long encoded part of an object: becomes `bytes` only as a piece of the whole.
#[pyclass(frozen, module = "langgraph_checkpoint_rust._core")]
#[derive(Debug)]
pub(crate) struct Part {
    bytes: Vec<u8>,
    /// Segments, and the position in `bytes` before which each belongs.
    segments: Vec<(usize, Py<PyAny>)>,
    length: usize,
}

impl Part {
    pub(super) fn new(writer: Writer<Segment<'_>>) -> Self {
        let length = writer.length();
        let (bytes, segments) = writer.into_pieces();
        let segments = segments.map(|(at, segment)| match segment {
            Segment::Bytes(bytes) => (at, bytes.into_any().unbind()),
            Segment::Text(text) => (at, text.into_any().unbind()),
        });
        Self {
            bytes,
            segments: segments.collect(),
            length,
        }
    }

    fn write<'py>(&self, py: Python<'py>, out: &mut Writer<Segment<'py>>) -> PyResult<()> {
        let mut from = 0;
        for (at, segment) in &self.segments {
            out.raw(&self.bytes[from..*at]);
            from = *at;
            let segment = segment.bind(py);
            match segment.cast_exact::<PyBytes>() {
                Ok(bytes) => out.splice(Segment::Bytes(bytes.clone())),
                Err(_) => out.splice(Segment::Text(segment.cast_exact::<PyString>()?.clone())),
            }
        }
        out.raw(&self.bytes[from..]);
        Ok(())
    }
}

/// What upstream's `_msgpack_default` answers to the codec: stands in for `ormsgpack.Ext`, whose content cannot
/// be read back.
#[pyclass(frozen, module = "langgraph_checkpoint_rust._core")]
#[derive(Debug)]
pub(crate) struct Payload {
    code: u8,
    data: Py<PyAny>,
}

#[pymethods]
impl Payload {
    #[new]
    fn new(code: u8, data: Bound<'_, PyAny>) -> PyResult<Self> {
        if code > 127 {
            return Err(PyTypeError::new_err("Extension type out of range"));
        }
        if data.is_exact_instance_of::<PyBytes>() || data.is_exact_instance_of::<Part>() {
            return Ok(Self {
                code,
                data: data.unbind(),
            });
        }
        Err(PyTypeError::new_err("an extension holds bytes"))
    }
}

impl Payload {
    /// Writes the whole extension.
    pub(super) fn write<'py>(&self, py: Python<'py>, out: &mut Writer<Segment<'py>>) -> PyResult<()> {
        let data = self.data.bind(py);
        if let Ok(part) = data.cast_exact::<Part>() {
            out.ext_head(self.code, part.get().length);
            return part.get().write(py, out);
        }
        let bytes = data.cast_exact::<PyBytes>()?;
        out.ext_head(self.code, bytes.as_bytes().len());
        if bytes.as_bytes().len() >= SEGMENT {
            out.splice(Segment::Bytes(bytes.clone()));
        } else {
            out.raw(bytes.as_bytes());
        }
        Ok(())
    }
}
