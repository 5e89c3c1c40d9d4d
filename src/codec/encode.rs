//! Python objects to msgpack, in one pass and without an intermediate tree.
//!
//! `ormsgpack` is the judge: what it encodes by itself is encoded here; what it gives to `default` goes to
//! upstream's `_msgpack_default`; the odd rest (its own `Ext`, buffers, unusual keys) goes to `ormsgpack`.
//! So each meaning keeps one owner. Messages have a fast path of their own: `encode_message`.

#![allow(
    unsafe_code,
    reason = "reads borrowed items of containers; each block says why they stay alive"
)]

use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use super::Codec;
use super::containers::{self, DictCursor};
use super::depth::{self, Descent};
use super::error::{EncodeError, EncodeResult, class_name};
use super::payload::{Payload, SEGMENT, Segment};
use super::raw::{self, Integer, Kind};
use super::wire::Writer;

/// Containers inside one another that `ormsgpack` encodes.
pub(super) const LEVELS: usize = 255;
/// Times that `default` may be asked along one path.
const DEFAULTS: usize = 254;
/// Length that the wire can express.
const LONGEST: usize = u32::MAX as usize;

const TOO_DEEP: &str = "Recursion limit reached";
const TOO_MANY_DEFAULTS: &str = "Recursion limit for default hook reached";
const TOO_BIG: &str = "Integer exceeds 64-bit range";
const TOO_LONG: &str = "Object exceeds the length that msgpack can express";
pub(super) const SURROGATES: &str = "string contains surrogates";
pub(super) const CHANGED: &str = "container changed while it was encoded";

pub(super) struct Encoder<'c, 'py> {
    pub(super) py: Python<'py>,
    pub(super) codec: &'c Codec,
    pub(super) out: Writer<Segment<'py>>,
    pub(super) levels: usize,
    pub(super) defaults: usize,
}

impl<'c, 'py> Encoder<'c, 'py> {
    pub(super) fn new(py: Python<'py>, codec: &'c Codec, out: Writer<Segment<'py>>) -> Self {
        Self {
            py,
            codec,
            out,
            levels: depth::allowance(LEVELS),
            defaults: 0,
        }
    }

    /// Encodes `object`, inside `depth` containers.
    ///
    /// `object` may be borrowed from a container: nothing that runs Python code happens before it is either
    /// encoded or owned.
    pub(super) fn value(&mut self, object: Borrowed<'_, 'py, PyAny>, depth: usize) -> EncodeResult<()> {
        match raw::kind(object) {
            Kind::Other => self.other(object, depth),
            kind => self.builtin(kind, object, depth),
        }
    }

