"""However a process ends: at once, with its own exit code, silently, and what it acknowledged is kept."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from helpers import Lock, checkpoint_of, config_of, put_chain, query, start_python
from oracle import acknowledged, expect_line, finish, lost, tell

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.errors import DatabaseBusyError, SaverClosedError

SOON = 5
_HERE = Path(__file__).parent
NOISE = re.compile(
    "Traceback|panick|Fatal|fatal|abort|Warning|never awaited|Exception ignored|terminate called"
)

START = """
import asyncio, copy, gc, os, sys, threading, time
from helpers import TASK, checkpoint_of, config_of, id_of
from oracle import acknowledge, put_many
from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver

path = sys.argv[1]
saver = RustSqliteSaver(path)

async def aput_many(name, count):
    for number in range(1, count + 1):
        await saver.aput(config_of(name), checkpoint_of(number), {}, {})
        acknowledge(name, id_of(number))

"""

ENDS = {
    "unclosed": ("put_many(saver, 't', 50)", 0),
    "unclosed after async work": ("asyncio.run(aput_many('t', 50))", 0),
    "never opened": ("acknowledge('t')", 0),
    "in memory": (
        "saver = RustSqliteSaver(':memory:'); saver.setup(); put_many(RustSqliteSaver(path), 't', 5)",
        0,
    ),
    "daemon threads write": (
        """
put_many(saver, "first", 1)  # a busy machine may get no further in time
for n in range(4):
    threading.Thread(target=put_many, args=(saver, f"t{n}", 10**9), daemon=True).start()
time.sleep(0.3)
""",
        0,
    ),
    "daemon threads read": (
        """
put_many(saver, "t", 50)
def read():
    while True:
        list(saver.list(config_of("t")))
for n in range(4):
    threading.Thread(target=read, daemon=True).start()
time.sleep(0.2)
""",
        0,
    ),
    "a daemon thread runs an event loop": (
        """
put_many(saver, "first", 1)  # a busy machine may get no further in time
threading.Thread(target=lambda: asyncio.run(aput_many("t", 10**9)), daemon=True).start()
time.sleep(0.3)
""",
        0,
    ),
    "sys.exit in a coroutine": (
        """
async def main():
    asyncio.ensure_future(aput_many("other", 10**9))
    await aput_many("t", 50)
    sys.exit(3)
asyncio.run(main())
""",
        3,
    ),
    "an exception in main": (
        """
put_many(saver, "t", 50)
sys.excepthook = lambda *error: None
raise ValueError
""",
        1,
    ),
    "an exception beside work in flight": (
        """
put_many(saver, "first", 1)  # a busy machine may get no further in time
sys.excepthook = lambda *error: None
async def main():
    tasks = [asyncio.ensure_future(aput_many(f"t{n}", 10**9)) for n in range(8)]
    await asyncio.sleep(0.2)
    raise ValueError
asyncio.run(main())
""",
        1,
    ),
    "os._exit": ("put_many(saver, 't', 50)\nos._exit(4)", 4),
    "os._exit with work in flight": (
        """
put_many(saver, "first", 1)  # a busy machine may get no further in time
threading.Thread(target=put_many, args=(saver, "t", 10**9), daemon=True).start()
time.sleep(0.2)
os._exit(4)
""",
        4,
    ),
    "a saver in a reference cycle": (
        """
class Node: pass
node = Node()
node.saver, node.self = saver, node
put_many(saver, "t", 50)
del saver, node
""",
        0,
    ),
    "clones dropped while the original lives": (
        """
put_many(saver, "t", 10)
for n in range(100):
    clone = copy.copy(saver)
    clone.get_tuple(config_of("t"))
    del clone
    gc.collect() if n % 25 == 0 else None
put_many(saver, "u", 10)
""",
        0,
    ),
    "the original dropped with work in flight": (
        """
async def main():
    global saver
    tasks = [asyncio.ensure_future(saver.aput(config_of(f"t{n}"), checkpoint_of(1), {}, {})) for n in range(50)]
    await asyncio.sleep(0)
    del saver
    gc.collect()
    await asyncio.gather(*tasks)
    for n in range(50):
        acknowledge(f"t{n}", id_of(1))
asyncio.run(main())
""",
        0,
    ),
    "a loop closed early": (
        """
saver.setup()
loop = asyncio.new_event_loop()
async def one(n):
    await saver.aput(config_of(f"t{n}"), checkpoint_of(1), {}, {})
tasks = [loop.create_task(one(n)) for n in range(20)]
loop.call_soon(loop.stop)
loop.run_forever()
for task in tasks:
    task._log_destroy_pending = False
