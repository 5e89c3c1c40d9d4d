"""Concurrent writes share commits; what befalls one job of a group befalls no other."""

from __future__ import annotations

import asyncio
import copy
import os
import shutil
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from helpers import (
    REFUSED,
    REFUSING_INDEX,
    TASK,
    checkpoint_of,
    config_of,
    id_of,
    put_chain,
    query,
    rows,
    start_python,
)
from oracle import acknowledged, expect_line, finish, lost, tell

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver, _core
from langgraph_checkpoint_rust.errors import CheckpointError, DatabaseBusyError, SaverClosedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
for line in sys.stdin:
    connection.execute(line.strip())
    print("done", flush=True)
"""


@pytest.fixture
def holder(path: Path) -> Iterator[Callable[[str], None]]:
    """Runs SQL in another process that keeps its transaction open between two calls."""
    with RustSqliteSaver(path) as saver:
        saver.setup()
    process = start_python(HOLDER, path)

    def execute(sql: str) -> None:
        tell(process, sql)
        expect_line(process, "done")

    yield execute
    process.communicate()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("synchronous", ["NORMAL", "FULL"])
def test_concurrent_writes_share_commits(path: Path, holder: Callable[[str], None], synchronous: Any) -> None:
    """The other process sees to it that all are queued before the first can commit."""

    async def main() -> None:
        async with AsyncRustSqliteSaver(path, synchronous=synchronous) as saver:
            await saver.setup()
            holder("BEGIN IMMEDIATE")
            tasks = [
                asyncio.ensure_future(saver.aput(config_of(f"t{number}"), checkpoint_of(1), {}, {}))
                for number in range(100)
            ]
            while saver.stats()["writer"]["queued"] < 100:
                await asyncio.sleep(0)
            await asyncio.to_thread(holder, "ROLLBACK")
            await asyncio.gather(*tasks)
            writer = saver.stats()["writer"]
            assert writer["jobs"] == 100
            assert writer["groups"] <= 5
            assert writer["largest_group"] >= 50

    asyncio.run(main())
    assert len(rows(path, "checkpoints")) == 100


def test_threads_and_tasks_share_groups(path: Path, holder: Callable[[str], None]) -> None:
    with RustSqliteSaver(path) as saver:
        saver.setup()
        holder("BEGIN IMMEDIATE")
        threads = [threading.Thread(target=put_chain, args=(saver, 1, f"t{number}")) for number in range(16)]
        for thread in threads:
            thread.start()
        until(lambda: saver.stats()["writer"]["queued"] == 16)
        holder("ROLLBACK")
        for thread in threads:
            thread.join()
        writer = saver.stats()["writer"]
    assert (writer["jobs"], writer["queued"]) == (16, 0)
    assert writer["groups"] <= 4


def test_writes_are_stored_in_the_order_in_which_a_task_begins_them(path: Path) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            await saver.setup()
            tasks = [
                asyncio.ensure_future(saver.aput(config_of("1"), checkpoint_of(1, {"value": number}), {}, {}))
                for number in range(200)
            ]
            await asyncio.gather(*tasks)
            found = await saver.aget_tuple(config_of("1"))
            assert found is not None
            assert found.checkpoint["channel_values"] == {"value": 199}

    asyncio.run(main())


def test_writes_that_come_while_the_file_is_opened_keep_their_order(path: Path) -> None:
    """The first of them opens it; those that come as the store is handed over may not overtake."""

    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            tasks = []
            for number in range(3000):
                put = saver.aput(config_of(f"{number:05}"), checkpoint_of(1), {}, {})
                tasks.append(asyncio.ensure_future(put))
                # Begins it, and lets the opening go on beside it.
                await asyncio.sleep(0)
            await asyncio.gather(*tasks)

    asyncio.run(main())
    found = [thread for (thread,) in query(path, "SELECT thread_id FROM checkpoints ORDER BY rowid")]
    assert len(found) == 3000
    assert found == sorted(found)


def test_savers_of_one_file_may_differ_in_synchronous(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(path)
    with RustSqliteSaver(path) as normal, RustSqliteSaver(tmp_path / "link.db", synchronous="FULL") as full:
        for number in range(5):
            put_chain(normal, 1, f"normal-{number}")
            put_chain(full, 1, f"full-{number}")
        # One writer, whatever the path.
        assert normal.stats()["writer"]["jobs"] == full.stats()["writer"]["jobs"] == 10


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("cache_size", 8 << 20, "cache_size"),
        ("pool_size", 3, "pool_size"),
        ("journal_size_limit", 1 << 20, "journal_size_limit"),
        ("busy_timeout", 5.5, "busy_timeout"),
        ("pool_recycle", 60.0, "pool_recycle"),
        ("journal_mode", "DELETE", "journal_mode"),
        ("defensive", False, "defensive"),
    ],
)
def test_other_settings_that_conflict_are_refused_and_both_values_named(
    path: Path, option: str, value: object, words: str
) -> None:
    with RustSqliteSaver(path) as first:
        first.setup()
        second = RustSqliteSaver(path, **{option: value})  # type: ignore[arg-type]
        with pytest.raises(
            ValueError, match=f"{words}.*{getattr(first.settings, option)}|{words}.*{value}"
        ) as refused:
            second.setup()
        assert str(value) in str(refused.value)
        assert str(getattr(first.settings, option)) in str(refused.value)
        put_chain(first, 1)
    second.setup()
    second.close()


def test_closing_one_saver_never_affects_another(path: Path) -> None:
    staying = RustSqliteSaver(path)
    stop = threading.Event()
    failures: list[BaseException] = []
    done: list[int] = []

    def work(name: str) -> None:
        try:
            while not stop.is_set():
                done.append(len(put_chain(staying, 5, name)))
                assert staying.get_tuple(config_of(name))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for number in range(100):
        leaving = RustSqliteSaver(path)
        put_chain(leaving, 1, f"leaving-{number}")
        leaving.close()
        with pytest.raises(SaverClosedError):
            put_chain(leaving, 1)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert failures == []
    assert len(done) > 4
    staying.close()


def test_the_last_reference_may_go_while_work_of_a_closed_saver_is_queued(
    path: Path, holder: Callable[[str], None]
) -> None:
    async def main() -> None:
        closed, dropped = AsyncRustSqliteSaver(path), AsyncRustSqliteSaver(path)
        await closed.setup()
        await dropped.setup()
        holder("BEGIN IMMEDIATE")
        tasks = [
            asyncio.ensure_future(saver.aput(config_of(f"t{number}"), checkpoint_of(1), {}, {}))
            for number, saver in enumerate([dropped, closed] * 10)
        ]
        while dropped.stats()["writer"]["queued"] < 20:
            await asyncio.sleep(0)
        closed._store.backend.close()
        del dropped
        await asyncio.to_thread(holder, "ROLLBACK")
        await asyncio.wait_for(asyncio.gather(*tasks), 20)

    asyncio.run(main())
    assert len(rows(path, "checkpoints")) == 20


def test_each_write_waits_for_its_own_time_and_leaves_nothing_behind(
    path: Path, holder: Callable[[str], None]
) -> None:
    holder("BEGIN IMMEDIATE")
    hasty, patient = RustSqliteSaver(path, busy_timeout=0.3), RustSqliteSaver(path, busy_timeout=0.3)
    waited: list[float] = []

    def put(saver: Any, thread_id: str) -> None:
        began = time.monotonic()
        with pytest.raises(DatabaseBusyError, match="busy: waited"):
            put_chain(saver, 1, thread_id)
        waited.append(time.monotonic() - began)

    threads = [
        threading.Thread(target=put, args=(saver, f"t{number}"))
        for number in range(4)
        for saver in (hasty, patient)
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.02)
    for thread in threads:
        thread.join(20)
    assert len(waited) == 8
    assert min(waited) >= 0.3
    assert max(waited) < 1.5
    assert hasty.stats()["writer"]["queued"] == 0
    holder("ROLLBACK")
    put_chain(hasty, 1, "after")
    assert [row[0] for row in rows(path, "checkpoints")] == ["after"]
    hasty.close()
    patient.close()


def test_a_job_that_fails_leaves_its_neighbours_alone(path: Path, holder: Callable[[str], None]) -> None:
    async def main() -> list[Any]:
        async with AsyncRustSqliteSaver(path) as saver:
            await saver.setup()
            holder(REFUSING_INDEX)
            holder("BEGIN IMMEDIATE")
            calls = [
                saver.aput_writes(
                    config_of("1", "", id_of(number)), [("a", number), (REFUSED, 1), ("b", 1)], TASK
                )
                if number in {3, 7, 8}
                else saver.aput(config_of("1"), checkpoint_of(number), {}, {})
                for number in range(12)
            ]
            tasks = [asyncio.ensure_future(call) for call in calls]
            while saver.stats()["writer"]["queued"] < 12:
                await asyncio.sleep(0)
            await asyncio.to_thread(holder, "ROLLBACK")
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert saver.stats()["writer"]["groups"] <= 3
            return outcomes

    outcomes = asyncio.run(main())
    failed = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, CheckpointError)]
    assert failed == [3, 7, 8]
    stored = {row[2] for row in rows(path, "checkpoints")}
    assert stored == {id_of(number) for number in range(12) if number not in {3, 7, 8}}
    assert rows(path, "writes") == []


FULL = """
import asyncio, os, sys
from helpers import checkpoint_of, config_of, id_of
from oracle import acknowledge
from langgraph_checkpoint_rust import AsyncRustSqliteSaver
from langgraph_checkpoint_rust.errors import DiskFullError

