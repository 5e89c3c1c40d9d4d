"""Runs the steps of a verb: in place, or each one hop off the event loop.

A verb is a generator. What it does between two `yield`s is Python work on the caller's objects, in
the caller's thread and context; each `yield` names a native call that blocks with the GIL released.
"""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    Steps = Generator[tuple[Callable[..., Any], Any], Any, "T"]

T = TypeVar("T")

_MOST_THREADS = 32


def run(steps: Steps[T]) -> T:
    """Runs a verb in the calling thread."""
    try:
        function, arguments = next(steps)
        while True:
            function, arguments = steps.send(function(*arguments))
    except StopIteration as stop:
        result: T = stop.value
        return result


async def arun(steps: Steps[T]) -> T:
    """Runs a verb from a coroutine of any event loop; native calls wait in a thread.

    Cancellation leaves a native call that began to finish: a write is stored or not, never half.
    """
    loop = asyncio.get_running_loop()
    try:
        function, arguments = next(steps)
        while True:
            function, arguments = steps.send(await loop.run_in_executor(_executor(), function, *arguments))
    except StopIteration as stop:
        result: T = stop.value
        return result


class _Threads:
    """The threads that wait. They do not survive a fork, so the child makes its own."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.executor: ThreadPoolExecutor | None = None


_threads = _Threads()


def _executor() -> ThreadPoolExecutor:
    with _threads.lock:
        if _threads.executor is None:
            _threads.executor = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="langgraph-checkpoint")
        return _threads.executor


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.__init__)  # type: ignore[misc]
