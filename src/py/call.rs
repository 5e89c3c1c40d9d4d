//! `_core.Call`: a verb that is ready to be carried out, here or off the event loop.

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::channel::PyChannel;
use super::notices::log_notices;
use crate::error::Result;
use crate::pending::{Cancel, Pending};

/// A verb that is ready to be carried out, once.
#[pyclass(name = "Call", module = "langgraph_checkpoint_rust._core", frozen)]
pub(super) struct PyCall(Mutex<Option<Box<dyn PyWork>>>);

/// Withdraws a call that was left to run.
#[pyclass(name = "Cancel", module = "langgraph_checkpoint_rust._core", frozen)]
pub(super) struct PyCancel(Cancel);

trait PyWork: Send {
    fn wait(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>>;
    fn then(self: Box<Self>, channel: &PyChannel, token: u64) -> Cancel;
}

struct TypedCall<T, C> {
    pending: Pending<T>,
    convert: C,
}

impl PyCall {
    /// A call whose outcome `convert` turns into a Python object, attached.
    pub(super) fn new<T, C>(pending: Pending<T>, convert: C) -> Self
    where
        T: Send + 'static,
        C: FnOnce(Python<'_>, Result<T>) -> PyResult<Py<PyAny>> + Send + 'static,
    {
        Self(Mutex::new(Some(Box::new(TypedCall { pending, convert }))))
    }

    fn take(&self) -> PyResult<Box<dyn PyWork>> {
        let work = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        work.ok_or_else(|| PyRuntimeError::new_err("a call can be carried out once"))
    }
}

#[pymethods]
impl PyCall {
    fn wait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.take()?.wait(py)
    }

    fn then(&self, channel: &PyChannel, token: u64) -> PyResult<PyCancel> {
        Ok(PyCancel(self.take()?.then(channel, token)))
    }
}

#[pymethods]
impl PyCancel {
    fn cancel(&self) {
        self.0.cancel();
    }
}

impl<T, C> PyWork for TypedCall<T, C>
where
    T: Send + 'static,
    C: FnOnce(Python<'_>, Result<T>) -> PyResult<Py<PyAny>> + Send + 'static,
{
    fn wait(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let Self { pending, convert } = *self;
        let result = py.detach(|| pending.wait_unless(signal_came));
        log_notices(py);
        if let Some(raised) = SIGNAL.with_borrow_mut(Option::take) {
            return Err(raised);
        }
        convert(py, result)
    }

    fn then(self: Box<Self>, channel: &PyChannel, token: u64) -> Cancel {
        let Self { pending, convert } = *self;
        let sender = channel.sender();
        pending.then(Box::new(move |result| {
            sender.send(token, Box::new(move |py| convert(py, result)));
        }))
    }
}

thread_local! {
    /// What a signal handler raised while this thread waited.
    static SIGNAL: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Runs pending signal handlers; true if one raised, as Ctrl-C's does.
fn signal_came() -> bool {
    let raised = Python::try_attach(|py| py.check_signals().err()).flatten();
    let came = raised.is_some();
    if came {
        SIGNAL.set(raised);
    }
    came
}
