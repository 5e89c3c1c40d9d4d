//! The frequent small extensions, both ways, without upstream's Python code: sets, UUIDs, decimals, datetimes.
//!
//! Only exact types, and only what upstream's own list of safe types admits whatever the allow-list says; each
//! class is looked up by its name anew, as upstream does. Anything unexpected goes to upstream's code instead.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

use super::containers;
use super::cursor::{Cursor, Head};
use super::decode::Decoder;
use super::depth::{self, Descent};
use super::encode::{Encoder, LEVELS};
use super::error::EncodeResult;
use super::raw;
use super::shapes::PLAIN_DEPTH;

/// Extension codes: `(module, name, argument)` and `(module, name, argument, method)`.
const EXT_SINGLE_ARGUMENT: u8 = 0;
const EXT_METHOD: u8 = 3;
const FROM_ISO: &str = "fromisoformat";

/// How an instance becomes the argument that makes it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Argument {
    /// `tuple(object)`
    Items,
    /// An attribute.
    Attribute(&'static str),
    /// `str(object)`
    Text,
    /// `object.isoformat()`, revived by `fromisoformat`.
    IsoFormat,
}

static KNOWN: [(&str, &str, Argument); 6] = [
    ("datetime", "datetime", Argument::IsoFormat),
    ("uuid", "UUID", Argument::Attribute("hex")),
    ("builtins", "set", Argument::Items),
    ("builtins", "frozenset", Argument::Items),
    ("collections", "deque", Argument::Items),
    ("decimal", "Decimal", Argument::Text),
];

/// A class that upstream lists as safe.
#[derive(Debug)]
struct SafeClass {
    class: Py<PyType>,
    module: Py<PyString>,
    name: Py<PyString>,
    argument: Argument,
}

#[derive(Debug)]
pub(super) struct SafeClasses {
    classes: Vec<SafeClass>,
    modules: Py<PyDict>,
}

impl SafeClasses {
    /// Those of `classes`, given as `(module, name, class)`, that are known here.
    pub(super) fn new(
        py: Python<'_>,
        classes: Vec<(String, String, Py<PyType>)>,
        modules: Py<PyDict>,
    ) -> Self {
        let find = |(module, name, class): (String, String, Py<PyType>)| {
            let known = KNOWN.iter().find(|known| known.0 == module && known.1 == name)?;
            let (module, name) = (
                PyString::intern(py, &module).unbind(),
                PyString::intern(py, &name).unbind(),
            );
            Some(SafeClass {
                class,
                module,
                name,
                argument: known.2,
            })
        };
        Self {
            classes: classes.into_iter().filter_map(find).collect(),
            modules,
        }
    }

    fn of_instance(&self, object: Borrowed<'_, '_, PyAny>) -> Option<&SafeClass> {
        let class = object.get_type_ptr();
        self.classes
            .iter()
            .find(|known| known.class.as_ptr() == class.cast())
    }
}

impl<'py> Encoder<'_, 'py> {
    /// Writes an exact instance of a known class. `false`, and nothing written, if it is upstream's to write.
    pub(super) fn safe(&mut self, object: Borrowed<'_, 'py, PyAny>, depth: usize) -> EncodeResult<bool> {
        let py = self.py;
        let Some(known) = self.codec.safe.of_instance(object) else {
            return Ok(false);
        };
        let argument = match known.argument {
            Argument::Items => containers::items(object),
            Argument::Attribute(name) => object.getattr(name),
            Argument::Text => object.str().map(Bound::into_any),
            Argument::IsoFormat => object.call_method0("isoformat"),
        };
        let Ok(argument) = argument else { return Ok(false) };
        let is_method = known.argument == Argument::IsoFormat;
        let open = self.out.ext_start();
        self.out.array(if is_method { 4 } else { 3 });
        for name in [&known.module, &known.name] {
            let name = name.bind(py).as_any().as_borrowed();
            self.out.str(raw::utf8(name).unwrap_or_default());
        }
        // A payload is an encoding of its own: its depth counts from zero.
        let _open = Descent::new(depth);
        let outer = (self.levels, self.defaults);
        (self.levels, self.defaults) = (depth::allowance(LEVELS), 0);
        let written = self.value(argument.as_borrowed(), 1);
        (self.levels, self.defaults) = outer;
        written?;
        if is_method {
            self.out.str(FROM_ISO.as_bytes());
        }
        self.out.ext_end(
            open,
            if is_method {
                EXT_METHOD
            } else {
                EXT_SINGLE_ARGUMENT
            },
        );
        Ok(true)
    }
}

impl<'py> Decoder<'_, 'py> {
    /// The object whose payload is at `start..end`, if its class is known and its argument plain.
    pub(super) fn safe(&mut self, code: i8, start: usize, end: usize) -> Option<Bound<'py, PyAny>> {
        if code != EXT_SINGLE_ARGUMENT.cast_signed() && code != EXT_METHOD.cast_signed() {
            return None;
        }
        let (outer, items) = (self.cursor, self.stack.len());
        self.cursor = Cursor {
            blob: self.cursor.blob.get(..end)?,
            position: start,
        };
        let object = self.construct(code == EXT_METHOD.cast_signed());
        self.cursor = outer;
        self.stack.truncate(items);
        object
    }

    fn construct(&mut self, is_method: bool) -> Option<Bound<'py, PyAny>> {
        let (py, codec) = (self.py, self.codec);
        if self.cursor.head().ok()? != Head::Array(if is_method { 4 } else { 3 }) {
            return None;
        }
        let (module, name) = (self.cursor.text()?, self.cursor.text()?);
        let known = codec.safe.classes.iter().find(|known| {
            let is =
                |text: &Py<PyString>, slice| raw::utf8(text.bind(py).as_any().as_borrowed()) == Some(slice);
            (known.argument == Argument::IsoFormat) == is_method
                && is(&known.name, name)
                && is(&known.module, module)
        })?;
        let argument = self.plain(PLAIN_DEPTH)?;
        if is_method && self.cursor.text()? != FROM_ISO.as_bytes() || !self.cursor.at_end() {
            return None;
        }
        // From here on Python code may run.
        self.end_pause();
        let module = codec
            .safe
            .modules
            .bind(py)
            .get_item(known.module.bind(py))
            .ok()??;
        let mut maker = module.getattr(known.name.bind(py)).ok()?;
        if is_method {
            maker = maker.getattr(FROM_ISO).ok()?;
        }
        maker.call1((argument,)).ok()
    }
}
