"""`metrics`: exact for a known sequence of verbs, in both colours; and its text for Prometheus."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from helpers import Lock, checkpoint_of, config_of, put_chain, run_python
from prometheus_client.parser import text_string_to_metric_families

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust._core import Meter
from langgraph_checkpoint_rust.errors import DatabaseBusyError, MissingKeyError
from langgraph_checkpoint_rust.metrics import Metrics, VerbMetrics, prometheus_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from helpers import Verbs

BAD_CONFIG: Any = {"configurable": {}}


def test_a_known_sequence_is_counted_exactly(saver: Verbs) -> None:
    for number in range(3):
        saver.put(config_of(), checkpoint_of(number, {"text": "x" * 1000}), {"step": number}, {})
    stored = saver.put(config_of(), checkpoint_of(3), {}, {})
    saver.put_writes(stored, [("a", 1), ("b", "two")], "task")
    saver.get_tuple(config_of())
    saver.get_tuple(config_of("nobody"))
    assert len(saver.list(config_of())) == 4
    with pytest.raises(MissingKeyError):
        saver.get_tuple(BAD_CONFIG)
    saver.set_ttl("1", 60)
    saver.delete_thread("1")
    verbs = saver.metrics().verbs
    counts = {verb: figures.count for verb, figures in verbs.items()}
    assert counts == {
        "put": 4,
        "put_writes": 1,
        "get_tuple": 3,
        "list": 1,
        "set_ttl": 1,
        "delete_thread": 1,
    }
    assert {verb: figures.errors for verb, figures in verbs.items() if figures.errors} == {
        "get_tuple": {"MissingKeyError": 1}
    }
    assert 3000 < verbs["put"].bytes_in < 5000
    assert verbs["put"].bytes_out == verbs["get_tuple"].bytes_in == 0
    # msgpack: one byte for 1, four for "two".
    assert verbs["put_writes"].bytes_in == 5
    assert verbs["list"].bytes_out == verbs["put"].bytes_in + verbs["put_writes"].bytes_in
    assert verbs["get_tuple"].bytes_out < 1000


def test_bytes_are_those_of_the_serializer_and_the_metadata(saver: Verbs) -> None:
    checkpoint = checkpoint_of(1, {"text": "x" * 12_345})
    _, data = saver.saver.serde.dumps_typed(checkpoint)
    saver.put(config_of(), checkpoint, {}, {})
    saver.get_tuple(config_of())
    verbs = saver.metrics().verbs
    assert verbs["put"].bytes_in == len(data) + len("{}")
    assert verbs["get_tuple"].bytes_out == verbs["put"].bytes_in


def test_percentiles_lie_in_order_within_the_whole_time(saver: Verbs) -> None:
    for _ in range(20):
        saver.get_tuple(config_of())
    figures: VerbMetrics = saver.metrics().verbs["get_tuple"]
    assert figures.p50 is not None
    assert figures.p95 is not None
    assert figures.p99 is not None
    assert 0 < figures.p50 <= figures.p95 <= figures.p99 <= figures.seconds * 33 / 32
    counts = list(figures.buckets.values())
    assert counts == sorted(counts)
    assert counts[-1] == 20


def test_a_meter_knows_percentiles_within_a_thirty_second() -> None:
    meter = Meter()
    assert meter.report([14]) == (0, 0.0, None, [0], (0, 0))
    for microseconds in range(1, 1001):
        meter.record(microseconds / 1e6)
    count, seconds, quantiles, below, _ = meter.report([14, 20])
    assert (count, below) == (1000, [16, 1000])
    assert seconds == pytest.approx(0.5005, abs=1e-5)
    assert quantiles == pytest.approx((500e-6, 950e-6, 990e-6), rel=1 / 32)
    meter.record(-1.0)
    meter.record(float("inf"))
    assert meter.report([40])[0] == 1002


def test_copies_share_the_figures_and_other_savers_have_their_own(
    make_saver: Callable[..., RustSqliteSaver],
) -> None:
    saver = make_saver()
    saver.__copy__().get_tuple(config_of())
    assert saver.metrics().verbs["get_tuple"].count == 1
    assert make_saver().metrics() == Metrics()


def test_threads_and_tasks_lose_no_count(make_saver: Callable[..., RustSqliteSaver]) -> None:
    saver = make_saver()

    def read() -> None:
        for _ in range(200):
            saver.get_tuple(config_of())

    async def read_often() -> None:
        await asyncio.gather(*(saver.aget_tuple(config_of()) for _ in range(200)))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    asyncio.run(read_often())
    for thread in threads:
        thread.join()
    assert saver.metrics().verbs["get_tuple"].count == 1000


def test_an_error_is_counted_by_its_class(path: Path, make_saver: Callable[..., RustSqliteSaver]) -> None:
    saver = make_saver(busy_timeout=0.01)
    put_chain(saver, 1)
    with Lock(path, "BEGIN IMMEDIATE"):
        for _ in range(2):
            with pytest.raises(DatabaseBusyError):
                put_chain(saver, 1, "2")
    figures = saver.metrics().verbs["put"]
    assert (figures.count, figures.errors) == (3, {"DatabaseBusyError": 2})
    assert saver.metrics().writer.lock_waits > 0


def test_the_engine_tells_how_it_stands(path: Path, make_saver: Callable[..., RustSqliteSaver]) -> None:
    saver = make_saver()
    assert saver.metrics() == Metrics()
    for number in range(3):
        saver.put(config_of(), checkpoint_of(number, {"text": [str(n) * 100 for n in range(500)]}), {}, {})
    saver.get_tuple(config_of())
    metrics = saver.metrics()
    assert (metrics.writer.jobs, metrics.writer.groups, metrics.writer.queued) == (3, 3, 0)
    assert metrics.writer.mean_group == 1.0
    assert (metrics.readers.open, metrics.readers.idle, metrics.readers.size) == (1, 1, 8)
    assert metrics.wal.bytes > 0
    assert metrics.file_bytes == path.stat().st_size
    hits_and_misses = (metrics.cache.hits, metrics.cache.misses)
    assert hits_and_misses == ((2, 1) if saver.format == "compact" else (0, 0))


def test_a_call_that_waits_for_a_reader_is_counted(make_saver: Callable[..., RustSqliteSaver]) -> None:
    saver = make_saver(pool_size=1)
    put_chain(saver, 200)
    threads = [threading.Thread(target=lambda: list(saver.list(None))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    readers = saver.metrics().readers
    assert readers.timeouts == 0
    assert readers.waited_seconds >= 0.0
    assert (readers.waits > 0) == (readers.waited_seconds > 0.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_counts_from_nothing(path: Path) -> None:
    printed = run_python(
        """
        import os, sys
        from langgraph_checkpoint_rust import RustSqliteSaver
        saver = RustSqliteSaver(sys.argv[1])
        config = {"configurable": {"thread_id": "1"}}
        saver.get_tuple(config)
        child = os.fork()
        if child == 0:
            saver.get_tuple(config)
            saver.get_tuple(config)
            print(saver.metrics().verbs["get_tuple"].count, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(saver.metrics().verbs["get_tuple"].count)
        """,
        path,
    )
    assert printed.split() == ["2", "1"]


def samples_of(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        assert family.name.startswith("langgraph_checkpoint_")
        assert family.documentation
        assert family.type in {"counter", "gauge", "histogram"}
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_prometheus_reads_the_text_and_finds_the_same_figures(saver: Verbs) -> None:
    put_chain(saver, 2)
    with pytest.raises(MissingKeyError):
        saver.get_tuple(BAD_CONFIG)
    metrics = saver.metrics()
    found = samples_of(prometheus_text(metrics))
    prefix = "langgraph_checkpoint_"
    counts = {labels["verb"]: value for labels, value in found[f"{prefix}operation_duration_seconds_count"]}
    assert counts == {"get_tuple": 1, "put": 2}
    buckets = found[f"{prefix}operation_duration_seconds_bucket"]
    of_put = {float(labels["le"]): value for labels, value in buckets if labels["verb"] == "put"}
    assert of_put == {**metrics.verbs["put"].buckets, float("inf"): 2}
    errors = found[f"{prefix}operation_errors_total"]
    assert errors == [({"verb": "get_tuple", "error": "MissingKeyError"}, 1)]
    assert found[f"{prefix}writer_jobs_total"] == [({}, 2)]
    assert found[f"{prefix}wal_bytes"] == [({}, metrics.wal.bytes)]


def test_labels_are_escaped_and_checked() -> None:
    value = 'a "quoted" \\ name\non two lines'
    text = prometheus_text(Metrics(), {"database": value})
    for samples in samples_of(text).values():
        assert all(labels["database"] == value for labels, _ in samples)
    assert text.endswith("\n")
    for wrong in ("a-b", "1a", "__reserved", ""):
        with pytest.raises(ValueError, match="label name"):
            prometheus_text(Metrics(), {wrong: "x"})
