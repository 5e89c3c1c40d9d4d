"""Checkpoints, configs, rows and both colours of a saver, for all tests."""

from __future__ import annotations

import asyncio
import inspect
import os
import pickle
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Any

import formats
from langgraph.checkpoint.base import Checkpoint, CheckpointTuple, empty_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_core.runnables import RunnableConfig

TASK = "00000000-0000-0000-0000-000000000001"
OTHER_TASK = "00000000-0000-0000-0000-000000000002"

REFUSED = "refused"
REFUSING_INDEX = f"CREATE INDEX refusing ON writes (json(CAST(value AS TEXT))) WHERE channel = '{REFUSED}'"
"""Makes SQLite refuse every write to this channel: msgpack is no JSON."""


class Verbs:
    """The verbs of a saver, called the same way in both colours: `list` returns a list.

    With an event loop each verb is its `a…` twin, run to its end on that loop.
    """

    def __init__(self, saver: Any, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.saver = saver
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self._loop is None:
                result = getattr(self.saver, name)(*args, **kwargs)
                return list(result) if name == "list" else result
            result = getattr(self.saver, f"a{name}")(*args, **kwargs)
            return self._loop.run_until_complete(collected(result))

        return call


async def collected(awaitable: Any) -> Any:
    """The result of a coroutine, or the items of an async iterator."""
    if inspect.isawaitable(awaitable):
        return await awaitable
    return [item async for item in awaitable]


def config_of(
    thread_id: Any = "1", checkpoint_ns: str = "", checkpoint_id: str | None = None, **more: Any
) -> RunnableConfig:
    """A config; `more` goes beside the ids."""
    configurable = {"thread_id": thread_id, "checkpoint_ns": checkpoint_ns, **more}
    if checkpoint_id is not None:
        configurable["checkpoint_id"] = checkpoint_id
    return {"configurable": configurable}


def id_of(number: int) -> str:
    """A checkpoint id; greater numbers sort later."""
    return f"1f000000-0000-6000-8000-{number:012x}"


def checkpoint_of(number: int | None = None, values: dict[str, Any] | None = None, **more: Any) -> Checkpoint:
    """A checkpoint that holds `values`; its id sorts by `number`."""
    checkpoint: Any = empty_checkpoint()
    checkpoint["v"] = 4
    checkpoint["ts"] = "2026-01-01T00:00:00+00:00"
    if number is not None:
        checkpoint["id"] = id_of(number)
    checkpoint["channel_values"] = dict(values or {})
    checkpoint["channel_versions"] = dict.fromkeys(values or {}, f"{1:032}.5")
    checkpoint.update(more)
    made: Checkpoint = checkpoint
    return made


def put_chain(
    saver: Any, length: int, thread_id: Any = "1", checkpoint_ns: str = "", *, start: int = 1
) -> list[RunnableConfig]:
    """Stores checkpoints, each the parent of the next; their configs, oldest first."""
    stored: list[RunnableConfig] = []
    config = config_of(thread_id, checkpoint_ns)
    for number in range(start, start + length):
        checkpoint = checkpoint_of(number, {"count": number})
        config = saver.put(config, checkpoint, {"source": "loop", "step": number, "parents": {}}, {})
        stored.append(config)
    return stored


def ids(tuples: list[CheckpointTuple]) -> list[str]:
    """The checkpoint ids, in order."""
    return [found.checkpoint["id"] for found in tuples]


_QUERY = """
import pickle, sqlite3, sys
path, sql, parameters = pickle.load(sys.stdin.buffer)
connection = sqlite3.connect(path, isolation_level=None)
found = connection.execute(sql, parameters).fetchall()
connection.close()
pickle.dump(found, sys.stdout.buffer)
"""


def query(path: str | Path, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
    """Runs one statement with Python's `sqlite3`, in another process.

    A second SQLite library in this one would drop the POSIX locks of an open saver as it closes.
    """
    command = [sys.executable, "-I", "-S", "-c", _QUERY]
    asked = pickle.dumps((str(path), sql, parameters))
    answer = subprocess.run(command, input=asked, capture_output=True, check=False, timeout=60)
    assert answer.returncode == 0, answer.stderr.decode()
    found: list[tuple[Any, ...]] = pickle.loads(answer.stdout)
    return found


def rows(path: str | Path, table: str) -> list[tuple[Any, ...]]:
    """All rows of a table, ordered by key."""
    key = "thread_id, checkpoint_ns, checkpoint_id" + (", task_id, idx" if table == "writes" else "")
    return query(path, f"SELECT * FROM {table} ORDER BY {key}")


def schema(path: str | Path) -> list[tuple[Any, ...]]:
    """What `sqlite_schema` says, but for where pages are and how the SQL is laid out."""
    found = query(path, "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name")
    return [(*row[:3], row[3] and " ".join(row[3].split())) for row in found]


def run_python(code: str, *arguments: object, timeout: float = 60) -> str:
    """Runs code in another interpreter; what it printed. A failure shows its standard error."""
    process = start_python(code, *arguments)
    output, errors = process.communicate(timeout=timeout)
    assert process.returncode == 0, errors
    return output


def start_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Starts code in another interpreter, with pipes to it and from it."""
    code = textwrap.dedent(code)
    # In the interop runs only: elsewhere the code decides when the package is imported.
    if "langgraph_checkpoint_rust" in code and formats.tested() == "interop":
        code = f"import formats\n{code}"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=os.path.dirname(os.path.abspath(__file__)),
    )


_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(sys.argv[2])
print("locked", flush=True)
sys.stdin.read()
"""


class Lock:
    """A transaction of another process."""

    def __init__(self, path: str | Path, begin: str) -> None:
        self._process = start_python(_LOCK, path, begin)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "locked\n"
        self._releasing = threading.Lock()

    def release(self) -> None:
        """Idempotent: a timer may release what is left at once."""
        with self._releasing:
            if self._process.poll() is None:
                self._process.communicate(timeout=30)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()
