//! The figures of a store as a Python dict.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::backend::object;
use crate::model::Stats;
use crate::sqlite::lock_guard;

pub(super) fn stats_of<'py>(py: Python<'py>, stats: Stats) -> PyResult<Bound<'py, PyDict>> {
    let Stats { writer, readers, wal } = stats;
    let guard = lock_guard::counters();
    let parts: [(&str, Vec<(&str, Bound<'py, PyAny>)>); 4] = [
        (
            "writer",
            vec![
                ("groups", object(py, writer.groups)?.into_bound(py)),
                ("jobs", object(py, writer.jobs)?.into_bound(py)),
                ("largest_group", object(py, writer.largest_group)?.into_bound(py)),
                ("void_groups", object(py, writer.void_groups)?.into_bound(py)),
                ("queued", object(py, writer.queued)?.into_bound(py)),
                ("lock_waits", object(py, writer.lock_waits)?.into_bound(py)),
            ],
        ),
        (
            "readers",
            vec![
                ("open", object(py, readers.open)?.into_bound(py)),
                ("idle", object(py, readers.idle)?.into_bound(py)),
                ("size", object(py, readers.size)?.into_bound(py)),
            ],
        ),
        (
            "wal",
            vec![
                ("bytes", object(py, wal.bytes)?.into_bound(py)),
                ("pages", object(py, wal.pages)?.into_bound(py)),
                (
                    "checkpointed_pages",
                    object(py, wal.checkpointed_pages)?.into_bound(py),
                ),
                ("checkpoints", object(py, wal.checkpoints)?.into_bound(py)),
                ("blocked", object(py, wal.blocked)?.into_bound(py)),
            ],
        ),
        (
            "lock_guard",
            vec![
                ("status", object(py, guard_status())?.into_bound(py)),
                ("files", object(py, guard.files)?.into_bound(py)),
                (
                    "private_descriptors",
                    object(py, guard.private_descriptors)?.into_bound(py),
                ),
                (
                    "parked_descriptors",
                    object(py, guard.parked_descriptors)?.into_bound(py),
                ),
                ("refused_locks", object(py, guard.refused_locks)?.into_bound(py)),
            ],
        ),
    ];
    let all = PyDict::new(py);
    for (name, figures) in parts {
        let part = PyDict::new(py);
        for (figure, value) in figures {
            part.set_item(figure, value)?;
        }
        all.set_item(name, part)?;
    }
    Ok(all)
}

fn guard_status() -> &'static str {
    match lock_guard::status() {
        lock_guard::Status::Active => "active",
        lock_guard::Status::Disabled => "disabled",
        lock_guard::Status::Undecided => "undecided",
        lock_guard::Status::Unsupported(reason) => reason,
    }
}
