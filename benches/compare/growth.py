"""How a file grows with the turns of a conversation: the file, and the WAL beside it.

Sizes are of the files as they are between two turns, and once more after the saver was closed. The state of
each conversation must be the same with all savers at the end. The one of 100 MB, of which each turn changes
4 KB, also says how long a turn takes. What a turn writes is measured with checkpoints off: then the WAL holds
all of it.

    python benches/compare/growth.py [--quick] [--only TEXT]
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import Results, interleaved, main, microseconds
from contenders import field
from growing_shapes import GROWING, large_state
from shapes import CHAT, Shape, plain, turn_number
from states import config_of

if TYPE_CHECKING:
    import argparse

    from contenders import Contender

WRITING = (CHAT, *GROWING[1:2])
"""The shapes whose writes are measured: a chat, and one beside a large value that stays."""
MARKS = (1, 2, 5, 10, 20, 50, 100, 200, 300)


def size_of(path: Path) -> float:
    """In MB; 0 for a file that is not there."""
    return path.stat().st_size / 1e6 if path.exists() else 0.0


def wal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def grow(
    results: Results, contenders: list[Contender], shape: Shape, turns: int
) -> dict[Contender, list[float]]:
    """Adds the sizes; returns the milliseconds of each turn."""
    taken: dict[Contender, list[float]] = {each: [] for each in contenders}
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        paths = {each: Path(directory) / f"{index}.db" for index, each in enumerate(contenders)}
        with contextlib.ExitStack() as stack:
            graphs: dict[Contender, Any] = {
                each: shape.build(stack.enter_context(each.opened(paths[each]))) for each in contenders
            }
            for turn, each in interleaved(contenders, turns):
                call = functools.partial(shape.turn, graphs[each], config_of(1), turn)
                taken[each].append(microseconds(call)[0] / 1000)
                if turn + 1 in {*MARKS, turns}:
                    case, path = f"{turn + 1} turns", paths[each]
                    results.add(f"{shape.name}: file", "MB", case, each.label, [size_of(path)], x=turn + 1)
                    wal = size_of(wal_of(path))
                    results.add(f"{shape.name}: WAL", "MB", case, each.label, [wal], x=turn + 1)
            states = [plain(graphs[each].get_state(config_of(1)).values) for each in contenders]
            assert all(state == states[0] for state in states), shape.name
        for each, path in paths.items():
            assert size_of(wal_of(path)) == 0
            results.add(
                "files after closing", "MB", f"{shape.name}, {turns} turns", each.label, [size_of(path)]
            )
    return taken


def write(results: Results, contenders: list[Contender], shape: Shape, turns: int) -> None:
    """Adds what the turns from a third of them to the next write to the WAL, per turn."""
    uncut = {each: dataclasses.replace(each, checkpoints=False) for each in contenders}
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, contextlib.ExitStack() as stack:
        paths = {each: Path(directory) / f"{index}.db" for index, each in enumerate(contenders)}
        graphs: dict[Contender, Any] = {
            each: shape.build(stack.enter_context(uncut[each].opened(paths[each]))) for each in contenders
        }
        before = dict.fromkeys(contenders, 0.0)
        for turn, each in interleaved(contenders, turns):
            shape.turn(graphs[each], config_of(1), turn)
            if (turn + 1) % (turns // 3) == 0:
                written = size_of(wal_of(paths[each]))
                case = f"turns to {turn + 1}"
                per_turn = (written - before[each]) * 1000 / (turns // 3)
                results.add(
                    f"{shape.name}: written to the WAL a turn", "KB", case, each.label, [per_turn], x=turn + 1
                )
                before[each] = written


def run(options: argparse.Namespace, results: Results) -> None:
    contenders = field(results, memory=False, levels=("NORMAL",))
    for shape in GROWING:
        if options.only in shape.name:
            turns = 5 if options.quick else shape.turns
            grow(results, contenders, shape, turns)
            if shape in WRITING:
                write(results, contenders, shape, min(turns, 3) if options.quick else turns)
    size = 2 if options.quick else 100
    large = Shape(f"{size} MB of which a turn changes 4 KB", large_state(size * 1_000_000), turn_number, 4)
    if options.only in large.name:
        for each, taken in grow(results, contenders, large, large.turns).items():
            results.add("one turn", "ms", large.name, each.label, taken[1:])


if __name__ == "__main__":
    main("growth", __doc__, run)
