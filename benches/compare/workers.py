"""Workers that share a file: what each does, and what a run of them gives."""

from __future__ import annotations

import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from common import Results, quantile
from states import WRITES_A_STEP, astore, check, config_of, messages, store

from langgraph_checkpoint_rust import RustSqliteSaver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from contenders import Contender
    from langgraph.checkpoint.base import Checkpoint

MESSAGES = messages(40)


class Run(NamedTuple):
    """What the workers of one run took: seconds in all, and milliseconds of each operation."""

    seconds: float
    operations: list[float]


async def in_task(saver: Any, worker: int, states: Iterator[Checkpoint]) -> list[float]:
    config, taken = config_of(worker), []
    for step, made in enumerate(states):
        started = time.perf_counter()
        config = await astore(saver, config, made, step)
        check(await saver.aget_tuple(config_of(worker)), made)
        taken.append((time.perf_counter() - started) * 1000)
    return taken


def in_thread(saver: Any, worker: int, states: Iterator[Checkpoint]) -> list[float]:
    config, taken = config_of(worker), []
    for step, made in enumerate(states):
        started = time.perf_counter()
        config = store(saver, config, made, step)
        check(saver.get_tuple(config_of(worker)), made)
        taken.append((time.perf_counter() - started) * 1000)
    return taken


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


def check_file(contender: Contender, path: Path, last: dict[int, Checkpoint], count: int) -> None:
    """The file holds every checkpoint, and each worker's last one whole."""
    if not contender.synchronous:
        return  # in memory: the operations themselves read back
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM checkpoints").fetchone() == (count,)
    assert connection.execute("SELECT count(*) FROM writes").fetchone() == (WRITES_A_STEP * count,)
    connection.close()
    with RustSqliteSaver(path) as saver:
        for worker, made in last.items():
            found = saver.get_tuple(config_of(worker))
            assert found is not None
            assert found.checkpoint == made


def add_runs(results: Results, case: str, workers: int, contender: Contender, runs: list[Run]) -> None:
    rates = [len(each.operations) / each.seconds for each in runs]
    kind = case.rpartition(" ")[2]
    results.add(
        f"throughput, {kind}", "operations/s", case, contender.label, rates, x=workers, more_is_better=True
    )
    for name, part in (("p50", 0.5), ("p99", 0.99)):
        figures = [quantile(each.operations, part) for each in runs]
        results.add(f"operation, {kind}, {name}", "ms", case, contender.label, figures, x=workers)
