//! Filling a message without running its constructor. See `shapes` for when that is the same.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::classes::{Field, MessageClass};
use super::containers;
use super::cursor::{Cursor, Head};
use super::decode::Decoder;
use super::raw;
use super::shapes::{INVALID_TOOL_CALL, PLAIN_DEPTH, Shape, TOOL_CALL, USAGE, USAGE_DETAILS};
use super::slots;
use super::strings::Text;

/// What the conditions that span several fields need to know.
#[derive(Default)]
struct Seen {
    content_is_list: bool,
    kwargs_hold_tool_calls: bool,
    is_last_chunk: bool,
    /// Whether there are calls, of a class that parses them out of the kwargs if there are none.
    tool_calls: Option<bool>,
}

impl Seen {
    /// Whether the validators that look at several fields leave them alone.
    fn is_settled(&self) -> bool {
        let parses_tool_calls = self.kwargs_hold_tool_calls && self.tool_calls == Some(false);
        let parses_content = self.is_last_chunk && self.content_is_list;
        !parses_tool_calls && !parses_content
    }
}

impl<'py> Decoder<'_, 'py> {
    /// The message whose payload is at `start..end`; `None` if any value does not fit.
    pub(super) fn message(&mut self, start: usize, end: usize) -> Option<Bound<'py, PyAny>> {
        let (outer, items) = (self.cursor, self.stack.len());
        let message = self.payload(start, end);
        self.cursor = outer;
        // Plain values only: dropping them runs no code.
        self.stack.truncate(items);
        message
    }

    fn payload(&mut self, start: usize, end: usize) -> Option<Bound<'py, PyAny>> {
        let codec = self.codec;
        let (class, rest) = codec.classes.of_payload(self.cursor.blob.get(start..end)?)?;
        // Offsets stay those of the blob, which the shared strings are found by.
        self.cursor = Cursor {
            blob: self.cursor.blob.get(..end)?,
            position: end - rest.len(),
        };
        let dict = containers::copy_dict(class.template.bind(self.py)).ok()?;
        let mut seen = Seen::default();
        for field in &class.fields {
            if !self.cursor.skip(&field.wire) {
                return None;
            }
            self.field(field, &dict, &mut seen)?;
        }
        if !(self.cursor.skip(&class.tail) && self.cursor.at_end() && seen.is_settled()) {
            return None;
        }
        self.build(class, &dict).ok()
    }

    fn build(&self, class: &MessageClass, dict: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        let fields_set = containers::copy_names(class.field_names.bind(py))?;
        let message = raw::new_instance(class.class.bind(py))?;
        slots::set_instance_dict(&message, dict)?;
        class.fields_set.set(&message, &fields_set)?;
        let none = py.None().into_bound(py);
        if class.keeps_extra {
            class.extra.set(&message, &PyDict::new(py))?;
        } else {
            class.extra.set(&message, &none)?;
        }
        class.private.set(&message, &none)?;
        Ok(message)
    }

    /// Reads the value of a field into `dict`, whose template holds None already.
    fn field(&mut self, field: &Field, dict: &Bound<'py, PyDict>, seen: &mut Seen) -> Option<()> {
        let value = if field.shape == Shape::Artifact {
            self.plain(PLAIN_DEPTH)?
        } else {
            let head = self.cursor.head().ok()?;
            if head == Head::Nil {
                let fits = matches!(
                    field.shape,
                    Shape::OptionalText | Shape::Usage | Shape::ChunkPosition
                );
                return fits.then_some(());
            }
            self.value_of(field.shape, head, seen)?
        };
        dict.set_item(field.name.bind(self.py), value).ok()
    }

    fn value_of(&mut self, shape: Shape, head: Head, seen: &mut Seen) -> Option<Bound<'py, PyAny>> {
        Some(match (shape, head) {
            (Shape::Content | Shape::Text | Shape::OptionalText, Head::Str(start, end)) => {
                self.text(start, end).ok()?.into_any()
            }
            (Shape::EmptyContent, Head::Str(start, end)) if start == end => {
                self.text(start, end).ok()?.into_any()
            }
            (Shape::Content, Head::Array(length)) => {
                seen.content_is_list = true;
                self.content(length)?
            }
            (Shape::Metadata, Head::Map(length)) => self.plain_dict(length, PLAIN_DEPTH)?.into_any(),
            (Shape::Kwargs, Head::Map(length)) => {
                let dict = self.plain_dict(length, PLAIN_DEPTH)?;
                seen.kwargs_hold_tool_calls =
                    length > 0 && dict.contains(self.codec.tool_calls.bind(self.py)).ok()?;
                dict.into_any()
            }
            (Shape::Literal(literal), Head::Str(start, end)) => self.one_of(&[literal], start, end)?,
            (Shape::Status, Head::Str(start, end)) => self.one_of(&["success", "error"], start, end)?,
            (Shape::ChunkPosition, Head::Str(start, end)) => {
                seen.is_last_chunk = true;
                self.one_of(&["last"], start, end)?
            }
            (Shape::NoToolCalls, Head::Array(0)) => {
                seen.tool_calls = Some(false);
                PyList::empty(self.py).into_any()
            }
            (Shape::ToolCalls, Head::Array(length)) => {
                seen.tool_calls = Some(length > 0);
                self.calls(length, &TOOL_CALL, "tool_call")?
            }
            (Shape::InvalidToolCalls, Head::Array(length)) => {
                seen.tool_calls = seen.tool_calls.map(|calls| calls || length > 0);
                self.calls(length, &INVALID_TOOL_CALL, "invalid_tool_call")?
            }
            (Shape::Usage, Head::Map(length)) => self.usage(length)?,
            _ => return None,
        })
    }

    fn one_of(&mut self, literals: &[&str], start: usize, end: usize) -> Option<Bound<'py, PyAny>> {
        let text = self.cursor.blob.get(start..end)?;
        if !literals.iter().any(|literal| literal.as_bytes() == text) {
            return None;
        }
        Some(self.text(start, end).ok()?.into_any())
    }

    fn content(&mut self, length: usize) -> Option<Bound<'py, PyAny>> {
        let start = self.stack.len();
        for _ in 0..length {
            let item = match self.cursor.head().ok()? {
                Head::Str(start, end) => self.text(start, end).ok()?.into_any(),
                Head::Map(length) => self.plain_dict(length, PLAIN_DEPTH)?.into_any(),
                _ => return None,
            };
            self.stack.push(item);
        }
        containers::list_of(self.py, &mut self.stack, start).ok()
    }

    pub(super) fn plain(&mut self, levels: usize) -> Option<Bound<'py, PyAny>> {
        match self.cursor.head().ok()? {
            Head::Array(length) => {
                let inner = levels.checked_sub(1)?;
                let start = self.stack.len();
                for _ in 0..length {
                    let item = self.plain(inner)?;
                    self.stack.push(item);
                }
                containers::list_of(self.py, &mut self.stack, start).ok()
            }
            Head::Map(length) => Some(self.plain_dict(length, levels)?.into_any()),
            Head::Ext(..) => None,
            head => self.leaf(head).ok(),
        }
    }

    fn plain_dict(&mut self, length: usize, levels: usize) -> Option<Bound<'py, PyDict>> {
        let inner = levels.checked_sub(1)?;
        let dict = PyDict::new(self.py);
        for _ in 0..length {
            let Head::Str(start, end) = self.cursor.head().ok()? else {
                return None;
            };
            match self.strings.get(self.py, self.cursor.blob, start, end)? {
                Text::Shared(key) => {
                    let value = self.plain(inner)?;
                    dict.set_item(self.strings.at(key)?, value).ok()?;
                }
                Text::Own(key) => {
                    let value = self.plain(inner)?;
                    dict.set_item(key, value).ok()?;
                }
            }
        }
        Some(dict)
    }

    /// A list of dicts with exactly `keys`, in order.
    fn calls(&mut self, length: usize, keys: &[&str], literal: &str) -> Option<Bound<'py, PyAny>> {
        let start = self.stack.len();
        let regular = keys.len() == TOOL_CALL.len();
        for _ in 0..length {
            if self.cursor.head().ok()? != Head::Map(keys.len()) {
                return None;
            }
            let call = PyDict::new(self.py);
            for &name in keys {
                let key = self.expected_key(name)?;
                let value = match (name, self.cursor.head().ok()?) {
                    ("type", Head::Str(start, end)) => self.one_of(&[literal], start, end)?,
                    ("args", Head::Map(length)) if regular => {
                        self.plain_dict(length, PLAIN_DEPTH)?.into_any()
                    }
                    ("args", _) | ("name", Head::Nil) if regular => return None,
                    ("name" | "id" | "args" | "error", Head::Str(start, end)) => {
                        self.text(start, end).ok()?.into_any()
                    }
                    ("name" | "id" | "args" | "error", Head::Nil) => self.py.None().into_bound(self.py),
                    _ => return None,
                };
                call.set_item(key, value).ok()?;
            }
            self.stack.push(call.into_any());
        }
        containers::list_of(self.py, &mut self.stack, start).ok()
    }

    fn usage(&mut self, length: usize) -> Option<Bound<'py, PyAny>> {
        let rest = length.checked_sub(USAGE.len())?;
        let dict = PyDict::new(self.py);
        for name in USAGE {
            let key = self.expected_key(name)?;
            dict.set_item(key, self.count()?).ok()?;
        }
        let mut details = USAGE_DETAILS.iter();
        for _ in 0..rest {
            let Head::Str(start, end) = self.cursor.head().ok()? else {
                return None;
            };
            let text = self.cursor.blob.get(start..end)?;
            let (_, names) = details.find(|(name, _)| name.as_bytes() == text)?;
            let key = self.text(start, end).ok()?;
            let Head::Map(length) = self.cursor.head().ok()? else {
                return None;
            };
            let counts = PyDict::new(self.py);
            let mut names = names.iter();
            for _ in 0..length {
                let Head::Str(start, end) = self.cursor.head().ok()? else {
                    return None;
                };
                let text = self.cursor.blob.get(start..end)?;
                names.find(|name| name.as_bytes() == text)?;
                let key = self.text(start, end).ok()?;
                counts.set_item(key, self.count()?).ok()?;
            }
            dict.set_item(key, counts).ok()?;
        }
        Some(dict.into_any())
    }

    fn expected_key(&mut self, name: &str) -> Option<Bound<'py, PyAny>> {
        let Head::Str(start, end) = self.cursor.head().ok()? else {
            return None;
        };
        self.one_of(&[name], start, end)
    }

    fn count(&mut self) -> Option<Bound<'py, PyAny>> {
        let head = self.cursor.head().ok()?;
        if !matches!(head, Head::Unsigned(_) | Head::Signed(_)) {
            return None;
        }
        self.leaf(head).ok()
    }
}
