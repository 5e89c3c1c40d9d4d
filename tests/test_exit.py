"""However a process ends: soon, with the right code, nothing on standard error, nothing acknowledged lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING

import pytest
from helpers import query

if TYPE_CHECKING:
    from pathlib import Path

START = """
import asyncio, copy, gc, os, sys, threading
from helpers import Lock, checkpoint_of, config_of
from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver

path = sys.argv[1]

def put(saver, thread):
    saver.put(config_of(thread), checkpoint_of(1), {}, {})
    print(thread, flush=True)

async def aput(saver, thread):
    await saver.aput(config_of(thread), checkpoint_of(1), {}, {})
    print(thread, flush=True)

"""

ENDINGS = {
    "an unclosed saver": ("put(RustSqliteSaver(path), 'a')", 0, ""),
    "a saver as a module global": (
        "saver = RustSqliteSaver(path)\nput(saver, 'a')\nsaver.get_tuple(config_of())",
        0,
        "",
    ),
    "an unclosed async saver": ("asyncio.run(aput(AsyncRustSqliteSaver(path), 'a'))", 0, ""),
    "async work in flight": (
        """
        saver = AsyncRustSqliteSaver(path)
        async def main():
            await aput(saver, "first")
            tasks = [asyncio.create_task(aput(saver, str(number))) for number in range(50)]
            await asyncio.sleep(0.005)
        asyncio.run(main())
        """,
        0,
        "",
    ),
    "daemon threads that write": (
        """
        saver = RustSqliteSaver(path)
        first = threading.Event()
        def work(name):
            number = 0
            while True:
                saver.put(config_of(f"{name}-{number}"), checkpoint_of(1), {}, {})
                os.write(1, f"{name}-{number}\\n".encode())
                first.set()
                number += 1
        for name in range(4):
            threading.Thread(target=work, args=(name,), daemon=True).start()
        first.wait()
        """,
        0,
        "",
    ),
    "sys.exit inside a coroutine": (
        """
        saver = AsyncRustSqliteSaver(path)
        async def main():
            await aput(saver, "a")
            task = asyncio.create_task(aput(saver, "b"))
            await asyncio.sleep(0)
            sys.exit(7)
        asyncio.run(main())
        """,
        7,
        "",
    ),
    "an exception in main": (
        "saver = RustSqliteSaver(path)\nput(saver, 'a')\nraise ZeroDivisionError('mine')",
        1,
        "ZeroDivisionError: mine",
    ),
    "os._exit": ("saver = RustSqliteSaver(path)\nput(saver, 'a')\nos._exit(3)", 3, ""),
    "a saver in a reference cycle": (
        """
        class Holder: pass
        holder = Holder()
        holder.saver = RustSqliteSaver(path)
        holder.saver.holder = holder
        put(holder.saver, "a")
        if len(sys.argv[1]) % 2:
            del holder
            gc.collect()
        """,
        0,
        "",
    ),
    "clones dropped while the original lives": (
        """
        saver = RustSqliteSaver(path)
        for number in range(20):
            put(copy.copy(saver), number)
        del number
        gc.collect()
        put(saver, "last")
        """,
        0,
        "",
    ),
    "a loop closed early": (
        """
        saver = AsyncRustSqliteSaver(path)
        loop = asyncio.new_event_loop()
        loop.run_until_complete(aput(saver, "a"))
        future = loop.create_task(aput(saver, "b"))
        future._log_destroy_pending = False
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        """,
        0,
        "",
    ),
    "a write that waits for another process": (
        """
        saver = RustSqliteSaver(path)
        put(saver, "a")
        lock = Lock(path, "BEGIN IMMEDIATE")
        threading.Thread(target=put, args=(saver, "b"), daemon=True).start()
        while not saver.stats()["writer"]["lock_waits"]:
            pass
        lock.release()
        """,
        0,
        "",
    ),
}


def start(code: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", START + textwrap.dedent(code), str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=os.path.dirname(os.path.abspath(__file__)),
    )


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_process_ends_soon_with_its_own_code_and_keeps_what_it_acknowledged(
    path: Path, ending: str
) -> None:
    code, returncode, complaint = ENDINGS[ending]
    since = time.monotonic()
    process = start(code, path)
    output, errors = process.communicate(timeout=30)
    took = time.monotonic() - since
    assert (process.returncode, errors.strip().splitlines()[-1:]) == (
        returncode,
        [complaint] * bool(complaint),
    ), errors
    assert took < 5, "with what the interpreter and the imports take"
    stored = {thread for (thread,) in query(path, "SELECT thread_id FROM checkpoints")}
    acknowledged = set(output.split())
    assert acknowledged
    assert acknowledged <= stored
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


WAITS = {
    "a busy wait for another process": """
        saver = RustSqliteSaver(path)
        put(saver, "a")
        with Lock(path, "BEGIN IMMEDIATE"):
            print("waiting", flush=True)
            put(saver, "b")
        """,
    "an opening that waits for another process": """
        with Lock(path, "BEGIN EXCLUSIVE"):
            print("a\\nwaiting", flush=True)
            RustSqliteSaver(path).get_tuple(config_of())
        """,
    "a wait for the only reader": """
        from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
        saver = RustSqliteSaver(path, pool_size=1)
        for number in range(200):
            saver.put(config_of("a"), checkpoint_of(number), {"n": number}, {})
        saver.put(config_of("a"), checkpoint_of(1000), {"big": list(range(300_000))}, {})
        def read():
            while True:
                list(saver.list(None, filter={"n": -1}))
        for _ in range(3):
            threading.Thread(target=read, daemon=True).start()
        print("a\\nwaiting", flush=True)
        while True:
            saver.get_tuple(config_of("a"))
        """,
    "a long read": """
        saver = RustSqliteSaver(path)
        put(saver, "a")
        import random
        metadata = {"text": "x" * 20_000}
        for number in range(3_000):
            saver.put(config_of("a"), checkpoint_of(number), metadata, {})
        print("waiting", flush=True)
        while True:
            list(saver.list(None, filter={"absent.path": 1}))
        """,
}


DEAF = pytest.mark.xfail(
    strict=True, reason="SQLite's own busy handler waits while a file is opened, and looks for no signal"
)


@pytest.mark.parametrize(
    "wait", [pytest.param(wait, marks=[DEAF] if "opening" in wait else []) for wait in WAITS]
)
def test_ctrl_c_ends_a_wait_within_a_second(path: Path, wait: str) -> None:
    process = start(WAITS[wait], path)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["a\n", "waiting\n"]
    time.sleep(0.3)  # What comes after the line is the wait itself.
    since = time.monotonic()
    process.send_signal(signal.SIGINT)
    watchdog = threading.Timer(5, process.kill)
    watchdog.start()
    errors = process.communicate()[1]
    watchdog.cancel()
    # A second, and what a busy machine and the end of the interpreter take.
    assert time.monotonic() - since < 3
    assert errors.strip().splitlines()[-1] == "KeyboardInterrupt"
    assert process.returncode == -signal.SIGINT
