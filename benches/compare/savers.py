"""put + put_writes, and get_tuple, of a state of so many messages of about 300 bytes.

Savers take turns of ten steps each, on files that already hold another thread's and 20 of this one; then
of one step, where each step finds the processor's caches full of another saver's work. An app uses one saver
and does its own work in between: that is between the two. What is read back is compared with what was stored
each time.

    python benches/compare/savers.py [--quick] [--rounds N] [--sizes 2,20,200,1000,5000]
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import Results, interleaved, main, microseconds
from contenders import Contender, field
from states import check, checkpoint, config_of, messages, store, writes_of

if TYPE_CHECKING:
    import argparse

OTHER_STEPS = 20  # a saver's file is not empty in real life
# Until then a WAL grows, and a sync at FULL takes twice as long as later, when it begins afresh: after 1,000
# pages, and after 4,000 where a saver of this package runs at NORMAL.
FILLING_STEPS = 700
BLOCK = 10
IN_BETWEEN = "others in between"


def measure(
    results: Results, contenders: list[Contender], size: int, rounds: tuple[int, int], block: int
) -> None:
    before, counted = rounds
    held = messages(size)
    tables: dict[str, dict[Contender, list[float]]] = {
        name: {each: [] for each in contenders}
        for name in ("put", "put_writes", "put + put_writes", "get_tuple")
    }
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, contextlib.ExitStack() as stack:
        savers: dict[Contender, Any] = {}
        for index, each in enumerate(contenders):
            savers[each] = stack.enter_context(each.opened(Path(directory) / f"{index}.db"))
        configs = dict.fromkeys(contenders, config_of(1))
        for index, each in enumerate(contenders):
            fill(savers[each], each, Path(directory) / f"{index}.db", FILLING_STEPS if before > 1 else 1)
        # Every saver stores the very same checkpoints.
        made = [checkpoint(held, step) for step in range(before + counted)]
        gc.collect()
        for step, each in interleaved(contenders, len(made), block):
            saver, one = savers[each], made[step]
            metadata = {"source": "loop", "step": step}
            put = functools.partial(saver.put, configs[each], one, metadata, one["channel_versions"])
            put_taken, configs[each] = microseconds(put)
            put_writes = functools.partial(saver.put_writes, configs[each], writes_of(one), "task")
            put_writes_taken, _ = microseconds(put_writes)
            get_taken, found = microseconds(functools.partial(saver.get_tuple, config_of(1)))
            check(found, one)
            assert found.checkpoint["channel_values"] == one["channel_values"]
            if step >= before:
                taken = (put_taken, put_writes_taken, put_taken + put_writes_taken, get_taken)
                for table, value in zip(tables.values(), taken, strict=True):
                    table[each].append(value)
    for name, table in tables.items():
        for each, values in table.items():
            results.add(
                name if block > 1 else f"{name}, {IN_BETWEEN}",
                "µs",
                f"{size:,} messages",
                each.label,
                values,
                x=size,
            )


def fill(saver: Any, contender: Contender, path: Path, steps: int) -> None:
    """Stores so much that the WAL begins afresh; at NORMAL, since a disk lends few syncs at a time."""
    with contextlib.ExitStack() as stack:
        if contender.name == "RustSqliteSaver":
            # Savers of one file share its connections, and so its WAL.
            normal = dataclasses.replace(contender, synchronous="NORMAL")
            saver = stack.enter_context(normal.opened(path))
        elif contender.name == "SqliteSaver":
            saver.conn.execute("PRAGMA synchronous=NORMAL")
            stack.callback(saver.conn.execute, f"PRAGMA synchronous={contender.synchronous}")
        else:
            return
        config = config_of(0)
        for step in range(steps):
            config = store(saver, config, checkpoint(messages(2), step), step)


def run(options: argparse.Namespace, results: Results) -> None:
    contenders = field(results, peers=True)
    few = [each for each in contenders if each.synchronous == "NORMAL" and each.name.endswith("SqliteSaver")]
    for size in map(int, options.sizes.split(",")):
        # A step with 5,000 messages takes 100 ms of each saver.
        counted = max(BLOCK, min(options.rounds, options.rounds * 400 // size))
        rounds = (1, 3) if options.quick else (OTHER_STEPS, counted)
        measure(results, contenders, size, rounds, BLOCK)
        measure(results, few, size, rounds, 1)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--sizes", default="2,20,200,1000,5000")


if __name__ == "__main__":
    main("savers", __doc__, run, arguments)
