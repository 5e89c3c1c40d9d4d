"""`retry=`: what is made again, with which bytes, for how long, and how it ends."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from helpers import Lock, checkpoint_of, config_of, put_chain

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RetryPolicy, RustSqliteSaver
from langgraph_checkpoint_rust.errors import (
    ConcurrentWriteError,
    DatabaseBusyError,
    DatabaseCorruptError,
    DatabaseError,
    DatabaseInUseError,
    DiskFullError,
    OutcomeUnknownError,
    PoolTimeoutError,
    SaverClosedError,
    SerializationError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from langgraph_checkpoint_rust.events import Event

QUICK = RetryPolicy(attempts=None, deadline=30.0, base=0.01, longest=0.05)


@pytest.mark.parametrize(
    ("error", "is_repeated"),
    [
        (DatabaseBusyError(), True),
        (PoolTimeoutError(), True),
        (DatabaseInUseError(), True),
        (DatabaseError("I/O", 10 | (3 << 8)), True),
        (DatabaseError("locked", 6), True),
        (DatabaseError("constraint", 19), False),
        (OutcomeUnknownError(), False),
        (DiskFullError(), False),
        (DatabaseCorruptError(), False),
        (SaverClosedError(), False),
        (ConcurrentWriteError(), False),
        (SerializationError(), False),
        (KeyboardInterrupt(), False),
        (asyncio.CancelledError(), False),
    ],
)
def test_what_is_repeated(error: BaseException, is_repeated: bool) -> None:
    assert RetryPolicy().repeats(error) == is_repeated


def test_a_full_disk_is_repeated_only_if_asked_for() -> None:
    assert RetryPolicy(disk_full=True).repeats(DiskFullError())


def test_pauses_grow_up_to_the_longest() -> None:
    assert RetryPolicy(attempts=6, base=0.5, factor=3, longest=5).pauses() == [0.5, 1.5, 4.5, 5.0, 5.0]
    assert RetryPolicy(attempts=None, deadline=1).pauses()[-1] == 5.0
    assert RetryPolicy(attempts=10_000, factor=10).pauses()[-1] == 5.0


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"attempts": 0}, ValueError),
        ({"attempts": 1.5}, TypeError),
        ({"attempts": None, "deadline": None}, ValueError),
        ({"deadline": -1}, ValueError),
        ({"base": "1"}, TypeError),
        ({"factor": 0.5}, ValueError),
        ({"jitter": 2}, ValueError),
    ],
)
def test_a_policy_without_sense_is_refused(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        RetryPolicy(**options)
    with pytest.raises(TypeError, match="retry must be a RetryPolicy, not int"):
        RustSqliteSaver(":memory:", retry=3)  # type: ignore[arg-type]


def test_a_lock_of_another_process_is_waited_for(
    path: Path, make_saver: Callable[..., RustSqliteSaver]
) -> None:
    events: list[Event] = []

    def hook(event: Event) -> None:
        events.append(event)
        if event.attempt == 5:
            lock.release()

    saver = make_saver(busy_timeout=0.02, retry=QUICK, on_event=hook)
    put_chain(saver, 1)
    with Lock(path, "BEGIN IMMEDIATE") as lock:
        saver.put(config_of("2"), checkpoint_of(1), {}, {})
    retries = [event for event in events if event.kind == "retry"]
    assert len(retries) >= 5
    assert [event.attempt for event in retries] == list(range(1, len(retries) + 1))
    assert {(event.verb, event.error) for event in retries} == {("put", "DatabaseBusyError")}
    assert all(0 <= event.seconds <= QUICK.longest for event in retries)
    assert saver.get_tuple(config_of("2")) is not None
    metrics = saver.metrics()
    assert metrics.events["retry"] == len(retries)
    assert metrics.verbs["put"].errors == {}
    assert metrics.verbs["put"].count == 2


def test_attempts_and_the_deadline_end_it(path: Path, make_saver: Callable[..., RustSqliteSaver]) -> None:
    counted = make_saver(busy_timeout=0.01, retry=RetryPolicy(attempts=3, base=0.001))
    put_chain(counted, 1)
    timed = make_saver(busy_timeout=0.01, retry=RetryPolicy(attempts=None, deadline=0.3, base=0.01))
    with Lock(path, "BEGIN IMMEDIATE"):
        with pytest.raises(DatabaseBusyError):
            counted.put(config_of(), checkpoint_of(5), {}, {})
        started = time.monotonic()
        with pytest.raises(DatabaseBusyError):
            timed.put(config_of(), checkpoint_of(5), {}, {})
        assert time.monotonic() - started < 20
    assert counted.metrics().events == {"retry": 2}
    assert timed.metrics().events["retry"] >= 1


def mutate(checkpoint: Any) -> None:
    checkpoint["channel_values"]["text"] = "mutated"
    checkpoint["channel_values"]["more"] = 1


def test_a_retry_stores_the_bytes_of_the_first_attempt(
    path: Path, make_saver: Callable[..., RustSqliteSaver]
) -> None:
    make_saver(busy_timeout=0.02).setup()
    checkpoint = checkpoint_of(1, {"text": "as it was"})

    def hook(event: Event) -> None:
        if event.kind == "retry":
            mutate(checkpoint)
        if event.attempt == 2:
            lock.release()

    saver = make_saver(busy_timeout=0.02, retry=QUICK, on_event=hook)
    with Lock(path, "BEGIN IMMEDIATE") as lock:
        stored = saver.put(config_of(), checkpoint, {}, {})
    assert saver.metrics().events["retry"] >= 2
    assert checkpoint["channel_values"]["text"] == "mutated"
    found = saver.get_tuple(stored)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"text": "as it was"}


def test_async_verbs_retry_the_same_bytes_and_the_loop_goes_on(path: Path) -> None:
    async def main() -> None:
        checkpoint = checkpoint_of(1, {"text": "as it was"})
        async with AsyncRustSqliteSaver(path, busy_timeout=0.02, retry=QUICK) as saver:
            await saver.setup()
            ticks = 0
            with Lock(path, "BEGIN IMMEDIATE") as lock:
                task = asyncio.create_task(saver.aput(config_of(), checkpoint, {}, {}))
                while "retry" not in saver.metrics().events:
                    await asyncio.sleep(0.01)
                    ticks += 1
                mutate(checkpoint)
                lock.release()
                stored = await task
            assert ticks > 0
            found = await saver.aget_tuple(stored)
            assert found is not None
            assert found.checkpoint["channel_values"] == {"text": "as it was"}

    asyncio.run(main())


def test_a_cancelled_put_ends_its_retries(path: Path) -> None:
    async def main() -> None:
        events: list[Event] = []
        saver = AsyncRustSqliteSaver(
            path,
            busy_timeout=0.01,
            retry=RetryPolicy(attempts=None, deadline=600, base=60, longest=60, jitter=0),
            on_event=events.append,
        )
        await saver.setup()
        with Lock(path, "BEGIN IMMEDIATE"):
            task = asyncio.create_task(saver.aput(config_of(), checkpoint_of(1), {}, {}))
            while "retry" not in {event.kind for event in events}:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await saver.aget_tuple(config_of()) is None
        await saver.aput(config_of(), checkpoint_of(2), {}, {})
        assert [event.error for event in events if event.kind == "verb" and event.verb == "put"] == [
            "CancelledError",
            None,
        ]
        await saver.aclose()

    asyncio.run(main())


def test_ctrl_c_ends_a_pause(path: Path, make_saver: Callable[..., RustSqliteSaver]) -> None:
    def interrupt(event: Event) -> None:
        if event.kind == "retry":
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()

    make_saver(busy_timeout=0.01).setup()
    endless = RetryPolicy(attempts=None, deadline=600, base=60, longest=60, jitter=0)
    saver = make_saver(busy_timeout=0.01, retry=endless, on_event=interrupt)
    with Lock(path, "BEGIN IMMEDIATE"), pytest.raises(KeyboardInterrupt):
        saver.put(config_of(), checkpoint_of(1), {}, {})
    assert saver.get_tuple(config_of()) is None
    assert saver.metrics().verbs["put"].errors == {"KeyboardInterrupt": 1}
    put_chain(saver, 1)


SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/types.h>
#include <unistd.h>

static int failures = 0;
void fail_writes(int count) { failures = count; }

static int fails(void) { if (failures > 0) { failures--; errno = EIO; return 1; } return 0; }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    ssize_t (*real)(int, const void *, size_t, off64_t) =
        (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    return fails() ? -1 : real(fd, data, size, at);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    ssize_t (*real)(int, const void *, size_t, off_t) =
        (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
    return fails() ? -1 : real(fd, data, size, at);
}
"""
FAILED_WRITES = """
import ctypes, sys
from helpers import checkpoint_of, config_of, id_of
from langgraph_checkpoint_rust import RetryPolicy, RustSqliteSaver
from langgraph_checkpoint_rust.errors import DatabaseError

shim = ctypes.CDLL(sys.argv[2])
policy = RetryPolicy(attempts=20, base=0.01, longest=0.05)
plain = RustSqliteSaver(sys.argv[1])
saver = RustSqliteSaver(sys.argv[1], retry=policy)
plain.put(config_of(), checkpoint_of(1), {}, {})
shim.fail_writes(50)
try:
    plain.put(config_of(), checkpoint_of(2), {}, {})
except DatabaseError as error:
    print(error.sqlite_errorcode & 0xFF)
shim.fail_writes(4)
saver.put(config_of(), checkpoint_of(3), {}, {})
print(saver.metrics().events["retry"] >= 1, sorted(found.checkpoint["id"] == id_of(3) for found in saver.list(None)))
"""


