//! The three hooks of `os.register_at_fork`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pyo3::prelude::*;

use crate::sqlite::fork;

/// How long a fork waits for calls in flight. None of ours holds a connection for so long by design.
const PATIENCE: Duration = Duration::from_secs(5);

static QUIET: AtomicBool = AtomicBool::new(true);

#[pyfunction]
pub(super) fn before_fork(py: Python<'_>) {
    let quiet = py.detach(|| fork::before(PATIENCE));
    QUIET.store(quiet, Ordering::SeqCst);
}

#[pyfunction]
pub(super) fn after_fork_in_parent() {
    fork::after_in_parent();
}

#[pyfunction]
pub(super) fn after_fork_in_child() {
    fork::after_in_child(QUIET.load(Ordering::SeqCst));
}
