"""`thread_lease`: one holder at a time, in any process; whoever lost it is told at the next put."""

from __future__ import annotations

import asyncio
import copy
import time
from typing import TYPE_CHECKING, Any

import pytest
from helpers import TASK, Lock, checkpoint_of, config_of, query, schema, start_python

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver
from langgraph_checkpoint_rust.errors import LeaseHeldError, LeaseLostError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOLDER = """
import sys
from langgraph_checkpoint_rust import RustSqliteSaver
with RustSqliteSaver(sys.argv[1]) as saver, saver.thread_lease("1", float(sys.argv[2])) as lease:
    print(lease.fence, flush=True)
    sys.stdin.readline()
"""


def test_one_holder_at_a_time(make_saver: Callable[..., RustSqliteSaver]) -> None:
    saver, other = make_saver(), make_saver()
    with saver.thread_lease("1", 60) as lease:
        saver.put(config_of(), checkpoint_of(1), {}, {})
        with pytest.raises(LeaseHeldError, match="leased to another for"), other.thread_lease("1", 60):
            pass
        with other.thread_lease("2", 60):
            pass
    with other.thread_lease("1", 60) as next_lease:
        assert next_lease.fence == lease.fence + 1


def test_a_lease_that_expired_is_lost_at_the_next_put(make_saver: Callable[..., RustSqliteSaver]) -> None:
    saver, other = make_saver(), make_saver()
    with saver.thread_lease("1", 0.05) as lease:
        config = saver.put(config_of(), checkpoint_of(1), {}, {})
        time.sleep(0.1)
        with pytest.raises(LeaseLostError, match="lease of thread `1` is lost"):
            saver.put(config, checkpoint_of(2), {}, {})
        with pytest.raises(LeaseLostError):
            copy.copy(saver).put_writes(config, [("a", 1)], TASK)
        # Nobody took it meanwhile.
        lease.renew()
        saver.put(config, checkpoint_of(2), {}, {})
        time.sleep(0.1)
        with other.thread_lease("1", 60):
            with pytest.raises(LeaseLostError):
                lease.renew()
            with pytest.raises(LeaseLostError):
                saver.put(config, checkpoint_of(3), {}, {})
            other.put(config, checkpoint_of(4), {}, {})
    assert len(list(saver.list(None))) == 3
    saver.put(config, checkpoint_of(5), {}, {})


def test_renewed_it_lasts(make_saver: Callable[..., RustSqliteSaver]) -> None:
    saver = make_saver()
    with saver.thread_lease("1", 0.4) as lease:
        for number in range(1, 5):
            time.sleep(0.15)
            lease.renew()
            saver.put(config_of(), checkpoint_of(number), {}, {})


def test_other_processes_see_it_and_a_killed_holder_blocks_for_no_longer_than_ttl(path: Path) -> None:
    holder = start_python(HOLDER, path, 1.0)
    assert holder.stdout is not None
    fence = int(holder.stdout.readline())
    with RustSqliteSaver(path) as saver:
        with pytest.raises(LeaseHeldError), saver.thread_lease("1", 60):
            pass
        holder.kill()
        holder.communicate()
        time.sleep(1.1)
        with saver.thread_lease("1", 60) as lease:
            assert lease.fence == fence + 1


def test_async(path: Path) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver, saver.thread_lease("1", 60) as lease:
            await saver.aput(config_of(), checkpoint_of(1), {}, {})
            await lease.arenew()
            with pytest.raises(LeaseHeldError):
                async with saver.thread_lease("1", 60):
                    pass

    asyncio.run(main())


@pytest.mark.interop
def test_an_interop_file_gets_the_table_with_the_first_lease(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        saver.put(config_of(), checkpoint_of(1), {}, {})
        assert "checkpoint_threads" not in {row[1] for row in schema(path)}
        with saver.thread_lease("1", 60):
            ((expires,),) = query(path, "SELECT lease_expires FROM checkpoint_threads")
            assert 50 < expires / 1000 - time.time() <= 60


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), "1", 10**9])
def test_a_wrong_ttl(path: Path, ttl: Any) -> None:
    with RustSqliteSaver(path) as saver, pytest.raises(ValueError, match="ttl must be"):
        saver.thread_lease("1", ttl)


def test_a_cancelled_holder_gives_it_back(path: Path) -> None:
    async def hold(saver: AsyncRustSqliteSaver) -> None:
        async with saver.thread_lease("1", 60):
            await asyncio.sleep(0)

    async def is_held(saver: AsyncRustSqliteSaver) -> bool:
        try:
            await hold(saver)
        except LeaseHeldError:
            return True
        return False

    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            for turns in range(40):
                task = asyncio.ensure_future(hold(saver))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                until = time.monotonic() + 10
                while await is_held(saver):
                    assert time.monotonic() < until

    asyncio.run(main())


def test_whoever_is_cancelled_as_the_file_is_locked_does_not_wait(path: Path) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            await saver.setup()
            with Lock(path, "BEGIN IMMEDIATE"), pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(saver.thread_lease("1", 60).__aenter__(), 0.1)
                raise AssertionError("taken")
            async with saver.thread_lease("1", 60):
                pass

    asyncio.run(main())
