"""A cancelled call is committed or absent: never half, never a lock, a reader or a future left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from helpers import TASK, checkpoint_of, config_of, id_of, put_chain, query, start_python
from oracle import expect_line, tell

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, _bridge

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

TURNS = range(61)
WRITES = [(f"channel-{index}", "x" * 500) for index in range(4)]

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}

NEIGHBOUR = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=2)
print("ready", flush=True)
for line in sys.stdin:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("COMMIT")
    print("wrote", flush=True)
"""


@pytest.fixture(params=LOOPS)
def cancelling_loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    loop = LOOPS[request.param]()
    yield loop
    loop.close()


@pytest.fixture
def neighbour(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that writes to the file when it is told to."""
    with AsyncRustSqliteSaver(path) as saver:
        put_chain(saver, 1, "warm")
    process = start_python(NEIGHBOUR, path)
    expect_line(process, "ready")
    yield process
    process.communicate()


def neighbour_writes(process: subprocess.Popen[str]) -> None:
    """Fails if a cancelled call left the write lock taken."""
    tell(process)
    expect_line(process, "wrote")


async def cancelled_after(turns: int, steps: Coroutine[Any, Any, Any]) -> bool:
    """Cancels a call after some turns of the loop; true if it had no time to end."""
    task = asyncio.ensure_future(steps)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


async def settled(saver: Any) -> dict[str, Any]:
    """The figures once nothing is queued and no reader is lent."""
    for _ in range(2000):
        stats: dict[str, Any] = saver.stats()
        if stats["writer"]["queued"] == 0 and stats["readers"]["open"] == stats["readers"]["idle"]:
            return stats
        await asyncio.sleep(0.001)
    raise AssertionError(stats)


def test_no_moment_of_a_cancellation_leaves_a_half_state(
    path: Path, cancelling_loop: asyncio.AbstractEventLoop, neighbour: subprocess.Popen[str]
) -> None:
    cancelled = dict.fromkeys(("put", "put_writes", "get_tuple", "list", "delete_thread"), 0)

    async def main() -> None:
        saver = AsyncRustSqliteSaver(path, pool_size=2)
        await saver.setup()
        for attempt, turns in enumerate([turns for turns in TURNS for _ in range(2)]):
            thread = f"t{attempt}"
            config = config_of(thread, "", id_of(1))
            doomed = put_chain(saver, 5, f"doomed-{attempt}")
            for config_ in doomed:
                saver.put_writes(config_, WRITES, TASK)

            async def listed() -> list[Any]:
                return [found async for found in saver.alist(config_of(f"doomed-{attempt}"))]

            verbs = {
                "put": saver.aput(config_of(thread), checkpoint_of(1, {"value": "x" * 3000}), {}, {}),
                "put_writes": saver.aput_writes(config, WRITES, TASK),
                "get_tuple": saver.aget_tuple(doomed[0]),
                "list": listed(),
                "delete_thread": saver.adelete_thread(f"doomed-{attempt}"),
            }
            for name, steps in verbs.items():
                cancelled[name] += await cancelled_after(turns, steps)
            if attempt % 10 == 0:
                neighbour_writes(neighbour)
        stats = await settled(saver)
        assert stats["readers"]["open"] <= 2
        assert not _bridge._line_of(asyncio.get_running_loop())._waiting
        # The next calls find nothing in their way.
        await saver.aput(config_of("after"), checkpoint_of(1), {}, {})
        assert await saver.aget_tuple(config_of("after"))
        await saver.aclose()

    cancelling_loop.run_until_complete(asyncio.wait_for(main(), 100))
    gc.collect()
    neighbour_writes(neighbour)
    print(f"{sum(cancelled.values())} cancelled: {cancelled}")
    assert min(cancelled.values()) > 3
    halves = query(path, "SELECT count(*) FROM writes GROUP BY thread_id, checkpoint_id HAVING count(*) <> 4")
    assert halves == []
    deleted_in_part = query(
        path,
        "SELECT thread_id FROM checkpoints WHERE thread_id LIKE 'doomed%' GROUP BY 1 HAVING count(*) <> 5",
    )
    assert deleted_in_part == []
    orphans = query(
        path,
        "SELECT thread_id FROM writes WHERE thread_id LIKE 'doomed%' "
        "AND thread_id NOT IN (SELECT thread_id FROM checkpoints)",
    )
    assert orphans == []


def test_many_cancellations_at_once_leave_all_or_nothing(
    path: Path, cancelling_loop: asyncio.AbstractEventLoop, neighbour: subprocess.Popen[str]
) -> None:
    """Groups of jobs of which some were withdrawn: 1,000 cancellations."""
    finished: set[int] = set()

    async def one(saver: Any, number: int) -> None:
        await saver.aput_writes(config_of("1", "", id_of(number)), WRITES, TASK)
        finished.add(number)

    async def main() -> None:
        saver = AsyncRustSqliteSaver(path)
        await saver.setup()
        for batch in range(20):
            tasks = [asyncio.ensure_future(one(saver, batch * 100 + index)) for index in range(100)]
            for _ in range(batch % 7):
                await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await settled(saver)
        await saver.aclose()

    cancelling_loop.run_until_complete(asyncio.wait_for(main(), 100))
    neighbour_writes(neighbour)
    counts = dict(query(path, "SELECT checkpoint_id, count(*) FROM writes WHERE thread_id = '1' GROUP BY 1"))
    assert set(counts.values()) == {4}
    assert {id_of(number) for number in finished} <= set(counts)
    assert len(finished) >= 1000


def test_a_saver_that_stores_row_by_row_would_be_seen(
    path: Path, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = AsyncRustSqliteSaver._put_writes

    def row_by_row(self: Any, config: Any, writes: Any, task_id: str, task_path: str) -> Any:
        for write in enumerate(writes):
            yield from whole(self, config, [write[1]], f"{task_id}-{write[0]}", task_path)

    monkeypatch.setattr(AsyncRustSqliteSaver, "_put_writes", row_by_row)

    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            await saver.setup()
            for turns in range(200):
                await cancelled_after(
                    turns, saver.aput_writes(config_of("1", "", id_of(turns)), WRITES, TASK)
                )

    loop.run_until_complete(main())
    assert query(path, "SELECT count(*) FROM writes GROUP BY checkpoint_id HAVING count(*) <> 4") != []


def test_timeouts_and_task_groups_cancel_as_cleanly(
    path: Path, cancelling_loop: asyncio.AbstractEventLoop, neighbour: subprocess.Popen[str]
) -> None:
    async def main() -> None:
        saver = AsyncRustSqliteSaver(path)
        await saver.setup()
        for number in range(1, 40):
            writes = saver.aput_writes(config_of("1", "", id_of(number)), WRITES, TASK)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(writes, number * 2e-5)
            steps = [
                saver.aput_writes(config_of("2", "", id_of(number * 10 + index)), WRITES, TASK)
                for index in range(5)
            ]
            tasks = [asyncio.ensure_future(step) for step in steps]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await settled(saver)
        await saver.aclose()

    cancelling_loop.run_until_complete(asyncio.wait_for(main(), 60))
    neighbour_writes(neighbour)
    assert (
        query(path, "SELECT count(*) FROM writes GROUP BY thread_id, checkpoint_id HAVING count(*) <> 4")
        == []
    )


def test_a_cancelled_write_that_waits_for_another_process_is_never_stored(path: Path) -> None:
    with AsyncRustSqliteSaver(path) as saver:
        put_chain(saver, 1)
    holder = start_python(
        """
        import sqlite3, sys
        connection = sqlite3.connect(sys.argv[1], isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        print("holds", flush=True)
        sys.stdin.readline()
        connection.execute("ROLLBACK")
        """,
        path,
    )
    expect_line(holder, "holds")

    async def main() -> None:
        saver = AsyncRustSqliteSaver(path)
        await saver.setup()
        task = asyncio.ensure_future(saver.aput(config_of("cancelled"), checkpoint_of(1), {}, {}))
        while saver.stats()["writer"]["lock_waits"] == 0:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        tell(holder)
        holder.communicate()
        await saver.aput(config_of("kept"), checkpoint_of(1), {}, {})
        await saver.aclose()

    asyncio.run(asyncio.wait_for(main(), 30))
    assert query(path, "SELECT thread_id FROM checkpoints ORDER BY 1") == [("1",), ("kept",)]


def test_a_cancelled_read_is_stopped_and_gives_its_reader_back(path: Path) -> None:
    """A scan of 20,000 rows that match nothing, with one reader: the next read would wait for it."""
    query_ = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
        "INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, type, checkpoint, metadata) "
        "SELECT 't' || i, '', printf('%036d', i), 'msgpack', x'80', '{\"step\": 1, \"text\": \"' || hex(zeroblob(500)) || '\"}' FROM n"
    )
    with AsyncRustSqliteSaver(path) as saver:
        put_chain(saver, 1)
    query(path, query_)

    async def main() -> None:
        saver = AsyncRustSqliteSaver(path, pool_size=1)
        await saver.setup()

        async def scan() -> None:
            async for _ in saver.alist(None, filter={"missing": "value"}):
                raise AssertionError

        for _ in range(10):
            task = asyncio.ensure_future(scan())
            while saver.stats()["readers"]["open"] == saver.stats()["readers"]["idle"]:
                await asyncio.sleep(0)
                assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            began = asyncio.get_running_loop().time()
            await saver.aget_tuple(config_of("t1"))
            assert asyncio.get_running_loop().time() - began < 1
        await settled(saver)
        await saver.aclose()

    asyncio.run(asyncio.wait_for(main(), 60))
