"""The savers that are compared: how each is opened, at which `synchronous`, and who cannot run.

`synchronous` is read back from the open connection. `SqliteSaver` as shipped runs at FULL. LMDB at its
default syncs each commit, so it stands beside FULL; swarmstate sets NORMAL itself. Where `SqliteOptions`
knows `format`, ours runs once in each format.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiosqlite
from common import SYNCHRONOUS
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSerializer, RustSqliteSaver
from langgraph_checkpoint_rust.settings import SqliteOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from common import Results

LEVELS = ("NORMAL", "FULL")
FORMATS = ("compact", "interop") if "format" in SqliteOptions.__annotations__ else ("",)
POSTGRES = "BENCH_POSTGRES"


@dataclasses.dataclass(frozen=True)
class Contender:
    """A saver, at one `synchronous` and in one format where it has them."""

    name: str
    synchronous: str = ""
    format: str = ""
    checkpoints: bool = True
    """Whether the WAL is moved into the database now and then."""

    @property
    def label(self) -> str:
        return " ".join(filter(None, (self.name, self.format, self.synchronous)))

    @property
    def reference(self) -> str:
        """Beside whom ours is judged."""
        return f"SqliteSaver {self.synchronous}" if self.name == "RustSqliteSaver" else ""

    @property
    def options(self) -> dict[str, Any]:
        """The settings of our saver."""
        chosen = {"synchronous": self.synchronous, "format": self.format}
        options: dict[str, Any] = {name: value for name, value in chosen.items() if value}
        return options if self.checkpoints else {**options, "wal_autocheckpoint": 0}

    def opened(self, path: Path) -> AbstractContextManager[Any]:
        return OPENINGS[self.name](self, path)

    def opened_async(self, path: Path) -> AbstractAsyncContextManager[Any]:
        return ASYNC_OPENINGS[self.name](self, path)


def ours() -> list[Contender]:
    return [Contender("RustSqliteSaver", level, kind) for level in LEVELS for kind in FORMATS]


def upstreams() -> list[Contender]:
    return [Contender("SqliteSaver", level) for level in LEVELS]


MEMORY = Contender("InMemorySaver")
PEERS = (
    Contender("LMDBSaver", "FULL"),
    Contender("SwarmStateSaver memory"),
    Contender("SwarmStateSaver disk", "NORMAL"),
    Contender("fast-langgraph RustCheckpointSaver"),
    Contender("PostgresSaver with RustSerializer", "on"),
)


def field(
    results: Results, *, memory: bool = True, peers: bool = False, levels: Sequence[str] = LEVELS
) -> list[Contender]:
    """Who takes part; notes who is left out and why."""
    chosen = [each for each in (*ours(), *upstreams()) if each.synchronous in levels]
    if memory:
        chosen.append(MEMORY)
    if peers:
        for peer in PEERS:
            if why := refusal(peer):
                results.notes.append(f"Left out: {peer.label}: {why}")
            else:
                chosen.append(peer)
    results.references |= {each.label: each.reference for each in chosen if each.reference}
    return chosen


def refusal(contender: Contender) -> str:
    """Why a saver cannot carry a graph of two turns; empty if it can."""
    builder = StateGraph(MessagesState)
    builder.add_node("answer", lambda state: {"messages": [("ai", str(len(state["messages"])))]})
    builder.add_edge(START, "answer")
    config: Any = {"configurable": {"thread_id": "1"}}
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            with contender.opened(Path(directory) / "app.db") as saver:
                graph: Any = builder.compile(checkpointer=saver)
                for text in ("one", "two"):
                    graph.invoke({"messages": [("user", text)]}, config)
                held = len(graph.get_state(config).values["messages"])
                return "" if held == 4 else f"after two turns it holds {held} messages of 4"
    except Exception as error:  # noqa: BLE001 -- whatever a peer raises is the answer
        return f"{type(error).__name__}: {error}"


# --- how each is opened ---


@contextlib.contextmanager
def open_ours(contender: Contender, path: Path) -> Iterator[Any]:
    with RustSqliteSaver(path, **contender.options) as saver:
        saver.setup()  # the engine reads each setting back and refuses another value
        yield saver


@contextlib.asynccontextmanager
async def open_ours_async(contender: Contender, path: Path) -> AsyncIterator[Any]:
    async with AsyncRustSqliteSaver(path, **contender.options) as saver:
        await saver.setup()
        yield saver


@contextlib.contextmanager
def open_upstream(contender: Contender, path: Path) -> Iterator[Any]:
    with contextlib.closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        saver = SqliteSaver(connection)
        saver.setup()
        assert_level(connection.execute("PRAGMA synchronous").fetchone()[0], "FULL")
        connection.execute(f"PRAGMA synchronous={contender.synchronous}")
        assert_level(connection.execute("PRAGMA synchronous").fetchone()[0], contender.synchronous)
        if not contender.checkpoints:
            connection.execute("PRAGMA wal_autocheckpoint=0")
        yield saver


@contextlib.asynccontextmanager
async def open_upstream_async(contender: Contender, path: Path) -> AsyncIterator[Any]:
    async with aiosqlite.connect(path) as connection:
        saver = AsyncSqliteSaver(connection)
        await saver.setup()
        await connection.execute(f"PRAGMA synchronous={contender.synchronous}")
        rows = list(await connection.execute_fetchall("PRAGMA synchronous"))
        assert_level(rows[0][0], contender.synchronous)
        yield saver


def assert_level(found: int, level: str) -> None:
    assert SYNCHRONOUS[found] == level


@contextlib.contextmanager
def open_memory(_: Contender, __: Path) -> Iterator[Any]:
    yield InMemorySaver()


@contextlib.asynccontextmanager
async def open_memory_async(_: Contender, __: Path) -> AsyncIterator[Any]:
    yield InMemorySaver()


@contextlib.contextmanager
def open_lmdb(_: Contender, path: Path) -> Iterator[Any]:
    lmdb, peer = importlib.import_module("lmdb"), importlib.import_module("langgraph_checkpoint_lmdb")
    with lmdb.open(str(path), max_dbs=2, map_size=1 << 34, sync=True) as environment:
        yield peer.LMDBSaver(environment)


@contextlib.contextmanager
def open_swarmstate(contender: Contender, path: Path) -> Iterator[Any]:
    peer = importlib.import_module("swarmstate.integrations.langgraph")
    if contender.name.endswith("memory"):
        yield peer.SwarmStateSaver()
        return
    store = importlib.import_module("swarmstate.backends.disk").DiskStore(str(path))
    assert_level(store._connect().execute("PRAGMA synchronous").fetchone()[0], contender.synchronous)
    yield peer.SwarmStateSaver(store)
    store.close()


@contextlib.contextmanager
def open_fast_langgraph(_: Contender, __: Path) -> Iterator[Any]:
    yield importlib.import_module("fast_langgraph.checkpoint_wrapper").RustCheckpointSaver()


@contextlib.contextmanager
def open_postgres(contender: Contender, _: Path) -> Iterator[Any]:
    """A server that BENCH_POSTGRES names; its tables are emptied, so name a database for this alone."""
    if POSTGRES not in os.environ:
        raise LookupError(f"{POSTGRES} names no server")
    peer = importlib.import_module("langgraph.checkpoint.postgres")
    with peer.PostgresSaver.from_conn_string(os.environ[POSTGRES]) as saver:
        saver.serde = RustSerializer()
        saver.setup()
        saver.conn.execute("TRUNCATE checkpoints, checkpoint_blobs, checkpoint_writes")
        found = saver.conn.execute("SHOW synchronous_commit").fetchone()["synchronous_commit"]
        assert found == contender.synchronous
        yield saver


OPENINGS: dict[str, Callable[[Contender, Path], AbstractContextManager[Any]]] = {
    "RustSqliteSaver": open_ours,
    "SqliteSaver": open_upstream,
    "InMemorySaver": open_memory,
    "LMDBSaver": open_lmdb,
    "SwarmStateSaver memory": open_swarmstate,
    "SwarmStateSaver disk": open_swarmstate,
    "fast-langgraph RustCheckpointSaver": open_fast_langgraph,
    "PostgresSaver with RustSerializer": open_postgres,
}
ASYNC_OPENINGS: dict[str, Callable[[Contender, Path], AbstractAsyncContextManager[Any]]] = {
    "RustSqliteSaver": open_ours_async,
    "SqliteSaver": open_upstream_async,
    "InMemorySaver": open_memory_async,
}
