"""Forks: each side goes on writing and closing in any order; nothing is lost, or it is refused loudly."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from helpers import query, start_python
from oracle import acknowledged, finish, lost, tell

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 300

SCENARIO = """
import gc, os, sys, time
from oracle import acknowledge, die, put_many, stand_by
from langgraph_checkpoint_rust import RustSqliteSaver

path, guard, order = sys.argv[1], sys.argv[2] == "guarded", sys.argv[3].split()
saver = RustSqliteSaver(path, lock_guard=guard, busy_timeout=20)
put_many(saver, "before", 50)
saver.get_tuple({"configurable": {"thread_id": "before"}})

to_child, from_parent = os.pipe()
to_parent, from_child = os.pipe()
process = os.fork()
side = "parent" if process else "child"
receiver, sender = (to_parent, from_parent) if process else (to_child, from_child)
os.close(from_child if process else from_parent)

# Steps are taken in turns, in the order given: both sides read the same list.
for number, step in enumerate(order):
    who, what = step.split(".")
    if who != side:
        # The other side ends without a word if it dies.
        os.read(receiver, 1)
        continue
    if what == "write":
        put_many(saver, f"{side}-{number}", COUNT)
    elif what == "close":
        saver.close()
    elif what == "drop":
        del saver
        gc.collect()
    elif what == "reopen":
        saver = RustSqliteSaver(path, lock_guard=guard, busy_timeout=20)
    elif what == "read":
        assert saver.get_tuple({"configurable": {"thread_id": "before"}})
    elif what == "exit":
        os.write(sender, b".")
        sys.exit(0)
    elif what == "die":
        os.write(sender, b".")
        die()
    os.write(sender, b".")
die()
""".replace("COUNT", str(COUNT))

ORDERS = [
    "parent.write child.write parent.write child.write",
    "child.write parent.close child.write",
    "child.write child.close parent.write",
    "child.close parent.write child.reopen child.write",
    "child.write child.drop parent.write",
    "child.drop parent.write",
    "parent.close child.write parent.reopen parent.write child.write",
    "parent.drop child.write",
    "child.reopen child.write parent.write child.close parent.write",
    "child.write parent.close parent.reopen parent.write child.close parent.write",
    "child.read parent.write child.write child.die parent.write",
    "parent.write child.exit parent.write",
    "child.write parent.exit child.write",
]


@pytest.mark.parametrize("guard", ["guarded", "unguarded"])
@pytest.mark.parametrize("order", ORDERS)
def test_both_sides_of_a_fork_keep_what_they_acknowledged(path: Path, order: str, guard: str) -> None:
    process = start_python(SCENARIO, path, guard, order)
    output, errors = process.communicate(timeout=60)
    assert not re.search("Error|Traceback|panic", errors), errors
    claimed = acknowledged(output.splitlines())
    assert len(claimed) == 50 + COUNT * order.count(".write"), errors
    assert lost(path, claimed) == set()


@pytest.mark.parametrize("guard", ["guarded", "unguarded"])
def test_a_neighbour_that_comes_and_goes_finds_the_locks_of_both_sides(path: Path, guard: str) -> None:
    code = """
    import os, sys
    from oracle import acknowledge, die, put_many, stand_by
    from langgraph_checkpoint_rust import RustSqliteSaver

    saver = RustSqliteSaver(sys.argv[1], lock_guard=sys.argv[2] == "guarded")
    put_many(saver, "before", 50)
    process = os.fork()
    if process == 0:
        put_many(saver, "child", 10)
        stand_by()
        put_many(saver, "child", 500, start=11)
        os.close(1)
        die()
    put_many(saver, "parent", 10)
    saver.close()
    os.waitpid(process, 0)
    die()
    """
    process = start_python(code, path, guard)
    assert process.stdout is not None
    lines = []
    while (line := process.stdout.readline()) not in {"ready\n", ""}:
        lines.append(line)
    for _ in range(3):
        query(path, "SELECT count(*) FROM checkpoints")
    tell(process)
    claimed = acknowledged(lines + finish(process))
    assert len(claimed) >= 560
    assert lost(path, claimed) == set()


def test_a_database_in_memory_stays_the_parents() -> None:
    code = """
    import os
    from helpers import put_chain
    from langgraph_checkpoint_rust import RustSqliteSaver
    from langgraph_checkpoint_rust.errors import ForkedDatabaseError

    saver = RustSqliteSaver(":memory:")
    put_chain(saver, 3)
    process = os.fork()
    if process == 0:
        try:
            saver.get_tuple({"configurable": {"thread_id": "1"}})
        except ForkedDatabaseError as error:
            assert "make a new one" in str(error)
            with RustSqliteSaver(":memory:") as fresh:
                put_chain(fresh, 1)
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 7
    assert len(list(saver.list(None))) == 3
    put_chain(saver, 1, "2")
    print("kept")
    """
    process = start_python(code)
    assert finish(process, 0) == ["kept"]


RAW_FORK = """
import ctypes, os, sys, time
from oracle import acknowledge, put_many
from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.errors import ForkedDatabaseError

