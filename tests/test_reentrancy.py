"""Serializers run user code, which may do anything: call the saver, raise, sleep, start threads, fork."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from helpers import REFUSED, REFUSING_INDEX, TASK, Verbs, checkpoint_of, config_of, put_chain, query, rows
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver
from langgraph_checkpoint_rust.errors import CheckpointError, SerializationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WATCHDOG = 10


class Adversary(JsonPlusSerializer):
    """Does something before each call, once at a time."""

    def __init__(self, deed: Callable[[], Any]) -> None:
        super().__init__()
        self.deed: Callable[[], Any] | None = deed
        self.calls = 0
        # Of all threads: what the deed starts is not to start it again.
        self._inside = False

    def _do(self) -> None:
        if self.deed is None or self._inside:
            return
        self._inside = True
        try:
            self.calls += 1
            self.deed()
        finally:
            self._inside = False

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        self._do()
        return super().dumps_typed(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        self._do()
        return super().loads_typed(data)


@pytest.fixture(autouse=True)
def watchdog() -> Iterator[None]:
    """A deadlock is a failure, at once."""

    def bark(*_: object) -> None:
        raise TimeoutError("a deadlock")

    before = signal.signal(signal.SIGALRM, bark)
    signal.alarm(WATCHDOG)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def deeds(saver: Any) -> dict[str, Callable[[], Any]]:
    def in_threads() -> None:
        threads = [
            threading.Thread(target=put_chain, args=(saver, 2, f"thread-{number}")) for number in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def fork() -> None:
        process = os.fork()
        if process == 0:
            try:
                saver.get_tuple(config_of("inner"))
                put_chain(saver, 1, "child")
            except BaseException:
                os._exit(1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0

    def in_a_loop() -> None:
        async def main() -> None:
            await saver.aput(config_of("loop"), checkpoint_of(1), {}, {})
            assert await saver.aget_tuple(config_of("loop"))

        thread = threading.Thread(target=asyncio.run, args=[main()])
        thread.start()
        thread.join()

    return {
        "put": lambda: put_chain(saver, 2, "inner"),
        "put_writes": lambda: saver.put_writes(config_of("inner", "", "1"), [("a", 1)], TASK),
        "get_tuple": lambda: saver.get_tuple(config_of("inner")),
        "list": lambda: list(saver.list(None)),
        "delete_thread": lambda: saver.delete_thread("inner"),
        "copy_thread": lambda: saver.copy_thread("inner", "copied"),
        "prune": lambda: saver.prune(["inner"]),
        "stats": saver.stats,
        "setup": lambda: put_chain(RustSqliteSaver(saver._store.path, pool_size=1), 1, "other"),
        "sleep": lambda: time.sleep(0.01),
        "threads": in_threads,
        "fork": fork,
        "loop": in_a_loop,
    }


DEEDS = list(deeds(RustSqliteSaver(":memory:")))


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("deed", DEEDS)
def test_a_serializer_may_use_the_saver_that_uses_it(
    path: Path, deed: str, colour: str, loop: asyncio.AbstractEventLoop
) -> None:
    serde = Adversary(lambda: None)
    with AsyncRustSqliteSaver(path, serde=serde, pool_size=1) as saver:
        serde.deed = deeds(saver)[deed]
        verbs = Verbs(saver, loop if colour == "async" else None)
        config = verbs.put(config_of("outer"), checkpoint_of(1, {"a": 1}), {}, {})
        verbs.put_writes(config, [("a", 1), ("b", 2)], TASK)
        assert verbs.get_tuple(config).pending_writes == [(TASK, "a", 1), (TASK, "b", 2)]
        assert len(verbs.list(config_of("outer"))) == 1
        verbs.prune(["outer"])
        verbs.get_delta_channel_history(config=config, channels=["a"])
        verbs.delete_thread("outer")
        assert serde.calls >= 6
        stats = saver.stats()
        assert stats["writer"]["queued"] == 0
        assert stats["readers"]["open"] == stats["readers"]["idle"] <= 1


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_serializer_that_raises_leaves_nothing_behind(
    path: Path, colour: str, loop: asyncio.AbstractEventLoop
) -> None:
    def fail() -> None:
        raise LookupError("no")

    serde = Adversary(fail)
    with AsyncRustSqliteSaver(path, serde=serde, pool_size=1) as saver:
        verbs = Verbs(saver, loop if colour == "async" else None)
        serde.deed = None
        config = verbs.put(config_of("1"), checkpoint_of(1), {}, {})
        serde.deed = fail
        for _ in range(3):
            with pytest.raises((LookupError, SerializationError)):
                verbs.put(config_of("2"), checkpoint_of(2), {}, {})
            with pytest.raises((LookupError, SerializationError)):
                verbs.put_writes(config, [("a", 1)], TASK)
            with pytest.raises(LookupError):
                verbs.get_tuple(config)
            with pytest.raises(LookupError):
                verbs.list(None)
        serde.deed = None
        assert verbs.get_tuple(config).pending_writes == []
    assert len(rows(path, "checkpoints")) == 1


@pytest.mark.parametrize("place", ["file", "memory"])
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_put_writes_that_fails_at_any_row_stores_no_row(
    path: Path, place: str, colour: str, loop: asyncio.AbstractEventLoop
) -> None:
    """By a value that cannot be serialized in both places; in a file also by a row that SQLite refuses."""
    with AsyncRustSqliteSaver(path if place == "file" else ":memory:") as saver:
        verbs = Verbs(saver, loop if colour == "async" else None)
        config = verbs.put(config_of("1"), checkpoint_of(1), {}, {})
        if place == "file":
            query(path, REFUSING_INDEX)
        for row in range(6):
            unserializable: list[tuple[str, Any]] = [(f"c{index}", index) for index in range(6)]
            unserializable[row] = ("bad", threading.Lock())
            with pytest.raises(SerializationError, match="bad"):
                verbs.put_writes(config, unserializable, f"a-{row}")
            if place == "file":
                refused = [(f"c{index}", index) for index in range(6)]
                refused[row] = (REFUSED, row)
                with pytest.raises(CheckpointError):
                    verbs.put_writes(config, refused, f"b-{row}")
        assert verbs.get_tuple(config).pending_writes == []
        verbs.put_writes(config, [("c", 1)], TASK)
        assert verbs.get_tuple(config).pending_writes == [(TASK, "c", 1)]


def test_upstream_stores_the_rows_before_the_one_that_is_refused(path: Path, make_upstream: Any) -> None:
    """What the test above would see of a saver that commits row by row."""
    saver = make_upstream()
    config = saver.put(config_of("1"), checkpoint_of(1), {}, {})
    query(path, REFUSING_INDEX)
    with pytest.raises(sqlite3.OperationalError, match="malformed JSON"):
        saver.put_writes(config, [("a", 1), ("b", 2), (REFUSED, 3), ("d", 4)], TASK)
    assert saver.get_tuple(config).pending_writes != []
