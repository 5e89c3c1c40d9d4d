//! `_core.Call`: a verb that is ready to be carried out, here or off the event loop.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::answers::object;
use super::channel::PyChannel;
use super::metrics::PyMeter;
use super::notices::log_notices;
use crate::error::{Error, Result};
use crate::pending::{Cancel, Pending};

/// A verb that is ready to be carried out, once.
#[pyclass(name = "Call", module = "langgraph_checkpoint_rust._core", frozen)]
pub(super) struct PyCall {
    work: Mutex<Option<Box<dyn PyWork>>>,
    /// Bytes that it stores.
    #[pyo3(get)]
    pub(super) bytes_in: u64,
    /// Bytes that it found; known once its outcome is.
    pub(super) bytes_out: Arc<AtomicU64>,
}

/// Withdraws a call that was left to run.
#[pyclass(name = "Cancel", module = "langgraph_checkpoint_rust._core", frozen)]
pub(super) struct PyCancel(Cancel);

trait PyWork: Send {
    fn wait(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>>;
    fn then(self: Box<Self>, channel: &PyChannel, token: u64) -> Cancel;
}

struct TypedCall<T, C> {
    pending: Pending<T>,
    measure: Option<fn(&T) -> usize>,
    bytes_out: Arc<AtomicU64>,
    convert: C,
}

impl PyCall {
    /// A call whose outcome `convert` turns into a Python object, attached.
    pub(super) fn new<T, C>(pending: Pending<T>, convert: C) -> Self
    where
        T: Send + 'static,
        C: FnOnce(Python<'_>, Result<T>) -> PyResult<Py<PyAny>> + Send + 'static,
    {
        Self::measured(pending, None, convert)
    }

    /// The same, and `measure` tells how many bytes of state were found.
    pub(super) fn measured<T, C>(pending: Pending<T>, measure: Option<fn(&T) -> usize>, convert: C) -> Self
    where
        T: Send + 'static,
        C: FnOnce(Python<'_>, Result<T>) -> PyResult<Py<PyAny>> + Send + 'static,
    {
        let bytes_out = Arc::new(AtomicU64::new(0));
        let work = TypedCall {
            pending,
            measure,
            bytes_out: Arc::clone(&bytes_out),
            convert,
        };
        Self {
            work: Mutex::new(Some(Box::new(work))),
            bytes_in: 0,
            bytes_out,
        }
    }

    fn take(&self) -> PyResult<Box<dyn PyWork>> {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        work.ok_or_else(|| PyRuntimeError::new_err("a call can be carried out once"))
    }
}

#[pymethods]
impl PyCall {
    #[pyo3(signature = (meter=None))]
    fn wait(&self, py: Python<'_>, meter: Option<&PyMeter>) -> PyResult<Py<PyAny>> {
        let answer = self.take()?.wait(py)?;
        if let Some(meter) = meter {
            meter.moved(self);
        }
        Ok(answer)
    }

    fn then(&self, channel: &PyChannel, token: u64) -> PyResult<PyCancel> {
        Ok(PyCancel(self.take()?.then(channel, token)))
    }

    #[getter]
    fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Ordering::Relaxed)
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
        let Self {
            pending,
            measure,
            bytes_out,
            convert,
        } = *self;
        let result = py.detach(|| pending.wait_unless(signal_came));
        note(&result, measure, &bytes_out);
        log_notices(py);
        if let Some(raised) = SIGNAL.with_borrow_mut(Option::take) {
            return Err(raised);
        }
        convert(py, result)
    }

    fn then(self: Box<Self>, channel: &PyChannel, token: u64) -> Cancel {
        let Self {
            pending,
            measure,
            bytes_out,
            convert,
        } = *self;
        let sender = channel.sender();
        pending.then(Box::new(move |result| {
            note(&result, measure, &bytes_out);
            sender.send(token, Box::new(move |py| convert(py, result)));
        }))
    }
}

/// A call that answers None.
pub(super) fn acknowledged(pending: Pending<()>) -> PyCall {
    PyCall::new(pending, |py, done| {
        done?;
        Ok(py.None())
    })
}

/// A call that stores so many bytes: True if the thread is being deleted, and nothing was stored.
pub(super) fn stored(pending: Pending<()>, size: usize) -> PyCall {
    let call = PyCall::new(pending, |py, done| match done {
        Err(Error::BeingDeleted) => object(py, true),
        done => object(py, done.map(|()| false)?),
    });
    PyCall {
        bytes_in: size as u64,
        ..call
    }
}

fn note<T>(result: &Result<T>, measure: Option<fn(&T) -> usize>, bytes_out: &AtomicU64) {
    if let (Ok(found), Some(measure)) = (result, measure) {
        bytes_out.store(measure(found) as u64, Ordering::Relaxed);
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
