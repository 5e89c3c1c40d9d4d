"""Many processes on one file, some of them upstream's; readers that keep the WAL from being emptied."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from aged import put_aged
from helpers import checkpoint_of, config_of, query, start_python
from oracle import expect_line, finish, tell

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RetentionPolicy, RustSqliteSaver, _core

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from langgraph.checkpoint.base import CheckpointTuple

WORKER = """
import json, sqlite3, sys, threading, time
from helpers import TASK, checkpoint_of, config_of
from oracle import stand_by
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph_checkpoint_rust import RustSqliteSaver, _core

path, kind, threads, seconds, name, fault = sys.argv[1:]
if fault != "none":
    _core.plant_fault(fault)
if kind == "upstream":
    # As shipped: 5 s timeout, synchronous=FULL, and its own lock around its own connection.
    make = lambda: SqliteSaver(sqlite3.connect(path, check_same_thread=False))
    savers = [make() for _ in range(int(threads))]
else:
    saver = RustSqliteSaver(path, synchronous=kind)
    savers = [saver] * int(threads)
for saver in savers:
    saver.setup()
waits, errors = [], []

def work(saver, thread):
    number = 0
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        number += 1
        began = time.monotonic()
        try:
            config = saver.put(config_of(thread), checkpoint_of(number, {"value": "x" * 500}), {"step": number}, {})
            saver.put_writes(config, [("a", 1), ("b", 2)], TASK)
            waits.append(time.monotonic() - began)
            assert saver.get_tuple(config).checkpoint["id"] == config["configurable"]["checkpoint_id"]
        except Exception as error:
            errors.append(repr(error))
    counts[thread] = number

counts = {}
workers = [threading.Thread(target=work, args=(saver, f"{name}-{n}")) for n, saver in enumerate(savers)]
stand_by()
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print(json.dumps({"kind": kind, "waits": waits, "errors": errors, "counts": counts}))
"""


def contend(
    path: Path, kinds: list[str], threads: int, seconds: float, fault: str = "none"
) -> list[dict[str, Any]]:
    """Lets processes of these kinds write at once; what each of them met."""
    with RustSqliteSaver(path) as saver:
        saver.setup()
    processes = []
    for index, kind in enumerate(kinds):
        # An upstream process has one thread: its own lock serves several of them no better.
        count = 1 if kind == "upstream" else threads
        processes.append(start_python(WORKER, path, kind, count, seconds, f"p{index}", fault))
    for process in processes:
        expect_line(process, "ready")
    for process in processes:
        tell(process)
    return [json.loads(finish(process, 0, timeout=seconds + 60)[-1]) for process in processes]


@pytest.mark.parametrize(
    ("processes", "threads", "seconds"),
    [
        pytest.param(4, 4, 5, id="small"),
        pytest.param(8, 8, 120, id="full", marks=[pytest.mark.slow, pytest.mark.timeout(400)]),
    ],
)
def test_processes_share_a_file_with_each_other_and_with_upstream(
    path: Path, processes: int, threads: int, seconds: int, tested_format: str
) -> None:
    # Upstream cannot write compact files.
    other = "upstream" if tested_format == "interop" else "NORMAL"
    kinds = [("NORMAL", other, "FULL", other)[index % 4] for index in range(processes)]
    reports = contend(path, kinds, threads, seconds)
    for report in reports:
        assert report["errors"] == [], report["kind"]
    counts = {thread: count for report in reports for thread, count in report["counts"].items()}
    assert dict(query(path, "SELECT thread_id, count(*) FROM checkpoints GROUP BY 1")) == counts
    assert query(path, "SELECT count(*) FROM writes") == [(2 * sum(counts.values()),)]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    for kind in dict.fromkeys(kinds):
        waits = [wait for report in reports if report["kind"] == kind for wait in report["waits"]]
        p99 = statistics.quantiles(waits, n=100)[98]
        print(
            f"{kind}: {len(waits)} put + put_writes, p99 {p99 * 1e3:.0f} ms, longest {max(waits) * 1e3:.0f} ms"
        )
        assert p99 < 4


@pytest.mark.parametrize(
    "seconds",
    [4, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(300)])],
    ids=["small", "full"],
)
def test_retention_and_backup_beside_sixteen_writers(
    path: Path, tmp_path: Path, seconds: int, tested_format: str
) -> None:
    """One of the writers is upstream's, as shipped: a timeout of 5 s."""
    kinds = ["NORMAL", "FULL", "NORMAL", "upstream" if tested_format == "interop" else "NORMAL"]
    policy = RetentionPolicy(keep_last=5)
    often: Any = {"sweep_interval_minutes": 0.001}
    backups = pruned = 0
    with RustSqliteSaver(path, retention=policy, ttl=often) as saver, ThreadPoolExecutor(1) as pool:
        for number in range(300):
            put_aged(saver, [900.0 - step for step in range(10)], f"idle {number}")
        writing = pool.submit(contend, path, kinds, 5, seconds)
        while not writing.done():
            backup = saver.backup(tmp_path / "backup.db")
            assert backup.pages > 0
            (tmp_path / "backup.db").unlink()
            backups += 1
            pruned += saver.apply_retention(dry_run=False).checkpoints
        for report in writing.result():
            assert report["errors"] == [], report["kind"]
        pruned += saver.stats()["retention"]["checkpoints"]
        assert saver.stats()["retention"]["failed"] == 0
        saver.apply_retention(dry_run=False)
        for report in writing.result():
            for thread, count in report["counts"].items():
                found = list(saver.list(config_of(thread)))
                assert [stored.metadata["step"] for stored in found] == list(range(count, count - 5, -1))
                assert len(found[0].pending_writes or []) == 2
        assert saver.verify().is_ok
    assert min(backups, pruned) > 0
    print(f"{backups} backups, {pruned} checkpoints pruned")


