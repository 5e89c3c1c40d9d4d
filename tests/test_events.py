"""`on_event`, slow operations and sizes: what is told, in both colours, and that it disturbs nobody."""

from __future__ import annotations

import asyncio
import logging
import pickle
import threading
from dataclasses import FrozenInstanceError
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from helpers import Lock, checkpoint_of, config_of, put_chain

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RetentionPolicy, RustSqliteSaver, _observer
from langgraph_checkpoint_rust.errors import DatabaseBusyError, MissingKeyError
from langgraph_checkpoint_rust.events import Event
from langgraph_checkpoint_rust.host import HostSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PERSONAL = "ada@example.com"
BAD_CONFIG: Any = {"configurable": {}}


def verbs_of(events: list[Event]) -> list[tuple[str | None, str | None]]:
    return [(event.verb, event.error) for event in events if event.kind == "verb"]


def test_each_verb_is_told_once(make_saver: Callable[..., RustSqliteSaver]) -> None:
    events: list[Event] = []
    saver = make_saver(on_event=events.append)
    checkpoint = checkpoint_of(1, {"text": "x" * 1000})
    stored = saver.put(config_of(), checkpoint, {}, {})
    saver.get_tuple(stored)
    assert len(list(saver.list(config_of()))) == 1
    with pytest.raises(MissingKeyError):
        saver.get_tuple(BAD_CONFIG)
    assert verbs_of(events) == [
        ("put", None),
        ("get_tuple", None),
        ("list", None),
        ("get_tuple", "MissingKeyError"),
    ]
    put, get, *_ = events
    assert put.bytes_in == get.bytes_out == len(saver.serde.dumps_typed(checkpoint)[1]) + 2
    assert 0 < put.native_seconds < put.seconds
    assert events[-1].native_seconds == 0.0
    with pytest.raises(FrozenInstanceError):
        put.verb = "other"  # type: ignore[misc]


def test_async_verbs_are_told_in_the_task_that_awaits(path: Path) -> None:
    events: list[tuple[Event, object]] = []

    async def main() -> None:
        async with AsyncRustSqliteSaver(
            path, on_event=lambda event: events.append((event, asyncio.current_task()))
        ) as saver:
            await saver.aput(config_of(), checkpoint_of(1), {}, {})
            with pytest.raises(MissingKeyError):
                await saver.aget_tuple(BAD_CONFIG)
            assert [one async for one in saver.alist(None)]
            assert {task for _, task in events} == {asyncio.current_task()}

    asyncio.run(main())
    told = verbs_of([event for event, _ in events])
    assert told == [("put", None), ("get_tuple", "MissingKeyError"), ("list", None)]


def test_a_cancelled_verb_is_told_as_cancelled(path: Path) -> None:
    events: list[Event] = []

    async def main() -> None:
        saver = AsyncRustSqliteSaver(path, on_event=events.append)
        await saver.setup()
        with Lock(path, "BEGIN IMMEDIATE"):
            task = asyncio.create_task(saver.aput(config_of(), checkpoint_of(1), {}, {}))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await saver.aclose()

    asyncio.run(main())
    assert verbs_of(events)[-1] == ("put", "CancelledError")


def test_what_the_hook_raises_reaches_nobody_and_is_logged_once(
    make_saver: Callable[..., RustSqliteSaver], caplog: pytest.LogCaptureFixture
) -> None:
    def hook(event: Event) -> None:
        raise RuntimeError("a bad hook")

    saver = make_saver(on_event=hook)
    put_chain(saver, 3)
    assert len(list(saver.list(None))) == 3
    logged = [record for record in caplog.records if record.name == "langgraph_checkpoint_rust.events"]
    assert len(logged) == 1
    assert logged[0].levelno == logging.ERROR
    assert logged[0].exc_info is not None
    assert saver.metrics().event_errors == 4


