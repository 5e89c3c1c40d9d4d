//! What Python holds between two calls of a verb.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use pyo3::prelude::*;

use super::convert::{TypedArgument, typed_value};
use crate::model::{Garbage, Removal};
use crate::shape::{Shape, ShapeBook};

/// What a verb found to be removed.
#[pyclass(name = "Removal", module = "langgraph_checkpoint_rust._core", frozen)]
pub(super) struct PyRemoval(pub(super) Arc<Removal>);

#[pymethods]
impl PyRemoval {
    fn __len__(&self) -> usize {
        self.0.steps.len()
    }

    /// Checkpoints, writes and bytes that go.
    #[getter]
    fn weight(&self) -> (u64, u64, u64) {
        let weight = self.0.weight;
        (weight.checkpoints, weight.writes, weight.bytes)
    }

    /// The threads that lose something.
    #[getter]
    fn thread_ids(&self) -> BTreeSet<&str> {
        self.0.thread_ids().collect()
    }
}

/// Chunks that nothing refers to.
#[pyclass(name = "Garbage", module = "langgraph_checkpoint_rust._core", frozen)]
pub(super) struct PyGarbage(pub(super) Arc<Garbage>);

#[pymethods]
impl PyGarbage {
    fn __len__(&self) -> usize {
        self.0.chunks.len()
    }
}

/// The outlines of checkpoints that only their serializer can read.
#[pyclass(name = "ShapeBook", module = "langgraph_checkpoint_rust._core", frozen)]
#[derive(Default)]
pub(super) struct PyShapeBook(pub(super) Arc<ShapeBook>);

#[pymethods]
impl PyShapeBook {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn learn(
        &self,
        value: TypedArgument,
        version: i64,
        timestamp: Option<String>,
        channel_versions: HashSet<String>,
        channel_values: HashMap<String, bool>,
    ) {
        let shape = Shape {
            version,
            timestamp,
            channel_versions,
            channel_values,
        };
        self.0.learn(&typed_value(value), shape);
    }
}