@pytest.mark.skipif(not hasattr(_core, "plant_fault"), reason="needs the feature `faults`")
def test_a_writer_that_takes_its_lock_late_would_be_seen(path: Path) -> None:
    reports = contend(path, ["NORMAL"] * 3, 2, 4, fault="Deferred")
    assert any(report["errors"] for report in reports)


def grow(saver: Any, count: int, size: int = 4000) -> None:
    """Stores checkpoints, large enough to fill the WAL soon."""
    for number in range(1, count + 1):
        saver.put(config_of("growing"), checkpoint_of(number, {"value": os.urandom(size)}), {}, {})


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return False


LIMIT = 2 << 20


def test_a_paused_list_does_not_keep_the_wal_from_being_emptied(path: Path) -> None:
    with RustSqliteSaver(path, journal_size_limit=LIMIT, wal_autocheckpoint=200) as saver:
        grow(saver, 100)
        paused = saver.list(config_of("growing"))
        next(paused)
        grow(saver, 3000)
        assert within(10, lambda: saver.stats()["wal"]["bytes"] <= LIMIT)
        assert saver.stats()["wal"]["checkpoints"] > 3
        peak = saver.stats()["wal"]["bytes"]
        grow(saver, 3000)
        assert within(10, lambda: saver.stats()["wal"]["bytes"] <= max(peak, LIMIT))
        assert len(list(paused)) > 50


def test_a_paused_alist_does_not_either(path: Path) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path, journal_size_limit=LIMIT, wal_autocheckpoint=200) as saver:
            await asyncio.to_thread(grow, saver, 100)
            paused = saver.alist(config_of("growing"))
            await anext(paused)
            await asyncio.to_thread(grow, saver, 3000)
            assert await asyncio.to_thread(within, 10, lambda: saver.stats()["wal"]["bytes"] <= LIMIT)
            await cast("AsyncGenerator[CheckpointTuple]", paused).aclose()

    asyncio.run(main())


def test_where_commits_sync_the_wal_begins_afresh_at_each_checkpoint(path: Path) -> None:
    pages = 200
    with RustSqliteSaver(path, synchronous="FULL", wal_autocheckpoint=pages) as saver:
        grow(saver, 1000)
        figures = saver.stats()["wal"]
    assert figures["checkpoints"] > 4
    # At NORMAL it is let grow to four times that.
    assert figures["bytes"] < 4 * pages * 4096


READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM checkpoints").fetchall()
print("reads", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
print("left", flush=True)
sys.stdin.readline()
"""


def test_the_wal_shrinks_by_itself_once_a_reader_of_another_process_leaves(path: Path) -> None:
    with RustSqliteSaver(path, journal_size_limit=LIMIT, wal_autocheckpoint=200) as saver:
        grow(saver, 10)
        reader = start_python(READER, path)
        expect_line(reader, "reads")
        grow(saver, 3000)
        # Nobody can help it: that reader sees the state of its moment.
        assert saver.stats()["wal"]["bytes"] > 4 * LIMIT
        assert within(10, lambda: saver.stats()["wal"]["blocked"] > 0)
        tell(reader)
        expect_line(reader, "left")
        assert within(10, lambda: saver.stats()["wal"]["bytes"] <= LIMIT), saver.stats()["wal"]
        threads = [
            Path(f"/proc/self/task/{task}/comm").read_text().strip() for task in os.listdir("/proc/self/task")
        ]
        assert sum(name.startswith("lgcheckpoint-wa") for name in threads) == 1
        reader.communicate()


def test_the_wal_grows_without_a_checkpointer(path: Path) -> None:
    """What the tests above would see if nobody emptied it."""
    with RustSqliteSaver(path, journal_size_limit=LIMIT, wal_autocheckpoint=0) as saver:
        grow(saver, 3000)
        assert not within(1, lambda: saver.stats()["wal"]["bytes"] <= LIMIT)
