"""Many tasks and many threads on one file, ours beside upstream's, at the same `synchronous`.

An operation is what a graph asks of a saver in one step: put, put_writes and get_tuple, here of a state of
40 messages (`savers.py` makes them). Each worker has a thread of conversation of its own, and a new file is
used for each run. Runs are interleaved: all contenders run before the first runs again. The latency of `put`
is that of one more worker, which only puts, while 64 others carry out operations.

Run: `python benches/compare/concurrency.py [--quick] [--repetitions N]`. What the time goes to:
`perf record -D 3000 -- python benches/compare/concurrency.py --profile tasks FULL` runs ours alone, 64
workers; the first three seconds are imports and states.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import gc
import itertools
import platform
import sqlite3
import statistics
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiosqlite
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from savers import checkpoint, message, print_versions, store, upstream

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import Checkpoint


LEVELS = ("NORMAL", "FULL")
KINDS = ("tasks", "threads")
SIDES = ("rust", "upstream")
WORKERS = (1, 8, 64)
MESSAGES = [message(number) for number in range(40)]


@dataclasses.dataclass(frozen=True)
class Contender:
    """One of the savers, at one level."""

    kind: str
    level: str
    side: str

    @property
    def name(self) -> str:
        asynchronous = "Async" if self.kind == "tasks" else ""
        return f"{asynchronous}RustSqliteSaver" if self.side == "rust" else f"{asynchronous}SqliteSaver"

    @contextlib.contextmanager
    def saver(self, path: Path) -> Iterator[Any]:
        """The saver for threads; its level was read back."""
        if self.side == "rust":
            with RustSqliteSaver(path, synchronous=self.level) as ours:  # type: ignore[arg-type]
                ours.setup()
                yield ours
        else:
            theirs, in_force = upstream(path, self.level)
            assert in_force == self.level
            yield theirs
            theirs.conn.close()

    @contextlib.asynccontextmanager
    async def async_saver(self, path: Path) -> AsyncIterator[Any]:
        """The saver for tasks; its level was read back."""
        if self.side == "rust":
            async with AsyncRustSqliteSaver(path, synchronous=self.level) as ours:  # type: ignore[arg-type]
                await ours.setup()
                yield ours
        else:
            async with aiosqlite.connect(path) as connection:
                saver = AsyncSqliteSaver(connection)
                await saver.setup()
                await connection.execute(f"PRAGMA synchronous={self.level}")
                rows = list(await connection.execute_fetchall("PRAGMA synchronous"))
                assert LEVELS.index(self.level) + 1 == rows[0][0]
                yield saver


def config_of(worker: int) -> RunnableConfig:
    return {"configurable": {"thread_id": f"thread-{worker}", "checkpoint_ns": ""}}


def check(found: Any, made: Checkpoint) -> None:
    """What came back is what was stored, with its two writes."""
    assert found.checkpoint["id"] == made["id"]
    assert len(found.pending_writes) == 2


def check_file(path: Path, last: dict[int, Checkpoint], count: int) -> None:
    """The file holds every checkpoint, and each worker's last one whole."""
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM checkpoints").fetchone() == (count,)
    assert connection.execute("SELECT count(*) FROM writes").fetchone() == (2 * count,)
    connection.close()
    with RustSqliteSaver(path) as saver:
        for worker, made in last.items():
            found = saver.get_tuple(config_of(worker))
            assert found is not None
            assert found.checkpoint == made


# --- operations ---


async def astore(saver: Any, config: RunnableConfig, made: Checkpoint, step: int) -> RunnableConfig:
    """`store`, awaited."""
    metadata = {"source": "loop", "step": step}
    stored: RunnableConfig = await saver.aput(config, made, metadata, made["channel_versions"])
    writes = [("messages", made["channel_values"]["messages"][-1]), ("branch:to:tools", None)]
    await saver.aput_writes(stored, writes, "task")
    return stored


async def atask(saver: Any, worker: int, states: Iterator[Checkpoint]) -> Checkpoint | None:
    config, made = config_of(worker), None
    for step, made in enumerate(states):
        config = await astore(saver, config, made, step)
        check(await saver.aget_tuple(config_of(worker)), made)
    return made


def thread(saver: Any, worker: int, states: Iterator[Checkpoint]) -> Checkpoint | None:
    config, made = config_of(worker), None
    for step, made in enumerate(states):
        config = store(saver, config, made, step)
        check(saver.get_tuple(config_of(worker)), made)
    return made


def in_threads(functions: list[Callable[[], Any]]) -> list[Any]:
    """Runs the functions at once, each in a thread; their results."""
    results: list[Any] = [None] * len(functions)
    errors: list[BaseException] = []

    def call(index: int) -> None:
        try:
            results[index] = functions[index]()
        except BaseException as error:  # noqa: BLE001 -- raised below
            errors.append(error)

    threads = [threading.Thread(target=call, args=(index,)) for index in range(len(functions))]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    if errors:
        raise errors[0]
    return results


# --- throughput ---


