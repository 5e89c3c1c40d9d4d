//! The slots of pydantic's models: read and written by their descriptors, which are looked up once.
//!
//! By the object protocol each access looks for the name along the class's bases and then calls the same
//! descriptor. 200 messages are written in 31 instead of 36 µs without that, and read in 140 instead of 145.

#![allow(unsafe_code, reason = "the C API; every block states why it is sound")]

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

/// A slot of a class, as `__slots__` makes it.
#[derive(Debug)]
pub(super) struct Slot {
    descriptor: Py<PyAny>,
    get: ffi::descrgetfunc,
    set: ffi::descrsetfunc,
}

impl Slot {
    /// The slot of that name. Fails if the class has something else by it.
    pub(super) fn of(class: &Bound<'_, PyType>, name: &str) -> PyResult<Self> {
        let descriptor = class.getattr(name)?;
        let kind = descriptor.get_type_ptr();
        let is_slot = std::ptr::addr_eq(kind, &raw const ffi::PyMemberDescr_Type);
        // SAFETY: a type that is alive; slots of static types may be asked for since CPython 3.10. A member's
        // descriptor has both, of these signatures.
        let (get, set) = unsafe {
            (
                ffi::PyType_GetSlot(kind, ffi::Py_tp_descr_get),
                ffi::PyType_GetSlot(kind, ffi::Py_tp_descr_set),
            )
        };
        if !is_slot || get.is_null() || set.is_null() {
            return Err(PyTypeError::new_err(format!("{name} is no slot")));
        }
        Ok(Self {
            descriptor: descriptor.unbind(),
            // SAFETY: not null, and what CPython calls through these very types.
            get: unsafe { std::mem::transmute::<*mut std::ffi::c_void, ffi::descrgetfunc>(get) },
            // SAFETY: as above.
            set: unsafe { std::mem::transmute::<*mut std::ffi::c_void, ffi::descrsetfunc>(set) },
        })
    }

    /// Its value; `None` if it has none.
    #[inline]
    pub(super) fn get<'py>(&self, object: Borrowed<'_, 'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        // SAFETY: live references; CPython checks that the object is of the slot's class. A new reference, or NULL
        // with an exception, which is cleared.
        unsafe {
            let value = (self.get)(
                self.descriptor.as_ptr(),
                object.as_ptr(),
                object.get_type_ptr().cast(),
            );
            if value.is_null() {
                ffi::PyErr_Clear();
                return None;
            }
            Some(Bound::from_owned_ptr(object.py(), value))
        }
    }

    #[inline]
    pub(super) fn set(&self, object: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        // SAFETY: as above; non-zero means that an exception is set.
        if unsafe { (self.set)(self.descriptor.as_ptr(), object.as_ptr(), value.as_ptr()) } == 0 {
            return Ok(());
        }
        Err(PyErr::fetch(object.py()))
    }
}

/// Sets the `__dict__` of an instance.
#[inline]
pub(super) fn set_instance_dict(object: &Bound<'_, PyAny>, dict: &Bound<'_, PyDict>) -> PyResult<()> {
    // SAFETY: live references to an instance that has a `__dict__` and to a dict; non-zero means that an
    // exception is set.
    if unsafe { ffi::PyObject_GenericSetDict(object.as_ptr(), dict.as_ptr(), std::ptr::null_mut()) } == 0 {
        return Ok(());
    }
    Err(PyErr::fetch(object.py()))
}
