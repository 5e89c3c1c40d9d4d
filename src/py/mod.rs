//! The border: extract, detach, convert. The only room beside `codec` that names `pyo3`.

mod backend;
mod call;
mod channel;
mod convert;
mod errors;
mod fork;
mod notices;
mod settings;

use pyo3::prelude::*;

/// The native half of `langgraph_checkpoint_rust`. Not imported by users.
#[pymodule(gil_used = false)]
mod _core {
    use super::{Bound, PyModule, PyModuleMethods, PyResult, pyfunction};

    #[pymodule_export]
    use super::backend::{PyRemoval, PyShapeBook, PySqliteBackend};
    #[pymodule_export]
    use super::call::{PyCall, PyCancel};
    #[pymodule_export]
    use super::channel::PyChannel;
    #[pymodule_export]
    use super::fork::{after_fork_in_child, after_fork_in_parent, before_fork};

    /// How this library was built: `(debug, SQLite version number, SQLite compile options)`.
    #[pyfunction]
    fn build_info() -> PyResult<(bool, i32, Vec<String>)> {
        let (version, options) = crate::sqlite::library()?;
        Ok((cfg!(debug_assertions), version, options))
    }

    #[pymodule_export]
    use crate::codec::{Codec, Part, Payload, Unpack};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
