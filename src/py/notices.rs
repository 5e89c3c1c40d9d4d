//! Logs what threads of the engine, which never touch Python, leave for the operator.

use pyo3::prelude::*;

use crate::notice;

/// Logs what threads of the engine had to say. That logging fails is no reason for a verb to fail.
pub(super) fn log_notices(py: Python<'_>) {
    for notice in notice::take() {
        let logged = py
            .import("logging")
            .and_then(|logging| logging.call_method1("getLogger", ("langgraph_checkpoint_rust",)))
            .and_then(|logger| logger.call_method1("warning", ("%s", notice)));
        if let Err(error) = logged {
            error.write_unraisable(py, None);
        }
    }
}
