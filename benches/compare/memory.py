"""What a process holds in memory (RSS) after 10,000 turns over 100 conversations of 20 messages.

A turn is put, put_writes and get_tuple. Each saver runs in a process of its own.

    python benches/compare/memory.py [--quick]
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from common import Results, main
from contenders import field
from states import check, checkpoint, config_of, messages, store

if TYPE_CHECKING:
    import argparse

    from contenders import Contender
    from langchain_core.runnables import RunnableConfig

CONVERSATIONS = 100
MESSAGES = 20
MARKS = 10
WARM = 20  # turns before the first look: connections are open, code is loaded


def resident() -> float:
    """MB of this process that are in memory (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def measure(contender: Contender, turns: int) -> list[tuple[int, float]]:
    """MB above what the process held before the first turn, against turns."""
    found: list[tuple[int, float]] = []
    configs: dict[int, RunnableConfig] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        with contender.opened(Path(directory) / "app.db") as saver:
            before = 0.0
            for turn in range(-WARM, turns):
                if turn == 0:
                    gc.collect()
                    before = resident()
                number = turn % CONVERSATIONS
                made = checkpoint(messages(MESSAGES), turn + WARM)
                configs[number] = store(saver, configs.get(number, config_of(number)), made, turn)
                check(saver.get_tuple(config_of(number)), made)
                if turn >= 0 and (turn + 1) % (turns // MARKS) == 0:
                    gc.collect()
                    found.append((turn + 1, resident() - before))
    return found


def run(options: argparse.Namespace, results: Results) -> None:
    turns = 200 if options.quick else 10_000
    context = multiprocessing.get_context("spawn")
    for each in field(results, levels=("NORMAL",)):
        with context.Pool(1) as pool:
            for turn, value in pool.apply(measure, (each, turns)):
                results.add("RSS above the start", "MB", f"{turn:,} turns", each.label, [value], x=turn)


if __name__ == "__main__":
    main("memory", __doc__, run)