saver = RustSqliteSaver(sys.argv[1], lock_guard=sys.argv[2] == "guarded")
put_many(saver, "before", 20)
# PyDLL keeps the GIL: what CPython's own fork would do, without telling anyone.
process = ctypes.PyDLL(None).fork()
if process == 0:
    for verb in (lambda: put_many(saver, "child", 1), lambda: saver.get_tuple({"configurable": {"thread_id": "before"}})):
        began = time.monotonic()
        try:
            verb()
            acknowledge("worked")
        except ForkedDatabaseError:
            acknowledge("refused" if time.monotonic() - began < 0.1 else "late")
    os._exit(0)
os.waitpid(process, 0)
put_many(saver, "parent", 20)
saver.close()
"""


def test_a_raw_fork_without_the_guard_is_refused_at_once(path: Path) -> None:
    lines = finish(start_python(RAW_FORK, path, "unguarded"), 0)
    assert [line for line in lines if " " not in line] == ["refused"] * 2
    assert lost(path, acknowledged(lines)) == set()


def test_a_raw_fork_with_the_guard_works(path: Path) -> None:
    lines = finish(start_python(RAW_FORK, path, "guarded"), 0)
    assert [line for line in lines if " " not in line] == ["worked"] * 2
    claimed = acknowledged(lines)
    assert len(claimed) == 41
    assert lost(path, claimed) == set()


FORK_UNDER_LOAD = """
import os, random, signal, sys, threading, time
from oracle import acknowledge, die, put_many, put_one
from langgraph_checkpoint_rust import RustSqliteSaver

path, guard, forks = sys.argv[1], sys.argv[2] == "guarded", int(sys.argv[3])
saver = RustSqliteSaver(path, lock_guard=guard)
saver.setup()
stop = threading.Event()

def work(name):
    number = 0
    while not stop.is_set():
        number += 1
        put_one(saver, name, number)
        if number % 3 == 0:
            saver.get_tuple({"configurable": {"thread_id": name}})
        if number % 50 == 0:
            with RustSqliteSaver(path, lock_guard=guard) as other:
                other.setup()

threads = [threading.Thread(target=work, args=(f"t{n}",), daemon=True) for n in range(8)]
for thread in threads:
    thread.start()
random.seed(int(sys.argv[4]))
slowest = 0
for fork in range(forks):
    time.sleep(random.uniform(0, 0.03))
    began = time.monotonic()
    process = os.fork()
    if process == 0:
        what = fork % 4
        # A child that hangs is killed by its own alarm, which the parent sees.
        signal.alarm(20)
        if what == 1:
            put_many(saver, f"child-{fork}", 3)
        elif what == 2:
            saver.close()
        elif what == 3:
            os.execv(sys.executable, [sys.executable, "-S", "-c", ""])
        os._exit(0)
    slowest = max(slowest, time.monotonic() - began)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert status == 0, (fork, status)
stop.set()
for thread in threads:
    thread.join(20)
    assert not thread.is_alive(), "a thread hangs"
