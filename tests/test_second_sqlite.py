"""Other code of the process opens and closes our file: nobody's commits are lost.

Each scenario runs in a process of its own, and again with `lock_guard=False`, which is the planted
fault: there it must lose, or the scenario shows nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from helpers import query, start_python
from oracle import acknowledged, finish, lost, tell

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.interop
"""Upstream is one of the others."""

COUNT = 2000

OURS = """
import hashlib, shutil, sqlite3, sys
from oracle import die, put_many, stand_by
from langgraph_checkpoint_rust import RustSqliteSaver

path, guard, disturb = sys.argv[1], sys.argv[2] == "guarded", sys.argv[3]
saver = RustSqliteSaver(path, lock_guard=guard)
put_many(saver, "before", 100)
saver.get_tuple({"configurable": {"thread_id": "before"}})
if disturb == "sqlite3":
    connection = sqlite3.connect(path)
    connection.execute("SELECT count(*) FROM checkpoints").fetchall()
    connection.close()
elif disturb == "upstream":
    from langgraph.checkpoint.sqlite import SqliteSaver
    with SqliteSaver.from_conn_string(path) as upstream:
        assert upstream.get_tuple({"configurable": {"thread_id": "before"}})
elif disturb == "open":
    with open(path, "rb") as file:
        file.read(16)
elif disturb == "copy":
    shutil.copy(path, path + ".copy")
elif disturb == "hash":
    with open(path, "rb") as file:
        hashlib.file_digest(file, "sha256") if hasattr(hashlib, "file_digest") else hashlib.sha256(file.read())
stand_by()
put_many(saver, "after", COUNT)
die()
""".replace("COUNT", str(COUNT))


@pytest.mark.parametrize("guard", ["guarded", "unguarded"])
@pytest.mark.parametrize("disturb", ["sqlite3", "upstream", "open", "copy", "hash"])
@pytest.mark.filterwarnings("ignore")
def test_our_commits_outlive_other_code_that_closes_the_file(path: Path, disturb: str, guard: str) -> None:
    process = start_python(OURS, path, guard, disturb)
    assert process.stdout is not None
    lines = []
    while (line := process.stdout.readline()) not in {"ready\n", ""}:
        lines.append(line)
    # A process that comes and goes takes the WAL with it, if it finds no lock of ours.
    query(path, "SELECT count(*) FROM checkpoints")
    tell(process)
    claimed = acknowledged(lines + finish(process))
    assert len(claimed) == 100 + COUNT
    missing = {thread for thread, _ in lost(path, claimed)}
    assert missing == (set() if guard == "guarded" else {"after"})
    if guard == "unguarded":
        assert len(lost(path, claimed)) == COUNT


NEIGHBOUR = """
import os, sqlite3, sys
from oracle import acknowledge, die, put_many, stand_by
from langgraph_checkpoint_rust import RustSqliteSaver

path, guard, ours = sys.argv[1], sys.argv[2] == "guarded", sys.argv[3]
saver = RustSqliteSaver(path, lock_guard=guard)
put_many(saver, "ours", 10)
connection = sqlite3.connect(path, isolation_level=None)
connection.execute("PRAGMA journal_mode=WAL").fetchall()
connection.execute("CREATE TABLE IF NOT EXISTS neighbour (id INTEGER PRIMARY KEY)")
connection.execute("INSERT INTO neighbour VALUES (0)")
if ours == "close":
    saver.close()
elif ours == "fork":
    process = os.fork()
    if process == 0:
        put_many(saver, "child", 10)
        saver.close()
        os._exit(0)
    assert os.waitpid(process, 0)[1] == 0
    saver.close()
elif ours == "pool":
    for _ in range(20):
        with RustSqliteSaver(path, lock_guard=guard, read_only=True) as reader:
            reader.get_tuple({"configurable": {"thread_id": "ours"}})
    saver.close()
stand_by()
for number in range(1, COUNT + 1):
    connection.execute("INSERT INTO neighbour VALUES (?)", [number])
    acknowledge("neighbour", number)
die()
""".replace("COUNT", str(COUNT))


@pytest.mark.parametrize("guard", ["guarded", "unguarded"])
@pytest.mark.parametrize("ours", ["close", "fork", "pool"])
def test_a_second_sqlite_keeps_its_commits_when_we_close_or_fork(path: Path, ours: str, guard: str) -> None:
    process = start_python(NEIGHBOUR, path, guard, ours)
    assert process.stdout is not None
    lines = []
    while (line := process.stdout.readline()) not in {"ready\n", ""}:
        lines.append(line)
    query(path, "SELECT count(*) FROM checkpoints")
    tell(process)
    lines += finish(process)
    claimed = {int(line.split()[1]) for line in lines if line.startswith("neighbour")}
    assert claimed == set(range(1, COUNT + 1))
    sound = query(path, "PRAGMA integrity_check") == [("ok",)]
    kept = {number for (number,) in query(path, "SELECT id FROM neighbour")}
    assert (sound and claimed <= kept) == (guard == "guarded")


def test_a_database_that_python_opens_and_closes_all_the_time_loses_nothing(path: Path) -> None:
    busy = """
    import sqlite3, sys, threading
    from oracle import die, put_many
    from langgraph_checkpoint_rust import RustSqliteSaver

    saver = RustSqliteSaver(sys.argv[1])
    saver.setup()

    def come_and_go():
        while True:
            connection = sqlite3.connect(sys.argv[1], timeout=30)
            connection.execute("SELECT count(*) FROM checkpoints").fetchall()
            connection.close()

    threading.Thread(target=come_and_go, daemon=True).start()
    threads = [threading.Thread(target=put_many, args=(saver, f"t{n}", 400)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    die()
    """
    process = start_python(busy, path)
    claimed = acknowledged(finish(process))
    assert len(claimed) == 1600
    assert lost(path, claimed) == set()
