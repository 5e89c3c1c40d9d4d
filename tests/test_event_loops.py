"""Any loop, several at once, one that closes early: the saver belongs to none of them."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from helpers import TASK, checkpoint_of, config_of, id_of, put_chain, rows
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver

if TYPE_CHECKING:
    from pathlib import Path

RUNNERS = {"asyncio": asyncio.run, "uvloop": uvloop.run}


async def work(saver: Any, name: str, count: int = 20) -> None:
    """Every a-verb, several at once."""
    await asyncio.gather(
        *(saver.aput(config_of(name), checkpoint_of(number), {}, {}) for number in range(1, count + 1))
    )
    await saver.aput_writes(config_of(name, "", id_of(1)), [("a", 1)], TASK)
    assert (await saver.aget_tuple(config_of(name))).checkpoint["id"] == id_of(count)
    assert len([found async for found in saver.alist(config_of(name))]) == count
    await saver.acopy_thread(name, f"{name}-copy")
    await saver.aprune([f"{name}-copy"])
    await saver.adelete_thread(f"{name}-copy")


@pytest.mark.parametrize("runner", RUNNERS)
def test_several_loops_in_several_threads_share_a_saver(path: Path, runner: str) -> None:
    saver = AsyncRustSqliteSaver(path)
    failures: list[BaseException] = []

    def main(name: str) -> None:
        try:
            RUNNERS[runner](work(saver, name))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=main, args=(f"t{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    saver.close()
    assert len(rows(path, "checkpoints")) == 120


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_saver_outlives_many_loops_and_keeps_no_descriptor_of_them(path: Path, runner: str) -> None:
    saver = AsyncRustSqliteSaver(path)
    for number in range(10):
        RUNNERS[runner](work(saver, f"warm-{number}", 3))
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for number in range(60):
        RUNNERS[runner](work(saver, f"t{number}", 3))
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    saver.close()


@pytest.mark.parametrize("make", [asyncio.SelectorEventLoop, uvloop.new_event_loop], ids=RUNNERS)
def test_a_loop_may_close_while_work_is_in_flight(path: Path, make: Any) -> None:
    saver = AsyncRustSqliteSaver(path)
    put_chain(saver, 1, "first")
    for number in range(20):
        loop = make()
        tasks = [
            loop.create_task(saver.aput(config_of(f"t{number}"), checkpoint_of(index), {}, {}))
            for index in range(1, 6)
        ]
        loop.call_soon(loop.stop)
        loop.run_forever()
        for task in tasks:
            task._log_destroy_pending = False
        loop.close()
    del tasks, loop
    gc.collect()
    put_chain(saver, 1, "last")
    assert saver.stats()["writer"]["queued"] == 0
    saver.close()
    counts: dict[str, int] = {}
    for row in rows(path, "checkpoints"):
        counts[row[0]] = counts.get(row[0], 0) + 1
    # What had its place in the queue is stored: each loop ran one turn.
    assert counts == {f"t{number}": 5 for number in range(20)} | {"first": 1, "last": 1}


def test_sync_verbs_work_inside_a_running_loop(path: Path) -> None:
    async def main() -> None:
        with RustSqliteSaver(path) as saver:
            tasks = [
                asyncio.ensure_future(saver.aput(config_of("async"), checkpoint_of(number), {}, {}))
                for number in range(1, 30)
            ]
            await asyncio.sleep(0)
            put_chain(saver, 20, "sync")
            assert saver.get_tuple(config_of("sync")) is not None
            await asyncio.gather(*tasks)
            assert len(list(saver.list(None))) == 49

    asyncio.run(main())


def test_a_saver_may_be_made_at_import_time_without_a_loop(path: Path, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(
        f"from langgraph_checkpoint_rust import AsyncRustSqliteSaver\nsaver = AsyncRustSqliteSaver({str(path)!r})\n"
    )
    code = (
        "import asyncio, module, uvloop\n"
        "main = lambda: module.saver.aget_tuple({'configurable': {'thread_id': '1'}})\n"
        "async def run(): return await main()\n"
        "print(asyncio.run(run()), uvloop.run(run()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "None None\n", "")


_request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")


class Witness(JsonPlusSerializer):
    """Notes in which thread and context it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str, int]] = []

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        self.seen.append(("dumps", _request.get(), threading.get_ident()))
        return super().dumps_typed(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        self.seen.append(("loads", _request.get(), threading.get_ident()))
        return super().loads_typed(data)


@pytest.mark.parametrize("runner", RUNNERS)
def test_serializers_run_in_the_awaiting_tasks_thread_and_context(path: Path, runner: str) -> None:
    witness = Witness()
    saver = AsyncRustSqliteSaver(path, serde=witness)

    async def request(name: str) -> None:
        _request.set(name)
        stored = await saver.aput(config_of(name), checkpoint_of(1, {"a": 1}), {}, {})
        await saver.aput_writes(stored, [("a", 1)], TASK)
        await saver.aget_tuple(stored)
        assert [found async for found in saver.alist(config_of(name))]

    async def main() -> None:
        await asyncio.gather(*(request(f"r{number}") for number in range(8)))

    RUNNERS[runner](main())
    saver.close()
    assert {thread for _, _, thread in witness.seen} == {threading.get_ident()}
    for kind, count in (("dumps", 2), ("loads", 4)):
        contexts = [context for seen, context, _ in witness.seen if seen == kind]
        assert sorted(contexts) == sorted([f"r{number}" for number in range(8)] * count)


@pytest.mark.parametrize("opened", [True, False])
def test_arguments_are_serialized_before_the_first_suspension(path: Path, opened: bool) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            if opened:
                await saver.setup()
            values = {"messages": ["first"]}
            checkpoint = checkpoint_of(1, values)
            metadata: Any = {"step": 1}
            config = config_of("1")
            put = asyncio.ensure_future(saver.aput(config, checkpoint, metadata, {}))
            writes: list[tuple[str, Any]] = [("a", ["first"])]
            put_writes = asyncio.ensure_future(saver.aput_writes(config_of("1", "", id_of(1)), writes, TASK))
            # One turn: each coroutine has come to its first suspension.
            await asyncio.sleep(0)
            checkpoint["channel_values"]["messages"].append("later")
            metadata["step"] = 2
            writes[0][1].append("later")
            writes.append(("b", 1))
            await put
            await put_writes
            found = await saver.aget_tuple(config_of("1"))
            assert found is not None
            assert found.checkpoint["channel_values"] == {"messages": ["first"]}
            assert found.metadata["step"] == 1
            assert found.pending_writes == [(TASK, "a", ["first"])]

    asyncio.run(main())


def test_the_loop_turns_while_a_write_waits_for_another_process(path: Path) -> None:
    import sqlite3

    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            await saver.setup()
            # Two libraries in one process: the guard keeps them apart.
            connection = sqlite3.connect(path, isolation_level=None)
            connection.execute("BEGIN IMMEDIATE")
            task = asyncio.ensure_future(saver.aput(config_of("1"), checkpoint_of(1), {}, {}))
            for _ in range(100):
                began = asyncio.get_running_loop().time()
                await asyncio.sleep(0)
                assert asyncio.get_running_loop().time() - began < 0.5
            assert not task.done()
            assert await saver.aget_tuple(config_of("1")) is None
            connection.execute("ROLLBACK")
            await task
            connection.close()

    asyncio.run(main())