loop.close()
put_many(saver, "t", 20)
""",
        0,
    ),
    "a module global at interpreter shutdown": (
        """
import atexit
atexit.register(put_many, saver, "late", 5)
put_many(saver, "t", 20)
""",
        0,
    ),
    "a finaliser that writes": (
        """
class Late:
    def __init__(self, saver): self.saver = saver
    def __del__(self, checkpoint=checkpoint_of(1)): self.saver.put(config_of("late"), checkpoint, {}, {})
late = Late(saver)
put_many(saver, "t", 20)
""",
        0,
    ),
    "closed in another thread while writers run": (
        """
from langgraph_checkpoint_rust.errors import SaverClosedError
def write(n):
    try:
        put_many(saver, f"t{n}", 10**9)
    except SaverClosedError:
        pass
threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
for thread in threads: thread.start()
time.sleep(0.2)
saver.close()
for thread in threads: thread.join()
""",
        0,
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_process_ends_at_once_silently_and_keeps_what_it_acknowledged(path: Path, end: str) -> None:
    code, expected = ENDS[end]
    command = [
        sys.executable,
        "-W",
        "error",
        "-X",
        "dev",
        "-c",
        START + code + "\nacknowledge('end')\n",
        str(path),
    ]
    # `-X dev` makes asyncio log slow callbacks, of which a busy machine has many.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=str(_HERE)
    )
    lines: list[str] = []
    assert process.stdout is not None
    ended = 0.0
    for line in process.stdout:
        lines.append(line)
        ended = time.monotonic()
    _, errors = process.communicate(timeout=30)
    late = time.monotonic() - ended
    errors = "\n".join(line for line in errors.splitlines() if not line.startswith("Executing <"))
    assert process.returncode == expected, errors
    assert not NOISE.search(errors), errors
    assert late < SOON
    claimed = acknowledged(lines)
    if path.exists():
        assert lost(path, claimed) == set()
    assert claimed or end == "never opened"


INTERRUPTED = {
    "a wait for another process's lock": """
saver.setup()
stand_by()
saver.put(config_of("1"), checkpoint_of(1), {}, {})
""",
    "a wait for another process's lock, in a group": """
saver.setup()
threads = [threading.Thread(target=put_many, args=(saver, f"t{n}", 1), daemon=True) for n in range(3)]
for thread in threads: thread.start()
stand_by()
saver.put(config_of("1"), checkpoint_of(1), {}, {})
""",
    "a wait for a reader of the pool": """
# The one reader is lent to scans without end.
def scan():
    while True:
        list(saver.list(None, filter={"missing": 1}))
for n in range(3):
    threading.Thread(target=scan, daemon=True).start()
while saver.stats()["readers"]["open"] == saver.stats()["readers"]["idle"]:
    time.sleep(0.001)
stand_by()
while True:
    saver.get_tuple(config_of("1"))
""",
    "a long read": """
stand_by()
while True:
    list(saver.list(None, filter={"missing": 1}))
""",
    "an await of another process's lock": """
async def main():
    await saver.asetup()
    stand_by()
    await saver.aput(config_of("1"), checkpoint_of(1), {}, {})
asyncio.run(main())
""",
}

ROWS = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, type, checkpoint, metadata)
SELECT 't' || i, '', printf('%036d', i), 'msgpack', x'80', '{"step": 1, "text": "' || hex(zeroblob(500)) || '"}' FROM n
"""

HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("holds", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("wait", INTERRUPTED)
def test_control_c_ends_any_wait_within_a_second(path: Path, wait: str) -> None:
    prepared = start_python(START + "put_many(saver, 't', 1)\nsaver.close()", path)
    prepared.communicate()
    query(path, "DROP TRIGGER IF EXISTS checkpoint_format_checkpoints")
    query(path, ROWS)
    holder = start_python(HOLDER, path)
    expect_line(holder, "holds")
    opened = "from oracle import stand_by\nsaver = RustSqliteSaver(path, pool_size=1)\n"
    code = START + opened + INTERRUPTED[wait]
    process = start_python(code, path)
    expect_line(process, "ready")
    tell(process)
    time.sleep(0.5)
    assert process.poll() is None, process.communicate()[1]
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    took = time.monotonic() - began
    holder.communicate("\n")
    assert "KeyboardInterrupt" in errors
    assert process.returncode == -signal.SIGINT
    # The interpreter itself takes some of it to end.
    assert took < 1.5
    assert query(path, "SELECT * FROM checkpoints WHERE thread_id = '1'") == []


CALLS = {
    "setup": "saver.setup()",
    "get_tuple": "saver.get_tuple(config_of('1'))",
    "put": "saver.put(config_of('1'), checkpoint_of(1), {}, {})",
}
OPENS_IN_TWO_THREADS = """
threading.Thread(target=saver.setup, daemon=True).start()
time.sleep(0.2)
"""
DELETE_MODE = """
from oracle import stand_by
saver = RustSqliteSaver(path, journal_mode="DELETE", busy_timeout=60)
"""
COMMIT_LED_BY_ANOTHER = """
threading.Thread(target=saver.put, args=(config_of("2"), checkpoint_of(1), {}, {}), daemon=True).start()
time.sleep(0.2)
"""


def interrupt(path: Path, begin: str, code: str) -> None:
    """Ctrl-C while another process has a transaction open: the call ends within a second."""
    holder = start_python(HOLDER.replace("BEGIN IMMEDIATE", begin), path)
    expect_line(holder, "holds")
    process = start_python(START + code, path)
    expect_line(process, "ready")
    tell(process)
    time.sleep(0.5)
    assert process.poll() is None, process.communicate()[1]
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    took = time.monotonic() - began
    holder.communicate("\n")
    assert "KeyboardInterrupt" in errors, errors
    assert process.returncode == -signal.SIGINT
    assert took < 1.5


@pytest.mark.parametrize("beside", ["", OPENS_IN_TWO_THREADS], ids=["alone", "beside another thread"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("journal_mode", ["WAL", "DELETE"])
def test_control_c_ends_the_wait_of_the_first_call(
    path: Path, journal_mode: str, call: str, beside: str
) -> None:
    # In rollback mode an exclusive transaction keeps readers off too, also those who want WAL.
    query(path, "CREATE TABLE other (value)")
    opened = f"from oracle import stand_by\nsaver = RustSqliteSaver(path, journal_mode='{journal_mode}', busy_timeout=60)\n"
    interrupt(path, "BEGIN EXCLUSIVE", f"{opened}{beside}stand_by()\n{CALLS[call]}\n")
    assert query(path, "SELECT name FROM sqlite_schema") == [("other",)]


@pytest.mark.parametrize("beside", ["", COMMIT_LED_BY_ANOTHER], ids=["leads", "is led"])
def test_control_c_ends_a_commit_that_readers_block(path: Path, beside: str) -> None:
    finish(start_python(START + DELETE_MODE + "saver.setup()", path), 0)
    code = f"saver.setup()\n{beside}stand_by()\n{CALLS['put']}\n"
    interrupt(path, 'BEGIN"); connection.execute("SELECT count(*) FROM checkpoints', DELETE_MODE + code)
    assert query(path, "SELECT * FROM checkpoints WHERE thread_id = '1'") == []


@pytest.mark.parametrize("call", ["get_tuple", "put"])
def test_control_c_ends_a_wait_in_rollback_mode(path: Path, call: str) -> None:
    """For a reader's lock, and for the writer's; the connections are open."""
    finish(start_python(START + DELETE_MODE + "saver.setup()", path), 0)
    late = """
saver.setup()
saver.get_tuple(config_of("1"))
stand_by()
import subprocess
holder = subprocess.Popen([sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
holder.stdout.readline()
"""
    held = f"HOLDER = {HOLDER.replace('IMMEDIATE', 'EXCLUSIVE')!r}\n"
    interrupt(path, "BEGIN DEFERRED", DELETE_MODE + held + late + CALLS[call] + "\n")


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_the_first_call_waits_for_a_file_that_is_locked_as_it_is_opened(path: Path, colour: str) -> None:
    query(path, "CREATE TABLE other (value)")
    with Lock(path, "BEGIN EXCLUSIVE") as lock:
        saver = RustSqliteSaver(path)
        threading.Timer(0.3, lock.release).start()
        began = time.monotonic()
        if colour == "sync":
            put_chain(saver, 1)
        else:
            put = saver.aput(config_of("1"), checkpoint_of(1), {}, {})
            asyncio.run(put)
        assert 0.2 < time.monotonic() - began < 5
        saver.close()
    assert len(query(path, "SELECT * FROM checkpoints")) == 1


def test_a_locked_file_is_busy_after_busy_timeout_and_a_close_ends_the_wait(path: Path) -> None:
    query(path, "CREATE TABLE other (value)")
    with Lock(path, "BEGIN EXCLUSIVE"):
        began = time.monotonic()
        with pytest.raises(DatabaseBusyError, match=r"waited 3\d\d"):
            RustSqliteSaver(path, busy_timeout=0.3).setup()
        assert time.monotonic() - began < 2
        saver = RustSqliteSaver(path)
        threading.Timer(0.2, saver.close).start()
        with pytest.raises(SaverClosedError):
            saver.setup()
