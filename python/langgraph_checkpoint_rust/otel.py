"""Spans and metrics of OpenTelemetry, for those who ask: `pip install 'langgraph-checkpoint-rust[otel]'`.

Names and attributes are those of the semantic conventions for database clients. Nothing holds user data: no
thread ids, no state, no text of errors.

Example:
    >>> from langgraph_checkpoint_rust import RustSqliteSaver
    >>> from langgraph_checkpoint_rust.otel import instrument, uninstrument
    >>> saver = RustSqliteSaver(":memory:")
    >>> instrument(saver)
    >>> saver.get_tuple({"configurable": {"thread_id": "1"}}) is None
    True
    >>> uninstrument(saver)
"""

from __future__ import annotations

import weakref
from pathlib import PurePath
from time import perf_counter
from typing import TYPE_CHECKING, Any

from langgraph_checkpoint_rust._core import __version__

try:
    from opentelemetry import metrics, trace
    from opentelemetry.metrics import CallbackOptions, Observation
    from opentelemetry.trace import SpanKind, StatusCode
except ImportError as error:
    raise ImportError(
        "langgraph_checkpoint_rust.otel needs OpenTelemetry: pip install 'langgraph-checkpoint-rust[otel]'"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import Tracer, TracerProvider

    from langgraph_checkpoint_rust._base import SqliteSaverBase
    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._runner import Runner
    from langgraph_checkpoint_rust.metrics import Metrics

__all__ = ["instrument", "uninstrument"]

_NAME = "langgraph_checkpoint_rust"
_BOUNDARIES = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0]
"""In seconds, as the semantic conventions advise."""


def instrument(
    saver: SqliteSaverBase,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> None:
    """Makes a span of each verb of a saver and its copies, and metrics.

    A span is the child of the caller's current one, in both colours. Its name is that of the verb and of the
    file. Metrics: `db.client.operation.duration`; `db.client.connection.count`, `.max` and `.timeouts` of the
    read connections; and `langgraph_checkpoint.wal.size`, `.writer.queued`, `.mirror.lag`, `.degraded`.
    Called again, it replaces what it did before.

    Args:
        saver: The saver.
        tracer_provider: Where spans go; the global one if None.
        meter_provider: Where metrics go; the global one if None.

    Example:
        >>> from langgraph_checkpoint_rust import RustSqliteSaver
        >>> from langgraph_checkpoint_rust.otel import instrument
        >>> with RustSqliteSaver(":memory:") as saver:
        ...     instrument(saver)
        ...     saver.delete_thread("1")
    """
    uninstrument(saver)
    store = saver._store  # noqa: SLF001
    namespace = PurePath(store.path).name
    tracer = trace.get_tracer(_NAME, __version__, tracer_provider)
    meter = metrics.get_meter(_NAME, __version__, meter_provider)
    layer = _Layer(tracer, meter, namespace)
    _observe(meter, weakref.ref(layer), weakref.ref(saver), namespace)
    _layers[store.runner] = layer
    store.runner.watch(layer)


def uninstrument(saver: SqliteSaverBase) -> None:
    """Undoes `instrument`. A saver that was not instrumented is no error.

    Args:
        saver: The saver.

    Example:
        >>> from langgraph_checkpoint_rust import RustSqliteSaver
        >>> from langgraph_checkpoint_rust.otel import uninstrument
        >>> uninstrument(RustSqliteSaver(":memory:"))
    """
    runner = saver._store.runner  # noqa: SLF001
    layer = _layers.pop(runner, None)
    if layer is not None:
        runner.unwatch(layer)


class _Layer:
    """Wraps verbs in spans, and records how long they took."""

    def __init__(self, tracer: Tracer, meter: Meter, namespace: str) -> None:
        self._tracer = tracer
        self._namespace = namespace
        self._duration = meter.create_histogram(
            "db.client.operation.duration",
            "s",
            "Duration of database client operations.",
            explicit_bucket_boundaries_advisory=_BOUNDARIES,
        )

    def __call__(self, verb: str, steps: Steps[Any], /) -> Steps[Any]:
        """The steps in a span; they run in the caller's context, which holds its parent."""
        attributes = {
            "db.system.name": "sqlite",
            "db.operation.name": verb,
            "db.namespace": self._namespace,
        }
        span = self._tracer.start_span(
            f"{verb} {self._namespace}", kind=SpanKind.CLIENT, attributes=attributes
        )
        started = perf_counter()
        try:
            return (yield from steps)
        except BaseException as raised:
            attributes["error.type"] = type(raised).__name__
            span.set_attribute("error.type", type(raised).__name__)
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            self._duration.record(perf_counter() - started, attributes)
            span.end()


def _observe(
    meter: Meter,
    layer: weakref.ref[_Layer],
    saver: weakref.ref[SqliteSaverBase],
    namespace: str,
) -> None:
    """Tells how the engine stands when it is asked, while the saver is there and instrumented."""

    def told(
        figures: Callable[[Metrics], Iterable[tuple[float, dict[str, str]]]],
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def callback(_: CallbackOptions) -> Iterable[Observation]:
            found = saver()
            if found is None or layer() is None:
                return []
            own = {"db.client.connection.pool.name": namespace}
            return [Observation(value, own | more) for value, more in figures(found.metrics())]

        return callback

    connections = "db.client.connection"
    meter.create_observable_up_down_counter(
        f"{connections}.count",
        [
            told(
                lambda found: [
                    (found.readers.idle, {f"{connections}.state": "idle"}),
                    (found.readers.open - found.readers.idle, {f"{connections}.state": "used"}),
                ]
            )
        ],
        "{connection}",
        "The number of connections in a state.",
    )
    meter.create_observable_up_down_counter(
        f"{connections}.max",
        [told(lambda found: [(found.readers.size, {})])],
        "{connection}",
        "The maximum number of open connections allowed.",
    )
    meter.create_observable_counter(
        f"{connections}.timeouts",
        [told(lambda found: [(found.readers.timeouts, {})])],
        "{timeout}",
        "The number of times that no connection was free in time.",
    )
    own: list[tuple[str, str, str, Callable[[Metrics], float | None]]] = [
        ("wal.size", "By", "Size of the write-ahead log.", lambda found: found.wal.bytes),
        ("writer.queued", "{write}", "Writes that wait.", lambda found: found.writer.queued),
        (
            "mirror.lag",
            "s",
            "How long ago the oldest write was stored that the mirror lacks.",
            lambda found: None if found.mirror is None else found.mirror.lag_seconds,
        ),
        ("degraded", "1", "1 while verbs go on in memory.", lambda found: int(found.is_degraded)),
    ]
    for name, unit, description, figure in own:
        meter.create_observable_gauge(
            f"langgraph_checkpoint.{name}",
            [told(lambda found, figure=figure: _if_known(figure(found)))],  # type: ignore[misc]
            unit,
            description,
        )


def _if_known(value: float | None) -> list[tuple[float, dict[str, str]]]:
    return [] if value is None else [(value, {})]


_layers: weakref.WeakKeyDictionary[Runner, _Layer] = weakref.WeakKeyDictionary()
