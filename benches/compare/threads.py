"""What the rows of threads cost a put, and how fast they are listed.

`threads.py cost`: µs a call, and WAL frames a commit, of `put` and `put_writes` without serialization. Run it with
two builds to compare them. `threads.py list [threads]`: µs a page of 50.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import closing
from typing import Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph_checkpoint_rust import RustSqliteSaver

PUTS = 4_000
FRAME = 4096 + 24
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
            path = os.path.join(directory, "cost.db")
            # Without checkpoints of the WAL its size tells the frames.
            with RustSqliteSaver(path, wal_autocheckpoint=0) as saver:
                saver.setup()
                backend: Any = saver._store.backend
                extra = (None,) if "outline" in (backend.put.__text_signature__ or "") else ()
                puts, writes = [], []
                put_bytes = write_bytes = 0
                for number in range(PUTS):
                    key = ("thread", "", f"1f000000-0000-6000-8000-{number:012x}")
                    before = os.path.getsize(path + "-wal")
                    start = time.perf_counter_ns()
                    backend.put(key, None, value, METADATA, *extra, True).wait()
                    middle = time.perf_counter_ns()
                    between = os.path.getsize(path + "-wal")
                    again = time.perf_counter_ns()
                    backend.put_writes(key, "task", "", False, [(0, "messages", ("msgpack", b"\x01"))], True).wait()
                    end = time.perf_counter_ns()
                    puts.append(middle - start)
                    writes.append(end - again)
                    put_bytes += between - before
                    write_bytes += os.path.getsize(path + "-wal") - between
                print(
                    f"{size:6} bytes: put {statistics.quantiles(puts, n=10)[0] / 1000:.1f} µs, {put_bytes / PUTS / FRAME:.2f} frames; "
                    f"put_writes {statistics.quantiles(writes, n=10)[0] / 1000:.1f} µs, {write_bytes / PUTS / FRAME:.2f} frames"
                )


def listing(threads: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "list.db")
        for format_ in ("compact", "interop"):
            with RustSqliteSaver(path, format=format_) as saver:
                if format_ == "compact":
                    saver.setup()
                    fill(path, threads)
                    for order in ("updated", "created", "thread_id"):
                        times = []
                        cursor = None
                        for _ in range(200):
                            start = time.perf_counter_ns()
                            cursor = saver.list_threads(order_by=order, cursor=cursor).cursor
                            times.append(time.perf_counter_ns() - start)
                        times.sort()
                        print(f"{threads} threads by {order}: p50 {times[100] / 1000:.0f} µs, p99 {times[197] / 1000:.0f} µs")
                    for name, verb in (
                        ("get_thread", lambda: saver.get_thread("thread 500")),
                        ("count_threads", saver.count_threads),
                        ("a rare status", lambda: saver.list_threads(status="error")),
                    ):
                        times = []
                        for _ in range(20):
                            start = time.perf_counter_ns()
                            verb()
                            times.append(time.perf_counter_ns() - start)
                        print(f"{name}: {statistics.median(times) / 1000:.0f} µs")
                    saver.downgrade()
                else:
                    start = time.perf_counter_ns()
                    saver.list_threads()
                    print(f"interop: {(time.perf_counter_ns() - start) / 1e6:.0f} ms")


def fill(path: str, threads: int) -> None:
    value = checkpoint_of(400)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER checkpoint_format_checkpoints")
        connection.executemany(
            "INSERT INTO checkpoints VALUES (?, '', '1f000000-0000-6000-8000-000000000000', NULL, 'msgpack', ?, ?)",
            ((f"thread {number}", value, METADATA) for number in range(threads)),
        )
        connection.executemany(
            "INSERT INTO checkpoint_threads (thread_id, created, updated, checkpoints, bytes, step, source, status, nodes)"
            " VALUES (?, ?, ?, 1, 1000, 1, 'loop', 'pending', '[\"node_1\"]')",
            ((f"thread {number}", number, number % 1000 * 100) for number in range(threads)),
        )
        connection.execute(
            "CREATE TRIGGER checkpoint_format_checkpoints BEFORE INSERT ON checkpoints BEGIN SELECT 1; END"
        )


if __name__ == "__main__":
    if sys.argv[1] == "cost":
        cost()
    else:
        listing(int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)
