"""Any event loop, any number of them, at any time; arguments are taken before the first suspension."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from fault_support import LOOPS, eventually, is_at_rest, run_on
from helpers import TASK, Lock, checkpoint_of, config_of, id_of, query, run_python
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

AT_IMPORT = AsyncRustSqliteSaver(":memory:")
CALLER: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="nobody")


class Witness(JsonPlusSerializer):
    """Notes who calls it: the context's caller, and the thread."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[str, int]] = set()

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        self.seen.add((CALLER.get(), threading.get_ident()))
        return super().dumps_typed(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        self.seen.add((CALLER.get(), threading.get_ident()))
        return super().loads_typed(data)


async def use(saver: Any, thread: Any) -> None:
    """Each kind of call once."""
    config = await saver.aput(config_of(thread), checkpoint_of(1, {"a": 1}), {}, {})
    await saver.aput_writes(config, [("a", 1)], TASK)
    found = await saver.aget_tuple(config_of(thread))
    assert found.pending_writes == [(TASK, "a", 1)]
    assert [item.config async for item in saver.alist(config_of(thread))] == [found.config]


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("kinds", [["asyncio"] * 6, ["uvloop"] * 6, ["asyncio", "uvloop"] * 3])
def test_loops_in_several_threads_use_one_saver_at_once(path: Path, kinds: list[str]) -> None:
    failures: list[BaseException] = []
    with AsyncRustSqliteSaver(path, pool_size=2) as saver:

        async def main(number: int) -> None:
            await asyncio.gather(*(use(saver, f"{number}-{task}") for task in range(10)))

        def run(number: int, kind: str) -> None:
            try:
                run_on(kind, main(number))
            except BaseException as failure:
                failures.append(failure)

        threads = [threading.Thread(target=run, args=arguments) for arguments in enumerate(kinds)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failures == []
        assert is_at_rest(saver)
    assert query(path, "SELECT count(*) FROM checkpoints") == [(60,)]


@pytest.mark.parametrize("loop_name", LOOPS)
def test_a_loop_closed_with_work_in_flight_costs_nothing_but_the_answers(path: Path, loop_name: str) -> None:
    with RustSqliteSaver(path) as saver:
        saver.setup()
        for number in range(20):
            loop = LOOPS[loop_name]()
            puts = [saver.aput(config_of(f"{number}-{n}"), checkpoint_of(1), {}, {}) for n in range(8)]
            tasks: list[Any] = [loop.create_task(put) for put in puts]
            tasks += [loop.create_task(saver.aget_tuple(config_of(0))) for _ in range(4)]
            loop.run_until_complete(asyncio.sleep(0))
            for task in tasks:
                task._log_destroy_pending = False
            loop.close()
            del tasks, task, loop, puts
            gc.collect()
        assert eventually(lambda: is_at_rest(saver))
        run_on(loop_name, use(saver, "last"))
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert query(path, "SELECT count(*) FROM checkpoints") == [(161,)]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts descriptors in /proc")
@pytest.mark.parametrize("loop_name", LOOPS)
def test_two_hundred_loops_in_sequence_leave_no_descriptor_open(path: Path, loop_name: str) -> None:
    with AsyncRustSqliteSaver(path) as saver:
        for _ in range(3):
            run_on(loop_name, use(saver, "1"))
        before = open_descriptors()
        for _ in range(200):
            loop = LOOPS[loop_name]()
            loop.run_until_complete(saver.aget_tuple(config_of()))
            loop.close()
        del loop
        gc.collect()
        assert open_descriptors() <= before


def test_sync_verbs_work_inside_a_running_loop(path: Path) -> None:
    async def main() -> None:
        with RustSqliteSaver(path) as saver:
            config = saver.put(config_of(), checkpoint_of(1), {}, {})
            saver.put_writes(config, [("a", 1)], TASK)
            await use(saver, "other")
            assert len(list(saver.list(None))) == 2
            saver.delete_thread("1")
            assert saver.get_tuple(config_of()) is None

    run_on("asyncio", main())


def test_a_saver_made_at_import_time_works_in_any_later_loop() -> None:
    for loop_name in [*LOOPS] * 2:
        run_on(loop_name, use(AT_IMPORT, loop_name))
    assert len(list(AT_IMPORT.list(None))) == len(LOOPS)


@pytest.mark.parametrize("loop_name", LOOPS)
def test_a_serializer_runs_in_the_awaiting_tasks_context_and_thread(path: Path, loop_name: str) -> None:
    savers = {name: AsyncRustSqliteSaver(path, serde=Witness()) for name in ("a", "b")}

    async def work(name: str) -> None:
        CALLER.set(name)
        await use(savers[name], name)

    async def main() -> None:
        await asyncio.gather(*(work(name) for name in savers))

    run_on(loop_name, main())
    for name, saver in savers.items():
        assert isinstance(saver.serde, Witness)
        assert saver.serde.seen == {(name, threading.get_ident())}
        saver.close()


def begun(coroutine: Any) -> Generator[Any, Any, Any]:
    """Runs a coroutine up to its first suspension; what drives the rest."""
    waiting = coroutine.send(None)

    async def rest() -> Any:
        nonlocal waiting
        while True:
            await asyncio.sleep(0.001)
            if waiting is None or waiting.done():
                try:
                    waiting = coroutine.send(None)
                except StopIteration as stop:
                    return stop.value

    return rest()  # type: ignore[return-value]


@pytest.mark.parametrize("opened", [False, True])
def test_arguments_may_be_changed_after_the_first_suspension(path: Path, opened: bool) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            if opened:
                await saver.setup()
            checkpoint = checkpoint_of(1, {"list": [1]})
            metadata: Any = {"step": 1}
            config = config_of()
            put = begun(saver.aput(config, checkpoint, metadata, {}))
            checkpoint["channel_values"]["list"].append(2)
            metadata["step"] = 2
            await put  # type: ignore[misc]
            values = [1]
            writes = [("a", values)]
            put = begun(saver.aput_writes(config_of("1", "", id_of(1)), writes, TASK))
            values.append(2)
            writes.append(("b", [3]))
            await put  # type: ignore[misc]
            found = await saver.aget_tuple(config)
            assert found is not None
            assert found.checkpoint["channel_values"] == {"list": [1]}
            assert found.metadata == {"step": 1}
            assert found.pending_writes == [(TASK, "a", [1])]

    run_on("asyncio", main())


@pytest.mark.parametrize("loop_name", LOOPS)
def test_a_loop_goes_on_while_its_calls_wait_for_another_process(path: Path, loop_name: str) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            await saver.setup()
            lock = Lock(path, "BEGIN IMMEDIATE")
            put = asyncio.ensure_future(saver.aput(config_of(), checkpoint_of(1), {}, {}))
            while saver.stats()["writer"]["lock_waits"] < 10:
                assert await saver.aget_tuple(config_of()) is None
            assert not put.done()
            lock.release()
            await put

    run_on(loop_name, main())
    assert query(path, "SELECT count(*) FROM checkpoints") == [(1,)]


def test_an_answer_to_a_loop_that_is_gone_ends_no_process_that_dies_of_broken_pipes(path: Path) -> None:
    printed = run_python(
        """
        import asyncio, gc, signal, sys, time
        from helpers import Lock, checkpoint_of, config_of
        from langgraph_checkpoint_rust import RustSqliteSaver

        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        saver = RustSqliteSaver(sys.argv[1])
        saver.setup()
        with Lock(sys.argv[1], "BEGIN IMMEDIATE"):
            loop = asyncio.new_event_loop()
            loop.set_exception_handler(lambda *_: None)
            task = loop.create_task(saver.aput(config_of(), checkpoint_of(1), {}, {}))
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
            del task, loop
            gc.collect()
        while saver.stats()["writer"]["queued"]:
            time.sleep(0.01)
        saver.close()
        print("alive")
        """,
        path,
    )
    assert printed == "alive\n"
    assert query(path, "SELECT count(*) FROM checkpoints") == [(1,)]
