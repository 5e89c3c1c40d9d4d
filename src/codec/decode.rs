//! msgpack straight to Python objects.
//!
//! Containers are built when all their items are there, from one shared stack: nothing half-built is ever
//! visible, and memory grows with the input that was really read, never with a length that it claims.

use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyString};

use super::Codec;
use super::classes::EXT_PYDANTIC;
use super::containers;
use super::cursor::{Cursor, Head, Malformed};
use super::depth::{self, Descent};
use super::gc::GcPause;
use super::strings::{SharedStrings, Text};

/// Values inside one another that `ormsgpack` decodes.
const LEVELS: usize = 1023;

const TOO_DEEP: Malformed = Malformed("Recursion limit reached");
const NOT_UTF8: Malformed = Malformed("invalid UTF-8 string");
const NO_HOOK: Malformed = Malformed("ext_hook missing");
const HOOK_FAILED: &str = "ext_hook failed";
const KEY_MAP: Malformed = Malformed("invalid type of map key: map");
const KEY_EXT: Malformed = Malformed("invalid type of map key: extension");

pub(super) type DecodeResult<T> = Result<T, DecodeError>;

/// A failed decoding. Boxed: a result of one word more than the object is returned in registers.
#[derive(Debug)]
pub(super) struct DecodeError(Box<Reason>);

#[derive(Debug)]
enum Reason {
    Malformed(Malformed),
    Hook(PyErr),
    Python(PyErr),
}

impl From<Malformed> for DecodeError {
    fn from(error: Malformed) -> Self {
        Self(Box::new(Reason::Malformed(error)))
    }
}

impl From<PyErr> for DecodeError {
    fn from(error: PyErr) -> Self {
        Self(Box::new(Reason::Python(error)))
    }
}

impl DecodeError {
    /// The exception for Python: a `ValueError`, as `ormsgpack`'s is, with the hook's own as its cause.
    pub(super) fn into_py(self, py: Python<'_>) -> PyErr {
        match *self.0 {
            Reason::Malformed(Malformed(words)) => PyValueError::new_err(words),
            Reason::Hook(error) if error.is_instance_of::<PyException>(py) => {
                let outer = PyValueError::new_err(HOOK_FAILED);
                outer.set_cause(py, Some(error));
                outer
            }
            Reason::Hook(error) | Reason::Python(error) => error,
        }
    }
}

pub(super) struct Decoder<'a, 'py> {
    pub(super) py: Python<'py>,
    pub(super) codec: &'a Codec,
    pub(super) cursor: Cursor<'a>,
    pub(super) stack: Vec<Bound<'py, PyAny>>,
    pub(super) strings: SharedStrings<'py>,
    hook: Option<&'a Bound<'py, PyAny>>,
    /// Whether messages may be filled without the hook.
    fast: bool,
    gc: GcPause<'py>,
    levels: usize,
}

impl<'a, 'py> Decoder<'a, 'py> {
    pub(super) fn new(
        py: Python<'py>,
        codec: &'a Codec,
        blob: &'a [u8],
        hook: Option<&'a Bound<'py, PyAny>>,
        fast: bool,
    ) -> Self {
        Self {
            py,
            codec,
            cursor: Cursor::new(blob),
            stack: Vec::new(),
            strings: SharedStrings::new(),
            hook,
            fast,
            gc: GcPause::new(py, codec.pause_gc, blob.len()),
            levels: depth::allowance(LEVELS),
        }
    }

