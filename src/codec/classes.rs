//! The classes that this interpreter admits to the fast path, with what both directions need prepared.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PyList, PyString, PyType};

use super::shapes::{CLASSES, ClassShape, Shape};
use super::slots::Slot;
use super::wire::Writer;

/// The extension code of pydantic models.
pub(super) const EXT_PYDANTIC: u8 = 5;
/// The last item of each pydantic payload.
const METHOD: &str = "model_validate_json";

/// A field: how its key looks on the wire and as a str, and what it must hold.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) wire: Vec<u8>,
    pub(super) name: Py<PyString>,
    pub(super) shape: Shape,
}

/// An admitted class.
#[derive(Debug)]
pub(super) struct MessageClass {
    pub(super) class: Py<PyType>,
    /// The payload up to the first field: module, name, and the head of the map of fields.
    pub(super) head: Vec<u8>,
    /// The payload after the last field.
    pub(super) tail: Vec<u8>,
    pub(super) fields: Vec<Field>,
    pub(super) keeps_extra: bool,
    /// A `__dict__` with all keys in order. Copies have room and order already.
    pub(super) template: Py<PyDict>,
    pub(super) field_names: Py<PyFrozenSet>,
    pub(super) fields_set: Slot,
    pub(super) extra: Slot,
    pub(super) private: Slot,
}

/// All admitted classes, the most frequent first.
#[derive(Debug, Default)]
pub(super) struct Classes(Vec<MessageClass>);

impl Classes {
    /// Prepares the classes named as `(module, name, class)`.
    pub(super) fn new(admitted: &Bound<'_, PyList>) -> PyResult<Self> {
        let py = admitted.py();
        let admitted: Vec<(String, String, Bound<'_, PyType>)> = admitted.extract()?;
        let mut classes = Vec::with_capacity(admitted.len());
        for shape in &CLASSES {
            let class = admitted
                .iter()
                .find(|(module, name, _)| shape.module == module && shape.name == name);
            if let Some((_, _, class)) = class {
                classes.push(MessageClass::new(py, shape, class)?);
            }
        }
        if classes.len() == admitted.len() {
            return Ok(Self(classes));
        }
        Err(PyValueError::new_err(
            "a class has no written shape, or is named twice",
        ))
    }

    /// The admitted class of which `object` is an exact instance.
    #[inline]
    pub(super) fn of_instance(&self, object: Borrowed<'_, '_, PyAny>) -> Option<&MessageClass> {
        let class = object.get_type_ptr();
        self.0.iter().find(|known| known.class.as_ptr() == class.cast())
    }

    /// The admitted class that a payload is about, and the payload after its head.
    #[inline]
    pub(super) fn of_payload<'a>(&self, payload: &'a [u8]) -> Option<(&MessageClass, &'a [u8])> {
        self.0
            .iter()
            .find_map(|known| Some((known, payload.strip_prefix(known.head.as_slice())?)))
    }
}

impl MessageClass {
    fn new(py: Python<'_>, shape: &'static ClassShape, class: &Bound<'_, PyType>) -> PyResult<Self> {
        let mut head = Writer::<Vec<u8>>::new(Vec::new());
        head.array(4);
        head.str(shape.module.as_bytes());
        head.str(shape.name.as_bytes());
        head.map(shape.fields.len());
        let mut tail = Writer::<Vec<u8>>::new(Vec::new());
        tail.str(METHOD.as_bytes());
        let template = PyDict::new(py);
        let mut fields = Vec::with_capacity(shape.fields.len());
        for &(name, shape) in shape.fields {
            let mut wire = Writer::<Vec<u8>>::new(Vec::new());
            wire.str(name.as_bytes());
            let name = PyString::intern(py, name);
            template.set_item(&name, py.None())?;
            fields.push(Field {
                wire: wire.into_whole(),
                name: name.unbind(),
                shape,
            });
        }
        Ok(Self {
            class: class.clone().unbind(),
            head: head.into_whole(),
            tail: tail.into_whole(),
            fields,
            keeps_extra: shape.keeps_extra,
            field_names: PyFrozenSet::new(py, template.keys())?.unbind(),
            template: template.unbind(),
            fields_set: Slot::of(class, "__pydantic_fields_set__")?,
            extra: Slot::of(class, "__pydantic_extra__")?,
            private: Slot::of(class, "__pydantic_private__")?,
        })
    }
}
