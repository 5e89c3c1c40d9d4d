"""This saver beside langgraph-checkpoint-sqlite's at equal `synchronous`, and beside InMemorySaver.

Paired and interleaved: in each round every saver does the same operation once, in a rotating order,
so that a slow moment of the machine meets all. Medians. What is read back is compared each time.

    python benches/compare/savers.py [--quick] [--rounds N] [--sizes 2,20,200,1000]
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib.metadata
import platform
import shutil
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.base import BaseCheckpointSaver, Checkpoint, empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver

from langgraph_checkpoint_rust import RustSqliteSaver, _core

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.runnables import RunnableConfig

LEVELS: tuple[Literal["NORMAL", "FULL"], ...] = ("NORMAL", "FULL")
PACKAGES = (
    "langgraph-checkpoint-rust",
    "langgraph-checkpoint",
    "langgraph-checkpoint-sqlite",
    "langgraph",
    "langchain-core",
)
LATEST: RunnableConfig = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}
OTHER_STEPS = 20  # a saver's file is not empty in real life


def message(number: int) -> AnyMessage:
    """One of a conversation's messages, of about 300 bytes in all."""
    text = f"message {number}: " + "the quick brown fox jumps over the lazy dog. " * 4
    kind = number % 4
    if kind == 1:
        call = {"name": "search", "args": {"query": text[:60]}, "id": f"call-{number}"}
        return AIMessage(text[:120], id=f"id-{number}", tool_calls=[call])
    if kind == 2:
        return ToolMessage(text, id=f"id-{number}", tool_call_id=f"call-{number - 1}", name="search")
    return AIMessage(text, id=f"id-{number}") if kind == 3 else HumanMessage(text, id=f"id-{number}")


def checkpoint(messages: list[AnyMessage], step: int) -> Checkpoint:
    """A checkpoint as a chat graph makes it."""
    made = empty_checkpoint()
    version = f"{step:032}.0"
    made["channel_values"] = {"messages": messages}
    made["channel_versions"] = {"messages": version, "__start__": version}
    made["versions_seen"] = {"agent": {"messages": version}}
    return made


def upstream(path: Path, level: str) -> tuple[SqliteSaver, str]:
    """Upstream's saver at a level, and the level that is in force."""
    connection = sqlite3.connect(path, check_same_thread=False)
    saver = SqliteSaver(connection)
    saver.setup()
    connection.execute(f"PRAGMA synchronous={level}")
    (number,) = connection.execute("PRAGMA synchronous").fetchone()
    return saver, ("OFF", "NORMAL", "FULL", "EXTRA")[number]


def contenders(directory: Path) -> dict[str, BaseCheckpointSaver[Any]]:
    """The savers by the name they are printed with, each with the level that is in force."""
    savers: dict[str, BaseCheckpointSaver[Any]] = {}
    for level in LEVELS:
        ours = RustSqliteSaver(directory / f"rust-{level}.db", synchronous=level)
        ours.setup()
        # The engine reads each setting back and refuses to open if SQLite kept another value.
        savers[f"RustSqliteSaver {ours.settings.synchronous}"] = ours
        theirs, in_force = upstream(directory / f"upstream-{level}.db", level)
        savers[f"SqliteSaver {in_force}"] = theirs
    savers["InMemorySaver"] = InMemorySaver()
    return savers


def microseconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """How long a call takes, and what it returns."""
    started = time.perf_counter_ns()
    result = call()
    return (time.perf_counter_ns() - started) / 1000, result


def store(
    saver: BaseCheckpointSaver[Any], config: RunnableConfig, made: Checkpoint, step: int
) -> RunnableConfig:
    """What a graph asks of a saver in one step."""
    stored = saver.put(config, made, {"source": "loop", "step": step}, made["channel_versions"])
    last = made["channel_values"]["messages"][-1]
    saver.put_writes(stored, [("messages", last), ("branch:to:tools", None)], "task")
    return stored


def measure(size: int, rounds: int) -> dict[str, tuple[float, float]]:
    """The median of put + put_writes, and of get_tuple, by saver."""
    directory = Path(tempfile.mkdtemp(prefix="savers-"))
    try:
        savers = contenders(directory)
        puts: dict[str, list[float]] = {name: [] for name in savers}
        gets: dict[str, list[float]] = {name: [] for name in savers}
        configs = dict.fromkeys(savers, LATEST)
        messages = [message(number) for number in range(size)]
        order = list(savers)
        gc.collect()
        for step in range(OTHER_STEPS + rounds):
            made = checkpoint(messages, step)
            results = []
            for name in order:
                saver = savers[name]

                put = functools.partial(store, saver, configs[name], made, step)
                taken, configs[name] = microseconds(put)
                fetched, found = microseconds(functools.partial(saver.get_tuple, LATEST))
                assert found is not None
                results.append((found.checkpoint, found.pending_writes))
                if step >= OTHER_STEPS:
                    puts[name].append(taken)
                    gets[name].append(fetched)
            for other in results[1:]:
                assert other[0]["channel_values"] == results[0][0]["channel_values"]
                assert other[1] == results[0][1]
            order.append(order.pop(0))
        for saver in savers.values():
            if isinstance(saver, RustSqliteSaver):
                saver.close()
            elif isinstance(saver, SqliteSaver):
                saver.conn.close()
        return {name: (statistics.median(puts[name]), statistics.median(gets[name])) for name in savers}
    finally:
        shutil.rmtree(directory)


def print_versions() -> None:
    """What is compared, and on what. Ends the process of a debug build."""
    for package in PACKAGES:
        print(f"{package} {importlib.metadata.version(package)}")
    debug, number, _ = _core.build_info()
    bundled = ".".join(map(str, (number // 1_000_000, number // 1000 % 1000, number % 1000)))
    print(f"SQLite {bundled} (ours), {sqlite3.sqlite_version} (Python's)")
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    if debug:
        raise SystemExit("this is a debug build; its figures mean nothing")


def main() -> None:
    """Prints the versions, then a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds, for a smoke test")
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--sizes", default="2,20,200,1000")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 15
    print_versions()
    print(f"\nMedians of {options.rounds} interleaved rounds, µs: put + put_writes / get_tuple\n")
    table = {int(size): measure(int(size), options.rounds) for size in options.sizes.split(",")}
    names = list(next(iter(table.values())))
    print("| messages | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for size, row in table.items():
        cells = [f"{put:,.0f} / {get:,.0f}" for put, get in row.values()]
        print(f"| {size:,} | " + " | ".join(cells) + " |")
    print("\nTimes faster than SqliteSaver at the same level: put + put_writes / get_tuple\n")
    print("| messages | " + " | ".join(LEVELS) + " |")
    print("|---" * (len(LEVELS) + 1) + "|")
    for size, row in table.items():
        cells = []
        for level in LEVELS:
            ours, theirs = row[f"RustSqliteSaver {level}"], row[f"SqliteSaver {level}"]
            cells.append(" / ".join(f"{b / a:.1f}x" for a, b in zip(ours, theirs, strict=True)))
        print(f"| {size:,} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