acknowledge("slowest", "fork", round(slowest, 3))
die()
"""


@pytest.mark.parametrize("guard", ["guarded", "unguarded"])
@pytest.mark.parametrize(
    "forks", [60, pytest.param(2000, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])]
)
def test_forks_at_any_moment_under_eight_busy_threads(path: Path, guard: str, forks: int) -> None:
    lines = finish(start_python(FORK_UNDER_LOAD, path, guard, forks, 1), timeout=60 + forks)
    claimed = acknowledged(lines)
    assert len(claimed) > forks
    assert lost(path, claimed) == set()
    (slowest,) = (float(line.split()[2]) for line in lines if line.startswith("slowest"))
    print(f"{forks} forks, {len(claimed)} acknowledged, slowest fork {slowest} s")
    assert slowest < 5


MULTIPROCESSING = """
import multiprocessing, sys
from helpers import checkpoint_of, config_of, id_of
from langgraph_checkpoint_rust import RustSqliteSaver

def work(saver, name, count, queue):
    for number in range(1, count + 1):
        saver.put(config_of(name), checkpoint_of(number), {}, {})
        queue.put((name, id_of(number)))

if __name__ == "__main__":
    saver = RustSqliteSaver(sys.argv[1])
    saver.put(config_of("before"), checkpoint_of(1), {}, {})
    context = multiprocessing.get_context(sys.argv[2])
    queue = context.SimpleQueue()
    processes = [context.Process(target=work, args=(saver, f"p{n}", 100, queue)) for n in range(2)]
    for process in processes:
        process.start()
    for number in range(1, 101):
        saver.put(config_of("parent"), checkpoint_of(number), {}, {})
        print("parent", id_of(number))
    for _ in range(200):
        print(*queue.get())
    for process in processes:
        process.join(20)
        assert process.exitcode == 0
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_saver_goes_to_the_processes_of_multiprocessing(path: Path, tmp_path: Path, method: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(MULTIPROCESSING)
    here = os.path.dirname(os.path.abspath(__file__))
    output = subprocess.run(
        [sys.executable, str(script), str(path), method],
        env=os.environ | {"PYTHONPATH": here},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert output.returncode == 0, output.stderr
    claimed = acknowledged(output.stdout.splitlines())
    assert len(claimed) == 300
    assert lost(path, claimed) == set()


def test_subprocess_with_preexec_fn_leaves_the_savers_alone(path: Path) -> None:
    code = """
    import subprocess, sys, threading
    from oracle import die, put_many
    from langgraph_checkpoint_rust import RustSqliteSaver

    saver = RustSqliteSaver(sys.argv[1])
    saver.setup()
    threads = [threading.Thread(target=put_many, args=(saver, f"t{n}", 300)) for n in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        subprocess.run(["true"], preexec_fn=lambda: None, check=True)
        subprocess.run(["true"], close_fds=False, check=True)
    for thread in threads:
        thread.join()
    die()
    """
    claimed = acknowledged(finish(start_python(code, path)))
    assert len(claimed) == 1200
    assert lost(path, claimed) == set()


def test_both_sides_use_event_loops(path: Path) -> None:
    code = """
    import asyncio, os, sys
    from helpers import checkpoint_of, config_of, id_of
    from oracle import acknowledge, die
    from langgraph_checkpoint_rust import AsyncRustSqliteSaver

    saver = AsyncRustSqliteSaver(sys.argv[1])

    async def one(name, number):
        await saver.aput(config_of(name), checkpoint_of(number), {}, {})
        acknowledge(name, id_of(number))

    async def many(name, count=100):
        await asyncio.gather(*(one(name, number) for number in range(1, count + 1)))
        assert await saver.aget_tuple(config_of(name))

    async def parent():
        flight = asyncio.create_task(many("flight"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        process = os.fork()
        if process == 0:
            # The child has no use for the parent's loop: it runs one of its own.
            asyncio.events._set_running_loop(None)
            asyncio.set_event_loop(None)
            try:
                asyncio.run(many("child"))
            finally:
                os._exit(0)
        await flight
        await many("parent")
        os.waitpid(process, 0)

    asyncio.run(many("before"))
    asyncio.run(parent())
    die()
    """
    claimed = acknowledged(finish(start_python(code, path)))
    assert len(claimed) == 400
    assert lost(path, claimed) == set()


APP = """
import os
from fastapi import FastAPI
from helpers import checkpoint_of, config_of, id_of
from langgraph_checkpoint_rust import AsyncRustSqliteSaver

saver = AsyncRustSqliteSaver(os.environ["DATABASE"])
# At import, before gunicorn forks: the worst place.
saver.put(config_of("master"), checkpoint_of(1), {}, {})
app = FastAPI()

@app.get("/put/{thread}/{number}")
async def put(thread: str, number: int):
    await saver.aput(config_of(thread), checkpoint_of(number), {}, {})
    assert await saver.aget_tuple(config_of(thread))
    return {"process": os.getpid(), "line": f"{thread} {id_of(number)}"}
"""


@pytest.mark.compact
@pytest.mark.filterwarnings("ignore")
def test_gunicorn_with_preload(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("gunicorn")
    pytest.importorskip("fastapi")
    worker = "uvicorn.workers.UvicornWorker"
    pytest.importorskip("uvicorn")
    httpx = pytest.importorskip("httpx")
    (tmp_path / "served.py").write_text(APP)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    here = os.path.dirname(os.path.abspath(__file__))
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--preload",
        "-w",
        "3",
        "-k",
        worker,
        "-b",
        f"127.0.0.1:{port}",
    ]
    with subprocess.Popen(
        [*command, "served:app"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{here}", "DATABASE": str(path)},
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        processes: set[int] = set()
        claimed: set[tuple[str, str]] = set()
        until = time.monotonic() + 30
        number = 0
        while len(claimed) < 200 or len(processes) < 2:
            assert time.monotonic() < until, "the workers do not answer"
            number += 1
            try:
                # A connection each, so that the workers take turns.
                answer = httpx.get(f"http://127.0.0.1:{port}/put/t{number % 7}/{number}", timeout=20)
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            assert answer.status_code == 200
            processes.add(answer.json()["process"])
            thread_id, checkpoint_id = answer.json()["line"].split()
            claimed.add((thread_id, checkpoint_id))
            if len(claimed) == 100:
                # The master replaces a killed worker by forking again.
                os.kill(answer.json()["process"], signal.SIGKILL)
        server.send_signal(signal.SIGTERM)
        _, errors = server.communicate(timeout=20)
        assert server.returncode == 0, errors
    assert lost(path, claimed | {("master", "1f000000-0000-6000-8000-000000000001")}) == set()


@pytest.mark.compact
def test_without_the_hooks_a_fork_is_a_raw_one(path: Path) -> None:
    code = """
    import os, sys
    from unittest import mock
    with mock.patch("os.register_at_fork"):
        from langgraph_checkpoint_rust import RustSqliteSaver
        from langgraph_checkpoint_rust.errors import ForkedDatabaseError
    saver = RustSqliteSaver(sys.argv[1], lock_guard=False)
    saver.setup()
    process = os.fork()
    if process == 0:
        try:
            saver.setup()
            saver.get_tuple({"configurable": {"thread_id": "1"}})
        except ForkedDatabaseError:
            os._exit(7)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
    """
    assert finish(start_python(code, path), 0) == ["7"]


FORKS_BESIDE_A_LOOP = """
import asyncio, os, signal, sys, threading, time
from helpers import checkpoint_of, config_of, put_chain
from langgraph_checkpoint_rust import RustSqliteSaver

saver = RustSqliteSaver(sys.argv[1])
for number in range(100):
    put_chain(saver, 1, f"t{number}")

def scan():
    while True:
        list(saver.list(None, filter={"missing": 1}))

async def write():
    number = 0
    while True:
        number += 1
        await saver.aput(config_of("loop"), checkpoint_of(number), {}, {})

threading.Thread(target=scan, daemon=True).start()
threading.Thread(target=asyncio.run, args=[write()], daemon=True).start()
time.sleep(0.2)
for _ in range(50):
    process = os.fork()
    if process == 0:
        signal.alarm(20)
        put_chain(saver, 1, "child")
        asyncio.run(saver.aget_tuple(config_of("child")))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
os._exit(0)
"""


def test_a_fork_beside_an_event_loop_that_calls_meanwhile(path: Path) -> None:
    """The loop's thread, attached to the interpreter, may not wait for the fork, which needs it too."""
    finish(start_python("import warnings; warnings.simplefilter('ignore')\n" + FORKS_BESIDE_A_LOOP, path), 0)
