//! Keys of dicts, which `ormsgpack` encodes by other rules than values.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::containers;
use super::encode::{CHANGED, Encoder, SURROGATES, check_length};
use super::error::{EncodeError, EncodeResult};
use super::raw::{self, Kind};

impl<'py> Encoder<'_, 'py> {
    /// A key that is not a plain str. A tuple is a container, and its items are keys themselves.
    pub(super) fn key(&mut self, key: Borrowed<'_, 'py, PyAny>, depth: usize) -> EncodeResult<()> {
        match raw::kind(key) {
            Kind::Str => {
                let utf8 = raw::utf8(key).ok_or_else(|| EncodeError::refused(SURROGATES))?;
                check_length(utf8.len())?;
                self.out.str(utf8);
                Ok(())
            }
            kind @ (Kind::Int | Kind::None | Kind::Bool | Kind::Float | Kind::Bytes) => {
                self.builtin(kind, key, depth)
            }
            Kind::Tuple => {
                self.check_depth(depth)?;
                let length = containers::tuple_length(key);
                check_length(length)?;
                self.out.array(length);
                for index in 0..length {
                    let item =
                        containers::tuple_item(key, index).ok_or_else(|| EncodeError::refused(CHANGED))?;
                    // Lone surrogates are refused in a key, replaced in an item of a key.
                    match raw::kind(item) {
                        Kind::Str => self.text(item)?,
                        _ => self.key(item, depth + 1)?,
                    }
                }
                Ok(())
            }
            _ => self.foreign_key(key, depth),
        }
    }

    /// Enums, dates, UUIDs, subclasses: `ormsgpack` encodes `{key: None}` at the same depth.
    #[cold]
    fn foreign_key(&mut self, key: Borrowed<'_, 'py, PyAny>, depth: usize) -> EncodeResult<()> {
        let py = self.py;
        let wraps = depth.saturating_sub(1);
        let encoded = (|| {
            let dict = PyDict::new(py);
            dict.set_item(key, py.None())?;
            let mut wrapped = dict.into_any();
            for _ in 0..wraps {
                wrapped = PyList::new(py, [wrapped])?.into_any();
            }
            self.codec.upstream.pack(py, &wrapped)
        })()
        .map_err(|error| EncodeError::from_leaf(py, error))?;
        // `wraps` arrays of one and a map of one, each one byte; nil after the key.
        let key = encoded
            .as_bytes()
            .get(wraps + 1..)
            .and_then(|tail| tail.split_last());
        let (_, key) = key.ok_or_else(|| EncodeError::refused(CHANGED))?;
        self.out.raw(key);
        Ok(())
    }
}