    /// Decodes the next value, inside `depth` containers.
    pub(super) fn value(&mut self, depth: usize) -> DecodeResult<Bound<'py, PyAny>> {
        if depth >= self.levels {
            return Err(TOO_DEEP.into());
        }
        match self.cursor.head()? {
            Head::Array(length) => {
                let start = self.stack.len();
                for _ in 0..length {
                    let item = self.value(depth + 1)?;
                    self.stack.push(item);
                }
                Ok(containers::list_of(self.py, &mut self.stack, start)?)
            }
            Head::Map(length) => {
                let dict = PyDict::new(self.py);
                for _ in 0..length {
                    self.pair(&dict, depth + 1)?;
                }
                Ok(dict.into_any())
            }
            Head::Ext(code, start, end) => self.extension(code, start, end, depth),
            head => self.leaf(head),
        }
    }

    #[inline]
    fn pair(&mut self, dict: &Bound<'py, PyDict>, depth: usize) -> DecodeResult<()> {
        if depth >= self.levels {
            return Err(TOO_DEEP.into());
        }
        let head = self.cursor.head()?;
        if let Head::Str(start, end) = head {
            match self
                .strings
                .get(self.py, self.cursor.blob, start, end)
                .ok_or(NOT_UTF8)?
            {
                Text::Shared(key) => {
                    let value = self.value(depth)?;
                    if let Some(key) = self.strings.at(key) {
                        dict.set_item(key, value)?;
                    }
                }
                Text::Own(key) => {
                    let value = self.value(depth)?;
                    dict.set_item(key, value)?;
                }
            }
            return Ok(());
        }
        let key = self.key(head, depth)?;
        let value = self.value(depth)?;
        Ok(dict.set_item(key, value)?)
    }

    /// A value that holds no others.
    #[inline]
    pub(super) fn leaf(&mut self, head: Head) -> DecodeResult<Bound<'py, PyAny>> {
        let py = self.py;
        Ok(match head {
            Head::Str(start, end) => self.text(start, end)?.into_any(),
            Head::Unsigned(value) => PyInt::new(py, value).into_any(),
            Head::Signed(value) => PyInt::new(py, value).into_any(),
            Head::Nil => py.None().into_bound(py),
            Head::Bool(value) => PyBool::new(py, value).to_owned().into_any(),
            Head::Float(value) => PyFloat::new(py, value).into_any(),
            Head::Bin(start, end) => PyBytes::new(py, &self.cursor.blob[start..end]).into_any(),
            Head::Array(_) | Head::Map(_) | Head::Ext(..) => return Err(KEY_EXT.into()),
        })
    }

    #[inline]
    pub(super) fn text(&mut self, start: usize, end: usize) -> DecodeResult<Bound<'py, PyString>> {
        Ok(self
            .strings
            .owned(self.py, self.cursor.blob, start, end)
            .ok_or(NOT_UTF8)?)
    }

    /// A key: arrays become tuples of keys, maps and extensions are refused. So no key is unhashable and none
    /// runs code.
    fn key(&mut self, head: Head, depth: usize) -> DecodeResult<Bound<'py, PyAny>> {
        match head {
            Head::Str(start, end) => Ok(self.text(start, end)?.into_any()),
            Head::Array(length) => {
                let start = self.stack.len();
                for _ in 0..length {
                    if depth + 1 >= self.levels {
                        return Err(TOO_DEEP.into());
                    }
                    let head = self.cursor.head()?;
                    let item = self.key(head, depth + 1)?;
                    self.stack.push(item);
                }
                Ok(containers::tuple_of(self.py, &mut self.stack, start)?)
            }
            Head::Map(_) => Err(KEY_MAP.into()),
            Head::Ext(..) => Err(KEY_EXT.into()),
            head => self.leaf(head),
        }
    }

    /// To be called before Python code can run.
    pub(super) fn end_pause(&mut self) {
        self.gc.end();
    }

    fn extension(
        &mut self,
        code: i8,
        start: usize,
        end: usize,
        depth: usize,
    ) -> DecodeResult<Bound<'py, PyAny>> {
        let hook = self.hook.ok_or(NO_HOOK)?;
        if self.fast
            && i8::try_from(EXT_PYDANTIC) == Ok(code)
            && let Some(message) = self.message(start, end)
        {
            return Ok(message);
        }
        if self.fast
            && let Some(object) = self.safe(code, start, end)
        {
            return Ok(object);
        }
        let payload = PyBytes::new(self.py, &self.cursor.blob[start..end]);
        self.end_pause();
        let _open = Descent::new(depth);
        hook.call1((code, payload))
            .map_err(|error| DecodeError(Box::new(Reason::Hook(error))))
    }
}
