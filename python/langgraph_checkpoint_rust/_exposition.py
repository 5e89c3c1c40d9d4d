"""Metrics in the text format of Prometheus.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from langgraph_checkpoint_rust.metrics import Metrics

    Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
    Labels: TypeAlias = Mapping[str, str]
    Sample: TypeAlias = tuple[str, Labels, float]
    """What follows the family's name, the labels, the value."""

_PREFIX = "langgraph_checkpoint_"
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class _Family(NamedTuple):
    name: str
    kind: Kind
    help: str
    samples: Iterable[Sample]


def exposed(metrics: Metrics, labels: Labels) -> str:
    """The text."""
    for name in labels:
        if not _LABEL.fullmatch(name):
            raise ValueError(f"{name!r} is no label name: letters, digits and _, no digit first")
    lines: list[str] = []
    for family in (*_verbs(metrics), *_engine(metrics)):
        name = _PREFIX + family.name
        lines += [f"# HELP {name} {family.help}", f"# TYPE {name} {family.kind}"]
        lines += [
            f"{name}{suffix}{_braced({**labels, **own})} {_number(value)}"
            for suffix, own, value in family.samples
        ]
    return "\n".join(lines) + "\n"


def _verbs(metrics: Metrics) -> Iterator[_Family]:
    verbs = sorted(metrics.verbs.items())
    durations: list[Sample] = []
    for verb, figures in verbs:
        own = {"verb": verb}
        durations += [
            ("_bucket", {**own, "le": _number(limit)}, count) for limit, count in figures.buckets.items()
        ]
        durations += [
            ("_bucket", {**own, "le": "+Inf"}, figures.count),
            ("_sum", own, figures.seconds),
            ("_count", own, figures.count),
        ]
    yield _Family("operation_duration_seconds", "histogram", "How long verbs took.", durations)
    yield _Family(
        "operation_errors_total",
        "counter",
        "Verbs that raised, by the class of the error.",
        [
            ("", {"verb": verb, "error": error}, count)
            for verb, figures in verbs
            for error, count in sorted(figures.errors.items())
        ],
    )
    yield _Family(
        "operation_bytes_total",
        "counter",
        "Bytes of state that went in and out.",
        [
            ("", {"verb": verb, "direction": direction}, count)
            for verb, figures in verbs
            for direction, count in (("in", figures.bytes_in), ("out", figures.bytes_out))
        ],
    )


def _engine(metrics: Metrics) -> Iterator[_Family]:
    writer, readers, cache = metrics.writer, metrics.readers, metrics.cache
    wal, retention = metrics.wal, metrics.retention
    yield _Family(
        "events_total",
        "counter",
        "What happened beside verbs, by kind.",
        [("", {"kind": kind}, count) for kind, count in metrics.events.items()],
    )
    plain: list[tuple[str, str, float]] = [
        ("writer_queued_jobs", "Writes that wait now.", writer.queued),
        ("writer_jobs_total", "Writes committed.", writer.jobs),
        ("writer_groups_total", "Commits.", writer.groups),
        ("writer_largest_group_jobs", "Most writes that shared a commit.", writer.largest_group),
        ("writer_void_groups_total", "Commits that were tried again write by write.", writer.void_groups),
        ("writer_lock_waits_total", "Times that another process held the write lock.", writer.lock_waits),
        ("readers_open", "Read connections that are open.", readers.open),
        ("readers_idle", "Read connections that are open and not in use.", readers.idle),
        ("readers_limit", "The most read connections there may be.", readers.size),
        ("reader_waits_total", "Calls that waited for a read connection.", readers.waits),
        ("reader_timeouts_total", "Calls that waited for one in vain.", readers.timeouts),
        ("reader_wait_seconds_total", "How long calls waited for one.", readers.waited_seconds),
        ("cache_hits_total", "Puts that found the last encoding.", cache.hits),
        ("cache_misses_total", "Puts that did not.", cache.misses),
        ("cache_entries", "Encodings in the cache.", cache.entries),
        ("cache_bytes", "What they take.", cache.bytes),
        ("wal_bytes", "Size of the write-ahead log.", wal.bytes),
        ("wal_pages", "Pages in it at the last checkpoint.", wal.pages),
        ("wal_checkpointed_pages", "Of them those in the database.", wal.checkpointed_pages),
        ("wal_checkpoints_total", "Checkpoints run.", wal.checkpoints),
        ("wal_blocked_checkpoints_total", "Checkpoints that a reader blocked.", wal.blocked),
        ("file_bytes", "Size of the database file.", metrics.file_bytes),
        ("retention_runs_total", "Runs of the policy.", retention.runs),
        ("retention_failures_total", "Runs of the policy that failed.", retention.failed),
        ("retention_threads_total", "Threads that the policy deleted.", retention.threads),
        ("retention_checkpoints_total", "Checkpoints that it deleted.", retention.checkpoints),
        ("retention_writes_total", "Writes that it deleted.", retention.writes),
        ("retention_bytes_total", "What they took.", retention.bytes),
        ("retention_skipped_threads_total", "Threads that it could not read.", retention.skipped),
        ("degraded", "1 while the saver goes on in memory.", int(metrics.is_degraded)),
        ("event_errors_total", "Times that on_event raised.", metrics.event_errors),
    ]
    mirror = metrics.mirror
    if mirror is not None:
        plain += [
            ("mirror_queued_entries", "Writes that wait for the mirror.", mirror.entries),
            ("mirror_queued_bytes", "What they take.", mirror.bytes),
            ("mirror_lag_seconds", "How long ago the oldest of them was stored.", mirror.lag_seconds),
            ("mirror_writes_total", "Writes that the mirror has.", mirror.applied),
            ("mirror_errors_total", "Writes that the mirror refused.", mirror.errors),
            ("mirror_dropped_writes_total", "Writes that found the queue full.", mirror.dropped),
            ("mirror_marked_threads", "Threads that the mirror lacks something of.", mirror.marked_threads),
        ]
    for name, text, value in plain:
        yield _Family(name, "counter" if name.endswith("_total") else "gauge", text, [("", {}, value)])


def _braced(labels: Labels) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))
