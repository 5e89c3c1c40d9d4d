//! The border: extract, detach, convert. The only room beside `codec` that names `pyo3`.

use pyo3::prelude::*;

/// The native half of `langgraph_checkpoint_rust`. Not imported by users.
#[pymodule(gil_used = false)]
mod _core {
    use super::{Bound, PyModule, PyModuleMethods, PyResult};

    #[pymodule_export]
    use crate::codec::{Codec, Part, Payload, Unpack};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
