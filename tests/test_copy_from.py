"""`copy_from`: every tuple of another saver, and nothing twice."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from helpers import OTHER_TASK, TASK, Verbs, checkpoint_of, config_of, id_of, put_chain, rows
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver as UpstreamSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.reports import TransferReport


def fill(saver: Any) -> None:
    for thread_id in ("1", "2"):
        configs = put_chain(saver, 5, thread_id) + put_chain(saver, 2, thread_id, "sub:x")
        for config in configs:
            saver.put_writes(config, [("a", [HumanMessage("x", id="1")]), ("b", 2)], TASK)
        saver.put_writes(configs[3], [("__interrupt__", ["why?"]), ("__error__", "x")], OTHER_TASK)
    fork = checkpoint_of(77, {"messages": [AIMessage("y", id="2")], "bytes": b"x"})
    saver.put(config_of("1", "", id_of(3)), fork, {"source": "fork", "step": 9, "parents": {}}, {})


def contents(saver: Any) -> dict[tuple[str, str, str], Any]:
    found = {}
    for stored in saver.list(None):
        part = stored.config["configurable"]
        parent = stored.parent_config and stored.parent_config["configurable"]["checkpoint_id"]
        writes = sorted(stored.pending_writes, key=lambda write: write[:2])
        key = (part["thread_id"], part["checkpoint_ns"], part["checkpoint_id"])
        found[key] = (stored.checkpoint, stored.metadata, parent, writes)
    return found


FILLED = TransferReport(threads=2, checkpoints=15, writes=32)


@pytest.mark.parametrize("source", ["memory", "upstream", "own"])
def test_every_tuple_of_the_other_saver_is_there(saver: Verbs, source: str, tmp_path: Path) -> None:
    other: Any
    if source == "memory":
        other = InMemorySaver()
    elif source == "upstream":
        connection = sqlite3.connect(tmp_path / "other.db", check_same_thread=False)
        other = UpstreamSaver(connection)
    else:
        other = RustSqliteSaver(tmp_path / "other.db")
    fill(other)
    seen: list[tuple[int, int]] = []
    if source == "upstream" and saver._loop is not None:
        pytest.skip("upstream's sync saver has no async verbs")
    assert saver.copy_from(other, progress=lambda *counts: seen.append(counts)) == FILLED
    assert seen == [(number, 15) for number in range(1, 16)]
    assert contents(saver) == contents(other)
    for stored in saver.list(None):
        assert saver.get_tuple(stored.config).pending_writes == stored.pending_writes
    if source == "upstream":
        other.conn.close()


@pytest.mark.interop
def test_rows_equal_upstreams_where_the_interface_tells_all(path: Path, tmp_path: Path) -> None:
    with UpstreamSaver.from_conn_string(str(tmp_path / "other.db")) as other, RustSqliteSaver(path) as saver:
        fill(other)
        saver.copy_from(other)
    for table in ("checkpoints", "writes"):
        assert rows(path, table) == rows(tmp_path / "other.db", table)


def test_the_order_of_writes_is_kept_without_their_paths(saver: Verbs) -> None:
    other = InMemorySaver()
    (config,) = put_chain(other, 1)
    other.put_writes(config, [("a", 1), ("b", 2)], OTHER_TASK, "~1")
    other.put_writes(config, [("c", 3)], TASK, "~2")
    saver.copy_from(other)
    stored, expected = saver.get_tuple(config_of()), other.get_tuple(config_of())
    assert expected is not None
    assert stored.pending_writes == expected.pending_writes


def test_repeated_it_writes_only_what_changed(saver: Verbs) -> None:
    other = InMemorySaver()
    fill(other)
    saver.copy_from(other)
    assert saver.copy_from(other) == TransferReport(2, 15, 32, unchanged=15)
    other.put_writes(config_of("1", "", id_of(5)), [("late", 1)], "0-earlier-task")
    put_chain(other, 1, "3")
    assert saver.copy_from(other) == TransferReport(3, 16, 33, unchanged=14)
    assert contents(saver) == contents(other)


def test_interrupted_it_goes_on_when_repeated(saver: Verbs) -> None:
    other = InMemorySaver()
    fill(other)

    def interrupt(done: int, _: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        saver.copy_from(other, progress=interrupt)
    assert 0 < len(saver.list(None)) < 15
    assert saver.copy_from(other).unchanged == 6
    assert contents(saver) == contents(other)


def test_only_the_threads_that_are_asked_for(saver: Verbs) -> None:
    other = InMemorySaver()
    fill(other)
    assert saver.copy_from(other, threads=["2", "unknown"]).threads == 1
    assert {key[0] for key in contents(saver)} == {"2"}
    with pytest.raises(TypeError):
        saver.copy_from(other, threads="2")


def test_a_saver_that_is_async_only(path: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "other.db")) as other:
            config: Any = config_of()
            for number in range(1, 30):
                config = await other.aput(config, checkpoint_of(number), {"step": number}, {})
                await other.aput_writes(config, [("a", number)], TASK)
            saver = RustSqliteSaver(path)
            assert await saver.acopy_from(other) == TransferReport(1, 29, 29)
            assert [found async for found in other.alist(None)] == [
                found async for found in saver.alist(None)
            ]
            await saver.aclose()

    asyncio.run(main())