def throughput(contender: Contender, directory: Path, workers: int, operations: int) -> float:
    """Operations per second of all workers together."""
    path = directory / "app.db"
    each = operations // workers
    states = [[checkpoint(MESSAGES, step) for step in range(each)] for _ in range(workers)]
    gc.collect()
    if contender.kind == "threads":
        with contender.saver(path) as saver:
            calls: list[Callable[[], Any]] = [
                partial(thread, saver, worker, iter(states[worker])) for worker in range(workers)
            ]
            started = time.perf_counter()
            in_threads(calls)
            taken = time.perf_counter() - started
    else:

        async def run() -> float:
            async with contender.async_saver(path) as saver:
                started = time.perf_counter()
                await asyncio.gather(
                    *(atask(saver, worker, iter(states[worker])) for worker in range(workers))
                )
                return time.perf_counter() - started

        taken = asyncio.run(run())
    check_file(path, {worker: states[worker][-1] for worker in range(workers)}, workers * each)
    return workers * each / taken


# --- latency ---


def endless(stop: threading.Event) -> Iterator[Checkpoint]:
    for step in itertools.count():
        if stop.is_set():
            return
        yield checkpoint(MESSAGES, step)


def latencies(contender: Contender, directory: Path, seconds: float) -> list[float]:
    """Milliseconds that each `put` of one more worker took, while 64 others write."""
    path, stop, taken = directory / "app.db", threading.Event(), list[float]()
    others, prober = range(64), 64
    probes = (checkpoint(MESSAGES, step) for step in itertools.count())
    deadline = time.perf_counter() + seconds

    def note(started: float) -> bool:
        taken.append((time.perf_counter() - started) * 1000)
        return time.perf_counter() < deadline

    if contender.kind == "threads":
        with contender.saver(path) as saver:

            def probe() -> None:
                config, more = config_of(prober), True
                while more:
                    made = next(probes)
                    started = time.perf_counter()
                    config = saver.put(config, made, {"source": "loop"}, made["channel_versions"])
                    more = note(started)
                stop.set()

            calls: list[Callable[[], Any]] = [
                partial(thread, saver, worker, endless(stop)) for worker in others
            ]
            in_threads([*calls, probe])
    else:

        async def run() -> None:
            async with contender.async_saver(path) as saver:

                async def probe() -> None:
                    config, more = config_of(prober), True
                    while more:
                        made = next(probes)
                        started = time.perf_counter()
                        config = await saver.aput(config, made, {"source": "loop"}, made["channel_versions"])
                        more = note(started)
                    stop.set()

                await asyncio.gather(*(atask(saver, worker, endless(stop)) for worker in others), probe())

        asyncio.run(run())
    return taken


# --- report ---


def quantile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short repetition, for a smoke test")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", choices=("throughput", "latency"))
    parser.add_argument("--profile", nargs=2, metavar=("KIND", "LEVEL"), help="ours alone, for perf")
    options = parser.parse_args()
    if options.profile:
        kind, level = options.profile
        with tempfile.TemporaryDirectory(prefix="concurrency-") as directory:
            rate = throughput(Contender(kind, level, "rust"), Path(directory), WORKERS[-1], 1 << 14)
        print(f"{rate:,.0f} operations per second")
        return
    repetitions = 1 if options.quick else options.repetitions
    operations, seconds = (128, 1.0) if options.quick else (1024, 8.0)
    print_versions()
    print(f"{platform.system()} {platform.release()}; {len(MESSAGES)} messages", flush=True)
    contenders = [Contender(*each) for each in itertools.product(KINDS, LEVELS, SIDES)]
    if options.only != "latency":
        report_throughput(contenders, repetitions, operations)
    if options.only != "throughput":
        report_latency(contenders, max(1, repetitions // 2), seconds)


def report_throughput(contenders: list[Contender], repetitions: int, operations: int) -> None:
    rates: dict[tuple[Contender, int], list[float]] = {}
    for number in range(repetitions):
        turned = contenders[number % len(contenders) :] + contenders[: number % len(contenders)]
        for workers, contender in itertools.product(WORKERS, turned):
            with tempfile.TemporaryDirectory(prefix="concurrency-") as directory:
                rate = throughput(contender, Path(directory), workers, operations)
                rates.setdefault((contender, workers), []).append(rate)
    print(f"\nOperations per second, medians of {repetitions} interleaved runs of {operations} operations\n")
    print("| workers | synchronous | savers | ours | upstream | times |")
    print("|---|---|---|---|---|---|")
    for workers, kind, level in itertools.product(WORKERS, KINDS, LEVELS):
        ours, theirs = (Contender(kind, level, side) for side in SIDES)
        a, b = (statistics.median(rates[contender, workers]) for contender in (ours, theirs))
        names = f"`{ours.name}`, `{theirs.name}`"
        print(f"| {workers} {kind} | {level} | {names} | {a:,.0f} | {b:,.0f} | {a / b:.1f}x |")


def report_latency(contenders: list[Contender], repetitions: int, seconds: float) -> None:
    samples: dict[Contender, list[float]] = {contender: [] for contender in contenders}
    for _ in range(repetitions):
        for contender in contenders:
            with tempfile.TemporaryDirectory(prefix="concurrency-") as directory:
                samples[contender] += latencies(contender, Path(directory), seconds)
    print(f"\nLatency of put while 64 others write, ms, from {repetitions} runs of {seconds:.0f} s\n")
    print("| others | synchronous | saver | p50 | p99 | puts |")
    print("|---|---|---|---|---|---|")
    for contender, taken in samples.items():
        figures = f"{quantile(taken, 0.5):,.1f} | {quantile(taken, 0.99):,.1f} | {len(taken):,}"
        print(f"| 64 {contender.kind} | {contender.level} | `{contender.name}` | {figures} |")


if __name__ == "__main__":
    main()
