"""`metrics`: what a saver counts, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph_checkpoint_rust._saver import Saver
from langgraph_checkpoint_rust.metrics import (
    CacheMetrics,
    Metrics,
    ReaderMetrics,
    RetentionMetrics,
    VerbMetrics,
    WalMetrics,
    WriterMetrics,
)

if TYPE_CHECKING:
    from langgraph_checkpoint_rust._runner import Runner
    from langgraph_checkpoint_rust._store import Store

_EXPONENTS = range(14, 36, 2)
"""Of two: 16 µs to 17 s, where the engine's own buckets begin, so that the counts are exact."""


class MetricsVerbs(Saver):
    """`metrics`."""

    def metrics(self) -> Metrics:
        """What this saver and its copies did, and how the engine stands. Opens nothing and waits for nothing.

        Returns:
            The figures. `metrics.prometheus_text` makes text of them.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:")
            >>> saver.get_tuple({"configurable": {"thread_id": "1"}}) is None
            True
            >>> figures = saver.metrics().verbs["get_tuple"]
            >>> figures.count, figures.errors, figures.p99 == figures.p50
            (1, {}, True)
        """
        return _metrics_of(self._store)

    async def ametrics(self) -> Metrics:
        """As `metrics`."""
        return _metrics_of(self._store)


def _metrics_of(store: Store) -> Metrics:
    figures = store.engine_figures()
    events, event_errors = store.emit.figures()
    return Metrics(
        verbs=_verbs_of(store.runner),
        writer=WriterMetrics(**figures.get("writer", {})),
        readers=ReaderMetrics(**figures.get("readers", {})),
        cache=CacheMetrics(**figures.get("cache", {})),
        wal=WalMetrics(**figures.get("wal", {})),
        retention=RetentionMetrics(**figures.get("retention", {})),
        file_bytes=store.file_bytes,
        events=events,
        event_errors=event_errors,
        is_degraded=store.is_degraded,
        mirror=None if store.mirror is None else store.mirror.figures(),
    )


def _verbs_of(runner: Runner) -> dict[str, VerbMetrics]:
    verbs = {}
    for verb, meter in sorted(runner.meters.copy().items()):
        count, seconds, quantiles, below, (bytes_in, bytes_out) = meter.report(_EXPONENTS)
        p50, p95, p99 = quantiles or (None, None, None)
        errors = {error: number for (of, error), number in sorted(runner.errors.copy().items()) if of == verb}
        buckets = {2**exponent / 1e9: number for exponent, number in zip(_EXPONENTS, below, strict=True)}
        verbs[verb] = VerbMetrics(count, errors, seconds, p50, p95, p99, bytes_in, bytes_out, buckets)
    return verbs