    #[allow(
        clippy::inline_always,
        reason = "one dispatch instead of two for each value: docs/codec.md"
    )]
    #[inline(always)]
    pub(super) fn builtin(
        &mut self,
        kind: Kind,
        object: Borrowed<'_, 'py, PyAny>,
        depth: usize,
    ) -> EncodeResult<()> {
        match kind {
            Kind::Str => self.text(object),
            Kind::Int => self.integer(object),
            Kind::None => {
                self.out.nil();
                Ok(())
            }
            Kind::Bool => {
                self.out.bool(raw::is_true(object));
                Ok(())
            }
            Kind::Float => {
                self.out.float(raw::float(object));
                Ok(())
            }
            Kind::Bytes => self.binary(object),
            Kind::Dict => self.dict(object, depth),
            Kind::List => self.list(object, depth),
            Kind::Tuple => self.tuple(object, depth),
            Kind::ByteArray | Kind::Other => self.leaf(object),
        }
    }

    #[inline]
    pub(super) fn text(&mut self, string: Borrowed<'_, 'py, PyAny>) -> EncodeResult<()> {
        if let Some(utf8) = raw::utf8(string) {
            check_length(utf8.len())?;
            if utf8.len() >= SEGMENT && raw::kind(string) == Kind::Str {
                self.long_text(string, utf8.len());
            } else {
                self.out.str(utf8);
            }
            return Ok(());
        }
        let replaced = raw::utf8_replaced(string).map_err(|error| EncodeError::from_leaf(self.py, error))?;
        check_length(replaced.as_bytes().len())?;
        self.out.str(replaced.as_bytes());
        Ok(())
    }

    /// A long exact str, which is not copied yet.
    #[cold]
    pub(super) fn long_text(&mut self, string: Borrowed<'_, 'py, PyAny>, length: usize) {
        if let Ok(string) = string.to_owned().cast_into_exact::<PyString>() {
            self.out.str_head(length);
            self.out.splice(Segment::Text(string));
        }
    }

    #[inline]
    fn integer(&mut self, object: Borrowed<'_, 'py, PyAny>) -> EncodeResult<()> {
        match raw::integer(object) {
            Integer::Signed(value) => self.out.signed(value),
            Integer::Unsigned(value) => self.out.unsigned(value),
            Integer::TooBig => return Err(EncodeError::refused(TOO_BIG)),
        }
        Ok(())
    }

    fn binary(&mut self, object: Borrowed<'_, 'py, PyAny>) -> EncodeResult<()> {
        let bytes = raw::bytes(object);
        check_length(bytes.len())?;
        self.out.bin_head(bytes.len());
        match object.cast_exact::<PyBytes>() {
            Ok(object) if bytes.len() >= SEGMENT => self.out.splice(Segment::Bytes(object.to_owned())),
            _ => self.out.raw(bytes),
        }
        Ok(())
    }

    #[inline(never)]
    fn list(&mut self, list: Borrowed<'_, 'py, PyAny>, depth: usize) -> EncodeResult<()> {
        self.check_depth(depth)?;
        // Owned: an item's `default` may drop the list from its container.
        let list = list.to_owned();
        // SAFETY: callers come here for lists and their subclasses only.
        let section = unsafe { list.cast_unchecked::<PyList>() };
        with_critical_section(section, || {
            let list = list.as_borrowed();
            let length = containers::list_length(list);
            check_length(length)?;
            self.out.array(length);
            for index in 0..length {
                // SAFETY: the list is locked or the GIL is held; `value` owns the item before it runs code.
                let item = unsafe { containers::list_item(list, index) };
                let item = item.ok_or_else(|| EncodeError::refused(CHANGED))?;
                self.value(item, depth + 1)
                    .map_err(|error| error.in_element(index))?;
            }
            Ok(())
        })
    }

    #[inline(never)]
    fn tuple(&mut self, tuple: Borrowed<'_, 'py, PyAny>, depth: usize) -> EncodeResult<()> {
        self.check_depth(depth)?;
        let tuple = tuple.to_owned();
        let tuple = tuple.as_borrowed();
        let length = containers::tuple_length(tuple);
        check_length(length)?;
        self.out.array(length);
        for index in 0..length {
            let item = containers::tuple_item(tuple, index).ok_or_else(|| EncodeError::refused(CHANGED))?;
            self.value(item, depth + 1)
                .map_err(|error| error.in_element(index))?;
        }
        Ok(())
    }

    #[inline(never)]
    fn dict(&mut self, dict: Borrowed<'_, 'py, PyAny>, depth: usize) -> EncodeResult<()> {
        self.check_depth(depth)?;
        let dict = dict.to_owned();
        // SAFETY: callers come here for dicts and their subclasses only.
        let section = unsafe { dict.cast_unchecked::<PyDict>() };
        with_critical_section(section, || {
            let dict = dict.as_borrowed();
            let length = containers::dict_length(dict);
            check_length(length)?;
            self.out.map(length);
            let mut written = 0;
            let mut cursor = DictCursor::new();
            // SAFETY: the dict is locked or the GIL is held; key and value are encoded or owned before code runs.
            while let Some((key, value)) = unsafe { cursor.next(dict) } {
                if written == length {
                    return Err(EncodeError::refused(CHANGED));
                }
                self.pair(key, value, depth)
                    .map_err(|error| in_pair(error, dict, written))?;
                written += 1;
            }
            if written == length {
                Ok(())
            } else {
                Err(EncodeError::refused(CHANGED))
            }
        })
    }

    #[inline]
    fn pair(
        &mut self,
        key: Borrowed<'_, 'py, PyAny>,
        value: Borrowed<'_, 'py, PyAny>,
        depth: usize,
    ) -> EncodeResult<()> {
        if raw::kind(key) == Kind::Str
            && let Some(utf8) = raw::utf8(key)
        {
            check_length(utf8.len())?;
            self.out.str(utf8);
            return self.value(value, depth + 1);
        }
        let (key, value) = (key.to_owned(), value.to_owned());
        self.key(key.as_borrowed(), depth + 1)?;
        self.value(value.as_borrowed(), depth + 1)
    }

    #[inline(never)]
    fn other(&mut self, object: Borrowed<'_, 'py, PyAny>, depth: usize) -> EncodeResult<()> {
        let object = object.to_owned();
        let object = object.as_borrowed();
        if let Some(class) = self.codec.classes.of_instance(object)
            && self.message(object, class)
        {
            return Ok(());
        }
        if self.safe(object, depth)? {
            return Ok(());
        }
        if self.codec.upstream.is_leaf(object) {
            return self.leaf(object);
        }
        // A class whose metaclass is exactly EnumMeta goes to `default` even if it is a str or int too.
        if !self.codec.upstream.is_enum(object) {
            match raw::base_kind(object) {
                Kind::Other => {}
                kind => return self.builtin(kind, object, depth),
            }
        }
        self.by_default(object, depth)
    }

    /// What only `ormsgpack` can read: buffers and its own `Ext` and `Fragment`.
    #[inline(never)]
    fn leaf(&mut self, object: Borrowed<'_, 'py, PyAny>) -> EncodeResult<()> {
        let object = object.to_owned();
        let encoded = self
            .codec
            .upstream
            .pack(self.py, &object)
            .map_err(|error| EncodeError::from_leaf(self.py, error))?;
        if encoded.as_bytes().len() >= SEGMENT {
            self.out.splice(Segment::Bytes(encoded));
        } else {
            self.out.raw(encoded.as_bytes());
        }
        Ok(())
    }

    fn by_default(&mut self, object: Borrowed<'_, 'py, PyAny>, depth: usize) -> EncodeResult<()> {
        if self.defaults >= DEFAULTS {
            return Err(EncodeError::refused(TOO_MANY_DEFAULTS));
        }
        let answer = {
            let _open = Descent::new(depth);
            self.codec.upstream.default.bind(self.py).call1((object,))
        }
        .map_err(|error| EncodeError::from_default(self.py, &class_name(object), error))?;
        if let Ok(payload) = answer.cast_exact::<Payload>() {
            let written = payload.get().write(self.py, &mut self.out);
            return written.map_err(|error| EncodeError::from_leaf(self.py, error));
        }
        if answer.is_exact_instance_of::<PyString>() {
            return self.text(answer.as_borrowed());
        }
        self.defaults += 1;
        let result = self.value(answer.as_borrowed(), depth);
        self.defaults -= 1;
        result
    }

    #[inline]
    pub(super) fn check_depth(&self, depth: usize) -> EncodeResult<()> {
        if depth < self.levels {
            Ok(())
        } else {
            Err(EncodeError::refused(TOO_DEEP))
        }
    }
}

/// Names the key of the pair at which encoding failed. It is looked up again, so that no
/// reference to every key has to be held in case the code of its value drops it.
#[cold]
fn in_pair(error: EncodeError, dict: Borrowed<'_, '_, PyAny>, index: usize) -> EncodeError {
    let mut cursor = DictCursor::new();
    let mut key = None;
    for _ in 0..=index {
        // SAFETY: no code runs between two steps, and the key is owned after the last.
        key = unsafe { cursor.next(dict) }.map(|(key, _)| key);
    }
    match key.map(Borrowed::to_owned) {
        Some(key) => error.in_key(key.as_borrowed()),
        None => error,
    }
}

#[inline]
pub(super) fn check_length(length: usize) -> EncodeResult<()> {
    if length <= LONGEST {
        Ok(())
    } else {
        Err(EncodeError::refused(TOO_LONG))
    }
}