def test_a_write_that_the_disk_refuses_for_a_moment_is_stored(path: Path, tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler for the shim")
    shim = tmp_path / "shim.so"
    build = [compiler, "-shared", "-fPIC", "-o", str(shim), "-x", "c", "-", "-ldl"]
    assert subprocess.run(build, input=SHIM, text=True, check=False).returncode == 0
    done = subprocess.run(
        [sys.executable, "-c", FAILED_WRITES, str(path), str(shim)],
        env=os.environ | {"LD_PRELOAD": str(shim)},
        cwd=os.path.dirname(os.path.abspath(__file__)),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "10\nTrue [False, True]\n", done.stderr


def test_long_verbs_and_lists_work_through_requests(make_saver: Callable[..., RustSqliteSaver]) -> None:
    """Every kind of verb once: a policy changes how calls are made, not what they do."""
    saver = make_saver(retry=QUICK)
    put_chain(saver, 5)
    saver.put_writes(config_of("1", "", checkpoint_of(3)["id"]), [("a", 1)], "task")
    assert len(list(saver.list(config_of()))) == 5
    assert len(list(saver.history("1", "count"))) == 5
    saver.copy_thread("1", "2", last=2)
    assert saver.prune(["1"], keep_last=2).checkpoints == 3
    assert [thread.thread_id for thread in saver.list_threads(order_by="thread_id")] == ["1", "2"]
    assert saver.verify().is_ok
    assert saver.stats(by="channel")["checkpoints"] == 4
    with saver.thread_lease("1", ttl=5):
        put_chain(saver, 1, start=9)
    saver.delete_thread("1")
    assert saver.count_threads() == 1


def test_no_policy_no_request(make_saver: Callable[..., RustSqliteSaver]) -> None:
    saver = make_saver()
    assert type(saver._store.backend).__name__ == "SqliteBackend"


def test_variables_ask_for_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGGRAPH_CHECKPOINT_RETRY_DEADLINE", "7.5")
    with RustSqliteSaver.from_env(conn=":memory:") as saver:
        assert saver.host.retry == RetryPolicy(attempts=None, deadline=7.5)