def test_a_hook_may_call_verbs_which_are_not_told(make_saver: Callable[..., RustSqliteSaver]) -> None:
    events: list[Event] = []

    def hook(event: Event) -> None:
        events.append(event)
        assert saver.get_tuple(config_of()) is not None

    saver = make_saver(on_event=hook)
    put_chain(saver, 1)
    assert verbs_of(events) == [("put", None)]
    assert saver.metrics().verbs["get_tuple"].count == 1


def test_hooks_run_with_nothing_locked(make_saver: Callable[..., RustSqliteSaver]) -> None:
    """Each hook waits for a verb of another thread: with anything locked it would wait in vain."""

    def hook(event: Event) -> None:
        other = threading.Thread(target=plain.put, args=(config_of("2"), checkpoint_of(1), {}, {}))
        other.start()
        other.join(10)
        assert not other.is_alive()

    saver, plain = make_saver(on_event=hook, warn_at_bytes={"file": 1, "wal": 1}), make_saver()
    put_chain(saver, 2)
    assert saver.metrics().event_errors == 0


def test_a_slow_verb_is_logged_without_user_data(
    path: Path, make_saver: Callable[..., RustSqliteSaver], caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []
    saver = make_saver(busy_timeout=0.05, slow_operation_threshold=0.03, on_event=events.append)
    saver.setup()
    events.clear()
    with Lock(path, "BEGIN IMMEDIATE"), pytest.raises(DatabaseBusyError):
        saver.put(config_of(PERSONAL), checkpoint_of(1, {"text": PERSONAL}), {"source": "loop"}, {})
    logged = [record for record in caplog.records if record.name == "langgraph_checkpoint_rust.slow"][-1]
    assert logged.levelno == logging.WARNING
    assert logged.getMessage().startswith("put took 0.")
    assert logged.getMessage().endswith("; it raised DatabaseBusyError")
    assert [event.kind for event in events] == ["slow", "verb"]
    assert PERSONAL not in caplog.text
    assert PERSONAL not in repr(events)
    assert saver.metrics().events["slow"] >= 1


def test_without_a_threshold_nothing_is_slow(
    make_saver: Callable[..., RustSqliteSaver], caplog: pytest.LogCaptureFixture
) -> None:
    saver = make_saver(slow_operation_threshold=None, on_event=lambda event: None)
    put_chain(saver, 1)
    assert saver.metrics().events == {}
    assert "langgraph_checkpoint_rust.slow" not in caplog.text


@pytest.fixture
def looks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_observer, "_LOOK_EVERY", 0.0)


