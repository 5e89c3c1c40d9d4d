"""list and history of a long thread: every row that comes back is decoded and counted.

python benches/compare/listing.py [--quick]
"""

from __future__ import annotations

import contextlib
import functools
import gc
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import Results, interleaved, main, microseconds
from contenders import field
from langgraph.graph import START, MessagesState, StateGraph
from states import checkpoint, config_of, messages, store

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from contenders import Contender

MESSAGES = 40
PAGE = 50


def listed(saver: Any, **arguments: Any) -> int:
    return sum(1 for _ in saver.list(config_of(1), **arguments))


def history(graph: Any) -> int:
    return sum(1 for _ in graph.get_state_history(config_of(1), limit=PAGE))


def queries(saver: Any, made: list[Any], steps: int) -> dict[str, tuple[Callable[[], int], int]]:
    """By name the call, and how many rows it finds."""
    middle: Any = config_of(1)
    middle["configurable"]["checkpoint_id"] = made[steps // 2]["id"]
    builder = StateGraph(MessagesState).add_node("agent", lambda _: {}).add_edge(START, "agent")
    graph = builder.compile(checkpointer=saver)
    return {
        f"list, {PAGE} newest": (functools.partial(listed, saver, limit=PAGE), PAGE),
        f"list, {PAGE} before the middle": (
            functools.partial(listed, saver, limit=PAGE, before=middle),
            min(PAGE, steps // 2),
        ),
        "list, filter for one step": (functools.partial(listed, saver, filter={"step": 3}), 1),
        f"list, all {steps}": (functools.partial(listed, saver), steps),
        f"get_state_history, {PAGE} newest": (functools.partial(history, graph), PAGE),
    }


def run(options: argparse.Namespace, results: Results) -> None:
    steps, rounds = (60, 3) if options.quick else (300, 15)
    contenders = field(results, peers=True, levels=("NORMAL",))  # reads do not sync
    made = [checkpoint(messages(MESSAGES), step) for step in range(steps)]
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, contextlib.ExitStack() as stack:
        calls: dict[Contender, dict[str, tuple[Callable[[], int], int]]] = {}
        for index, each in enumerate(contenders):
            saver = stack.enter_context(each.opened(Path(directory) / f"{index}.db"))
            config = config_of(1)
            for step, one in enumerate(made):
                config = store(saver, config, one, step)
            calls[each] = queries(saver, made, steps)
        for name in calls[contenders[0]]:
            taken: dict[Contender, list[float]] = {each: [] for each in contenders}
            wrong: dict[Contender, str] = {}
            gc.collect()
            for _, each in interleaved(contenders, rounds):
                call, rows = calls[each][name]
                if each in wrong:
                    continue
                spent, found = microseconds(call)
                if found != rows:
                    assert not each.reference, f"{each.label}: {name}: {found} rows instead of {rows}"
                    wrong[each] = f"Left out: {each.label}: {name} finds {found} rows instead of {rows}"
                taken[each].append(spent / 1000)
            results.notes += wrong.values()
            for each, values in taken.items():
                if each not in wrong:
                    results.add("list and history", "ms", name, each.label, values)


if __name__ == "__main__":
    main("listing", __doc__, run)
