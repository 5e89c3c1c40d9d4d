//! Why an object could not be encoded, and where in it.

use pyo3::exceptions::{PyException, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

/// Steps of a path that a message shows; a recursion error has hundreds.
const STEPS_SHOWN: usize = 12;

/// A failed encoding. The path grows from the inside out while the error travels up.
#[derive(Debug)]
pub(super) struct EncodeError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    reason: Reason,
    steps: Vec<String>,
}

#[derive(Debug)]
enum Reason {
    /// What `ormsgpack` refuses, in its words.
    Refused(&'static str),
    /// What upstream's `_msgpack_default` or a part of it refused: the sentence, and its exception.
    Foreign(String, Option<PyErr>),
    /// Not ours to translate: `KeyboardInterrupt`, `SystemExit`.
    Untouched(PyErr),
}

pub(super) type EncodeResult<T> = Result<T, EncodeError>;

impl EncodeError {
    pub(super) fn refused(words: &'static str) -> Self {
        Self::new(Reason::Refused(words), Vec::new())
    }

    /// An exception of upstream's code while it encoded an object of class `class`.
    pub(super) fn from_default(py: Python<'_>, class: &str, error: PyErr) -> Self {
        if !error.is_instance_of::<PyException>(py) {
            return Self::new(Reason::Untouched(error), Vec::new());
        }
        if let Some((sentence, steps)) = inner_place(py, &error) {
            return Self::new(Reason::Foreign(sentence, Some(error)), steps);
        }
        Self::new(
            Reason::Foreign(format!("{class} is not serializable"), Some(error)),
            Vec::new(),
        )
    }

    /// An exception of `ormsgpack` for a key or a leaf.
    pub(super) fn from_leaf(py: Python<'_>, error: PyErr) -> Self {
        if !error.is_instance_of::<PyException>(py) {
            return Self::new(Reason::Untouched(error), Vec::new());
        }
        Self::new(
            Reason::Foreign(error.value(py).to_string(), Some(error)),
            Vec::new(),
        )
    }

    fn new(reason: Reason, steps: Vec<String>) -> Self {
        Self(Box::new(Inner { reason, steps }))
    }

    #[cold]
    pub(super) fn in_element(mut self, index: usize) -> Self {
        self.0.steps.push(format!("element {index}"));
        self
    }

    #[cold]
    pub(super) fn in_key(mut self, key: Borrowed<'_, '_, PyAny>) -> Self {
        let step = match key.cast::<PyString>() {
            Ok(key) => format!("`{}`", key.to_string_lossy()),
            Err(_) => format!("a key of type {}", class_name(key)),
        };
        self.0.steps.push(step);
        self
    }

    /// The exception for Python: a `SerializationError`, which is a `TypeError` as upstream's is.
    pub(super) fn into_py(self, py: Python<'_>) -> PyErr {
        static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let Inner { reason, mut steps } = *self.0;
        let (sentence, cause) = match reason {
            Reason::Untouched(error) => return error,
            Reason::Refused(words) => (words.to_owned(), PyTypeError::new_err(words)),
            Reason::Foreign(sentence, cause) => {
                let cause = cause.unwrap_or_else(|| PyTypeError::new_err(sentence.clone()));
                (sentence, cause)
            }
        };
        steps.reverse();
        let text = describe(&steps, &sentence);
        let made = CLASS
            .import(py, "langgraph_checkpoint_rust.errors", "SerializationError")
            .and_then(|class| class.call1((text,)));
        match made {
            Ok(error) => {
                // Read by `inner_place` if this error passes through an object that encodes its parts.
                if let Err(error) =
                    PyTuple::new(py, &steps).and_then(|steps| error.setattr("_place", (sentence, steps)))
                {
                    return error;
                }
                let error = PyErr::from_value(error);
                error.set_cause(py, Some(cause));
                error
            }
            Err(error) => error,
        }
    }
}

/// The sentence and the path, innermost step first, of an error that this codec raised for a part of an object.
fn inner_place(py: Python<'_>, error: &PyErr) -> Option<(String, Vec<String>)> {
    let value = error.value(py);
    let dict = value.getattr_opt("__dict__").ok()??;
    let place = dict.cast_into::<PyDict>().ok()?.get_item("_place").ok()??;
    let (sentence, mut steps): (String, Vec<String>) = place.extract().ok()?;
    // Parts travel as (module, class, part, …): the number says nothing.
    if steps.first().is_some_and(|step| step == "element 2") {
        steps.remove(0);
    }
    steps.reverse();
    Some((sentence, steps))
}

pub(super) fn class_name(object: Borrowed<'_, '_, PyAny>) -> String {
    object.get_type().name().map_or_else(
        |_| "object".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// ``channel `df`, element 3 -> `meta`: DataFrame is not serializable``
fn describe(steps: &[String], sentence: &str) -> String {
    let (channel, rest) = match steps {
        [top, channel, rest @ ..] if top == "`channel_values`" => (Some(channel), rest),
        rest => (None, rest),
    };
    let mut path = rest
        .iter()
        .take(STEPS_SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(" -> ");
    if rest.len() > STEPS_SHOWN {
        path.push_str(" -> …");
    }
    match channel {
        Some(channel) if path.is_empty() => format!("channel {channel}: {sentence}"),
        Some(channel) => format!("channel {channel}, {path}: {sentence}"),
        None if path.is_empty() => sentence.to_owned(),
        None => format!("{path}: {sentence}"),
    }
}