@pytest.mark.usefixtures("looks_each_time")
def test_a_file_that_grows_too_large_is_told_once_for_each_crossing(
    make_saver: Callable[..., RustSqliteSaver], caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []
    sizes = {"file": 200_000}
    saver = make_saver(warn_at_bytes=sizes, on_event=events.append, wal_autocheckpoint=1)

    def fill(count: int) -> None:
        for number in range(count):
            text = "".join(chr(33 + (number * 7 + n * n) % 90) for n in range(40_000))
            saver.put(config_of(str(number)), checkpoint_of(number, {"text": text}), {}, {})

    saver.put(config_of(), checkpoint_of(1), {}, {})
    assert {event.kind for event in events} == {"verb"}
    fill(20)
    saver.compact()
    told = [event for event in events if event.kind in sizes]
    assert [event.kind for event in told] == ["file"]
    assert told[0].bytes > sizes["file"]
    saver.get_tuple(config_of())
    assert sum(event.kind == "file" for event in events) == 1
    logged = [record for record in caplog.records if record.name == "langgraph_checkpoint_rust.size"]
    assert len(logged) == len(told)
    assert {record.levelno for record in logged} == {logging.WARNING}
    for number in range(20):
        saver.delete_thread(str(number))
    saver.compact(full=True)
    saver.get_tuple(config_of())
    fill(20)
    saver.compact()
    assert sum(event.kind == "file" for event in events) == 2
    assert saver.metrics().events["file"] == 2


@pytest.mark.usefixtures("looks_each_time")
def test_a_log_that_grows_too_large_is_told(make_saver: Callable[..., RustSqliteSaver]) -> None:
    events: list[Event] = []
    saver = make_saver(warn_at_bytes={"wal": 50_000}, on_event=events.append, wal_autocheckpoint=0)
    put_chain(saver, 100)
    (told,) = [event for event in events if event.kind == "wal"]
    assert 50_000 < told.bytes <= saver.metrics().wal.bytes


def test_retention_is_told(make_saver: Callable[..., RustSqliteSaver]) -> None:
    events: list[Event] = []
    saver = make_saver(on_event=events.append)
    put_chain(saver, 5)
    report = saver.apply_retention(RetentionPolicy(keep_last=2))
    assert "retention" not in {event.kind for event in events}
    report = saver.apply_retention(RetentionPolicy(keep_last=2), dry_run=False)
    (told,) = [event for event in events if event.kind == "retention"]
    assert (told.verb, told.count, told.bytes) == ("apply_retention", 0, report.bytes)
    assert report.checkpoints == 3


@pytest.mark.usefixtures("looks_each_time")
def test_the_policy_in_the_background_is_told(
    make_saver: Callable[..., RustSqliteSaver], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "langgraph_checkpoint_rust.retention")
    ran = threading.Event()

    def hook(event: Event) -> None:
        if event.kind == "retention" and event.count:
            ran.set()

    make_saver().put(config_of(), checkpoint_of(1), {}, {})
    saver = make_saver(
        on_event=hook,
        retention=RetentionPolicy(thread_idle_for=timedelta(0)),
        ttl={"sweep_interval_minutes": 0.0005},
    )
    for _ in range(2000):
        saver.get_tuple(config_of())
        if ran.wait(0.01):
            break
    assert ran.is_set()
    assert "the retention deleted 1 threads" in caplog.text
    assert saver.metrics().retention.threads == 1


def test_variables_say_what_they_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGGRAPH_CHECKPOINT_SLOW_OPERATION_THRESHOLD", "0.25")
    monkeypatch.setenv("LANGGRAPH_CHECKPOINT_WARN_AT_FILE_BYTES", "1000")
    with RustSqliteSaver.from_env(conn=":memory:") as saver:
        assert saver.host == HostSettings(slow_operation_threshold=0.25, warn_at_bytes={"file": 1000})
    with RustSqliteSaver.from_env(conn=":memory:", slow_operation_threshold=None) as saver:
        assert saver.host.slow_operation_threshold is None
    monkeypatch.setenv("LANGGRAPH_CHECKPOINT_WARN_AT_WAL_BYTES", "1 GB")
    with pytest.raises(ValueError, match="WARN_AT_WAL_BYTES='1 GB' is no int"):
        RustSqliteSaver.from_env(conn=":memory:")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"slow_operation_threshold": "1"}, TypeError, "slow_operation_threshold must be"),
        ({"slow_operation_threshold": -1}, ValueError, "slow_operation_threshold must be between 0"),
        ({"on_event": "print"}, TypeError, "on_event must be callable, not str"),
        ({"warn_at_bytes": 5}, TypeError, "warn_at_bytes must be a dict"),
        ({"warn_at_bytes": {"disk": 5}}, ValueError, "unknown in warn_at_bytes: disk; known: file, wal"),
        ({"warn_at_bytes": {"wal": 0}}, ValueError, r"warn_at_bytes\['wal'\] must be between 1"),
    ],
)
def test_misuse_is_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        RustSqliteSaver(":memory:", **options)


def _hook(event: Event) -> None:
    raise AssertionError


def test_what_the_host_asked_for_is_pickled_and_copied(path: Path) -> None:
    with RustSqliteSaver(path, on_event=_hook, slow_operation_threshold=5) as saver:
        with pickle.loads(pickle.dumps(saver)) as other:
            assert other.host == saver.host
        assert saver.__copy__().host is saver.host
