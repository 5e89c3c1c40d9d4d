//! Writing a message from its fields instead of from `model_dump()`. See `shapes` for when that is the same.

#![allow(
    unsafe_code,
    reason = "reads borrowed items of containers; no Python code runs in this module"
)]

use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyDict, PyList};

use super::classes::{EXT_PYDANTIC, MessageClass};
use super::containers::{self, DictCursor};
use super::encode::Encoder;
use super::payload::SEGMENT;
use super::raw::{self, Integer, Kind};
use super::shapes::{INVALID_TOOL_CALL, PLAIN_DEPTH, Shape, TOOL_CALL, USAGE, USAGE_DETAILS};

/// Leaves the function with `false` (does not fit) unless the condition holds.
macro_rules! fits {
    ($condition:expr) => {
        if !$condition {
            return false;
        }
    };
}

impl<'py> Encoder<'_, 'py> {
    /// Writes `object`, an exact instance of `class`. `false`, and nothing written, if a value does not fit.
    pub(super) fn message(&mut self, object: Borrowed<'_, 'py, PyAny>, class: &MessageClass) -> bool {
        let mark = self.out.mark();
        let start = self.out.ext_start();
        if self.fields(object, class) {
            self.out.ext_end(start, EXT_PYDANTIC);
            return true;
        }
        self.out.roll_back(mark);
        false
    }

    fn fields(&mut self, object: Borrowed<'_, 'py, PyAny>, class: &MessageClass) -> bool {
        fits!(has_no_extra(object, class));
        let Some(dict) = raw::instance_dict(object) else {
            return false;
        };
        let Ok(dict) = dict.cast_into_exact::<PyDict>() else {
            return false;
        };
        with_critical_section(&dict, || {
            let dict = dict.as_any().as_borrowed();
            fits!(containers::dict_length(dict) == class.fields.len());
            self.out.raw(&class.head);
            let mut cursor = DictCursor::new();
            for field in &class.fields {
                // SAFETY: the dict is locked or the GIL is held, and nothing here runs Python code.
                let Some((key, value)) = (unsafe { cursor.next(dict) }) else {
                    return false;
                };
                fits!(key.as_ptr() == field.name.as_ptr() || same_key(key, &field.wire));
                self.out.raw(&field.wire);
                fits!(self.field(field.shape, value));
            }
            self.out.raw(&class.tail);
            true
        })
    }

    fn field(&mut self, shape: Shape, value: Borrowed<'_, 'py, PyAny>) -> bool {
        let kind = raw::kind(value);
        match (shape, kind) {
            (Shape::Content | Shape::EmptyContent, Kind::List) => self.content(value),
            (Shape::Content | Shape::EmptyContent | Shape::Text | Shape::OptionalText, Kind::Str) => {
                self.plain_text(value)
            }
            (Shape::Kwargs | Shape::Metadata, Kind::Dict) => self.plain_dict(value, PLAIN_DEPTH),
            (Shape::Literal(literal), Kind::Str) => self.one_of(value, &[literal]),
            (Shape::Status, Kind::Str) => self.one_of(value, &["success", "error"]),
            (Shape::ChunkPosition, Kind::Str) => self.one_of(value, &["last"]),
            (Shape::OptionalText | Shape::Usage | Shape::ChunkPosition, Kind::None) => {
                self.out.nil();
                true
            }
            (Shape::Artifact, _) => self.plain(value, PLAIN_DEPTH),
            (Shape::NoToolCalls | Shape::ToolCalls | Shape::InvalidToolCalls, Kind::List)
                if containers::list_length(value) == 0 =>
            {
                self.out.array(0);
                true
            }
            (Shape::ToolCalls, Kind::List) => self.calls(value, &TOOL_CALL, "tool_call"),
            (Shape::InvalidToolCalls, Kind::List) => {
                self.calls(value, &INVALID_TOOL_CALL, "invalid_tool_call")
            }
            (Shape::Usage, Kind::Dict) => self.usage(value),
            _ => false,
        }
    }

    fn plain_text(&mut self, value: Borrowed<'_, 'py, PyAny>) -> bool {
        let Some(utf8) = raw::utf8(value) else {
            return false;
        };
        fits!(u32::try_from(utf8.len()).is_ok());
        if utf8.len() >= SEGMENT {
            self.long_text(value, utf8.len());
        } else {
            self.out.str(utf8);
        }
        true
    }

    fn one_of(&mut self, value: Borrowed<'_, 'py, PyAny>, literals: &[&str]) -> bool {
        let Some(utf8) = raw::utf8(value) else {
            return false;
        };
        fits!(literals.iter().any(|literal| literal.as_bytes() == utf8));
        self.out.str(utf8);
        true
    }

    /// A list of str and plain dicts.
    fn content(&mut self, list: Borrowed<'_, 'py, PyAny>) -> bool {
        self.items(list, |encoder, item| match raw::kind(item) {
            Kind::Str => encoder.plain_text(item),
            Kind::Dict => encoder.plain_dict(item, PLAIN_DEPTH),
            _ => false,
        })
    }

    fn plain(&mut self, value: Borrowed<'_, 'py, PyAny>, levels: usize) -> bool {
        match raw::kind(value) {
            Kind::Str => return self.plain_text(value),
            Kind::Int => return self.plain_integer(value),
            Kind::None => self.out.nil(),
            Kind::Bool => self.out.bool(raw::is_true(value)),
            Kind::Float => self.out.float(raw::float(value)),
            Kind::Dict => return self.plain_dict(value, levels),
            Kind::List => {
                fits!(levels > 0);
                return self.items(value, |encoder, item| encoder.plain(item, levels - 1));
            }
            Kind::Tuple => return self.plain_tuple(value, levels),
            Kind::Bytes => {
                let bytes = raw::bytes(value);
                fits!(u32::try_from(bytes.len()).is_ok());
                self.out.bin(bytes);
            }
            Kind::ByteArray | Kind::Other => return false,
        }
        true
    }

    fn plain_integer(&mut self, value: Borrowed<'_, 'py, PyAny>) -> bool {
        match raw::integer(value) {
            Integer::Signed(value) => self.out.signed(value),
            Integer::Unsigned(value) => self.out.unsigned(value),
            Integer::TooBig => return false,
        }
        true
    }

    fn plain_tuple(&mut self, tuple: Borrowed<'_, 'py, PyAny>, levels: usize) -> bool {
        let length = containers::tuple_length(tuple);
        fits!(levels > 0 && u32::try_from(length).is_ok());
        self.out.array(length);
        for index in 0..length {
            let Some(item) = containers::tuple_item(tuple, index) else {
                return false;
            };
            fits!(self.plain(item, levels - 1));
        }
        true
    }

    fn plain_dict(&mut self, dict: Borrowed<'_, 'py, PyAny>, levels: usize) -> bool {
        fits!(levels > 0);
        self.pairs(dict, |encoder, key, value| {
            fits!(raw::kind(key) == Kind::Str);
            fits!(encoder.plain_text(key));
            encoder.plain(value, levels - 1)
        })
    }

    /// A list of dicts with exactly `keys`, in order.
    fn calls(&mut self, list: Borrowed<'_, 'py, PyAny>, keys: &[&str], literal: &str) -> bool {
        self.items(list, |encoder, call| {
            fits!(raw::kind(call) == Kind::Dict && containers::dict_length(call) == keys.len());
            let mut expected = keys.iter();
            let regular = std::ptr::eq(keys, TOOL_CALL.as_slice());
            encoder.pairs(call, |encoder, key, value| {
                let Some(&name) = expected.next() else {
                    return false;
                };
                fits!(raw::kind(key) == Kind::Str && raw::utf8(key) == Some(name.as_bytes()));
                encoder.out.str(name.as_bytes());
                match (name, raw::kind(value)) {
                    ("type", Kind::Str) => encoder.one_of(value, &[literal]),
                    ("args", Kind::Dict) if regular => encoder.plain_dict(value, PLAIN_DEPTH),
                    ("args", _) | ("name", Kind::None) if regular => false,
                    ("name" | "id" | "args" | "error", Kind::Str) => encoder.plain_text(value),
                    ("name" | "id" | "args" | "error", Kind::None) => {
                        encoder.out.nil();
                        true
                    }
                    _ => false,
                }
            })
        })
    }

    fn usage(&mut self, dict: Borrowed<'_, 'py, PyAny>) -> bool {
        fits!(containers::dict_length(dict) >= USAGE.len());
        let mut counts = USAGE.iter();
        let mut details = USAGE_DETAILS.iter();
        self.pairs(dict, |encoder, key, value| {
            fits!(raw::kind(key) == Kind::Str);
            let Some(key) = raw::utf8(key) else { return false };
            encoder.out.str(key);
            if let Some(count) = counts.next() {
                return key == count.as_bytes()
                    && raw::kind(value) == Kind::Int
                    && encoder.plain_integer(value);
            }
            let Some((_, names)) = details.find(|(name, _)| name.as_bytes() == key) else {
                return false;
            };
            fits!(raw::kind(value) == Kind::Dict);
            let mut names = names.iter();
            encoder.pairs(value, |encoder, key, value| {
                fits!(raw::kind(key) == Kind::Str && raw::kind(value) == Kind::Int);
                let Some(key) = raw::utf8(key) else { return false };
                fits!(names.any(|name| name.as_bytes() == key));
                encoder.out.str(key);
                encoder.plain_integer(value)
            })
        })
    }

    /// Writes a list, each item by `write`, which runs no Python code.
    fn items(
        &mut self,
        list: Borrowed<'_, 'py, PyAny>,
        mut write: impl FnMut(&mut Self, Borrowed<'_, 'py, PyAny>) -> bool,
    ) -> bool {
        // SAFETY: callers come here for exact lists only.
        let section = unsafe { list.cast_unchecked::<PyList>() };
        with_critical_section(&section, || {
            let length = containers::list_length(list);
            fits!(u32::try_from(length).is_ok());
            self.out.array(length);
            for index in 0..length {
                // SAFETY: the list is locked or the GIL is held, and nothing here runs Python code.
                let Some(item) = (unsafe { containers::list_item(list, index) }) else {
                    return false;
                };
                fits!(write(self, item));
            }
            true
        })
    }

    /// Writes a dict, each key and value by `write`, which runs no Python code.
    fn pairs(
        &mut self,
        dict: Borrowed<'_, 'py, PyAny>,
        mut write: impl FnMut(&mut Self, Borrowed<'_, 'py, PyAny>, Borrowed<'_, 'py, PyAny>) -> bool,
    ) -> bool {
        // SAFETY: callers come here for exact dicts only.
        let section = unsafe { dict.cast_unchecked::<PyDict>() };
        with_critical_section(&section, || {
            let length = containers::dict_length(dict);
            fits!(u32::try_from(length).is_ok());
            self.out.map(length);
            let mut cursor = DictCursor::new();
            // SAFETY: the dict is locked or the GIL is held, and nothing here runs Python code.
            while let Some((key, value)) = unsafe { cursor.next(dict) } {
                fits!(write(self, key, value));
            }
            true
        })
    }
}

fn has_no_extra(object: Borrowed<'_, '_, PyAny>, class: &MessageClass) -> bool {
    class.extra.get(object).is_some_and(|extra| {
        let extra = extra.as_borrowed();
        match raw::kind(extra) {
            Kind::None => true,
            Kind::Dict => containers::dict_length(extra) == 0,
            _ => false,
        }
    })
}

/// Whether a key that is another object than the field's interned name is equal to it.
#[cold]
fn same_key(key: Borrowed<'_, '_, PyAny>, wire: &[u8]) -> bool {
    raw::kind(key) == Kind::Str && raw::utf8(key).is_some_and(|utf8| wire.get(1..) == Some(utf8))
}
