//! Threads across the border.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::convert::{ConditionArgument, metadata_filter};
use crate::error::{Error, Result};
use crate::model::{
    ChannelStored, HistoryPage, Notes, Thread, ThreadCursor, ThreadFilter, ThreadOrder, ThreadRange,
};

/// `(status, archived, conditions, order)`.
pub(super) type ThreadFilterArgument = (Option<String>, Option<bool>, Vec<ConditionArgument>, String);

pub(super) fn thread_filter(
    (status, archived, metadata, order): ThreadFilterArgument,
) -> Result<ThreadFilter> {
    Ok(ThreadFilter {
        status,
        archived,
        metadata: metadata.into_iter().map(metadata_filter).collect(),
        order: match order.as_str() {
            "updated" => ThreadOrder::Updated,
            "created" => ThreadOrder::Created,
            "thread_id" => ThreadOrder::Id,
            _ => return Err(Error::Invalid(format!("threads have no order `{order}`"))),
        },
        threads: ThreadRange::default(),
        ttl: None,
    })
}

/// `(time, number, id)`.
pub(super) type CursorArgument = (i64, i64, String);

pub(super) fn thread_cursor((time, thread_no, thread_id): CursorArgument) -> ThreadCursor {
    ThreadCursor {
        time,
        thread_no,
        thread_id,
    }
}

impl<'py> IntoPyObject<'py> for &Thread {
    type Target = PyTuple;
    type Output = Bound<'py, PyTuple>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let place = (self.thread_no, self.thread_id.as_str());
        let figures = (self.created, self.updated, self.checkpoints, self.bytes);
        let progress = (
            self.step,
            self.source.as_deref(),
            self.run_id.as_deref(),
            self.status.as_deref(),
            self.nodes.as_deref(),
        );
        let notes = (
            self.title.as_deref(),
            self.metadata.as_deref(),
            self.archived,
            self.pinned,
        );
        (place, figures, progress, notes).into_pyobject(py)
    }
}

/// `(title, metadata, archived, pinned, ttl, expires)`.
pub(super) type NotesArgument = (
    Option<String>,
    Option<String>,
    bool,
    bool,
    Option<i64>,
    Option<i64>,
);

pub(super) fn thread_notes((title, metadata, archived, pinned, ttl, expires): NotesArgument) -> Notes {
    Notes {
        title,
        metadata,
        archived,
        pinned,
        ttl,
        expires,
    }
}

impl<'py> IntoPyObject<'py> for &Notes {
    type Target = PyTuple;
    type Output = Bound<'py, PyTuple>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        (
            self.title.as_deref(),
            self.metadata.as_deref(),
            self.archived,
            self.pinned,
            self.ttl,
            self.expires,
        )
            .into_pyobject(py)
    }
}

impl<'py> IntoPyObject<'py> for &HistoryPage {
    type Target = PyTuple;
    type Output = Bound<'py, PyTuple>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let entries = self
            .entries
            .iter()
            .map(|entry| {
                let id = entry.checkpoint_id.as_str();
                match &entry.stored {
                    ChannelStored::Value(value) => (id, "value", value).into_pyobject(py),
                    ChannelStored::Seed(value) => (id, "seed", value).into_pyobject(py),
                    ChannelStored::Checkpoint(value) => (id, "checkpoint", value).into_pyobject(py),
                    ChannelStored::Writes(writes) => {
                        let writes = writes
                            .iter()
                            .map(|write| write.into_pyobject(py))
                            .collect::<PyResult<Vec<_>>>()?;
                        (id, "writes", writes).into_pyobject(py)
                    }
                }
            })
            .collect::<PyResult<Vec<_>>>()?;
        (entries, self.next.as_deref()).into_pyobject(py)
    }
}
