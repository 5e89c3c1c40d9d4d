"""A cancelled call is done or it is not: never half, and it leaves nothing behind."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from typing import TYPE_CHECKING, Any

import pytest
from fault_support import LOOPS, Neighbour, cancelled_after, eventually, is_at_rest, run_on
from helpers import TASK, Lock, checkpoint_of, collected, config_of, id_of, put_chain, query
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver as UpstreamSaver

from langgraph_checkpoint_rust import AsyncRustSqliteSaver

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

TURNS = [turn * stride for stride in (1, 10, 50) for turn in range(61)]
"""After how many turns of the loop to cancel: all of the first 61, then on until any call is done."""
WRITES = [(f"channel{index}", index) for index in range(4)]
SOURCE = (3, 12)
"""Checkpoints and writes of the thread `source`."""
ABSENT = (0, 0)

COUNTS = """
SELECT thread_id, sum(checkpoints), sum(writes) FROM (
    SELECT thread_id, 1 AS checkpoints, 0 AS writes FROM checkpoints
    UNION ALL SELECT thread_id, 0, 1 FROM writes
) GROUP BY thread_id
"""


@dataclasses.dataclass(frozen=True)
class Verb:
    """A call on a thread of its own, and what the thread may hold: before the call, and after it."""

    call: Callable[[Any, str], Coroutine[Any, Any, Any]]
    before: tuple[int, int]
    after: tuple[int, int]


def put(saver: Any, thread: str) -> Coroutine[Any, Any, Any]:
    checkpoint = checkpoint_of(1, {"text": "x" * 300})
    return saver.aput(config_of(thread), checkpoint, {}, {})  # type: ignore[no-any-return]


def put_writes(saver: Any, thread: str) -> Coroutine[Any, Any, Any]:
    return saver.aput_writes(config_of(thread, "", id_of(1)), WRITES, TASK)  # type: ignore[no-any-return]


VERBS = {
    "aput": Verb(put, ABSENT, (1, 0)),
    "aput_writes": Verb(put_writes, ABSENT, (0, 4)),
    "aget_tuple": Verb(lambda saver, thread: saver.aget_tuple(config_of(thread)), SOURCE, SOURCE),
    "alist": Verb(lambda saver, thread: collected(saver.alist(config_of(thread))), SOURCE, SOURCE),
    "adelete_thread": Verb(lambda saver, thread: saver.adelete_thread(thread), SOURCE, ABSENT),
    "acopy_thread": Verb(lambda saver, thread: saver.acopy_thread("source", thread), ABSENT, SOURCE),
    "aprune": Verb(lambda saver, thread: saver.aprune([thread]), SOURCE, (1, 4)),
}


def put_source(saver: AsyncRustSqliteSaver) -> None:
    for config in put_chain(saver, SOURCE[0], "source"):
        saver.put_writes(config, WRITES, TASK)


def counts(path: Path) -> dict[str, tuple[int, int]]:
    """Checkpoints and writes of each thread, as another process sees them."""
    return {thread: (checkpoints, writes) for thread, checkpoints, writes in query(path, COUNTS)}


def check(path: Path, verb: Verb, done: dict[str, bool]) -> None:
    """Each thread is as before the call or as after it; a call that returned is done."""
    found = counts(path)
    states = {thread: found.get(thread, ABSENT) for thread in done}
    assert {thread: state for thread, state in states.items() if state not in {verb.before, verb.after}} == {}
    assert {thread for thread in done if done[thread] and states[thread] != verb.after} == set()
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("loop_name", LOOPS)
@pytest.mark.parametrize("name", VERBS)
def test_a_call_cancelled_at_any_turn_is_done_or_not_and_leaves_nothing(
    path: Path, name: str, loop_name: str
) -> None:
    verb = VERBS[name]
    done: dict[str, bool] = {}

    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            put_source(saver)
            with Neighbour(path) as neighbour:
                for number, turns in enumerate(TURNS):
                    thread = str(number)
                    if verb.before == SOURCE:
                        saver.copy_thread("source", thread)
                    done[thread] = await cancelled_after(turns, verb.call(saver, thread))
                    assert neighbour.write() == "wrote"
            assert eventually(lambda: is_at_rest(saver))
            await put(saver, "last")
            assert await saver.aget_tuple(config_of("last")) is not None

    run_on(loop_name, main())
    assert set(done.values()) == {False, True}
    check(path, verb, done)


@pytest.mark.parametrize("loop_name", LOOPS)
@pytest.mark.parametrize("name", VERBS)
def test_calls_that_time_out_in_a_crowd_are_done_or_not(path: Path, name: str, loop_name: str) -> None:
    verb = VERBS[name]
    done: dict[str, bool] = {}

    async def main() -> None:
        async with AsyncRustSqliteSaver(path, pool_size=2) as saver:
            put_source(saver)

            async def attempt(thread: str, timeout: float) -> None:
                if verb.before == SOURCE:
                    await saver.acopy_thread("source", thread)
                try:
                    await asyncio.wait_for(verb.call(saver, thread), timeout)
                    done[thread] = True
                except asyncio.TimeoutError:
                    done[thread] = False

            await asyncio.gather(*(attempt(str(number), number * 2e-4) for number in range(40)))
            assert eventually(lambda: is_at_rest(saver))
            await put(saver, "last")

    run_on(loop_name, main())
    assert len(done) == 40
    check(path, verb, done)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.TaskGroup came with Python 3.11")
@pytest.mark.parametrize("loop_name", LOOPS)
@pytest.mark.parametrize("name", VERBS)
def test_a_task_group_that_fails_leaves_its_calls_done_or_not(path: Path, name: str, loop_name: str) -> None:
    verb = VERBS[name]
    done: dict[str, bool] = {}

    async def fail_after(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        raise ZeroDivisionError

    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            put_source(saver)

            async def attempt(thread: str) -> None:
                done[thread] = False
                await verb.call(saver, thread)
                done[thread] = True

            for turns in TURNS[::9]:
                threads = [f"{turns}-{number}" for number in range(4)]
                if verb.before == SOURCE:
                    for thread in threads:
                        saver.copy_thread("source", thread)
                with pytest.raises(Exception, match="TaskGroup"):
                    async with asyncio.TaskGroup() as group:
                        for thread in threads:
                            group.create_task(attempt(thread))
                        group.create_task(fail_after(turns))
            assert eventually(lambda: is_at_rest(saver))
            await put(saver, "last")

    run_on(loop_name, main())
    check(path, verb, done)


@pytest.mark.parametrize("loop_name", LOOPS)
@pytest.mark.parametrize("name", ["aput", "aput_writes", "adelete_thread", "acopy_thread", "aprune"])
def test_a_write_cancelled_while_another_process_holds_the_lock_never_happens(
    path: Path, name: str, loop_name: str
) -> None:
    verb = VERBS[name]
    threads = [str(number) for number in range(8)]

    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            put_source(saver)
            if verb.before == SOURCE:
                for thread in threads:
                    saver.copy_thread("source", thread)
            with Lock(path, "BEGIN IMMEDIATE"):
                tasks = [asyncio.ensure_future(verb.call(saver, thread)) for thread in threads]
                while saver.stats()["writer"]["queued"] < len(tasks):
                    await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
                assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
                assert eventually(lambda: is_at_rest(saver), 1)
            await put(saver, "last")

    run_on(loop_name, main())
    found = counts(path)
    assert {found.get(thread, ABSENT) for thread in threads} == {verb.before}
    assert found["last"] == (1, 0)


def test_closing_does_not_wait_for_the_lock_on_behalf_of_cancelled_writes(path: Path) -> None:
    async def main() -> None:
        saver = AsyncRustSqliteSaver(path)
        put_source(saver)
        with Lock(path, "BEGIN IMMEDIATE"):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(put(saver, "late"), 0.05)
            await asyncio.wait_for(saver.aclose(), 2)

    run_on("asyncio", main())
    assert "late" not in counts(path)


@pytest.mark.parametrize("loop_name", LOOPS)
def test_a_cancelled_first_call_leaves_a_saver_that_opens(path: Path, loop_name: str) -> None:
    async def main() -> None:
        for turns in range(20):
            async with AsyncRustSqliteSaver(path.with_name(f"{turns}.db")) as saver:
                await cancelled_after(turns, put(saver, "first"))
                await put(saver, "last")
                assert await saver.aget_tuple(config_of("last")) is not None

    run_on(loop_name, main())
    for turns in range(20):
        assert counts(path.with_name(f"{turns}.db")).get("first", ABSENT) in {ABSENT, (1, 0)}


# --- planted faults: the same harness sees them ---


class InTwoSteps:
    """A saver that commits half of a call before it goes on."""

    def __init__(self, saver: AsyncRustSqliteSaver) -> None:
        self._saver = saver

    async def aput_writes(self, config: Any, writes: Any, task_id: str) -> None:
        await self._saver.aput_writes(config, writes[:2], task_id)
        await self._saver.aput_writes(config, writes[2:], f"{task_id}-2")


def test_the_check_fails_for_a_saver_that_commits_in_two_steps(path: Path) -> None:
    verb = VERBS["aput_writes"]
    done: dict[str, bool] = {}

    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            await saver.setup()
            for number, turns in enumerate(TURNS * 2):
                done[str(number)] = await cancelled_after(turns, verb.call(InTwoSteps(saver), str(number)))

    run_on("asyncio", main())
    with pytest.raises(AssertionError, match=r"\(0, 2\)"):
        check(path, verb, done)


def test_upstreams_saver_leaves_the_lock_held_and_the_harness_sees_it(path: Path) -> None:
    answers: list[str] = []

    async def main() -> None:
        async with UpstreamSaver.from_conn_string(str(path)) as saver:
            await saver.setup()
            with Neighbour(path) as neighbour:
                for number, turns in enumerate(TURNS * 20):
                    await cancelled_after(turns, put_writes(saver, str(number)))
                    answers.append(neighbour.write())
                    if answers[-1] != "wrote":
                        break

    run_on("asyncio", main())
    assert answers[-1] == "database is locked"
