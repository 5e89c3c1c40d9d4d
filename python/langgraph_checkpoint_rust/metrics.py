"""What `saver.metrics()` answers, and the same as text for Prometheus.

Example:
    >>> from langgraph_checkpoint_rust import RustSqliteSaver
    >>> from langgraph_checkpoint_rust.metrics import prometheus_text
    >>> saver = RustSqliteSaver(":memory:")
    >>> saver.delete_thread("1")
    >>> saver.metrics().verbs["delete_thread"].count
    1
    >>> "langgraph_checkpoint_operation_duration_seconds_count" in prometheus_text(saver)
    True
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from langgraph_checkpoint_rust._exposition import exposed

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CacheMetrics",
    "Metrics",
    "MirrorMetrics",
    "ReaderMetrics",
    "RetentionMetrics",
    "VerbMetrics",
    "WalMetrics",
    "WriterMetrics",
    "prometheus_text",
]


@dataclass(frozen=True)
class VerbMetrics:
    """Figures of one verb. A verb that works in pages (`list`, `history`, `copy_from`) counts each page.

    Attributes:
        count: Calls that came to an end, with an error or without.
        errors: Of them those that raised, by the class of the error.
        seconds: How long all took together, serialization included.
        p50: Half of them took no longer, in seconds; within a 32nd part. None before the first call.
        p95: The same for 95 of 100.
        p99: The same for 99 of 100.
        bytes_in: Bytes of state and metadata that went to the engine.
        bytes_out: Bytes of state and metadata that came from it.
        buckets: Calls that took less than so many seconds, for a histogram.
    """

    count: int
    errors: Mapping[str, int]
    seconds: float
    p50: float | None
    p95: float | None
    p99: float | None
    bytes_in: int
    bytes_out: int
    buckets: Mapping[float, int]


@dataclass(frozen=True)
class WriterMetrics:
    """Figures of the writer, of all savers of the file in this process.

    Attributes:
        queued: Jobs that wait now.
        jobs: Jobs committed.
        groups: Commits; the jobs of one share it.
        largest_group: Most jobs in one.
        void_groups: Groups that SQLite rolled back as a whole; their jobs were tried again one by one.
        lock_waits: Times that another process held the write lock.
    """

    queued: int = 0
    jobs: int = 0
    groups: int = 0
    largest_group: int = 0
    void_groups: int = 0
    lock_waits: int = 0

    @property
    def mean_group(self) -> float:
        """Jobs that share a commit, on average."""
        return self.jobs / self.groups if self.groups else 0.0


@dataclass(frozen=True)
class ReaderMetrics:
    """Figures of the read connections, of all savers of the file in this process.

    Attributes:
        open: Connections that are open.
        idle: Of them those that are not in use.
        size: The most there may be.
        waits: Calls that had to wait for one.
        timeouts: Of them those that waited in vain (`PoolTimeoutError`).
        waited_seconds: How long they waited, together.
    """

    open: int = 0
    idle: int = 0
    size: int = 0
    waits: int = 0
    timeouts: int = 0
    waited_seconds: float = 0.0


@dataclass(frozen=True)
class CacheMetrics:
    """Figures of the cache of what was stored last, by which a put to a compact file tells what it changes.

    Attributes:
        hits: Puts that found the last encoding.
        misses: Puts that did not: the first of a thread here, one that was pushed out, or a state that is
            so small that it is stored whole.
        entries: Encodings in it.
        bytes: What they take.
    """

    hits: int = 0
    misses: int = 0
    entries: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class WalMetrics:
    """Figures of the write-ahead log.

    Attributes:
        bytes: Its size.
        pages: Pages in it at the last checkpoint.
        checkpointed_pages: Of them those in the database.
        checkpoints: Checkpoints run by this process.
        blocked: Of them those that a reader of another process kept from finishing.
    """

    bytes: int = 0
    pages: int = 0
    checkpointed_pages: int = 0
    checkpoints: int = 0
    blocked: int = 0


@dataclass(frozen=True)
class RetentionMetrics:
    """What the saver's own policy did in the background.

    Attributes:
        runs: Runs that came to their end.
        failed: Runs that failed.
        threads: Threads deleted.
        checkpoints: Checkpoints deleted.
        writes: Writes deleted.
        bytes: What they took.
        skipped: Threads that only their serializer can read, which were left alone.
    """

    runs: int = 0
    failed: int = 0
    threads: int = 0
    checkpoints: int = 0
    writes: int = 0
    bytes: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class MirrorMetrics:
    """How a mirror stands.

    Attributes:
        entries: Writes that wait.
        bytes: What they take.
        lag_seconds: How long ago the oldest of them was stored.
        applied: Writes that the mirror has.
        errors: Writes that it refused.
        dropped: Writes that found the queue full.
        marked_threads: Threads that the mirror lacks something of, until their next write or `mirror_resync`.
    """

    entries: int = 0
    bytes: int = 0
    lag_seconds: float = 0.0
    applied: int = 0
    errors: int = 0
    dropped: int = 0
    marked_threads: int = 0


@dataclass(frozen=True)
class Metrics:
    """Figures of a saver and all its copies, since it was made; in a forked child, since the fork.

    Attributes:
        verbs: By name: the verbs that were called.
        writer: The writer.
        readers: The read connections.
        cache: The cache of encodings.
        wal: The write-ahead log.
        retention: The policy in the background.
        file_bytes: Size of the database file; 0 in memory.
        events: By kind (see `Event`), but for `"verb"`: how often it happened. What happens in the background
            and to sizes counts only while `slow_operation_threshold`, `warn_at_bytes` or `on_event` is set.
        event_errors: Times that `on_event` raised.
        is_degraded: Whether the saver goes on in memory.
        mirror: The mirror; None if there is none.
    """

    verbs: Mapping[str, VerbMetrics] = field(default_factory=dict)
    writer: WriterMetrics = WriterMetrics()
    readers: ReaderMetrics = ReaderMetrics()
    cache: CacheMetrics = CacheMetrics()
    wal: WalMetrics = WalMetrics()
    retention: RetentionMetrics = RetentionMetrics()
    file_bytes: int = 0
    events: Mapping[str, int] = field(default_factory=dict)
    event_errors: int = 0
    is_degraded: bool = False
    mirror: MirrorMetrics | None = None


class Measured(Protocol):
    """Whatever has metrics, such as a saver."""

    def metrics(self) -> Metrics:
        """Its metrics."""


def prometheus_text(source: Measured | Metrics, labels: Mapping[str, str] | None = None) -> str:
    """Metrics in Prometheus' text format 0.0.4: what `/metrics` answers as `text/plain; version=0.0.4`.

    Names begin with `langgraph_checkpoint_`, units are seconds and bytes. No label holds user data.

    Args:
        source: A saver, or its metrics.
        labels: Labels for every sample, such as the name of the database where there are several.

    Returns:
        The text, with a line end at its end.

    Raises:
        ValueError: If a label's name is none of Prometheus'.

    Example:
        >>> from langgraph_checkpoint_rust import RustSqliteSaver
        >>> from langgraph_checkpoint_rust.metrics import prometheus_text
        >>> text = prometheus_text(RustSqliteSaver(":memory:"), {"database": "app"})
        >>> [line for line in text.splitlines() if line.startswith("langgraph_checkpoint_wal_bytes")]
        ['langgraph_checkpoint_wal_bytes{database="app"} 0']
    """
    return exposed(source if isinstance(source, Metrics) else source.metrics(), labels or {})
