"""Real graphs end to end: how long a turn takes, and how that grows with the conversation.

Savers take turns: each carries out turn n of its own conversation before any begins turn n + 1. What a turn
returns is compared with what it returns on InMemorySaver. Then the chat at each `durability`.

    python benches/compare/graphs.py [--quick] [--only TEXT]
"""

from __future__ import annotations

import contextlib
import functools
import gc
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import Results, interleaved, main, microseconds
from contenders import MEMORY, field
from shapes import CHAT, GRAPHS, Shape, plain
from states import config_of

if TYPE_CHECKING:
    import argparse

    from contenders import Contender

DURABILITIES = ("sync", "async", "exit")


def turns_of(
    shape: Shape, contenders: list[Contender], turns: int, durability: str = "async"
) -> dict[Contender, list[float]]:
    """Milliseconds of each turn, by contender."""
    taken: dict[Contender, list[float]] = {each: [] for each in contenders}
    returned: dict[int, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, contextlib.ExitStack() as stack:
        graphs: dict[Contender, Any] = {}
        for index, each in enumerate(contenders):
            saver = stack.enter_context(each.opened(Path(directory) / f"{index}.db"))
            graphs[each] = shape.build(saver)
            shape.turn(graphs[each], config_of("warm"), 0, durability)
        gc.collect()
        for turn, each in interleaved(contenders, turns):
            call = functools.partial(shape.turn, graphs[each], config_of(1), turn, durability)
            spent, result = microseconds(call)
            assert returned.setdefault(turn, result) == result, f"{shape.name}, turn {turn}: {each.label}"
            if turn + 1 < turns:
                returned.pop(turn - 1, None)
            taken[each].append(spent / 1000)
        final = {each: shape_state(graphs[each]) for each in contenders}
        assert all(state == final[contenders[0]] for state in final.values()), shape.name
    return taken


def shape_state(graph: Any) -> Any:
    """What the saver gives back of the whole conversation."""
    return plain(graph.get_state(config_of(1)).values)


def parts(taken: list[float]) -> dict[str, list[float]]:
    """The first, middle and last turns."""
    width = max(1, len(taken) // 10)
    middle = (len(taken) - width) // 2
    return {"first": taken[:width], "middle": taken[middle : middle + width], "last": taken[-width:]}


def report_chat(results: Results, contenders: list[Contender], turns: int, runs: int) -> None:
    collected = [turns_of(CHAT, contenders, turns) for _ in range(runs)]
    for each in contenders:
        for name in ("first", "middle", "last"):
            values = [value for run in collected for value in parts(run[each])[name]]
            results.add(f"chat of {turns} turns, one turn", "ms", f"{name} tenth", each.label, values)
        results.add(
            f"chat of {turns} turns",
            "s",
            "whole run",
            each.label,
            [sum(run[each]) / 1000 for run in collected],
        )
        step = max(1, turns // 30)
        for start in range(0, turns, step):
            values = [value for run in collected for value in run[each][start : start + step]]
            results.add(
                "time of a turn against turns",
                "ms",
                f"turns {start + 1}-{start + step}",
                each.label,
                values,
                x=start + step,
            )


def run(options: argparse.Namespace, results: Results) -> None:
    everybody = field(results, peers=True)
    chosen = [each for each in everybody if each is MEMORY or each.reference or each.name == "SqliteSaver"]
    if options.only in CHAT.name:
        report_chat(results, everybody, 30 if options.quick else CHAT.turns, 1 if options.quick else 2)
    for shape in GRAPHS:
        if options.only not in shape.name:
            continue
        turns = 2 if options.quick else shape.turns
        for each, taken in turns_of(shape, chosen, turns).items():
            results.add("one turn", "ms", shape.name, each.label, taken)
    if options.only in "durability":
        for durability in DURABILITIES:
            count = 10 if options.quick else 100
            for each, taken in turns_of(CHAT, chosen, count, durability).items():
                results.add("chat by durability, whole run", "s", durability, each.label, [sum(taken) / 1000])
                results.add("chat by durability, one turn", "ms", durability, each.label, taken)


if __name__ == "__main__":
    main("graphs", __doc__, run)
