"""Spans and metrics of OpenTelemetry, as its SDK sees them."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from helpers import Lock, checkpoint_of, config_of, put_chain, run_python
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver
from langgraph_checkpoint_rust.errors import DatabaseBusyError, MissingKeyError
from langgraph_checkpoint_rust.otel import instrument, uninstrument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PERSONAL = "ada@example.com"


class Telemetry:
    """Providers whose spans and metrics stay in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])
        self.tracer = self.tracers.get_tracer("test")

    def spans(self) -> list[Any]:
        return list(self.exporter.get_finished_spans())

    def points(self) -> dict[str, list[Any]]:
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: list(metric.data.data_points)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    yield made
    made.tracers.shutdown()
    made.meters.shutdown()


def test_a_verb_is_a_span_of_the_conventions(
    telemetry: Telemetry, make_saver: Callable[..., RustSqliteSaver]
) -> None:
    saver = make_saver()
    instrument(saver, telemetry.tracers, telemetry.meters)
    saver.put(config_of(PERSONAL), checkpoint_of(1), {}, {})
    with telemetry.tracer.start_as_current_span("request") as parent:
        saver.get_tuple(config_of(PERSONAL))
        with pytest.raises(MissingKeyError):
            saver.get_tuple({"configurable": {}})
    put, get, failed, request = telemetry.spans()
    assert put.name == "put checkpoints.db"
    assert put.kind == SpanKind.CLIENT
    assert put.parent is None
    assert dict(put.attributes) == {
        "db.system.name": "sqlite",
        "db.operation.name": "put",
        "db.namespace": "checkpoints.db",
    }
    assert put.status.status_code == StatusCode.UNSET
    assert get.parent.span_id == failed.parent.span_id == parent.get_span_context().span_id
    assert failed.attributes["error.type"] == "MissingKeyError"
    assert failed.status.status_code == StatusCode.ERROR
    assert request.name == "request"
    assert PERSONAL not in "".join(span.to_json() for span in telemetry.spans())


def test_async_verbs_have_the_parent_of_their_own_task(telemetry: Telemetry, path: Path) -> None:
    async def request(saver: AsyncRustSqliteSaver, name: str) -> None:
        with telemetry.tracer.start_as_current_span(name):
            await saver.aput(config_of(name), checkpoint_of(1), {}, {})
            await saver.aget_tuple(config_of(name))
            assert trace.get_current_span().name == name  # type: ignore[attr-defined]

    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            instrument(saver, telemetry.tracers, telemetry.meters)
            await asyncio.gather(*(request(saver, f"request {number}") for number in range(10)))

    asyncio.run(main())
    spans = telemetry.spans()
    requests = {span.context.span_id: span.name for span in spans if span.name.startswith("request")}
    verbs = [(requests[span.parent.span_id], span.name.split()[0]) for span in spans if span.parent]
    assert sorted(verbs) == sorted(
        (f"request {number}", verb) for number in range(10) for verb in ("put", "get_tuple")
    )


def test_a_cancelled_verb_is_an_error_of_its_span(telemetry: Telemetry, path: Path) -> None:
    async def main() -> None:
        saver = AsyncRustSqliteSaver(path)
        await saver.setup()
        instrument(saver, telemetry.tracers, telemetry.meters)
        with Lock(path, "BEGIN IMMEDIATE"):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(saver.aput(config_of(), checkpoint_of(1), {}, {}), 0.1)
        await saver.aclose()

    asyncio.run(main())
    (span,) = telemetry.spans()
    assert span.attributes["error.type"] == "CancelledError"


def test_durations_and_how_the_engine_stands_are_metrics(
    telemetry: Telemetry, path: Path, make_saver: Callable[..., RustSqliteSaver]
) -> None:
    saver = make_saver(busy_timeout=0.01, mirror=path.parent / "mirror.db")
    instrument(saver, telemetry.tracers, telemetry.meters)
    put_chain(saver, 3)
    saver.get_tuple(config_of())
    with Lock(path, "BEGIN IMMEDIATE"), pytest.raises(DatabaseBusyError):
        put_chain(saver, 1, "2")
    assert saver.mirror_flush(30)
    points = telemetry.points()
    durations = {
        (point.attributes["db.operation.name"], point.attributes.get("error.type")): point
        for point in points["db.client.operation.duration"]
    }
    assert {key: point.count for key, point in durations.items()} == {
        ("put", None): 3,
        ("put", "DatabaseBusyError"): 1,
        ("get_tuple", None): 1,
    }
    assert tuple(durations["put", None].explicit_bounds) == (
        0.001,
        0.005,
        0.01,
        0.05,
        0.1,
        0.5,
        1.0,
        5.0,
        10.0,
    )
    states = {
        point.attributes["db.client.connection.state"]: point.value
        for point in points["db.client.connection.count"]
    }
    assert states == {"idle": 1, "used": 0}
    values = {
        name: point.value for name, (point, *_) in points.items() if name != "db.client.operation.duration"
    }
    assert values["db.client.connection.max"] == 8
    assert values["db.client.connection.timeouts"] == 0
    assert values["langgraph_checkpoint.wal.size"] == saver.metrics().wal.bytes
    assert values["langgraph_checkpoint.writer.queued"] == 0
    assert values["langgraph_checkpoint.mirror.lag"] == 0.0
    assert values["langgraph_checkpoint.degraded"] == 0


def test_it_is_switched_off_again_and_not_on_twice(
    telemetry: Telemetry, make_saver: Callable[..., RustSqliteSaver]
) -> None:
    saver, other = make_saver(), make_saver()
    for _ in range(2):
        instrument(saver, telemetry.tracers, telemetry.meters)
    other.get_tuple(config_of())
    assert telemetry.spans() == []
    saver.__copy__().get_tuple(config_of())
    saver.scoped("acme").get_tuple(config_of())
    assert len(telemetry.spans()) == 2
    uninstrument(saver)
    uninstrument(saver)
    saver.get_tuple(config_of())
    assert len(telemetry.spans()) == 2


def test_a_saver_that_was_instrumented_can_go(telemetry: Telemetry, path: Path) -> None:
    saver = RustSqliteSaver(path)
    instrument(saver, telemetry.tracers, telemetry.meters)
    saver.setup()
    store = weakref.ref(saver._store)
    del saver
    gc.collect()
    assert store() is None
    assert "langgraph_checkpoint.wal.size" not in telemetry.points()


def test_without_the_extra_the_error_names_it() -> None:
    printed = run_python(
        """
        import sys
        sys.modules["opentelemetry"] = None
        import langgraph_checkpoint_rust
        try:
            import langgraph_checkpoint_rust.otel
        except ImportError as error:
            print(error)
        """
    )
    assert "pip install 'langgraph-checkpoint-rust[otel]'" in printed
