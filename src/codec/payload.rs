//! What upstream's `_msgpack_default` answers when the codec asks: an extension's code and bytes.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Stands in for `ormsgpack.Ext`, whose content cannot be read back.
#[pyclass(frozen, module = "langgraph_checkpoint_rust._core")]
#[derive(Debug)]
pub(crate) struct Payload {
    pub(super) code: u8,
    pub(super) data: Py<PyBytes>,
}

#[pymethods]
impl Payload {
    #[new]
    fn new(code: u8, data: Py<PyBytes>) -> PyResult<Self> {
        if code > 127 {
            return Err(pyo3::exceptions::PyTypeError::new_err(
                "Extension type out of range",
            ));
        }
        Ok(Self { code, data })
    }
}
