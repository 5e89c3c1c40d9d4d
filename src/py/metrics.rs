//! `_core.Meter`: counts and times a verb of a saver.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use pyo3::prelude::*;

use super::call::PyCall;
use crate::metrics::Meter;

/// `(count, seconds, (p50, p95, p99), calls below each power of two of nanoseconds, (bytes in, bytes out))`.
type Report = (u64, f64, Option<(f64, f64, f64)>, Vec<u64>, (u64, u64));

/// Figures of a verb. May be used from any thread.
#[pyclass(name = "Meter", module = "langgraph_checkpoint_rust._core", frozen)]
pub(super) struct PyMeter(Meter);

#[pymethods]
impl PyMeter {
    #[new]
    fn new() -> Self {
        Self(Meter::default())
    }

    pub(super) fn moved(&self, call: &PyCall) {
        self.0.bytes_in.fetch_add(call.bytes_in, Relaxed);
        self.0.bytes_out.fetch_add(call.bytes_out.load(Relaxed), Relaxed);
    }

    fn record(&self, seconds: f64) {
        // A clock that went backwards counts as no time.
        let duration = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
        self.0.durations.record(duration);
    }

    fn report(&self, exponents: Vec<u32>) -> Report {
        let durations = self.0.durations.snapshot();
        let quantile = |part| durations.quantile(part).map(|found| found.as_secs_f64());
        let quantiles = quantile(0.5).zip(quantile(0.95)).zip(quantile(0.99));
        let below = exponents
            .into_iter()
            .map(|exponent| durations.below(exponent.min(u64::BITS - 1)));
        (
            durations.count(),
            durations.total.as_secs_f64(),
            quantiles.map(|((half, most), nearly_all)| (half, most, nearly_all)),
            below.collect(),
            (self.0.bytes_in.load(Relaxed), self.0.bytes_out.load(Relaxed)),
        )
    }
}