async def main():
    saver = AsyncRustSqliteSaver(sys.argv[1], wal_autocheckpoint=50)
    await saver.setup()
    full = 0
    async def put(batch, number):
        nonlocal full
        # Small ones, and in the middle of each group one that does not fit.
        size = 3_000_000 if number == 10 else 2_000
        try:
            await saver.aput(config_of(f"t{number}"), checkpoint_of(batch, {"value": os.urandom(size)}), {}, {})
            acknowledge(f"t{number}", id_of(batch))
        except DiskFullError:
            full += 1
            assert number == 10, "a small one failed"
    for batch in range(5):
        await asyncio.gather(*(put(batch, number) for number in range(20)))
        found = await saver.aget_tuple(config_of("t3"))
        assert found.checkpoint["id"] == id_of(batch)
    acknowledge("full", full, saver.stats()["writer"]["void_groups"])
    await saver.aclose()

asyncio.run(main())
"""


def test_a_full_disk_in_the_middle_of_a_group_fails_only_what_does_not_fit(small_disk: Path) -> None:
    path = small_disk / "checkpoints.db"
    lines = finish(start_python(FULL, path), 0)
    claimed = acknowledged(lines)
    assert len(claimed) == 5 * 19
    (figures,) = (line.split()[1:] for line in lines if line.startswith("full"))
    assert int(figures[0]) == 5
    assert int(figures[1]) >= 1
    assert lost(path, claimed) == set()


@pytest.mark.skipif(not hasattr(_core, "plant_fault"), reason="needs the feature `faults`")
def test_a_group_that_goes_on_in_autocommit_would_be_seen(small_disk: Path) -> None:
    path = small_disk / "checkpoints.db"
    code = "from langgraph_checkpoint_rust import _core\n_core.plant_fault('IgnoreAutocommit')\n" + FULL
    process = start_python(code, path)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0 or lost(path, acknowledged(output.splitlines()))


SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int failures = 0;
void fail_syncs(int count) { failures = count; }

static int fails(void) { if (failures > 0) { failures--; errno = EIO; return 1; } return 0; }
int fdatasync(int fd) { return fails() ? -1 : ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd); }
int fsync(int fd) { return fails() ? -1 : ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd); }
"""

