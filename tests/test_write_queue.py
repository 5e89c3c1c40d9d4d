"""Concurrent writes share commits, and are still told apart: order, deadline, failure, settings."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from fault_support import LOOPS, eventually, is_at_rest, run_on
from helpers import TASK, Lock, checkpoint_of, config_of, id_of, put_chain, query
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, RESUME

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver
from langgraph_checkpoint_rust.errors import DatabaseBusyError, DatabaseError, SaverClosedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

THREADS = "SELECT thread_id FROM checkpoints ORDER BY 1"


def queue_puts(saver: Any, threads: list[str], outcomes: dict[str, Any]) -> list[threading.Thread]:
    """One put per thread, all of them in the queue on return: another process must hold the lock."""

    def put(thread: str) -> None:
        since = time.monotonic()
        try:
            saver.put(config_of(thread), checkpoint_of(1), {}, {})
            outcomes[thread] = None
        except Exception as error:
            outcomes[thread] = error, time.monotonic() - since

    queued = saver.stats()["writer"]["queued"]
    workers = [threading.Thread(target=put, args=(thread,)) for thread in threads]
    for worker in workers:
        worker.start()
    assert eventually(lambda: saver.stats()["writer"]["queued"] == queued + len(threads))
    return workers


def joined(workers: list[threading.Thread]) -> bool:
    for worker in workers:
        worker.join(30)
    return not any(worker.is_alive() for worker in workers)


@pytest.mark.parametrize("loop_name", LOOPS)
def test_concurrent_aputs_share_commits(path: Path, loop_name: str) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path, synchronous="FULL") as saver:
            await saver.setup()
            for _ in range(4):
                puts = (saver.aput(config_of(number), checkpoint_of(), {}, {}) for number in range(64))
                await asyncio.gather(*puts)
            writer = saver.stats()["writer"]
            assert writer["jobs"] == 256
            assert writer["groups"] < 128
            assert writer["largest_group"] > 1

    run_on(loop_name, main())
    assert query(path, "SELECT count(*) FROM checkpoints") == [(256,)]


def test_puts_of_threads_that_waited_for_one_lock_share_one_commit(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 1)
        before = saver.stats()["writer"]
        outcomes: dict[str, Any] = {}
        with Lock(path, "BEGIN IMMEDIATE"):
            workers = queue_puts(saver, [f"t{number}" for number in range(8)], outcomes)
        assert joined(workers)
        after = saver.stats()["writer"]
        assert list(outcomes.values()) == [None] * 8
        assert (after["groups"] - before["groups"], after["jobs"] - before["jobs"]) == (1, 8)


@pytest.mark.parametrize("loop_name", LOOPS)
def test_of_concurrent_puts_of_one_id_the_last_one_begun_wins(path: Path, loop_name: str) -> None:
    async def main(path: Path) -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            for number in range(2):
                config = config_of(number)
                puts = (saver.aput(config, checkpoint_of(1, {"n": n}), {}, {}) for n in range(10))
                await asyncio.gather(*puts)
                found = await saver.aget_tuple(config)
                assert found is not None
                assert found.checkpoint["channel_values"] == {"n": 9}

    # The first round opens the file, where nothing may overtake either.
    for number in range(4):
        run_on(loop_name, main(path.with_name(f"{number}.db")))


def test_savers_of_one_file_with_different_synchronous_write_together(path: Path) -> None:
    with (
        RustSqliteSaver(path, synchronous="NORMAL") as normal,
        RustSqliteSaver(path, synchronous="FULL") as full,
    ):
        workers = [
            threading.Thread(target=put_chain, args=(saver, 50, number))
            for number, saver in enumerate([normal, full, normal, full])
        ]
        for worker in workers:
            worker.start()
        assert joined(workers)
        assert normal.stats()["writer"] == full.stats()["writer"]
        assert full.stats()["writer"]["jobs"] == 200
        assert (normal.settings.synchronous, full.settings.synchronous) == ("NORMAL", "FULL")
    assert query(path, "SELECT count(*) FROM checkpoints") == [(200,)]


def test_a_saver_with_other_settings_is_refused_and_told_both_until_the_first_is_closed(path: Path) -> None:
    with RustSqliteSaver(path, busy_timeout=7) as first, RustSqliteSaver(path, busy_timeout=8) as second:
        put_chain(first, 1)
        with pytest.raises(ValueError, match=r"busy_timeout is 7\.0 there and 8\.0 here"):
            second.get_tuple(config_of())
        put_chain(first, 1, "2")
        first.close()
        assert len(list(second.list(None))) == 2


def test_closing_a_saver_leaves_another_of_the_same_file_at_work(path: Path) -> None:
    stop = threading.Event()
    stored: list[Any] = []

    with RustSqliteSaver(path) as lasting:

        def work() -> None:
            while not stop.is_set():
                number = len(stored)
                stored.append(lasting.put(config_of(), checkpoint_of(number), {}, {}))
                assert lasting.get_tuple(config_of()) is not None

        worker = threading.Thread(target=work)
        worker.start()
        for number in range(50):
            with RustSqliteSaver(path) as passing:
                put_chain(passing, 1, f"passing{number}")
        stop.set()
        assert joined([worker])
        assert len(list(lasting.list(config_of()))) == len(stored) > 0
    assert query(path, "SELECT count(*) FROM checkpoints WHERE thread_id LIKE 'passing%'") == [(50,)]


def test_closing_a_saver_while_its_writes_wait_for_the_lock_stores_them(path: Path) -> None:
    with RustSqliteSaver(path) as lasting:
        put_chain(lasting, 1)
        closing = RustSqliteSaver(path)
        closing.setup()
        outcomes: dict[str, Any] = {}
        with Lock(path, "BEGIN IMMEDIATE"):
            workers = queue_puts(closing, ["a", "b"], outcomes)
            workers += queue_puts(lasting, ["c"], outcomes)
            closing.close()
            with pytest.raises(SaverClosedError):
                closing.get_tuple(config_of())
            assert lasting.get_tuple(config_of()) is not None
        assert joined(workers)
        assert outcomes == {"a": None, "b": None, "c": None}
    assert query(path, THREADS) == [("1",), ("a",), ("b",), ("c",)]


def test_closing_the_only_saver_while_aputs_are_queued_stores_them(path: Path) -> None:
    async def main() -> None:
        saver = AsyncRustSqliteSaver(path)
        await saver.setup()
        puts = [
            asyncio.ensure_future(saver.aput(config_of(number), checkpoint_of(1), {}, {}))
            for number in range(20)
        ]
        await asyncio.sleep(0)
        saver.close()
        await asyncio.gather(*puts)

    run_on("asyncio", main())
    assert query(path, "SELECT count(*) FROM checkpoints") == [(20,)]


@pytest.mark.parametrize("loop_name", LOOPS)
def test_each_of_the_concurrent_aputs_has_its_own_deadline_and_none_is_stored_later(
    path: Path, loop_name: str
) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path, busy_timeout=0.3) as saver:
            await saver.setup()

            async def waited(number: int) -> float:
                await asyncio.sleep(number * 0.05)
                since = time.monotonic()
                with pytest.raises(DatabaseBusyError):
                    await saver.aput(config_of(number), checkpoint_of(1), {}, {})
                return time.monotonic() - since

            with Lock(path, "BEGIN IMMEDIATE"):
                waits = await asyncio.gather(*(waited(number) for number in range(6)))
            assert 0.25 < min(waits) <= max(waits) < 1.5
            assert is_at_rest(saver)
            await saver.aput(config_of("after"), checkpoint_of(1), {}, {})

    run_on(loop_name, main())
    assert query(path, THREADS) == [("after",)]


def test_each_of_the_threads_that_put_has_its_own_deadline_and_none_is_stored_later(path: Path) -> None:
    with RustSqliteSaver(path, busy_timeout=0.5) as saver:
        saver.setup()
        outcomes: dict[str, Any] = {}
        with Lock(path, "BEGIN IMMEDIATE"):
            workers = queue_puts(saver, [f"early{number}" for number in range(3)], outcomes)
            workers += queue_puts(saver, [f"late{number}" for number in range(3)], outcomes)
            assert joined(workers)
        assert {type(error) for error, _ in outcomes.values()} == {DatabaseBusyError}
        assert all(0.45 < wait < 2 for _, wait in outcomes.values())
        put_chain(saver, 1, "after")
    assert query(path, THREADS) == [("after",)]


DISK_FULL = """
import asyncio, os, sys
from helpers import checkpoint_of, config_of, query
from langgraph_checkpoint_rust import AsyncRustSqliteSaver
from langgraph_checkpoint_rust.errors import DiskFullError

