"""Where the time of a turn goes: how often a graph calls each verb of the saver, and how long that takes.

The verbs are timed where LangGraph calls them, on whatever thread. `put` and `put_writes` run beside the
graph (`durability="async"`), so their time is not all time that the turn waits; `cpu` is the processor time
of the calling thread within the call, most of which holds the interpreter.

    python benches/compare/turn.py [--quick] [--only TEXT]
"""

from __future__ import annotations

import collections
import contextlib
import functools
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import Results, interleaved, main
from contenders import field
from shapes import AGENT, CHAT, GRAPHS, Shape
from states import config_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from contenders import Contender

VERBS = ("get_tuple", "put", "put_writes")
MOMENTS = (20, 100, 200)  # turns of the chat before the turns that are timed


class Clock:
    """Milliseconds and calls by verb, since it was last emptied."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = collections.defaultdict(float)
        self.cpu: dict[str, float] = collections.defaultdict(float)
        self.calls: dict[str, int] = collections.defaultdict(int)

    def timed(self, verb: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                return function(*arguments, **keywords)
            finally:
                self.cpu[verb] += (time.thread_time() - cpu) * 1000
                self.wall[verb] += (time.perf_counter() - wall) * 1000
                self.calls[verb] += 1

        return call


@contextlib.contextmanager
def watched(kind: type) -> Iterator[Clock]:
    """Times the verbs of a class: LangGraph copies savers, so an instance would not do."""
    clock, before = Clock(), {verb: getattr(kind, verb) for verb in VERBS}
    for verb, function in before.items():
        setattr(kind, verb, clock.timed(verb, function))
    try:
        yield clock
    finally:
        for verb, function in before.items():
            setattr(kind, verb, function)


def measure(results: Results, contenders: list[Contender], shape: Shape, before: int, turns: int) -> None:
    found: dict[Contender, dict[str, list[float]]] = {
        each: collections.defaultdict(list) for each in contenders
    }
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, contextlib.ExitStack() as stack:
        graphs: dict[Contender, Any] = {}
        kinds: dict[Contender, type] = {}
        for index, each in enumerate(contenders):
            saver = stack.enter_context(each.opened(Path(directory) / f"{index}.db"))
            graphs[each], kinds[each] = shape.build(saver), type(saver)
            for turn in range(before):
                shape.turn(graphs[each], config_of(1), turn)
        for number, each in interleaved(contenders, turns):
            with watched(kinds[each]) as clock:
                started = time.perf_counter()
                shape.turn(graphs[each], config_of(1), before + number)
                parts = found[each]
                parts["whole turn"].append((time.perf_counter() - started) * 1000)
                for verb in VERBS:
                    parts[f"{verb}, one of {clock.calls[verb]}"].append(
                        clock.wall[verb] / max(1, clock.calls[verb])
                    )
                    parts[f"{verb}, all calls"].append(clock.wall[verb])
                    parts[f"{verb}, all calls, cpu"].append(clock.cpu[verb])
    for each, parts in found.items():
        for name, values in parts.items():
            results.add(f"{shape.name} after {before} turns", "ms a turn", name, each.label, values)


def run(options: argparse.Namespace, results: Results) -> None:
    contenders = field(results, levels=("NORMAL",))
    for before in (2,) if options.quick else MOMENTS:
        if options.only in CHAT.name:
            measure(results, contenders, CHAT, before, 2 if options.quick else 30)
    for shape in (AGENT,) if options.quick else GRAPHS:
        if options.only in shape.name:
            measure(results, contenders, shape, 2, 2 if options.quick else 10)


if __name__ == "__main__":
    main("turn", __doc__, run)
