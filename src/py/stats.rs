//! `stats()`: the figures as dicts, and what the stored state costs.

use std::collections::BTreeMap;

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::answers::object;
use crate::model::{Stats, Storage};
use crate::sqlite::lock_guard;

pub(super) fn stats_dict<'py>(py: Python<'py>, stats: Stats) -> PyResult<Bound<'py, PyDict>> {
    let Stats {
        writer,
        readers,
        cache,
        wal,
        retention,
    } = stats;
    let guard = lock_guard::counters();
    let parts: [(&str, Vec<(&str, Bound<'py, PyAny>)>); 6] = [
        (
            "writer",
            vec![
                entry(py, "groups", writer.groups)?,
                entry(py, "jobs", writer.jobs)?,
                entry(py, "largest_group", writer.largest_group)?,
                entry(py, "void_groups", writer.void_groups)?,
                entry(py, "queued", writer.queued)?,
                entry(py, "lock_waits", writer.lock_waits)?,
            ],
        ),
        (
            "readers",
            vec![
                entry(py, "open", readers.open)?,
                entry(py, "idle", readers.idle)?,
                entry(py, "size", readers.size)?,
                entry(py, "waits", readers.waits)?,
                entry(py, "timeouts", readers.timeouts)?,
                entry(
                    py,
                    "waited_seconds",
                    Duration::from_micros(readers.waited_microseconds).as_secs_f64(),
                )?,
            ],
        ),
        (
            "cache",
            vec![
                entry(py, "hits", cache.hits)?,
                entry(py, "misses", cache.misses)?,
                entry(py, "entries", cache.entries)?,
                entry(py, "bytes", cache.bytes)?,
            ],
        ),
        (
            "wal",
            vec![
                entry(py, "bytes", wal.bytes)?,
                entry(py, "pages", wal.pages)?,
                entry(py, "checkpointed_pages", wal.checkpointed_pages)?,
                entry(py, "checkpoints", wal.checkpoints)?,
                entry(py, "blocked", wal.blocked)?,
            ],
        ),
        (
            "retention",
            vec![
                entry(py, "runs", retention.runs)?,
                entry(py, "threads", retention.threads)?,
                entry(py, "checkpoints", retention.weight.checkpoints)?,
                entry(py, "writes", retention.weight.writes)?,
                entry(py, "bytes", retention.weight.bytes)?,
                entry(py, "skipped", retention.skipped)?,
                entry(py, "failed", retention.failed)?,
            ],
        ),
        (
            "lock_guard",
            vec![
                entry(py, "status", guard_status())?,
                entry(py, "files", guard.files)?,
                entry(py, "private_descriptors", guard.private_descriptors)?,
                entry(py, "parked_descriptors", guard.parked_descriptors)?,
                entry(py, "refused_locks", guard.refused_locks)?,
            ],
        ),
    ];
    let stats = PyDict::new(py);
    for (name, figures) in parts {
        let part = PyDict::new(py);
        for (figure, value) in figures {
            part.set_item(figure, value)?;
        }
        stats.set_item(name, part)?;
    }
    Ok(stats)
}

fn entry<'py, T: IntoPyObject<'py>>(
    py: Python<'py>,
    name: &'static str,
    value: T,
) -> PyResult<(&'static str, Bound<'py, PyAny>)>
where
    PyErr: From<T::Error>,
{
    Ok((name, object(py, value)?.into_bound(py)))
}

fn guard_status() -> &'static str {
    match lock_guard::status() {
        lock_guard::Status::Active => "active",
        lock_guard::Status::Disabled => "disabled",
        lock_guard::Status::Undecided => "undecided",
        lock_guard::Status::Unsupported(reason) => reason,
    }
}

impl<'py> IntoPyObject<'py> for &Storage {
    type Target = PyTuple;
    type Output = Bound<'py, PyTuple>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let channels: BTreeMap<&str, _> = self
            .channels
            .iter()
            .map(|(channel, cost)| {
                let figures = (
                    cost.live_bytes,
                    cost.logical_bytes,
                    cost.stored_bytes,
                    cost.chunks,
                );
                (channel.as_str(), figures)
            })
            .collect();
        let rows = (self.checkpoints, self.writes);
        (rows, self.metadata_bytes, self.write_bytes, channels).into_pyobject(py)
    }
}
