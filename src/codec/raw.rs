//! The few calls into `CPython` that `pyo3`'s safe interface does not offer, or offers at a cost that the
//! codec's benchmark shows. Those on containers are in `containers`, those on slots in `slots`.

#![allow(unsafe_code, reason = "the C API; every block states why it is sound")]

use std::mem::MaybeUninit;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyType};

/// What an object is to the encoder. Exact types first, as `ormsgpack` asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Str,
    Int,
    Dict,
    List,
    None,
    Bool,
    Float,
    Tuple,
    Bytes,
    ByteArray,
    Other,
}

/// The exact type of `object`; subclasses are [`Kind::Other`].
#[inline]
pub(super) fn kind(object: Borrowed<'_, '_, PyAny>) -> Kind {
    let class = object.get_type_ptr().cast_const();
    if class == &raw const ffi::PyUnicode_Type {
        Kind::Str
    } else if class == &raw const ffi::PyDict_Type {
        Kind::Dict
    } else if class == &raw const ffi::PyLong_Type {
        Kind::Int
    } else if object.is_none() {
        Kind::None
    } else if class == &raw const ffi::PyList_Type {
        Kind::List
    } else if class == &raw const ffi::PyBool_Type {
        Kind::Bool
    } else if class == &raw const ffi::PyFloat_Type {
        Kind::Float
    } else if class == &raw const ffi::PyTuple_Type {
        Kind::Tuple
    } else if class == &raw const ffi::PyBytes_Type {
        Kind::Bytes
    } else if class == &raw const ffi::PyByteArray_Type {
        Kind::ByteArray
    } else {
        Kind::Other
    }
}

/// The built-in that a subclass derives from, of those whose subclasses `ormsgpack` encodes as the base.
pub(super) fn base_kind(object: Borrowed<'_, '_, PyAny>) -> Kind {
    // SAFETY: a type object is valid as long as its instance is, and flags are a plain read.
    let flags = unsafe { ffi::PyType_GetFlags(object.get_type_ptr()) };
    if flags & ffi::Py_TPFLAGS_UNICODE_SUBCLASS != 0 {
        Kind::Str
    } else if flags & ffi::Py_TPFLAGS_LONG_SUBCLASS != 0 {
        Kind::Int
    } else if flags & ffi::Py_TPFLAGS_LIST_SUBCLASS != 0 {
        Kind::List
    } else if flags & ffi::Py_TPFLAGS_DICT_SUBCLASS != 0 {
        Kind::Dict
    } else {
        Kind::Other
    }
}

/// The UTF-8 of a `str` or a subclass; `None` if it has lone surrogates.
#[inline]
pub(super) fn utf8<'a>(string: Borrowed<'a, '_, PyAny>) -> Option<&'a [u8]> {
    let mut length: ffi::Py_ssize_t = 0;
    // SAFETY: CPython checks that the object is a str. The buffer belongs to the object, which is immutable
    // and outlives 'a; `length` is its length. NULL leaves an exception, which is cleared.
    unsafe {
        let start = ffi::PyUnicode_AsUTF8AndSize(string.as_ptr(), &raw mut length);
        if start.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        Some(std::slice::from_raw_parts(start.cast(), length.cast_unsigned()))
    }
}

/// The UTF-8 of a `str` with each lone surrogate replaced by `?`.
pub(super) fn utf8_replaced<'py>(string: Borrowed<'_, 'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    // SAFETY: the object is a str (CPython checks); the result is a new reference to bytes or NULL with an
    // exception.
    unsafe {
        let bytes = ffi::PyUnicode_AsEncodedString(string.as_ptr(), c"utf-8".as_ptr(), c"replace".as_ptr());
        Ok(Bound::from_owned_ptr_or_err(string.py(), bytes)?.cast_into_unchecked())
    }
}

/// An `int` as msgpack can hold it.
pub(super) enum Integer {
    Signed(i64),
    Unsigned(u64),
    TooBig,
}

