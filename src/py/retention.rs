//! Policies from Python, and `_core.RetentionRun`: a run in steps.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pyo3::prelude::*;

use super::answers::{learning, object};
use super::call::PyCall;
use crate::retention::{Policy, Run, SharedRun, step};

/// `(keep_last, max_age, thread_idle_for, done_after, max_bytes, archive_to, default_ttl, interval)`; times in
/// ms, the interval in seconds.
pub(super) type PolicyArgument = (
    Option<usize>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<u64>,
    Option<PathBuf>,
    Option<i64>,
    Option<f64>,
);

pub(super) fn policy(argument: PolicyArgument) -> Policy {
    let (keep_last, max_age, thread_idle_for, done_after, max_bytes, archive_to, default_ttl, interval) =
        argument;
    Policy {
        keep_last,
        max_age,
        thread_idle_for,
        done_after,
        max_bytes,
        archive_to,
        default_ttl,
        interval: interval.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
    }
}

/// A run of a policy.
#[pyclass(name = "RetentionRun", module = "langgraph_checkpoint_rust._core", frozen)]
pub(super) struct PyRetentionRun(SharedRun);

impl PyRetentionRun {
    pub(super) fn new(run: Box<dyn Run>) -> Self {
        Self(Arc::new(Mutex::new(run)))
    }
}

#[pymethods]
impl PyRetentionRun {
    fn step(&self) -> PyCall {
        PyCall::new(step(Arc::clone(&self.0)), |py, stepped| {
            learning(py, stepped, |(is_last, outcomes)| {
                let outcomes: Vec<_> = outcomes
                    .iter()
                    .map(|outcome| {
                        let weight = outcome.weight;
                        let figures = (weight.checkpoints, weight.writes, weight.bytes);
                        (outcome.thread_id.as_str(), outcome.reason.as_str(), figures)
                    })
                    .collect();
                Ok(object(py, (is_last, outcomes))?.into_bound(py))
            })
        })
    }
}
