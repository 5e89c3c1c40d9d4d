"""Processes that share a file: an operation is put, put_writes and get_tuple of a state of 40 messages.

All begin when all have opened the file. A saver that fails is noted, not measured.

    python benches/compare/processes.py [--quick]
"""

from __future__ import annotations

import itertools
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import Results, interleaved, main
from contenders import LEVELS, Contender, field
from states import checkpoint
from workers import MESSAGES, Run, add_runs, check_file, in_thread

if TYPE_CHECKING:
    import argparse

    from langgraph.checkpoint.base import Checkpoint

COUNTS = (1, 2, 4)
START_TIMEOUT = 60


def in_process(contender: Contender, path: Path, worker: int, states: list[Checkpoint], shared: Any) -> None:
    """Begins when all processes have opened the file."""
    start, answers = shared
    try:
        with contender.opened(path) as saver:
            start.wait(START_TIMEOUT)
            began = time.monotonic()
            taken = in_thread(saver, worker, iter(states))
            answers.put((began, time.monotonic(), taken, (worker, states[-1])))
    except Exception as error:  # noqa: BLE001 -- the parent reports it
        answers.put(f"{type(error).__name__}: {error}")


def run_processes(contender: Contender, path: Path, processes: int, operations: int) -> Run | str:
    """The run, or how it failed."""
    with contender.opened(path):
        pass  # the file is made by one
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(processes), context.Queue()
    states = [checkpoint(MESSAGES, step) for step in range(operations // processes)]
    children = [
        context.Process(target=in_process, args=(contender, path, worker, states, (start, answers)))
        for worker in range(processes)
    ]
    for child in children:
        child.start()
    found = [answers.get(timeout=2 * START_TIMEOUT) for _ in children]
    for child in children:
        child.join()
    if failed := [each for each in found if isinstance(each, str)]:
        return failed[0]
    began, ended, taken, last = zip(*found, strict=True)
    check_file(contender, path, dict(last), operations // processes * processes)
    return Run(max(ended) - min(began), list(itertools.chain(*taken)))


def run(options: argparse.Namespace, results: Results) -> None:
    # A process takes two seconds to begin, and FULL syncs each commit: few repetitions, few operations.
    counts, repetitions, operations = (COUNTS[1:2], 1, 64) if options.quick else (COUNTS, 2, 512)
    contenders = field(results, memory=False, levels=LEVELS[:1] if options.quick else LEVELS)
    for processes in counts:
        runs: dict[Contender, list[Run]] = {each: [] for each in contenders}
        for _, each in interleaved(contenders, repetitions):
            with tempfile.TemporaryDirectory(prefix="bench-") as directory:
                found = run_processes(each, Path(directory) / "app.db", processes, operations)
            if isinstance(found, str):
                results.notes.append(f"{each.label} failed with {processes} processes: {found}")
            else:
                runs[each].append(found)
        for each, good in runs.items():
            if good:
                add_runs(results, f"{processes} processes", processes, each, good)


if __name__ == "__main__":
    main("processes", __doc__, run)
