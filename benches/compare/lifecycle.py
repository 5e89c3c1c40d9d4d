"""One file with 1,000, 10,000 and 100,000 threads of 10 checkpoints: what a call, a sweep and a backup cost.

Threads are made through the engine, a transaction each, without serializing the same state anew; their ids
say that they were last used at times spread over 30 days.

    python benches/compare/lifecycle.py [--quick] [--format compact|interop]
"""

from __future__ import annotations

import itertools
import random
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import Results, main, microseconds, quantile
from states import checkpoint, config_of, messages, store

from langgraph_checkpoint_rust import RetentionPolicy, RustSqliteSaver
from langgraph_checkpoint_rust._core import ShapeBook
from langgraph_checkpoint_rust.retention import policy_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

STEPS = 10
DAYS = 30
DAY = 86_400
MARK = "00000000-0000-6000-8000-000000000000"
"""The id in the bytes of a state, which each checkpoint replaces by its own."""
EPOCH = 0x01B21DD213814000


def id_at(seconds: float, number: int) -> str:
    """A UUID of version 6 of that time."""
    ticks = int(seconds * 1e7) + EPOCH
    high, low = divmod(ticks, 1 << 12)
    return f"{high >> 16:08x}-{high & 0xFFFF:04x}-6{low:03x}-8000-{number:012x}"


def templates(saver: RustSqliteSaver) -> list[bytes]:
    """A conversation that grows by a message a step, serialized."""
    made = []
    for step in range(STEPS):
        state = checkpoint(messages(step + 1), step)
        state["id"] = MARK
        tag, data = saver.serde.dumps_typed(state)
        assert (tag, data.count(MARK.encode())) == ("msgpack", 1)
        made.append(data)
    return made


def generate(saver: RustSqliteSaver, first: int, last: int) -> None:
    """Threads `first` to `last` of all that come, each of 10 checkpoints with two writes."""
    backend: Any = saver._store.backend
    states = templates(saver)
    write = saver.serde.dumps_typed(messages(1)[0])
    now = time.time()
    for number in range(first, last):
        # Later threads are not younger: the order of their numbers says nothing.
        used = now - DAYS * DAY * ((number * 7919) % last) / last
        parent: str | None = None
        rows: list[Any] = []
        for step, data in enumerate(states):
            made = id_at(used + step, number)
            metadata = b'{"source": "loop", "step": %d, "parents": {}}' % step
            value = (parent, ("msgpack", data.replace(MARK.encode(), made.encode())), metadata)
            writes = [("task", "", index, "messages", write) for index in range(2)]
            rows.append(("", made, value, writes))
            parent = made
        backend.write_thread(f"thread-{number}", rows).wait()


def pages_of_threads(saver: RustSqliteSaver) -> Iterator[float]:
    cursor = None
    while True:
        taken, page = microseconds(partial(saver.list_threads, limit=50, cursor=cursor))
        assert len(page.threads) == 50 or page.cursor is None
        cursor = page.cursor
        yield taken


def steps_of_a_sweep(saver: RustSqliteSaver, policy: RetentionPolicy) -> tuple[list[float], int]:
    """How long each step of a run of the policy takes, and how many threads it deletes."""
    run = saver._store.backend.apply_retention(policy_of(policy, None), False, ShapeBook())
    taken, threads = [], 0
    while True:
        step, (stepped, unknown) = microseconds(run.step().wait)
        assert not unknown
        taken.append(step)
        threads += len(stepped[1])
        if stepped[0]:
            return taken, threads


def measure(saver: RustSqliteSaver, path: Path, size: int, rounds: int, add: Callable[..., None]) -> None:
    source = random.Random(size)
    chosen = source.sample(range(size), rounds)
    add("list_threads, 50", "µs", list(itertools.islice(pages_of_threads(saver), min(rounds, size // 50))))
    add("get_tuple", "µs", [microseconds(partial(saver.get_tuple, config_of(n)))[0] for n in chosen])
    state = checkpoint(messages(STEPS + 1), STEPS)
    add(
        "put + put_writes",
        "µs",
        [microseconds(partial(store, saver, config_of(n), state, STEPS))[0] for n in chosen],
    )
    add(
        "put + put_writes, new thread",
        "µs",
        [microseconds(partial(store, saver, config_of(f"new-{n}"), state, 0))[0] for n in chosen],
    )
    gone = [f"thread-{number}" for number in chosen]
    half = len(gone) // 2
    add("delete_thread", "µs", [microseconds(partial(saver.delete_thread, name))[0] for name in gone[:half]])
    many = [*gone[half:], *(f"new-{number}" for number in chosen)]
    taken, _ = microseconds(partial(saver.delete_threads, many))
    add("delete_threads, a thread", "µs", [taken / len(many)])
    # The hundredth that is idle for longest.
    taken_by, threads = steps_of_a_sweep(saver, RetentionPolicy(thread_idle_for=DAYS * DAY * 0.99))
    assert threads <= size / 20
    add("sweep, a step", "ms", [step / 1e3 for step in taken_by])
    add("sweep, all threads", "s", [sum(taken_by) / 1e6])
    add("sweep, a thread", "µs", [sum(taken_by) / size])
    taken, report = microseconds(partial(saver.backup, path.with_name(f"backup-{size}.db")))
    path.with_name(f"backup-{size}.db").unlink()
    add("backup", "s", [taken / 1e6])
    add("backup, a MB", "ms", [taken / 1e3 / (report.bytes / 1e6)])
    taken, _ = microseconds(saver.optimize)
    add("optimize", "s", [taken / 1e6])
    add("file", "MB", [path.stat().st_size / 1e6])
    # Those that went come again.
    generate_again(saver, size)


def generate_again(saver: RustSqliteSaver, size: int) -> None:
    for number in range(size):
        if saver.get_thread(f"thread-{number}") is None:
            generate(saver, number, number + 1)


def run(options: argparse.Namespace, results: Results) -> None:
    sizes, rounds = ((100, 1_000), 50) if options.quick else ((1_000, 10_000, 100_000), 400)
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        path = Path(directory) / "threads.db"
        with RustSqliteSaver(path, format=options.format) as saver:
            filled = 0
            for size in sizes:
                taken, _ = microseconds(partial(generate, saver, filled, size))
                label = f"{size:,} threads"

                def add(case: str, unit: str, values: list[float], label: str = label) -> None:
                    results.add("p50", "as named", f"{case}, {unit}", label, values)
                    if len(values) > 10:
                        results.add("p99", "as named", f"{case}, {unit}", label, [quantile(values, 0.99)])

                add("generate, a thread", "µs", [taken / (size - filled)])
                print(f"{size:,} threads after {taken / 1e6:.0f} s", flush=True)
                filled = size
                measure(saver, path, size, rounds, add)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("compact", "interop"), default="compact", help="of the file")


if __name__ == "__main__":
    main("lifecycle", __doc__, run, arguments)