path, sizes = sys.argv[1] + "/a.db", [10] * 10 + [1_500_000] + [10] * 10 + [1_600_000] + [10] * 10

async def main():
    async with AsyncRustSqliteSaver(path) as saver:
        await saver.setup()
        puts = [
            saver.aput(config_of(f"{number:02}"), checkpoint_of(1, {"blob": os.urandom(size)}), {}, {})
            for number, size in enumerate(sizes)
        ]
        outcomes = await asyncio.gather(*puts, return_exceptions=True)
        for size, outcome in zip(sizes, outcomes):
            assert isinstance(outcome, DiskFullError if size > 10 else dict), (size, outcome)
        figures = saver.stats()["writer"]
        assert figures["jobs"] == 30 and figures["void_groups"] >= 1, figures

asyncio.run(main())
fitting = [(f"{number:02}",) for number, size in enumerate(sizes) if size == 10]
assert query(path, "SELECT thread_id FROM checkpoints ORDER BY 1") == fitting
assert query(path, "PRAGMA integrity_check") == [("ok",)]
"""


@pytest.fixture
def on_small_disk(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs code with a directory on a disk of 1 MiB, where such a disk can be mounted."""
    mount = f"mount -t tmpfs -o size=1m tmpfs '{tmp_path}'"
    enter = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    try:
        subprocess.run([*enter, "sh", "-c", mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system of limited size can be mounted here: {error}")

    def run(code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*enter, "sh", "-c", f'{mount} && exec "$0" "$@"', sys.executable, "-c", code, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=os.path.dirname(os.path.abspath(__file__)),
        )

    return run


def test_on_a_full_disk_only_the_jobs_of_a_group_that_do_not_fit_fail(
    on_small_disk: Callable[[str], subprocess.CompletedProcess[str]],
) -> None:
    done = on_small_disk(DISK_FULL)
    assert done.returncode == 0, done.stderr


REFUSING_CHECKPOINTS = """
CREATE TABLE checkpoints (
    thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL,
    parent_checkpoint_id TEXT, type TEXT, checkpoint BLOB, metadata BLOB,
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id), CHECK (thread_id <> 'refused'))
"""
REFUSING_WRITES = """
CREATE TABLE writes (
    thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL,
    task_id TEXT NOT NULL, idx INTEGER NOT NULL, channel TEXT NOT NULL, type TEXT, value BLOB,
    task_path TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx), CHECK (channel <> '__resume__'))
"""


def test_of_a_group_only_the_jobs_that_a_constraint_refuses_fail_and_store_no_row(path: Path) -> None:
    query(path, REFUSING_CHECKPOINTS)
    query(path, REFUSING_WRITES)
    threads = ["a", "refused", "b", "refused", "c"]
    channels = [[ERROR, INTERRUPT], [ERROR, INTERRUPT, RESUME], [INTERRUPT, RESUME], [INTERRUPT]]

    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            await saver.setup()
            puts: list[Any] = [saver.aput(config_of(thread), checkpoint_of(1), {}, {}) for thread in threads]
            puts += [
                saver.aput_writes(config_of(f"w{number}", "", id_of(1)), [(name, 1) for name in names], TASK)
                for number, names in enumerate(channels)
            ]
            outcomes = await asyncio.gather(*puts, return_exceptions=True)
            failed = [isinstance(outcome, DatabaseError) for outcome in outcomes]
            assert failed == [False, True, False, True, False, False, True, True, False]
            assert saver.stats()["writer"]["largest_group"] > 1

    run_on("asyncio", main())
    assert query(path, THREADS) == [("a",), ("b",), ("c",)]
    stored = query(path, "SELECT thread_id, count(*) FROM writes GROUP BY 1 ORDER BY 1")
    assert stored == [("w0", 2), ("w3", 1)]
