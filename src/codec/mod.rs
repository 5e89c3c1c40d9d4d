//! Python objects to msgpack bytes and back: the bytes of upstream's `JsonPlusSerializer`, and its objects.
//!
//! The codec holds no policy: what may be revived, and by whom, is said anew with each call.

mod classes;
mod cursor;
mod decode;
mod decode_message;
mod depth;
mod encode;
mod encode_message;
mod error;
mod gc;
mod payload;
mod raw;
mod shapes;
mod strings;
mod wire;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple, PyType};

use self::classes::Classes;
use self::decode::Decoder;
use self::encode::Encoder;
use self::error::EncodeError;
use self::wire::Writer;

pub(crate) use self::payload::Payload;

/// An encoded object.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    /// Offsets at which an element of some container ends, ascending. Empty unless asked for.
    pub(crate) cuts: Vec<usize>,
}

/// Attribute names that the message fast paths read and set.
#[derive(Debug)]
struct Names {
    dict: Py<PyString>,
    fields_set: Py<PyString>,
    extra: Py<PyString>,
    private: Py<PyString>,
    tool_calls: Py<PyString>,
}

/// Encoder and decoder, bound to upstream's functions and to the classes that were found fit.
#[pyclass(frozen, module = "langgraph_checkpoint_rust._core")]
#[derive(Debug)]
pub(crate) struct Codec {
    /// Upstream's `_msgpack_default`, whose nested calls come back here.
    default: Py<PyAny>,
    /// `ormsgpack.packb` with upstream's options.
    packb: Py<PyAny>,
    /// Classes that only `ormsgpack` can read.
    leaves: Vec<Py<PyType>>,
    enum_meta: Py<PyType>,
    classes: Classes,
    names: Names,
    pause_gc: bool,
}

#[pymethods]
impl Codec {
    #[new]
    #[pyo3(signature = (*, default, packb, leaves, enum_meta, classes, pause_gc))]
    fn new(
        py: Python<'_>,
        default: Py<PyAny>,
        packb: Py<PyAny>,
        leaves: Vec<Py<PyType>>,
        enum_meta: Py<PyType>,
        classes: &Bound<'_, PyList>,
        pause_gc: bool,
    ) -> PyResult<Self> {
        let name = |name| PyString::intern(py, name).unbind();
        let names = Names {
            dict: name("__dict__"),
            fields_set: name("__pydantic_fields_set__"),
            extra: name("__pydantic_extra__"),
            private: name("__pydantic_private__"),
            tool_calls: name("tool_calls"),
        };
        let classes = Classes::new(classes)?;
        Ok(Self {
            default,
            packb,
            leaves,
            enum_meta,
            classes,
            names,
            pause_gc,
        })
    }

    /// The msgpack of `object`.
    fn dumps<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let py = object.py();
        Ok(PyBytes::new(py, &self.encode(object, None)?.bytes))
    }

    /// The msgpack of `object`, and the offsets of element ends at least `distance` bytes apart.
    fn dumps_with_cuts<'py>(
        &self,
        object: &Bound<'py, PyAny>,
        distance: usize,
    ) -> PyResult<(Bound<'py, PyBytes>, Vec<usize>)> {
        let encoded = self.encode(object, Some(distance))?;
        Ok((PyBytes::new(object.py(), &encoded.bytes), encoded.cuts))
    }

    /// The object in `blob`. Extensions go to `hook`, except messages that fit if `fast`.
    #[pyo3(signature = (blob, hook, fast))]
    fn loads<'py>(
        &self,
        blob: &Bound<'py, PyBytes>,
        hook: Option<&Bound<'py, PyAny>>,
        fast: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.decode(blob.py(), blob.as_bytes(), hook, fast)
    }
}

impl Codec {
    /// Encodes `object`; with `cut_distance`, reports element ends at least that many bytes apart.
    pub(crate) fn encode(&self, object: &Bound<'_, PyAny>, cut_distance: Option<usize>) -> PyResult<Encoded> {
        let py = object.py();
        let mut encoder = Encoder::new(py, self, Writer::new(Vec::new(), cut_distance));
        match encoder.value(object.as_borrowed(), 0) {
            Ok(()) => {
                let (bytes, cuts) = encoder.out.into_parts();
                Ok(Encoded { bytes, cuts })
            }
            Err(error) => Err(EncodeError::into_py(error, py)),
        }
    }

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

    fn pack<'py>(&self, py: Python<'py>, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(self
            .packb
            .bind(py)
            .call1(PyTuple::new(py, [object])?)?
            .cast_into_exact::<PyBytes>()?)
    }

    fn is_leaf(&self, object: Borrowed<'_, '_, PyAny>) -> bool {
        let class = object.get_type_ptr();
        self.leaves.iter().any(|leaf| leaf.as_ptr() == class.cast())
    }

    fn is_enum(&self, object: Borrowed<'_, '_, PyAny>) -> bool {
        object.get_type().as_any().get_type_ptr().cast() == self.enum_meta.as_ptr()
    }
}