FAILED_SYNC = """
import asyncio, ctypes, sys
from helpers import checkpoint_of, config_of, id_of
from oracle import acknowledge, put_many
from langgraph_checkpoint_rust import AsyncRustSqliteSaver
from langgraph_checkpoint_rust.errors import OutcomeUnknownError

shim = ctypes.CDLL(sys.argv[2])
async def main():
    saver = AsyncRustSqliteSaver(sys.argv[1], synchronous="FULL")
    await saver.setup()
    put_many(saver, "before", 20)
    shim.fail_syncs(1)
    calls = [saver.aput(config_of("doubtful"), checkpoint_of(number), {}, {}) for number in range(8)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    unknown = [outcome for outcome in outcomes if isinstance(outcome, OutcomeUnknownError)]
    # One sync failed: had its group been tried again, all would have succeeded.
    assert unknown and "read back" in str(unknown[0])
    assert all(isinstance(outcome, (dict, OutcomeUnknownError)) for outcome in outcomes), outcomes
    for number, outcome in enumerate(outcomes):
        if not isinstance(outcome, Exception):
            acknowledge("doubtful", id_of(number))
    put_many(saver, "after", 20)
    await saver.aclose()
asyncio.run(main())
"""


def test_a_failed_sync_is_not_tried_again_and_its_outcome_is_called_unknown(
    path: Path, tmp_path: Path
) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler for the shim")
    shim = tmp_path / "shim.so"
    built = subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", shim, "-x", "c", "-", "-ldl"], input=SHIM, text=True, check=False
    )
    assert built.returncode == 0
    environment = os.environ | {"LD_PRELOAD": str(shim)}
    here = os.path.dirname(os.path.abspath(__file__))
    process = subprocess.Popen(
        [sys.executable, "-c", FAILED_SYNC, str(path), str(shim)],
        env=environment,
        cwd=here,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    claimed = acknowledged(finish(process, 0))
    assert len(claimed) >= 40
    assert lost(path, claimed) == set()


def test_clones_and_pickles_share_the_writer(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        put_chain(copy.copy(saver), 2, "a")
        put_chain(RustSqliteSaver(path), 2, "b")
        assert saver.stats()["writer"]["jobs"] == 4


def test_readers_in_delete_mode_hold_a_write_up_no_longer_than_its_time(path: Path) -> None:
    """COMMIT itself waits for readers there, with the write lock held."""
    with RustSqliteSaver(path, journal_mode="DELETE", busy_timeout=0.5) as saver:
        put_chain(saver, 2)
        holder = start_python(HOLDER, path)
        tell(holder, "BEGIN")
        expect_line(holder, "done")
        tell(holder, "SELECT * FROM checkpoints")
        expect_line(holder, "done")
        errors: list[BaseException] = []
        threads = [
            threading.Thread(target=lambda number=number: _collect(errors, saver, number))
            for number in range(6)
        ]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        took = time.monotonic() - began
        assert [type(error) for error in errors] == [DatabaseBusyError] * 6
        assert took < 3
        holder.communicate()
        put_chain(saver, 1, "after")
        assert {row[0] for row in rows(path, "checkpoints")} == {"1", "after"}


def _collect(errors: list[BaseException], saver: Any, number: int) -> None:
    try:
        put_chain(saver, 1, f"t{number}")
    except CheckpointError as error:
        errors.append(error)
