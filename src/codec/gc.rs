//! Pausing the cyclic collector while a large message list is decoded.
//!
//! Up to Python 3.11 the collector runs inside allocations: decoding 1,000 messages starts it dozens of times
//! over objects that are all alive. (From 3.12 on it runs between bytecodes, so there is nothing to pause.)
//!
//! The flag belongs to the whole interpreter, so the pause must never be seen: it lasts only while no Python
//! code can run and the GIL is not released. That holds while plain objects and messages are built; it ends
//! for good at the first call of a hook, because from then on dropping an object may run user code too.

use pyo3::Python;

use super::raw;

/// Blobs below this length are not worth two calls.
const WORTHWHILE: usize = 8 * 1024;

pub(super) struct GcPause<'py> {
    py: Python<'py>,
    paused: bool,
}

impl<'py> GcPause<'py> {
    pub(super) fn new(py: Python<'py>, allowed: bool, length: usize) -> Self {
        Self {
            py,
            paused: allowed && length >= WORTHWHILE && raw::disable_gc(py),
        }
    }

    /// Ends the pause. Must come before anything that can run Python code.
    #[inline]
    pub(super) fn end(&mut self) {
        if self.paused {
            self.paused = false;
            raw::enable_gc(self.py);
        }
    }
}

impl Drop for GcPause<'_> {
    fn drop(&mut self) {
        self.end();
    }
}
