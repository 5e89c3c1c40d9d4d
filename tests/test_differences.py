"""Rows of docs/differences.md, shown on both sides: what upstream does, and what this package does.

A row whose upstream side is no longer true fails here. Rows whose upstream side would hang, or needs
more than a few lines, are shown in the file of their verb.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import aiosqlite
import pytest
from helpers import run_python
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, empty_checkpoint
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver as Upstream
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver as AsyncUpstream

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver
from langgraph_checkpoint_rust.errors import DatabaseReplacedError
from langgraph_checkpoint_rust.serde import RustSerializer

CONFIG: RunnableConfig = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}


@pytest.fixture
def theirs() -> Iterator[Upstream]:
    with Upstream.from_conn_string(":memory:") as saver:
        yield saver


@pytest.fixture
def ours() -> Iterator[RustSqliteSaver]:
    with RustSqliteSaver(":memory:") as saver:
        yield saver


def numbered(number: int) -> Checkpoint:
    return {**empty_checkpoint(), "id": f"{number:04}"}


def test_upstream_syncs_every_commit_and_this_does_not_by_default(tmp_path: Path) -> None:
    with Upstream.from_conn_string(str(tmp_path / "theirs.db")) as theirs:
        theirs.setup()
        assert theirs.conn.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert RustSqliteSaver(tmp_path / "ours.db").settings.synchronous == "NORMAL"
    assert RustSqliteSaver(tmp_path / "ours.db", synchronous="FULL").settings.synchronous == "FULL"


def test_a_config_without_a_namespace(theirs: Upstream, ours: RustSqliteSaver) -> None:
    config: RunnableConfig = {"configurable": {"thread_id": "1"}}
    with pytest.raises(KeyError, match="checkpoint_ns"):
        theirs.put(config, empty_checkpoint(), {}, {})
    assert ours.put(config, empty_checkpoint(), {}, {})["configurable"]["checkpoint_ns"] == ""


def test_a_thread_id_of_none(theirs: Upstream, ours: RustSqliteSaver) -> None:
    config: RunnableConfig = {"configurable": {"thread_id": None, "checkpoint_ns": ""}}
    theirs.put(config, empty_checkpoint(), {}, {})
    assert theirs.get_tuple({"configurable": {"thread_id": "None"}}) is not None
    with pytest.raises(ValueError, match="thread_id"):
        ours.put(config, empty_checkpoint(), {}, {})


def test_metadata_that_json_refuses(theirs: Upstream, ours: RustSqliteSaver) -> None:
    metadata: Any = {"tags": {"a"}}
    with pytest.raises(TypeError, match="set"):
        theirs.put(CONFIG, empty_checkpoint(), metadata, {})
    ours.put(CONFIG, empty_checkpoint(), metadata, {})
    found = ours.get_tuple(CONFIG)
    assert found is not None
    assert dict(found.metadata) == {"tags": ["a"]}


@pytest.mark.parametrize("key", ["naïve", "with space", "a/b", "a$b"])
def test_a_filter_key_of_other_characters(key: str, theirs: Upstream, ours: RustSqliteSaver) -> None:
    metadata: Any = {key: 1}
    with pytest.raises(ValueError, match="Invalid filter key"):
        list(theirs.list(None, filter=metadata))
    ours.put(CONFIG, empty_checkpoint(), metadata, {})
    assert len(list(ours.list(None, filter=metadata))) == 1


def test_a_dotted_key_that_is_no_path(theirs: Upstream, ours: RustSqliteSaver) -> None:
    metadata: Any = {"a.b": 1}
    for saver in (theirs, ours):
        saver.put(CONFIG, empty_checkpoint(), metadata, {})
    assert list(theirs.list(None, filter=metadata)) == []
    assert len(list(ours.list(None, filter=metadata))) == 1


def test_a_nested_filter_value_that_is_not_ascii(theirs: Upstream, ours: RustSqliteSaver) -> None:
    metadata: Any = {"user": {"name": "Zoë"}}
    for saver in (theirs, ours):
        saver.put(CONFIG, empty_checkpoint(), metadata, {})
    assert list(theirs.list(None, filter=metadata)) == []
    assert len(list(ours.list(None, filter=metadata))) == 1


def test_a_row_whose_metadata_is_not_json(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with Upstream.from_conn_string(str(path)) as theirs:
        theirs.put(CONFIG, numbered(1), {"source": "loop"}, {})
        theirs.put(CONFIG, numbered(2), {"source": "loop"}, {})
        theirs.conn.execute("UPDATE checkpoints SET metadata = 'damaged' WHERE checkpoint_id = '0002'")
        theirs.conn.commit()
        with pytest.raises(sqlite3.OperationalError, match="JSON"):
            list(theirs.list(None, filter={"source": "loop"}))
    with RustSqliteSaver(path) as ours:
        found = list(ours.list(None, filter={"source": "loop"}))
    assert [one.checkpoint["id"] for one in found] == ["0001"]


def test_a_limit_of_the_wrong_type(theirs: Upstream, ours: RustSqliteSaver) -> None:
    limit: Any = 1.5
    with pytest.raises(sqlite3.IntegrityError, match="datatype mismatch"):
        list(theirs.list(None, limit=limit))
    with pytest.raises(TypeError, match=r"limit .* float"):
        list(ours.list(None, limit=limit))


def test_verbs_that_upstream_lacks(theirs: Upstream, ours: RustSqliteSaver) -> None:
    for verb, arguments in {
        "copy_thread": ("1", "2"),
        "prune": (["1"],),
        "delete_for_runs": (["1"],),
    }.items():
        with pytest.raises(NotImplementedError):
            getattr(theirs, verb)(*arguments)
        getattr(ours, verb)(*arguments)


def test_async_verbs_of_the_sync_class(theirs: Upstream, ours: RustSqliteSaver) -> None:
    with pytest.raises(NotImplementedError):
        asyncio.run(theirs.aget_tuple(CONFIG))
    assert asyncio.run(ours.aget_tuple(CONFIG)) is None


def test_sync_verbs_of_the_async_class_inside_the_loop() -> None:
    async def call(saver: Any) -> Any:
        return saver.get_tuple(CONFIG)

    async def both() -> None:
        async with AsyncUpstream.from_conn_string(":memory:") as theirs:
            with pytest.raises(asyncio.InvalidStateError):
                await call(theirs)
        async with AsyncRustSqliteSaver.from_conn_string(":memory:") as ours:
            assert await call(ours) is None

    asyncio.run(both())


def test_the_async_class_outside_of_a_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        AsyncUpstream(None)  # type: ignore[arg-type]
    AsyncRustSqliteSaver(":memory:").close()


def test_from_conn_string_returns_a_saver(tmp_path: Path) -> None:
    path = str(tmp_path / "app.db")
    theirs: Any = Upstream.from_conn_string(path)
    assert not isinstance(theirs, Upstream)
    ours = RustSqliteSaver.from_conn_string(path)
    assert ours.get_tuple(CONFIG) is None
    ours.close()


def test_a_path_whose_directory_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "app.db"
    with (
        pytest.raises(sqlite3.OperationalError, match="unable to open"),
        Upstream.from_conn_string(str(path)),
    ):
        pass
    RustSqliteSaver(path).setup()
    assert path.exists()


def test_a_saver_of_a_path(tmp_path: Path) -> None:
    path: Any = tmp_path / "app.db"
    with pytest.raises(AttributeError):
        Upstream(path).get_tuple(CONFIG)
    assert RustSqliteSaver(path).get_tuple(CONFIG) is None


def test_a_put_writes_that_fails_in_the_middle(theirs: Upstream, ours: RustSqliteSaver) -> None:
    # Upstream fails before its first row here too; a row that SQLite itself refuses leaves the rows
    # before it in the open transaction, which the next verb commits.
    stored = theirs.put(CONFIG, empty_checkpoint(), {}, {})
    task: Any = "task"
    theirs.conn.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON writes WHEN new.channel = 'bad' "
        "BEGIN SELECT RAISE(ABORT, 'refused'); END"
    )
    with pytest.raises(sqlite3.IntegrityError, match="refused"):
        theirs.put_writes(stored, [("good", 1), ("bad", 2)], task)
    found = theirs.get_tuple(stored)
    assert found is not None
    assert found.pending_writes == [("task", "good", 1)]

    stored = ours.put(CONFIG, empty_checkpoint(), {}, {})
    with contextlib.suppress(Exception):
        ours.put_writes(stored, [("good", 1), ("bad", object())], task)
    found = ours.get_tuple(stored)
    assert found is not None
    assert found.pending_writes == []


def test_pending_sends_of_an_old_checkpoint(theirs: Upstream, ours: RustSqliteSaver) -> None:
    seen = []
    for saver in (theirs, ours):
        parent = saver.put(CONFIG, numbered(1), {}, {})
        saver.put_writes(parent, [("__pregel_tasks", "sent")], "task")
        child = saver.put(parent, {**numbered(2), "v": 3}, {}, {})
        found = saver.get_tuple(child)
        assert found is not None
        seen.append(found.checkpoint["channel_values"])
    assert seen == [{}, {"__pregel_tasks": ["sent"]}]


def test_rows_with_the_same_id_come_in_a_fixed_order(theirs: Upstream, ours: RustSqliteSaver) -> None:
    orders = []
    for saver in (theirs, ours):
        for thread_id in ("b", "a", "c"):
            config: RunnableConfig = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
            saver.put(config, numbered(1), {}, {})
        orders.append([one.config["configurable"]["thread_id"] for one in saver.list(None)])
    assert sorted(orders[0]) == ["a", "b", "c"]
    assert orders[1] == ["a", "b", "c"]


def test_upstreams_handles(theirs: Upstream, ours: RustSqliteSaver) -> None:
    for name in ("conn", "lock", "cursor"):
        assert hasattr(theirs, name)
        assert not hasattr(ours, name)
    with pytest.raises(AttributeError, match="open the file with sqlite3"):
        ours.conn


def test_triggers_of_the_app_do_not_fire(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with Upstream.from_conn_string(str(path)) as theirs:
        theirs.setup()
        theirs.conn.executescript(
            "CREATE TABLE log (id TEXT);"
            "CREATE TRIGGER t AFTER INSERT ON checkpoints BEGIN INSERT INTO log VALUES (new.checkpoint_id); END"
        )
        theirs.put(CONFIG, numbered(1), {}, {})
    with RustSqliteSaver(path) as ours:
        ours.put(CONFIG, numbered(2), {}, {})
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT id FROM log").fetchall() == [("0001",)]
    connection.close()


def test_a_thread_id_that_sqlite_cannot_bind(theirs: Upstream, ours: RustSqliteSaver) -> None:
    config: RunnableConfig = {"configurable": {"thread_id": UUID(int=1), "checkpoint_ns": ""}}
    for saver in (theirs, ours):
        saver.put(config, numbered(1), {}, {})
    with pytest.raises(sqlite3.Error, match=r"type.*not supported"):
        list(theirs.list(config))
    assert len(list(ours.list(config))) == 1


def test_a_namespace_of_none(theirs: Upstream, ours: RustSqliteSaver) -> None:
    config: RunnableConfig = {"configurable": {"thread_id": "1", "checkpoint_ns": None}}
    theirs.put(config, numbered(1), {}, {})
    assert theirs.get_tuple(config) is None
    ours.put(config, numbered(1), {}, {})
    assert ours.get_tuple(config) == ours.get_tuple(CONFIG)


def test_a_filter_with_an_integer_beyond_64_bits(theirs: Upstream, ours: RustSqliteSaver) -> None:
    with pytest.raises(OverflowError):
        list(theirs.list(None, filter={"step": 2**63}))
    with pytest.raises(ValueError, match="64 bits"):
        list(ours.list(None, filter={"step": 2**63}))


def test_a_file_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with RustSqliteSaver.from_conn_string("file:ours.db") as ours:
        ours.setup()
    assert (tmp_path / "ours.db").exists()
    with Upstream.from_conn_string("file:theirs.db") as theirs:
        theirs.setup()
    # It is a file of that name, unless Python's SQLite was built to read URIs.
    assert (tmp_path / "file:theirs.db").exists() or (tmp_path / "theirs.db").exists()


def test_a_copy_by_pickle(tmp_path: Path) -> None:
    with (
        Upstream.from_conn_string(str(tmp_path / "theirs.db")) as theirs,
        pytest.raises((TypeError, AttributeError), match="pickle"),
    ):
        pickle.dumps(theirs)
    with RustSqliteSaver(tmp_path / "ours.db") as ours:
        ours.put(CONFIG, numbered(1), {}, {})
        with pickle.loads(pickle.dumps(ours)) as copy:
            assert copy.get_tuple(CONFIG) == ours.get_tuple(CONFIG)


# --- the serializer ---


def test_the_default_serializer(theirs: Upstream, ours: RustSqliteSaver) -> None:
    assert type(theirs.serde) is JsonPlusSerializer
    assert type(ours.serde) is RustSerializer
    state = {"messages": [HumanMessage("hello", id="1")]}
    assert ours.serde.dumps_typed(state) == theirs.serde.dumps_typed(state)


def test_an_interrupt_in_code_that_the_serializer_calls() -> None:
    def hook(code: int, data: bytes) -> Any:
        raise KeyboardInterrupt

    typed = JsonPlusSerializer().dumps_typed([HumanMessage("hello")])
    with pytest.raises(ValueError, match="ext_hook failed"):
        JsonPlusSerializer(__unpack_ext_hook__=hook).loads_typed(typed)
    with pytest.raises(KeyboardInterrupt):
        RustSerializer(__unpack_ext_hook__=hook).loads_typed(typed)


def test_a_hook_that_fails() -> None:
    error = RuntimeError("why")

    def hook(code: int, data: bytes) -> Any:
        raise error

    causes = []
    for serializer in (JsonPlusSerializer, RustSerializer):
        serde = serializer(__unpack_ext_hook__=hook)
        with pytest.raises(ValueError, match="ext_hook failed") as caught:
            serde.loads_typed(serde.dumps_typed([HumanMessage("hello")]))
        causes.append(caught.value.__cause__)
    assert causes == [None, error]


# --- the file ---


def test_two_savers_of_a_file_with_other_settings(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with RustSqliteSaver(path, pool_size=4) as first, RustSqliteSaver(path, pool_size=5) as second:
        first.setup()
        with pytest.raises(ValueError, match="pool_size is 4 there and 5 here"):
            second.setup()
    # `synchronous` may differ, and so may everything once the other saver is closed.
    with RustSqliteSaver(path, synchronous="FULL") as first, RustSqliteSaver(path) as second:
        first.setup()
        second.setup()


def test_a_file_that_is_replaced_while_it_is_open(tmp_path: Path) -> None:
    with Upstream.from_conn_string(str(tmp_path / "theirs.db")) as theirs:
        theirs.put(CONFIG, numbered(1), {}, {})
        (tmp_path / "theirs.db").unlink()
        theirs.put(CONFIG, numbered(2), {}, {})  # Into a file that has no name any more.
    assert not (tmp_path / "theirs.db").exists()
    with RustSqliteSaver(tmp_path / "ours.db") as ours:
        ours.put(CONFIG, numbered(1), {}, {})
        (tmp_path / "ours.db").unlink()
        with pytest.raises(DatabaseReplacedError, match="replaced or deleted"):
            ours.put(CONFIG, numbered(2), {}, {})


@pytest.mark.skipif(sys.platform != "linux", reason="the guard is Linux's")
def test_locks_after_other_code_opened_and_closed_the_file(tmp_path: Path) -> None:
    def others_may_lock(path: Path) -> bool:
        # A process with the database open holds this byte of its shared memory; another one that gets it
        # believes that nobody has, and starts the log afresh.
        code = """
            import fcntl, sys
            with open(sys.argv[1], "r+b") as file:
                try:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 128)
                    print("locked")
                except BlockingIOError:
                    print("refused")
            """
        return run_python(code, f"{path}-shm") == "locked\n"

    outcomes = {}
    with Upstream.from_conn_string(str(tmp_path / "theirs.db")) as theirs:
        theirs.put(CONFIG, numbered(1), {}, {})
        outcomes["theirs.db"] = [others_may_lock(tmp_path / "theirs.db")]
        with RustSqliteSaver(tmp_path / "ours.db") as ours:
            ours.put(CONFIG, numbered(1), {}, {})
            outcomes["ours.db"] = [others_may_lock(tmp_path / "ours.db")]
            for name, outcome in outcomes.items():
                os.close(os.open(f"{tmp_path / name}-shm", os.O_RDONLY))
                outcome.append(others_may_lock(tmp_path / name))
    assert outcomes == {"theirs.db": [False, True], "ours.db": [False, False]}


def test_a_put_that_is_cancelled(tmp_path: Path) -> None:
    async def cancelled_at_commit() -> bool:
        async with aiosqlite.connect(tmp_path / "theirs.db") as connection:
            theirs = AsyncUpstream(connection)
            await theirs.setup()
            reached = asyncio.Event()

            async def commit() -> None:
                reached.set()
                await asyncio.sleep(60)

            connection.commit = commit  # type: ignore[method-assign]
            put = asyncio.create_task(theirs.aput(CONFIG, numbered(1), {}, {}))
            await reached.wait()
            put.cancel()
            await asyncio.gather(put, return_exceptions=True)
            return connection.in_transaction

    assert asyncio.run(cancelled_at_commit())

    async def cancelled_anywhere() -> None:
        path = tmp_path / "ours.db"
        async with AsyncRustSqliteSaver(path) as ours:
            await ours.setup()
            for number in range(20):
                put = asyncio.create_task(ours.aput(CONFIG, numbered(number), {}, {}))
                for _ in range(number % 3 + 1):
                    await asyncio.sleep(0)
                put.cancel()
                await asyncio.gather(put, return_exceptions=True)
                # Another connection can write at once, or within the commit that is under way.
                other = sqlite3.connect(path, timeout=5)
                other.execute("BEGIN IMMEDIATE")
                other.close()

    asyncio.run(cancelled_anywhere())


def test_a_very_large_thread_is_deleted_in_several_transactions(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with RustSqliteSaver(path) as ours:
        latest = ours.put(CONFIG, numbered(9), {}, {})
        connection = sqlite3.connect(path)
        connection.execute("DROP TRIGGER IF EXISTS checkpoint_format_checkpoints")
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) "
            "INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, type, checkpoint, metadata) "
            "SELECT '1', '', printf('0000%06d', i), 'msgpack', x'80', '{}' FROM n"
        )
        connection.commit()
        connection.close()
        assert ours._store.backend.delete_threads(["1"], False).wait()[0], "there is more to delete"
        assert (ours.get_tuple(latest) is not None) == (ours.format == "interop")
        ours.delete_thread("1")
        assert ours.get_tuple(latest) is None
