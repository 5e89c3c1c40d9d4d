//! Python objects to msgpack bytes and back: the bytes of upstream's `JsonPlusSerializer`, and its objects.
//!
//! The codec holds no policy: what may be revived, and by whom, is read anew from the serializer at each call.

mod classes;
mod containers;
mod cursor;
mod decode;
mod decode_message;
mod depth;
mod encode;
mod encode_key;
mod encode_message;
mod error;
mod gc;
mod json;
mod payload;
mod raw;
mod safe;
mod shapes;
mod slots;
mod strings;
mod upstream;
mod wire;

use std::cell::Cell;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use self::classes::Classes;
use self::decode::Decoder;
use self::encode::Encoder;
use self::payload::{SEGMENT, Segment};
use self::safe::SafeClasses;
use self::upstream::Upstream;
use self::wire::Writer;

pub(crate) use self::json::{dumps_json, loads_json};
pub(crate) use self::payload::{Part, Payload};
pub(crate) use self::upstream::Unpack;

/// A buffer that grew beyond this is not kept for the next call.
const BUFFER_KEPT: usize = 1024 * 1024;

thread_local! {
    /// The buffer of the last encoding, whose pages the system need not clear again.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Encoder and decoder, bound to upstream's functions and to the classes that were found fit.
#[pyclass(frozen, module = "langgraph_checkpoint_rust._core")]
#[derive(Debug)]
pub(crate) struct Codec {
    upstream: Upstream,
    classes: Classes,
    safe: SafeClasses,
    /// The key of `additional_kwargs` from which tool calls are parsed.
    tool_calls: Py<PyString>,
    pause_gc: bool,
}

impl Codec {
    /// Decodes `blob`. `fast` says that the caller's policy admits messages whatever the hook would check.
    pub(crate) fn decode<'py>(
        &self,
        py: Python<'py>,
        blob: &[u8],
        hook: Option<&Bound<'py, PyAny>>,
        fast: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        Decoder::new(py, self, blob, hook, fast)
            .value(0)
            .map_err(|error| error.into_py(py))
    }

    fn write<'py>(&self, object: &Bound<'py, PyAny>, buffer: Vec<u8>) -> PyResult<Writer<Segment<'py>>> {
        let mut encoder = Encoder::new(object.py(), self, Writer::new(buffer));
        match encoder.value(object.as_borrowed(), 0) {
            Ok(()) => Ok(encoder.out),
            Err(error) => Err(error.into_py(object.py())),
        }
    }

    /// The encoding as `bytes`, copied once.
    fn bytes_of<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        // Taken: a nested call gets an empty one.
        let writer = self.write(object, BUFFER.take())?;
        let bytes = match writer.contiguous() {
            Some(bytes) => PyBytes::new(object.py(), bytes),
            None => raw::new_bytes(object.py(), writer.length(), |target| writer.copy_to(target))?,
        };
        let buffer = writer.into_buffer();
        if buffer.capacity() <= BUFFER_KEPT {
            BUFFER.set(buffer);
        }
        Ok(bytes)
    }

    /// A part of an object for upstream's code: `bytes`, or a [`Part`] if it is long.
    fn part_of<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = object.py();
        let writer = self.write(object, Vec::new())?;
        if writer.length() >= SEGMENT {
            return Ok(Bound::new(py, Part::new(writer))?.into_any());
        }
        Ok(PyBytes::new(py, &writer.into_whole()).into_any())
    }
}
