//! Metadata, as Python's `json` writes and reads it.
//!
//! Only what metadata is made of as a rule: dicts with str keys, lists, tuples, str, int, bool and None. For
//! anything else (floats, surrogates, escapes on the way back, integers beyond 64 bits, depth) the answer is None, and
//! Python's own code runs. A put takes 2 µs less for it and a get 1.5.

#![allow(
    unsafe_code,
    reason = "reads borrowed items of containers; no Python code runs in this module"
)]

use std::fmt;
use std::io::Write as _;

use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyBool, PyBytes, PyDict, PyInt, PyList, PyString};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::containers::{self, DictCursor};
use super::raw::{self, Integer, Kind};

/// Containers inside one another.
const DEPTH: usize = 32;

/// Encodes as `json.JSONEncoder(ensure_ascii=False)` does; None if it is Python's to do.
#[pyfunction]
pub(crate) fn dumps_json<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyBytes>> {
    let mut out = Vec::with_capacity(128);
    write(object.as_borrowed(), DEPTH, &mut out)?;
    Some(PyBytes::new(object.py(), &out))
}

/// Decodes an object as `json.loads` does; None if it is Python's to do.
#[pyfunction]
pub(crate) fn loads_json<'py>(py: Python<'py>, data: &[u8]) -> Option<Bound<'py, PyDict>> {
    let mut reader = serde_json::Deserializer::from_slice(data);
    let value = Value { py, depth: DEPTH }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    value.cast_into_exact().ok()
}

fn write(value: Borrowed<'_, '_, PyAny>, depth: usize, out: &mut Vec<u8>) -> Option<()> {
    match raw::kind(value) {
        Kind::Str => return write_text(value, out),
        Kind::Int => match raw::integer(value) {
            Integer::Signed(value) => write!(out, "{value}").ok()?,
            Integer::Unsigned(value) => write!(out, "{value}").ok()?,
            Integer::TooBig => return None,
        },
        Kind::Bool => out.extend_from_slice(if raw::is_true(value) { b"true" } else { b"false" }),
        Kind::None => out.extend_from_slice(b"null"),
        Kind::Dict => return write_dict(value, depth.checked_sub(1)?, out),
        Kind::List => {
            // SAFETY: an exact list.
            let section = unsafe { value.cast_unchecked::<PyList>() };
            return with_critical_section(&section, || {
                // SAFETY: the list is locked or the GIL is held, and nothing here runs Python code.
                let item = |index| unsafe { containers::list_item(value, index) };
                write_items(containers::list_length(value), item, depth.checked_sub(1)?, out)
            });
        }
        Kind::Tuple => {
            let item = |index| containers::tuple_item(value, index);
            return write_items(containers::tuple_length(value), item, depth.checked_sub(1)?, out);
        }
        Kind::Float | Kind::Bytes | Kind::ByteArray | Kind::Other => return None,
    }
    Some(())
}

fn write_items<'a, 'py>(
    length: usize,
    item: impl Fn(usize) -> Option<Borrowed<'a, 'py, PyAny>>,
    depth: usize,
    out: &mut Vec<u8>,
) -> Option<()>
where
    'py: 'a,
{
    out.push(b'[');
    for index in 0..length {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        write(item(index)?, depth, out)?;
    }
    out.push(b']');
    Some(())
}

fn write_dict(dict: Borrowed<'_, '_, PyAny>, depth: usize, out: &mut Vec<u8>) -> Option<()> {
    // SAFETY: callers come here for exact dicts only.
    let section = unsafe { dict.cast_unchecked::<PyDict>() };
    with_critical_section(&section, || {
        let mut cursor = DictCursor::new();
        let mut separator: &[u8] = b"{";
        // SAFETY: the dict is locked or the GIL is held, and nothing here runs Python code.
        while let Some((key, value)) = unsafe { cursor.next(dict) } {
            out.extend_from_slice(separator);
            separator = b", ";
            if raw::kind(key) != Kind::Str {
                return None;
            }
            write_text(key, out)?;
            out.extend_from_slice(b": ");
            write(value, depth, out)?;
        }
        out.extend_from_slice(if separator == b"{" { b"{}" } else { b"}" });
        Some(())
    })
}

/// serde's escapes are Python's: quotes, backslashes and what comes before the space.
fn write_text(text: Borrowed<'_, '_, PyAny>, out: &mut Vec<u8>) -> Option<()> {
    let text = std::str::from_utf8(raw::utf8(text)?).ok()?;
    serde_json::to_writer(out, text).ok()
}

/// Makes the object of a JSON value inside which so many containers may be.
#[derive(Clone, Copy)]
struct Value<'py> {
    py: Python<'py>,
    depth: usize,
}

impl Value<'_> {
    fn inner<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("too deep"))?;
        Ok(Self { depth, ..self })
    }
}

impl<'de, 'py> DeserializeSeed<'de> for Value<'py> {
    type Value = Bound<'py, PyAny>;

    fn deserialize<D: Deserializer<'de>>(self, data: D) -> Result<Self::Value, D::Error> {
        data.deserialize_any(self)
    }
}

impl<'de, 'py> Visitor<'de> for Value<'py> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("plain metadata")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(self.py.None().into_bound(self.py))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(PyBool::new(self.py, value).to_owned().into_any())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(PyInt::new(self.py, value).into_any())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        self.visit_i64(i64::try_from(value).map_err(E::custom)?)
    }

    /// A str without escapes; one with escapes would not be borrowed.
    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(PyString::new(self.py, value).into_any())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let list = PyList::empty(self.py);
        let inner = self.inner()?;
        while let Some(item) = items.next_element_seed(inner)? {
            list.append(item).map_err(A::Error::custom)?;
        }
        Ok(list.into_any())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Self::Value, A::Error> {
        let dict = PyDict::new(self.py);
        let inner = self.inner()?;
        while let Some(key) = pairs.next_key_seed(inner)? {
            let value = pairs.next_value_seed(inner)?;
            dict.set_item(key, value).map_err(A::Error::custom)?;
        }
        Ok(dict.into_any())
    }
}
