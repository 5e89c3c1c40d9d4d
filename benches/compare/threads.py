"""What the rows of threads cost a put, and how fast they are listed.

`threads.py cost`: µs a call, and WAL frames a commit, of `put` and `put_writes` without serialization. Run it
with two builds to compare them. `threads.py list [threads]`: µs a page of 50.
"""

from __future__ import annotations

import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph_checkpoint_rust import RustSqliteSaver

if TYPE_CHECKING:
    from collections.abc import Callable

PUTS = 4_000
FRAME = 4096 + 24
WRITE = (0, "messages", ("msgpack", b"\x01"))
METADATA = b'{"source": "loop", "step": 1, "parents": {}, "run_id": "1f000000-0000-6000-8000-000000000000"}'


def checkpoint_of(size: int) -> bytes:
    nodes = [f"node_{number}" for number in range(8)]
    version = "00000000000000000000000000000007.0.123456789"
    checkpoint = {
        "v": 4,
        "ts": "2026-01-01T00:00:00+00:00",
        "id": "1f000000-0000-6000-8000-000000000000",
        "channel_values": {"messages": ["x" * 200] * (size // 200), "branch:to:node_1": None},
        "channel_versions": {"messages": version, **{f"branch:to:{node}": version for node in nodes}},
        "versions_seen": {"__input__": {}, **{node: {f"branch:to:{node}": version} for node in nodes[2:]}},
        "updated_channels": ["branch:to:node_1", "messages"],
    }
    return JsonPlusSerializer().dumps_typed(checkpoint)[1]


def cost() -> None:
    for size in (400, 60_000):
        value = ("msgpack", checkpoint_of(size))
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "cost.db"
            wal = path.with_name("cost.db-wal")
            # The WAL is never moved into the database, so that its size tells the frames.
            with RustSqliteSaver(path, wal_autocheckpoint=0, format="compact") as saver:
                saver.setup()
                backend: Any = saver._store.backend
                extra = (None,) if "outline" in (backend.put.__text_signature__ or "") else ()
                times: dict[str, list[int]] = {"put": [], "put_writes": []}
                sizes = dict.fromkeys(times, 0)
                for number in range(PUTS):
                    key = ("thread", "", f"1f000000-0000-6000-8000-{number:012x}")
                    put = backend.put(key, None, value, METADATA, *extra, True)
                    put_writes = backend.put_writes(key, "task", "", False, [WRITE], True)
                    for name, call in (("put", put), ("put_writes", put_writes)):
                        before = wal.stat().st_size
                        start = time.perf_counter_ns()
                        call.wait()
                        times[name].append(time.perf_counter_ns() - start)
                        sizes[name] += wal.stat().st_size - before
                for name, found in times.items():
                    # Other load makes a call slower, never faster.
                    tenth = statistics.quantiles(found, n=10)[0] / 1000
                    frames = sizes[name] / PUTS / FRAME
                    print(f"{size:6} bytes: {name} {tenth:.1f} µs, {frames:.2f} frames")


def listing(threads: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "list.db"
        with RustSqliteSaver(path, format="compact") as saver:
            saver.setup()
            fill(path, threads)
            orders: tuple[Any, ...] = ("updated", "created", "thread_id")
            for order in orders:
                cursor = None
                times = []
                for _ in range(200):
                    start = time.perf_counter_ns()
                    cursor = saver.list_threads(order_by=order, cursor=cursor).cursor
                    times.append(time.perf_counter_ns() - start)
                tell(f"{threads} threads by {order}", times)
            verbs: dict[str, Callable[[], Any]] = {
                "get_thread": lambda: saver.get_thread("thread 500"),
                "count_threads": saver.count_threads,
                "a status that none has": lambda: saver.list_threads(status="error"),
            }
            for name, verb in verbs.items():
                tell(name, [timed(verb) for _ in range(20)])
            saver.downgrade()
            tell("in an interop file", [timed(saver.list_threads) for _ in range(3)])


def timed(verb: Callable[[], Any]) -> int:
    start = time.perf_counter_ns()
    verb()
    return time.perf_counter_ns() - start


def tell(name: str, times: list[int]) -> None:
    times.sort()
    last = times[len(times) * 99 // 100]
    print(f"{name}: p50 {statistics.median(times) / 1000:.0f} µs, p99 {last / 1000:.0f} µs")


def fill(path: Path, threads: int) -> None:
    value = checkpoint_of(400)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER checkpoint_format_checkpoints")
        connection.executemany(
            "INSERT INTO checkpoints"
            " VALUES (?, '', '1f000000-0000-6000-8000-000000000000', NULL, 'msgpack', ?, ?)",
            ((f"thread {number}", value, METADATA) for number in range(threads)),
        )
        connection.executemany(
            "INSERT INTO checkpoint_threads (thread_id, created, updated, checkpoints, bytes, step, source,"
            " status, nodes) VALUES (?, ?, ?, 1, 1000, 1, 'loop', 'pending', '[\"node_1\"]')",
            ((f"thread {number}", number, number % 1000 * 100) for number in range(threads)),
        )
        connection.execute(
            "CREATE TRIGGER checkpoint_format_checkpoints BEFORE INSERT ON checkpoints BEGIN SELECT 1; END"
        )


if __name__ == "__main__":
    if sys.argv[1] == "cost":
        cost()
    else:
        listing(int(sys.argv[2]) if sys.argv[2:] else 100_000)
