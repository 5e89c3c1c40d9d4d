"""Many tasks and threads on one file, at the same `synchronous`.

An operation is what a graph asks of a saver in one step: put, put_writes and get_tuple, of a state of 40
messages. Each worker has a thread of conversation of its own, and each run a new file, whose rows are counted
and read back. Tasks use the asynchronous savers. The latency of `put` is that of one more worker, which only
puts, while 64 others carry out operations.

    python benches/compare/concurrency.py [--quick] [--repetitions N] [--only throughput|latency]

What the time goes to: `perf record -D 3000 -- python benches/compare/concurrency.py --profile tasks FULL`
runs ours alone, 64 workers; the first three seconds are imports and states.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from common import Results, interleaved, main, quantile
from contenders import LEVELS, Contender, field
from states import checkpoint, config_of
from workers import MESSAGES, Run, add_runs, check_file, in_task, in_thread, in_threads

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from langgraph.checkpoint.base import Checkpoint

KINDS = ("tasks", "threads")
WORKERS = (1, 8, 64, 256)
OTHERS = 64


# --- runs ---


def run_workers(contender: Contender, kind: str, path: Path, workers: int, operations: int) -> Run:
    each = operations // workers
    states = [[checkpoint(MESSAGES, step) for step in range(each)] for _ in range(workers)]
    gc.collect()
    if kind == "threads":
        with contender.opened(path) as saver:
            calls = [partial(in_thread, saver, worker, iter(states[worker])) for worker in range(workers)]
            started = time.perf_counter()
            taken = in_threads(list(calls))
            seconds = time.perf_counter() - started
    else:

        async def run() -> tuple[list[list[float]], float]:
            async with contender.opened_async(path) as saver:
                started = time.perf_counter()
                tasks = (in_task(saver, worker, iter(states[worker])) for worker in range(workers))
                return await asyncio.gather(*tasks), time.perf_counter() - started

        taken, seconds = asyncio.run(run())
    check_file(contender, path, {worker: states[worker][-1] for worker in range(workers)}, workers * each)
    return Run(seconds, list(itertools.chain(*taken)))


# --- latency ---


def endless(stop: threading.Event) -> Iterator[Checkpoint]:
    for step in itertools.count():
        if stop.is_set():
            return
        yield checkpoint(MESSAGES, step)


def latencies(contender: Contender, kind: str, path: Path, seconds: float) -> list[float]:
    """Milliseconds that each `put` of one more worker took, while the others write."""
    stop, taken = threading.Event(), list[float]()
    deadline = time.perf_counter() + seconds
    probes = (checkpoint(MESSAGES, step) for step in itertools.count())

    def note(started: float) -> bool:
        taken.append((time.perf_counter() - started) * 1000)
        return time.perf_counter() < deadline

    if kind == "threads":
        with contender.opened(path) as saver:

            def probe() -> None:
                config, more = config_of(OTHERS), True
                while more:
                    made = next(probes)
                    started = time.perf_counter()
                    config = saver.put(config, made, {"source": "loop"}, made["channel_versions"])
                    more = note(started)
                stop.set()

            others = [partial(in_thread, saver, worker, endless(stop)) for worker in range(OTHERS)]
            in_threads([*others, probe])
    else:

        async def run() -> None:
            async with contender.opened_async(path) as saver:

                async def probe() -> None:
                    config, more = config_of(OTHERS), True
                    while more:
                        made = next(probes)
                        started = time.perf_counter()
                        config = await saver.aput(config, made, {"source": "loop"}, made["channel_versions"])
                        more = note(started)
                    stop.set()

                await asyncio.gather(
                    *(in_task(saver, worker, endless(stop)) for worker in range(OTHERS)), probe()
                )

        asyncio.run(run())
    return taken


# --- report ---


def report_throughput(
    results: Results, contenders: list[Contender], counts: Sequence[int], repetitions: int, operations: int
) -> None:
    for kind, workers in itertools.product(KINDS, counts):
        runs: dict[Contender, list[Run]] = {each: [] for each in contenders}
        for _, each in interleaved(contenders, repetitions):
            with tempfile.TemporaryDirectory(prefix="bench-") as directory:
                runs[each].append(run_workers(each, kind, Path(directory) / "app.db", workers, operations))
        for each, found in runs.items():
            add_runs(results, f"{workers} {kind}", workers, each, found)


def report_latency(results: Results, contenders: list[Contender], repetitions: int, seconds: float) -> None:
    for kind in KINDS:
        samples: dict[Contender, list[list[float]]] = {each: [] for each in contenders}
        for _, each in interleaved(contenders, repetitions):
            with tempfile.TemporaryDirectory(prefix="bench-") as directory:
                samples[each].append(latencies(each, kind, Path(directory) / "app.db", seconds))
        for each, taken in samples.items():
            for name, part in (("p50", 0.5), ("p99", 0.99)):
                figures = [quantile(run, part) for run in taken]
                results.add(
                    f"put while {OTHERS} others write, {name}", "ms", f"{OTHERS} {kind}", each.label, figures
                )


def run(options: argparse.Namespace, results: Results) -> None:
    contenders = field(results, memory=False, levels=LEVELS[:1] if options.quick else LEVELS)
    if options.profile:
        kind, level = options.profile
        (alone, *_) = [each for each in contenders if each.reference and each.synchronous == level]
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            found = run_workers(alone, kind, Path(directory) / "app.db", OTHERS, 1 << 14)
        add_runs(results, f"{OTHERS} {kind}", OTHERS, alone, [found])
        return
    repetitions, operations, seconds = (1, 64, 0.3) if options.quick else (options.repetitions, 1024, 3.0)
    if options.only in "throughput":
        workers = WORKERS[::2] if options.quick else WORKERS
        report_throughput(results, contenders, workers, repetitions, operations)
    if options.only in "latency":
        report_latency(results, contenders, max(1, repetitions - 1), seconds)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--profile", nargs=2, metavar=("KIND", "LEVEL"), help="ours alone, for perf")


if __name__ == "__main__":
    main("concurrency", __doc__, run, arguments)