/// The value of an `int` or a subclass.
#[inline]
pub(super) fn integer(object: Borrowed<'_, '_, PyAny>) -> Integer {
    let mut overflow = 0;
    // SAFETY: the object is an int, so no `__index__` runs; an overflow raises only in the second call.
    unsafe {
        let value = ffi::PyLong_AsLongLongAndOverflow(object.as_ptr(), &raw mut overflow);
        if overflow == 0 {
            return Integer::Signed(value);
        }
        if overflow < 0 {
            return Integer::TooBig;
        }
        let value = ffi::PyLong_AsUnsignedLongLong(object.as_ptr());
        if value == u64::MAX && !ffi::PyErr_Occurred().is_null() {
            ffi::PyErr_Clear();
            return Integer::TooBig;
        }
        Integer::Unsigned(value)
    }
}

/// The value of an exact `float`.
#[inline]
pub(super) fn float(object: Borrowed<'_, '_, PyAny>) -> f64 {
    // SAFETY: the object is an exact float, for which this is a read that cannot fail.
    unsafe { ffi::PyFloat_AsDouble(object.as_ptr()) }
}

/// Whether `object` is `True`.
#[inline]
pub(super) fn is_true(object: Borrowed<'_, '_, PyAny>) -> bool {
    // SAFETY: `Py_True` is a static singleton.
    object.as_ptr() == unsafe { ffi::Py_True() }
}

/// The content of `bytes`.
#[inline]
pub(super) fn bytes<'a>(object: Borrowed<'a, '_, PyAny>) -> &'a [u8] {
    // SAFETY: CPython checks that the object is bytes, which are immutable and alive for 'a.
    unsafe {
        let start = ffi::PyBytes_AsString(object.as_ptr());
        if start.is_null() {
            ffi::PyErr_Clear();
            return &[];
        }
        let length = ffi::PyBytes_Size(object.as_ptr());
        std::slice::from_raw_parts(start.cast(), length.cast_unsigned())
    }
}

/// The `__dict__` of an instance, past any `__getattribute__`.
#[inline]
pub(super) fn instance_dict<'py>(object: Borrowed<'_, 'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    // SAFETY: a new reference, or NULL with an exception, which is cleared.
    unsafe {
        let dict = ffi::PyObject_GenericGetDict(object.as_ptr(), std::ptr::null_mut());
        if dict.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        Some(Bound::from_owned_ptr(object.py(), dict))
    }
}

/// An instance whose constructor has not run: `object.__new__(class)`.
#[inline]
pub(super) fn new_instance<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the class is a heap type whose `__new__` is `object.__new__` (its fingerprint says so), which
    // allocates with the same call and does no more. A new reference, or NULL with an exception.
    unsafe {
        let object = ffi::PyType_GenericAlloc(class.as_type_ptr(), 0);
        Bound::from_owned_ptr_or_err(class.py(), object)
    }
}

/// Switches the cyclic collector off; whether it was on.
pub(super) fn disable_gc(_py: Python<'_>) -> bool {
    // SAFETY: attached; sets a flag of this interpreter.
    unsafe { ffi::PyGC_Disable() != 0 }
}

/// Switches the cyclic collector on.
pub(super) fn enable_gc(_py: Python<'_>) {
    // SAFETY: attached; sets a flag of this interpreter.
    unsafe {
        ffi::PyGC_Enable();
    }
}

/// `bytes` of `length`, all of which `fill` must write. (`PyBytes::new_with` writes zeros first: a 200 KB
/// string took 7.1 µs instead of 4.6.)
pub(super) fn new_bytes(
    py: Python<'_>,
    length: usize,
    fill: impl FnOnce(&mut [MaybeUninit<u8>]),
) -> PyResult<Bound<'_, PyBytes>> {
    // SAFETY: a new reference to bytes of that length, or NULL with an exception. Until it is returned nobody
    // else sees it, so its buffer may be written. `copy_to`, the only `fill`, asserts that it filled the slice;
    // bytes that it would not have filled are initialised memory of the allocator or are never read.
    unsafe {
        let bytes = ffi::PyBytes_FromStringAndSize(std::ptr::null(), length.cast_signed());
        let bytes = Bound::from_owned_ptr_or_err(py, bytes)?;
        let start = ffi::PyBytes_AsString(bytes.as_ptr());
        fill(std::slice::from_raw_parts_mut(start.cast(), length));
        Ok(bytes.cast_into_unchecked())
    }
}
