"""Ways to leave an event loop with a blocking call: the same native call, carried out three ways.

* bridge: ours (`_bridge.py`, `src/py/channel.rs`): threads of the engine, one byte on a socket per batch.
* executor: `loop.run_in_executor` over the sync call, with as many threads as the saver has readers.
* own thread: one Python thread, a queue and `call_soon_threadsafe`, as `aiosqlite` does it.

Beside them the floor: the sync call in place, which blocks the loop. The calls are `get_tuple` of a thread
that does not exist, and `put_writes` of one small row at `synchronous=NORMAL`: what differs is the way.

    python benches/compare/bridge.py [--quick]
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop
from common import Results, interleaved, main

from langgraph_checkpoint_rust import RustSqliteSaver, _bridge

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable, Generator

    from langgraph_checkpoint_rust._core import Call

    MakeCall = Callable[[], Call]
    Way = Callable[[MakeCall], Awaitable[Any]]

AT_ONCE = 64
ALONE = 20  # calls one after the other, per round


class OwnThread:
    """One thread that takes calls from a queue."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    async def __call__(self, make: MakeCall) -> Any:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._queue.put((loop, future, make()))
        return await future

    def _serve(self) -> None:
        while (item := self._queue.get()) is not None:
            loop, future, call = item
            try:
                result = call.wait()
            except Exception as error:  # noqa: BLE001 -- whatever it is belongs to the caller
                loop.call_soon_threadsafe(future.set_exception, error)
            else:
                loop.call_soon_threadsafe(future.set_result, result)

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()


async def bridge(make: MakeCall) -> Any:
    def steps() -> Generator[Call, Any, Any]:
        return (yield make())

    return await _bridge.arun(steps())


async def in_place(make: MakeCall) -> Any:
    return make().wait()


def executor_of(pool: ThreadPoolExecutor) -> Way:
    async def executor(make: MakeCall) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, make().wait)

    return executor


async def measure(ways: dict[str, Way], make: MakeCall, rounds: int) -> dict[str, dict[str, list[float]]]:
    """By table and way: µs per call, one after the other and 64 at once."""
    alone: dict[str, list[float]] = {name: [] for name in ways}
    at_once: dict[str, list[float]] = {name: [] for name in ways}
    warm = rounds // 10
    for number, name in interleaved(list(ways), rounds + warm):
        one_by_one = []
        for _ in range(ALONE):
            started = time.perf_counter_ns()
            await ways[name](make)
            one_by_one.append((time.perf_counter_ns() - started) / 1000)
        started = time.perf_counter_ns()
        await asyncio.gather(*(ways[name](make) for _ in range(AT_ONCE)))
        if number >= warm:
            alone[name] += one_by_one
            at_once[name].append((time.perf_counter_ns() - started) / 1000 / AT_ONCE)
    return {"one after the other": alone, f"{AT_ONCE} at once": at_once}


def calls(saver: RustSqliteSaver) -> dict[str, MakeCall]:
    """The calls by name, as the saver's verbs make them."""
    native = saver._store.backend
    tasks = itertools.count()

    def read() -> Call:
        return native.get_tuple("no such thread", "", None)

    def write() -> Call:
        key = ("thread", "", "1")
        return native.put_writes(
            key, f"task-{next(tasks)}", "", False, [(0, "n", ("msgpack", b"\x01"))], True, None
        )

    return {"read": read, "write": write}


def run(options: argparse.Namespace, results: Results) -> None:
    rounds = 20 if options.quick else 300
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.new_event_loop,
        "uvloop": uvloop.new_event_loop,
    }
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        for loop_name, new_loop in loops.items():
            with RustSqliteSaver(Path(directory) / f"{loop_name}.db") as saver:
                saver.setup()
                own_thread, loop = OwnThread(), new_loop()
                with ThreadPoolExecutor(saver.settings.pool_size) as pool:
                    ways: dict[str, Way] = {
                        "bridge": bridge,
                        "executor": executor_of(pool),
                        "own thread": own_thread,
                        "in place": in_place,
                    }
                    for call_name, make in calls(saver).items():
                        case = f"{call_name}, {loop_name}"
                        for table, taken in loop.run_until_complete(measure(ways, make, rounds)).items():
                            for way, values in taken.items():
                                results.add(table, "µs per call", case, way, values)
                own_thread.close()
                loop.close()


if __name__ == "__main__":
    main("bridge", __doc__, run)
