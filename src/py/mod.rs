//! The border: extract, detach, convert. The only room beside `codec` that names `pyo3`.

mod answers;
mod backend;
mod call;
mod channel;
mod convert;
mod copying;
mod errors;
mod fork;
mod metrics;
mod notices;
mod objects;
mod retention;
mod settings;
mod stats;
mod threads;

use pyo3::prelude::*;

/// The native half of `langgraph_checkpoint_rust`. Not imported by users.
#[pymodule(gil_used = false)]
mod _core {
    use super::{Bound, PyModule, PyModuleMethods, PyResult, pyfunction};

    #[pymodule_export]
    use super::backend::PySqliteBackend;
    #[pymodule_export]
    use super::call::{PyCall, PyCancel};
    #[pymodule_export]
    use super::channel::PyChannel;
    #[pymodule_export]
    use super::copying::{PyCarving, PyCopying, PySurvey};
    #[pymodule_export]
    use super::fork::{after_fork_in_child, after_fork_in_parent, before_fork};
    #[pymodule_export]
    use super::metrics::PyMeter;
    #[pymodule_export]
    use super::objects::{PyGarbage, PyRemoval, PyShapeBook};
    #[pymodule_export]
    use super::retention::PyRetentionRun;

    /// How this library was built: `(debug, SQLite version number, SQLite compile options)`.
    #[pyfunction]
    fn build_info() -> PyResult<(bool, i32, Vec<String>)> {
        let (version, options) = crate::sqlite::library()?;
        Ok((cfg!(debug_assertions), version, options))
    }

    /// A tenant's thread as a store that is not scoped names it.
    #[pyfunction]
    fn stored_thread_id(tenant: &str, thread_id: &str) -> String {
        crate::scoped::stored_thread_id(tenant, thread_id)
    }

    /// Plants a fault by its name; an empty one plants none.
    #[cfg(feature = "faults")]
    #[pyfunction]
    fn plant_fault(name: &str) -> PyResult<()> {
        super::plant_fault(name)
    }

    #[pymodule_export]
    use crate::codec::{Codec, Part, Payload, Unpack, dumps_json, loads_json};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

#[cfg(feature = "faults")]
fn plant_fault(name: &str) -> PyResult<()> {
    use crate::faults::{Fault, plant};

    let all = [
        Fault::AcknowledgeEarly,
        Fault::IgnoreAutocommit,
        Fault::Deferred,
        Fault::PanicAtEntry,
        Fault::PanicInTransaction,
        Fault::PanicAfterCommit,
        Fault::PanicInLeader,
        Fault::PanicInRead,
    ];
    let fault = all.into_iter().find(|fault| format!("{fault:?}") == name);
    if fault.is_none() && !name.is_empty() {
        return Err(pyo3::exceptions::PyValueError::new_err("an unknown fault"));
    }
    plant(fault);
    Ok(())
}
