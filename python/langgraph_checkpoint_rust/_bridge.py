"""Carries out the calls of a verb: in place, or each one hop off the event loop.

A verb is a generator. What it does between two `yield`s is Python work on the caller's objects, in
the caller's thread and context; each `yield` gives a native call that is ready to be carried out, or a pause.
What a call raises is raised at its `yield`, as in a coroutine.

Per awaited call that does next to nothing, on asyncio: 22 µs; `run_in_executor` 54; a Python thread with a
queue and `call_soon_threadsafe` 33. 64 small writes at once: 18, 48 and 34 each, since they share commits
(`benches/compare/bridge.py`; more in docs/design.md).
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from langgraph_checkpoint_rust._core import Channel

if TYPE_CHECKING:
    from collections.abc import Generator

    from langgraph_checkpoint_rust._core import Call, Meter

    Steps = Generator[Call | "Pause", Any, "T"]

T = TypeVar("T")


class Pause(NamedTuple):
    """Seconds in which a verb does nothing. Ctrl-C and cancellation end it."""

    seconds: float


def run(steps: Steps[T], meter: Meter | None = None) -> T:
    """Runs a verb in the calling thread, with the GIL released while it waits.

    Args:
        steps: The verb.
        meter: What counts the bytes that go in and out.
    """
    try:
        call = next(steps)
        while True:
            try:
                if isinstance(call, Pause):
                    time.sleep(call.seconds)
                    answer = None
                else:
                    answer = call.wait(meter)
            except BaseException as error:  # noqa: BLE001, PERF203 - it is the verb's to handle
                call = steps.throw(error)
            else:
                call = steps.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result


async def arun(steps: Steps[T], meter: Meter | None = None) -> T:
    """Runs a verb from a coroutine of any event loop; threads of the native half do the waiting.

    Cancellation withdraws a write that did not begin and lets one that did finish: it is stored or
    it is not. A read that runs is stopped.
    """
    loop = asyncio.get_running_loop()
    try:
        call = next(steps)
        while True:
            try:
                if isinstance(call, Pause):
                    await asyncio.sleep(call.seconds)
                    answer = None
                else:
                    answer = await _line_of(loop).call(call)
                    if meter is not None:
                        meter.moved(call)
            except BaseException as error:  # noqa: BLE001, PERF203 - it is the verb's to handle
                call = steps.throw(error)
            else:
                call = steps.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result


class _Line:
    """The connection of one event loop to the native threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._channel = Channel()
        self._tokens = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        # The loop owns this line, so the line must not own the loop.
        loop.add_reader(self._channel.fileno(), self._arrived)

    async def call(self, call: Call) -> Any:
        future = asyncio.get_running_loop().create_future()
        token = next(self._tokens)
        self._waiting[token] = future
        cancel = call.then(self._channel, token)
        try:
            return await future
        except asyncio.CancelledError:
            cancel.cancel()
            raise
        finally:
            self._waiting.pop(token, None)

    def _arrived(self) -> None:
        """Hands out all that arrived: one wake-up for a whole group of commits."""
        for token, result, error in self._channel.drain():
            future = self._waiting.pop(token, None)
            if future is None or future.done():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)


_lines: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Line] = weakref.WeakKeyDictionary()
_lines_lock = threading.Lock()


def _line_of(loop: asyncio.AbstractEventLoop) -> _Line:
    line = _lines.get(loop)
    if line is None:
        with _lines_lock:
            line = _lines.get(loop)
            if line is None:
                line = _lines[loop] = _Line(loop)
    return line


def forget_loops() -> None:
    """In a forked child: the parent's loops, and the lock that another thread may have held."""
    global _lines, _lines_lock  # noqa: PLW0603
    _lines = weakref.WeakKeyDictionary()
    _lines_lock = threading.Lock()
