//! Metadata, as Python's `json` writes and reads it.
//!
//! Only what metadata is made of as a rule: dicts with str keys, lists, tuples, str, int, bool and None. For
//! anything else (floats, surrogates, escapes and odd numbers on the way back, depth) the answer is None, and
//! Python's own code runs. A put takes 2 µs less for it and a get 1.5.

#![allow(
    unsafe_code,
    reason = "reads borrowed items of containers; no Python code runs in this module"
)]

use std::fmt::Write as _;

use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use super::containers::{self, DictCursor};
use super::raw::{self, Integer, Kind};

/// Containers inside one another.
const DEPTH: usize = 32;
/// Digits that an `i64` has room for, whatever they are.
const DIGITS: usize = 18;

/// Encodes as `json.JSONEncoder(ensure_ascii=False)` does; None if it is Python's to do.
#[pyfunction]
pub(crate) fn dumps_json<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyBytes>> {
    let mut out = String::with_capacity(128);
    write(object.as_borrowed(), DEPTH, &mut out)?;
    Some(PyBytes::new(object.py(), out.as_bytes()))
}

/// Decodes an object as `json.loads` does; None if it is Python's to do.
#[pyfunction]
pub(crate) fn loads_json<'py>(py: Python<'py>, data: &[u8]) -> Option<Bound<'py, PyDict>> {
    let mut reader = Reader { data, position: 0 };
    // `{` and another character of ASCII: neither UTF-16 nor UTF-32.
    if reader.next()? != b'{' || !matches!(data.get(1), Some(1..=127)) {
        return None;
    }
    let dict = reader.dict(py, DEPTH)?;
    reader.skip_space();
    (reader.position == data.len()).then_some(dict)
}

fn write(value: Borrowed<'_, '_, PyAny>, depth: usize, out: &mut String) -> Option<()> {
    match raw::kind(value) {
        Kind::Str => return write_text(value, out),
        Kind::Int => match raw::integer(value) {
            Integer::Signed(value) => write!(out, "{value}").ok()?,
            Integer::Unsigned(value) => write!(out, "{value}").ok()?,
            Integer::TooBig => return None,
        },
        Kind::Bool => out.push_str(if raw::is_true(value) { "true" } else { "false" }),
        Kind::None => out.push_str("null"),
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
    out: &mut String,
) -> Option<()>
where
    'py: 'a,
{
    out.push('[');
    for index in 0..length {
        if index > 0 {
            out.push_str(", ");
        }
        write(item(index)?, depth, out)?;
    }
    out.push(']');
    Some(())
}

fn write_dict(dict: Borrowed<'_, '_, PyAny>, depth: usize, out: &mut String) -> Option<()> {
    // SAFETY: callers come here for exact dicts only.
    let section = unsafe { dict.cast_unchecked::<PyDict>() };
    with_critical_section(&section, || {
        let mut cursor = DictCursor::new();
        let mut separator = "{";
        // SAFETY: the dict is locked or the GIL is held, and nothing here runs Python code.
        while let Some((key, value)) = unsafe { cursor.next(dict) } {
            out.push_str(separator);
            separator = ", ";
            if raw::kind(key) != Kind::Str {
                return None;
            }
            write_text(key, out)?;
            out.push_str(": ");
            write(value, depth, out)?;
        }
        out.push_str(if separator == "{" { "{}" } else { "}" });
        Some(())
    })
}

/// `json.encoder.ESCAPE`: quotes, backslashes and what comes before the space.
fn write_text(text: Borrowed<'_, '_, PyAny>, out: &mut String) -> Option<()> {
    let text = std::str::from_utf8(raw::utf8(text)?).ok()?;
    out.push('"');
    let mut written = 0;
    for (index, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0..=0x1f => "",
            _ => continue,
        };
        out.push_str(text.get(written..index)?);
        written = index + 1;
        if escape.is_empty() {
            write!(out, "\\u{byte:04x}").ok()?;
        }
        out.push_str(escape);
    }
    out.push_str(text.get(written..)?);
    out.push('"');
    Some(())
}

struct Reader<'a> {
    data: &'a [u8],
    position: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<u8> {
        let byte = *self.data.get(self.position)?;
        self.position += 1;
        Some(byte)
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.data.get(self.position) {
            self.position += 1;
        }
    }

    /// The next byte that is no space.
    fn token(&mut self) -> Option<u8> {
        self.skip_space();
        self.next()
    }

    fn value<'py>(&mut self, py: Python<'py>, depth: usize) -> Option<Bound<'py, PyAny>> {
        match self.token()? {
            b'"' => Some(self.text(py)?.into_any()),
            b'{' => Some(self.dict(py, depth.checked_sub(1)?)?.into_any()),
            b'[' => self.list(py, depth.checked_sub(1)?),
            b't' => self.word(b"rue", true.into_pyobject(py).ok()?.to_owned().into_any()),
            b'f' => self.word(b"alse", false.into_pyobject(py).ok()?.to_owned().into_any()),
            b'n' => self.word(b"ull", py.None().into_bound(py)),
            b'-' | b'0'..=b'9' => {
                self.position -= 1;
                Some(self.integer()?.into_pyobject(py).ok()?.into_any())
            }
            _ => None,
        }
    }

    fn word<'py>(&mut self, rest: &[u8], value: Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        let end = self.position + rest.len();
        if self.data.get(self.position..end)? != rest {
            return None;
        }
        self.position = end;
        Some(value)
    }

    fn integer(&mut self) -> Option<i64> {
        let rest = self.data.get(self.position..)?;
        let sign = usize::from(rest.first() == Some(&b'-'));
        let digits = rest[sign..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let is_plain = matches!(digits, 1..=DIGITS) && (digits == 1 || rest[sign] != b'0');
        if !is_plain || matches!(rest.get(sign + digits), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.position += sign + digits;
        std::str::from_utf8(&rest[..sign + digits]).ok()?.parse().ok()
    }

    /// The rest of a str without escapes.
    fn text<'py>(&mut self, py: Python<'py>) -> Option<Bound<'py, PyString>> {
        let rest = self.data.get(self.position..)?;
        let length = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
        if rest[length] != b'"' {
            return None;
        }
        self.position += length + 1;
        PyString::from_bytes(py, &rest[..length]).ok()
    }

    fn list<'py>(&mut self, py: Python<'py>, depth: usize) -> Option<Bound<'py, PyAny>> {
        let list = PyList::empty(py);
        self.skip_space();
        if self.data.get(self.position) == Some(&b']') {
            self.position += 1;
            return Some(list.into_any());
        }
        loop {
            list.append(self.value(py, depth)?).ok()?;
            match self.token()? {
                b',' => {}
                b']' => return Some(list.into_any()),
                _ => return None,
            }
        }
    }

    fn dict<'py>(&mut self, py: Python<'py>, depth: usize) -> Option<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        let mut token = self.token()?;
        if token == b'}' {
            return Some(dict);
        }
        loop {
            if token != b'"' {
                return None;
            }
            let key = self.text(py)?;
            if self.token()? != b':' {
                return None;
            }
            dict.set_item(key, self.value(py, depth)?).ok()?;
            match self.token()? {
                b',' => token = self.token()?,
                b'}' => return Some(dict),
                _ => return None,
            }
        }
    }
}
