"""Many threads of many processes on one file, half of the processes running upstream's saver."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from helpers import TASK, checkpoint_of, config_of, put_chain, query, start_python

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver

if TYPE_CHECKING:
    from pathlib import Path

THREADS = 8

WORKER = """
import contextlib, json, sys, threading, time
from helpers import TASK, checkpoint_of, config_of

path, library, name, seconds = sys.argv[1:]
if library == "ours":
    from langgraph_checkpoint_rust import RustSqliteSaver as Saver
else:
    from langgraph.checkpoint.sqlite import SqliteSaver as Saver

acknowledged, errors = {}, []

def work(saver, thread):
    config, stored = config_of(thread), []
    try:
        while time.monotonic() < until:
            config = saver.put(config, checkpoint_of(None, {"thread": thread, "n": len(stored)}), {"step": 1}, {})
            saver.put_writes(config, [("a", len(stored)), ("b", thread)], TASK, "~1")
            stored.append(config["configurable"]["checkpoint_id"])
            found = saver.get_tuple(config_of(thread))
            if found.checkpoint["id"] != stored[-1] or len(found.pending_writes) != 2:
                errors.append(f"{thread} reads {found.checkpoint['id']}, not {stored[-1]}")
            if len(stored) % 10 == 0 and len(list(saver.list(config_of(thread), limit=3))) != 3:
                errors.append(f"{thread} lists too few")
    except Exception as error:
        errors.append(f"{thread}: {error!r}")
    acknowledged[thread] = stored

with Saver.from_conn_string(path) as saver:
    saver.setup()
    print("ready", flush=True)
    sys.stdin.readline()
    until = time.monotonic() + float(seconds)
    threads = [threading.Thread(target=work, args=(saver, f"{name}.{number}")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(json.dumps([acknowledged, errors]))
"""


def run_together(path: Path, seconds: float, libraries: list[str]) -> None:
    with RustSqliteSaver(path) as saver:
        saver.setup()
    workers = [
        start_python(WORKER, path, library, f"{library}{number}", seconds)
        for number, library in enumerate(libraries)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    acknowledged: dict[str, list[str]] = {}
    for worker in workers:
        output, complaints = worker.communicate(timeout=seconds + 60)
        assert worker.returncode == 0, complaints
        stored, errors = json.loads(output)
        assert errors == []
        acknowledged |= stored
    assert len(acknowledged) == THREADS * len(workers)
    assert all(acknowledged.values())
    expected = sorted((thread, found) for thread, stored in acknowledged.items() for found in stored)
    keys = "SELECT thread_id, checkpoint_id FROM checkpoints ORDER BY 1, 2"
    assert query(path, keys) == expected
    writes = "SELECT thread_id, checkpoint_id FROM writes GROUP BY 1, 2 HAVING count(*) = 2 ORDER BY 1, 2"
    assert query(path, writes) == expected
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


LIBRARIES = {"compact": ["ours"] * 4, "interop": ["ours", "upstream"] * 2}
"""Upstream cannot write compact files."""


def test_four_processes_of_eight_threads_two_of_them_upstreams_lose_nothing(
    path: Path, tested_format: str
) -> None:
    run_together(path, 3, LIBRARIES[tested_format])


@pytest.mark.slow
def test_the_same_for_twenty_seconds(path: Path, tested_format: str) -> None:
    run_together(path, 20, LIBRARIES[tested_format])


OPENER = """
import sys
from helpers import checkpoint_of, config_of
from langgraph_checkpoint_rust import RustSqliteSaver

print("ready", flush=True)
for line in sys.stdin:
    with RustSqliteSaver(line.strip()) as saver:
        saver.put(config_of(sys.argv[1]), checkpoint_of(1), {}, {})
    print("done", flush=True)
"""


def test_many_processes_may_open_a_new_file_at_once(path: Path) -> None:
    openers = [start_python(OPENER, number) for number in range(4)]

    def answers() -> set[str]:
        return {opener.stdout.readline() for opener in openers if opener.stdout}

    assert answers() == {"ready\n"}
    for number in range(20):
        file = path.with_name(f"{number}.db")
        for opener in openers:
            assert opener.stdin is not None
            opener.stdin.write(f"{file}\n")
            opener.stdin.flush()
        assert answers() == {"done\n"}
        assert query(file, "SELECT count(*) FROM checkpoints") == [(4,)]
    for opener in openers:
        assert opener.communicate(timeout=60)[1] == ""


def test_many_threads_may_open_one_saver_at_once(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        barrier = threading.Barrier(THREADS)

        def put(number: int) -> None:
            barrier.wait(30)
            put_chain(saver, 5, number)

        threads = [threading.Thread(target=put, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(list(saver.list(None))) == 5 * THREADS


def test_many_savers_of_one_process_share_a_file(path: Path) -> None:
    savers = [RustSqliteSaver(path) for _ in range(4)]
    threads = [
        threading.Thread(target=put_chain, args=(saver, 20, number)) for number, saver in enumerate(savers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for saver in savers:
        assert len(list(saver.list(None))) == 80
        saver.close()
    assert query(path, "SELECT count(*) FROM checkpoints") == [(80,)]


def test_many_tasks_of_one_event_loop_lose_nothing(path: Path) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path, pool_size=2) as saver:

            async def work(number: int) -> None:
                config: Any = config_of(number)
                for step in range(5):
                    config = await saver.aput(config, checkpoint_of(step), {}, {})
                    await saver.aput_writes(config, [("a", step)], TASK)
                    found = await saver.aget_tuple(config_of(number))
                    assert found is not None
                    assert found.config == {
                        "configurable": {**config["configurable"], "thread_id": str(number)}
                    }

            await asyncio.gather(*(work(number) for number in range(64)))
            assert len([found async for found in saver.alist(None)]) == 320

    asyncio.run(main())


def test_several_event_loops_may_share_a_saver(path: Path) -> None:
    with AsyncRustSqliteSaver(path) as saver:

        async def main(number: int) -> None:
            for step in range(10):
                await saver.aput(config_of(number), checkpoint_of(step), {}, {})

        threads = [threading.Thread(target=asyncio.run, args=(main(number),)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(list(saver.list(None))) == 40


def test_a_cancelled_aput_is_stored_or_absent_and_blocks_nothing(path: Path) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            for number in range(40):
                put = asyncio.create_task(saver.aput(config_of(number), checkpoint_of(1), {}, {}))
                for _ in range(number % 4):
                    await asyncio.sleep(0)
                put.cancel()
                await asyncio.gather(put, return_exceptions=True)
            await saver.aput(config_of("last"), checkpoint_of(1, {"a": 1}), {}, {})
            found = [item async for item in saver.alist(None)]
            assert len({item.config["configurable"]["thread_id"] for item in found}) == len(found) >= 1

    asyncio.run(main())
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
