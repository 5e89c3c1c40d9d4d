"""Ways to leave an event loop with a blocking call: the same native call, carried out three ways.

* bridge: ours (`_bridge.py`, `src/py/channel.rs`): threads of the engine, one byte on a socket per batch.
* executor: `loop.run_in_executor` over the sync call, with as many threads as the saver has readers.
* own thread: one Python thread, a queue and `call_soon_threadsafe`, as `aiosqlite` does it.

Beside them the floor: the sync call in place, which blocks the loop. The calls are `get_tuple` of a thread
that does not exist, and `put_writes` of one small row at `synchronous=NORMAL`: what differs is the way.

Run: `python benches/compare/bridge.py [--quick]`
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import itertools
import platform
import queue
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from langgraph_checkpoint_rust import RustSqliteSaver, _bridge, _core

if TYPE_CHECKING:
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


async def measure(ways: dict[str, Way], make: MakeCall, rounds: int) -> dict[str, tuple[float, float]]:
    """By way: the medians of µs per call, one after the other and 64 at once."""
    alone: dict[str, list[float]] = {name: [] for name in ways}
    at_once: dict[str, list[float]] = {name: [] for name in ways}
    order = list(ways)
    for number in range(rounds + rounds // 10):
        warm = number >= rounds // 10
        for name in order:
            way = ways[name]
            for _ in range(ALONE):
                started = time.perf_counter_ns()
                await way(make)
                if warm:
                    alone[name].append((time.perf_counter_ns() - started) / 1000)
            started = time.perf_counter_ns()
            await asyncio.gather(*(way(make) for _ in range(AT_ONCE)))
            if warm:
                at_once[name].append((time.perf_counter_ns() - started) / 1000 / AT_ONCE)
        order.append(order.pop(0))
    return {name: (statistics.median(alone[name]), statistics.median(at_once[name])) for name in ways}


def calls(saver: RustSqliteSaver) -> dict[str, MakeCall]:
    """The calls by name, as the saver's verbs make them."""
    native = saver._store.backend
    tasks = itertools.count()

    def read() -> Call:
        return native.get_tuple("no such thread", "", None)

    def write() -> Call:
        key = ("thread", "", "1")
        return native.put_writes(
            key, f"task-{next(tasks)}", "", False, [(0, "n", ("msgpack", b"\x01"))], True
        )

    return {"read": read, "write": write}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds, for a smoke test")
    options = parser.parse_args()
    rounds = 30 if options.quick else 300
    if _core.build_info()[0]:
        raise SystemExit("this is a debug build; its figures mean nothing")
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}", end=", ")
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("uvloop",)))
    print(f"\nMedians of {rounds} interleaved rounds, µs per call: one after the other / {AT_ONCE} at once\n")
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.new_event_loop,
        "uvloop": uvloop.new_event_loop,
    }
    header = ("call", "loop", "bridge", "executor", "own thread", "in place")
    print("| " + " | ".join(header) + " |")
    print("|---" * len(header) + "|")
    with tempfile.TemporaryDirectory(prefix="bridge-") as directory:
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
                        figures = loop.run_until_complete(measure(ways, make, rounds))
                        cells = [f"{alone:.1f} / {at_once:.1f}" for alone, at_once in figures.values()]
                        print("| " + " | ".join((call_name, loop_name, *cells)) + " |", flush=True)
                own_thread.close()
                loop.close()


if __name__ == "__main__":
    main()
