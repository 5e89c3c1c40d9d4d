"""What retention and backup cost 16 writers of one interop file, one of them `langgraph-checkpoint-sqlite`.

Three processes with five threads each put and put_writes, beside one of upstream as shipped: a timeout of
5 s. Then the same while another process sweeps all the time and makes one backup after the other.

    python benches/compare/neighbours.py [--quick]
"""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import Results, main, quantile
from lifecycle import generate
from states import checkpoint, config_of, messages, store

from langgraph_checkpoint_rust import RetentionPolicy, RustSqliteSaver

if TYPE_CHECKING:
    import argparse

KINDS = ("ours", "ours", "ours", "upstream")
THREADS = 5
MESSAGES = messages(20)
OLD_THREADS = 5_000
START_TIMEOUT = 120


def opened(kind: str, path: Path) -> list[Any]:
    """A saver for each thread."""
    if kind == "ours":
        return [RustSqliteSaver(path)] * THREADS
    from langgraph.checkpoint.sqlite import SqliteSaver

    return [SqliteSaver(sqlite3.connect(path, check_same_thread=False))]


def write(saver: Any, name: str, seconds: float, taken: list[float], errors: list[str]) -> None:
    until, step = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        step += 1
        # Each conversation ends after some steps, so that the sweep finds work.
        config, made = config_of(f"{name}-{step // 20}"), checkpoint(MESSAGES, step)
        began = time.perf_counter()
        try:
            store(saver, config, made, step)
        except Exception as error:  # noqa: BLE001 -- it is what this looks for
            errors.append(f"{type(error).__name__}: {error}")
        taken.append((time.perf_counter() - began) * 1e3)


def writer(kind: str, path: Path, name: str, seconds: float, shared: Any) -> None:
    start, answers = shared
    taken: list[float] = []
    errors: list[str] = []
    savers = opened(kind, path)
    for saver in savers:
        saver.setup()
    start.wait(START_TIMEOUT)
    threads = [
        threading.Thread(target=write, args=(saver, f"{name}-{index}", seconds, taken, errors))
        for index, saver in enumerate(savers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers.put(json.dumps({"kind": kind, "taken": taken, "errors": errors}))


def tidy(path: Path, seconds: float, shared: Any) -> None:
    """Sweeps by a thread of the engine and by calls, and backs up, one after the other."""
    start, answers = shared
    policy = RetentionPolicy(keep_last=5, thread_idle_for=86_400)
    sweeping: Any = {"sweep_interval_minutes": 0.02}
    errors: list[str] = []
    backups = pruned = 0
    with RustSqliteSaver(path, retention=policy, ttl=sweeping) as saver:
        saver.setup()
        start.wait(START_TIMEOUT)
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                target = path.with_name(f"backup-{backups}.db")
                saver.backup(target)
                target.unlink()
                backups += 1
                pruned += saver.apply_retention(dry_run=False).checkpoints
        except Exception as error:  # noqa: BLE001 -- it is what this looks for
            errors.append(f"{type(error).__name__}: {error}")
        pruned += saver.stats()["retention"]["checkpoints"]
    report = {"kind": "tidy", "taken": [], "errors": errors, "backups": backups, "pruned": pruned}
    answers.put(json.dumps(report))


def phase(path: Path, seconds: float, *, tidied: bool) -> list[dict[str, Any]]:
    context = multiprocessing.get_context("spawn")
    shared = context.Barrier(len(KINDS) + tidied), context.Queue()
    children = [
        context.Process(target=writer, args=(kind, path, f"{tidied}-{index}", seconds, shared))
        for index, kind in enumerate(KINDS)
    ]
    if tidied:
        children.append(context.Process(target=tidy, args=(path, seconds, shared)))
    for child in children:
        child.start()
    reports = [json.loads(shared[1].get(timeout=seconds + START_TIMEOUT)) for _ in children]
    for child in children:
        child.join()
    return reports


def run(options: argparse.Namespace, results: Results) -> None:
    seconds, old = (2.0, 100) if options.quick else (30.0, OLD_THREADS)
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        path = Path(directory) / "shared.db"
        with RustSqliteSaver(path, format="interop") as saver:
            saver.setup()
            generate(saver, 0, old)
        for tidied in (False, True):
            reports = phase(path, seconds, tidied=tidied)
            label = "beside sweeps and backups" if tidied else "alone"
            for kind in dict.fromkeys(KINDS):
                taken = [each for report in reports if report["kind"] == kind for each in report["taken"]]
                for part in (0.5, 0.99):
                    case = f"{kind}, p{part * 100:.0f}"
                    results.add("put + put_writes", "ms", case, label, [quantile(taken, part)])
                results.add("put + put_writes", "ms", f"{kind}, longest", label, [max(taken)])
                results.add("put + put_writes", "ms", f"{kind}, a second", label, [len(taken) / seconds])
            errors = [error for report in reports for error in report["errors"]]
            results.notes.append(f"{label}: {len(errors)} errors {errors[:3]}")
            for report in reports:
                if report["kind"] == "tidy":
                    results.notes.append(
                        f"{report['backups']} backups, {report['pruned']} checkpoints pruned"
                    )


if __name__ == "__main__":
    main("neighbours", __doc__, run)
