//! `_core.Channel`: brings outcomes to an event loop.
//!
//! Threads of the engine never touch Python: they push the outcome and write one byte to a socket
//! that the loop watches, once per wake-up however many outcomes came. So nothing here can hang or
//! abort an interpreter that is going down.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::notices::log_notices;

/// Makes the Python object of an outcome, attached.
pub(super) type Outcome = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// The loop's end.
#[pyclass(name = "Channel", module = "langgraph_checkpoint_rust._core", frozen)]
pub(super) struct PyChannel {
    receiver: UnixStream,
    shared: Arc<Shared>,
}

struct Shared {
    sender: UnixStream,
    arrived: Mutex<Vec<(u64, Outcome)>>,
}

/// A thread's end.
pub(super) struct Sender(Arc<Shared>);

impl Sender {
    pub(super) fn send(&self, token: u64, outcome: Outcome) {
        let first = {
            let mut arrived = self.0.arrived();
            arrived.push((token, outcome));
            arrived.len() == 1
        };
        if first {
            // A full buffer or a closed loop: the wake-up is on its way, or nobody waits.
            drop((&self.0.sender).write(&[1]));
        }
    }
}

impl Shared {
    fn arrived(&self) -> MutexGuard<'_, Vec<(u64, Outcome)>> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PyChannel {
    pub(super) fn sender(&self) -> Sender {
        Sender(Arc::clone(&self.shared))
    }
}

#[pymethods]
impl PyChannel {
    #[new]
    fn new() -> PyResult<Self> {
        let (receiver, sender) = UnixStream::pair()?;
        receiver.set_nonblocking(true)?;
        sender.set_nonblocking(true)?;
        let shared = Shared {
            sender,
            arrived: Mutex::default(),
        };
        Ok(Self {
            receiver,
            shared: Arc::new(shared),
        })
    }

    fn fileno(&self) -> RawFd {
        self.receiver.as_raw_fd()
    }

    fn drain<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        // Read before taking: a byte that is written later announces what was not taken.
        let mut bytes = [0; 64];
        while (&self.receiver)
            .read(&mut bytes)
            .is_ok_and(|count| count == bytes.len())
        {}
        log_notices(py);
        let arrived = std::mem::take(&mut *self.shared.arrived());
        let outcomes = PyList::empty(py);
        for (token, outcome) in arrived {
            let entry: Bound<'py, PyTuple> = match outcome(py) {
                Ok(value) => (token, value, py.None()).into_pyobject(py)?,
                Err(error) => (token, py.None(), error.into_value(py)).into_pyobject(py)?,
            };
            outcomes.append(entry)?;
        }
        Ok(outcomes)
    }
}
