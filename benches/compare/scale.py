"""One file with 1,000, 10,000 and 100,000 threads: what a call costs among so many.

python benches/compare/scale.py [--quick]
"""

from __future__ import annotations

import contextlib
import random
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import Results, interleaved, main, microseconds
from contenders import field
from states import checkpoint, config_of, messages, store

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from contenders import Contender

MESSAGES = messages(4)
PAGE = 20
SCANS = 5  # calls that look at all threads are slow: fewer of them


def fill(saver: Any, first: int, last: int) -> None:
    for number in range(first, last):
        made = checkpoint(MESSAGES, 0)
        saver.put(config_of(number), made, {"source": "loop", "step": 0}, made["channel_versions"])


def get(saver: Any, number: int) -> None:
    assert saver.get_tuple(config_of(number)).checkpoint["channel_values"]["messages"] == MESSAGES


def put(saver: Any, number: int) -> None:
    store(saver, config_of(number), checkpoint(MESSAGES, 1), 1)


def page_of_thread(saver: Any, number: int) -> None:
    assert 1 <= sum(1 for _ in saver.list(config_of(number), limit=PAGE)) <= PAGE


def page_of_all(saver: Any, _: int) -> None:
    assert sum(1 for _ in saver.list(None, limit=PAGE)) == PAGE


def filtered_page(saver: Any, _: int) -> None:
    assert sum(1 for _ in saver.list(None, filter={"step": 0}, limit=PAGE)) == PAGE


def delete(saver: Any, number: int) -> None:
    saver.delete_thread(f"thread-{number}")
    assert saver.get_tuple(config_of(number)) is None
    fill(saver, number, number + 1)


CALLS: dict[str, tuple[Callable[[Any, int], None], bool]] = {
    "get_tuple": (get, False),
    "put + put_writes": (put, False),
    f"list of a thread, {PAGE}": (page_of_thread, False),
    f"list of all threads, {PAGE}": (page_of_all, True),
    f"list of all threads, filtered, {PAGE}": (filtered_page, True),
    "delete_thread, get_tuple, put": (delete, False),
}


def run(options: argparse.Namespace, results: Results) -> None:
    sizes, rounds = ((100, 1000), 5) if options.quick else ((1_000, 10_000, 100_000), 100)
    contenders = field(results, memory=False, levels=("NORMAL",))
    source, filled = random.Random(7), 0
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, contextlib.ExitStack() as stack:
        savers: dict[Contender, Any] = {}
        paths = {each: Path(directory) / f"{index}.db" for index, each in enumerate(contenders)}
        for each in contenders:
            savers[each] = stack.enter_context(each.opened(paths[each]))
        for size in sizes:
            for each in contenders:
                taken, _ = microseconds(partial(fill, savers[each], filled, size))
                results.add(
                    "put of a new thread", "µs", f"{size:,} threads", each.label, [taken / (size - filled)]
                )
            filled = size
            for name, (call, scans) in CALLS.items():
                chosen = [source.randrange(size) for _ in range(SCANS if scans else rounds)]
                taken_by: dict[Contender, list[float]] = {each: [] for each in contenders}
                for number, each in interleaved(contenders, len(chosen)):
                    taken_by[each].append(microseconds(partial(call, savers[each], chosen[number]))[0])
                for each, values in taken_by.items():
                    results.add(name, "µs", f"{size:,} threads", each.label, values, x=size)


if __name__ == "__main__":
    main("scale", __doc__, run)
