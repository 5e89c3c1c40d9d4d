"""What the tests of cancellation, loops, re-entrancy and exit share: a neighbour, waits, cancellations."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING, Any

import uvloop
from helpers import start_python

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}

_NEIGHBOUR = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0.5, isolation_level=None)
for line in sys.stdin:
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")
        print("wrote", flush=True)
    except sqlite3.OperationalError as error:
        print(error, flush=True)
"""


class Neighbour:
    """Another process with the file open, which waits half a second for the write lock at most."""

    def __init__(self, path: Path) -> None:
        self._process = start_python(_NEIGHBOUR, path)

    def write(self) -> str:
        """Takes the write lock and lets it go; `wrote`, or why it could not."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("write\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def __enter__(self) -> Neighbour:
        return self

    def __exit__(self, *exc_info: object) -> None:
        errors = self._process.communicate(timeout=30)[1]
        assert errors == ""


def eventually(condition: Callable[[], bool], patience: float = 10) -> bool:
    """Whether the condition becomes true in time."""
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def is_at_rest(saver: Any) -> bool:
    """Whether no reader is lent and no write waits."""
    figures = saver.stats()
    readers = figures["readers"]
    return bool(readers["open"] == readers["idle"] and figures["writer"]["queued"] == 0)


async def cancelled_after(turns: int, work: Coroutine[Any, Any, Any]) -> bool:
    """Cancels the work after so many turns of the loop; whether it was done before that."""
    task = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return False
    return True


def run_on(loop_name: str, main: Coroutine[Any, Any, None]) -> None:
    """Runs on a new loop of this kind. What the loop complains of, also in the end, is a failure."""
    complaints: list[dict[str, Any]] = []
    loop = LOOPS[loop_name]()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    try:
        loop.run_until_complete(main)
        gc.collect()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
    gc.collect()
    assert complaints == []
