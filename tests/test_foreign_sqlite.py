"""Where the lock guard cannot work: a second SQLite library in this process is seen, and said or refused."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# The guard is decided for a whole process, so each case has its own. Python's own library stands
# for the second one.
SCRIPT = """
import logging, sqlite3, sys
from langgraph.checkpoint.base import empty_checkpoint
from langgraph_checkpoint_rust import RustSqliteSaver
logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout)
path, guard, policy, neighbour = sys.argv[1:]
saver = RustSqliteSaver(path, lock_guard=guard == "on", on_foreign_sqlite=policy)
config = {"configurable": {"thread_id": "1"}}
saver.put(config, empty_checkpoint(), {}, {})
saver.get_tuple(config)
other = sqlite3.connect(path)
if neighbour == "yes":
    other.execute("SELECT count(*) FROM checkpoints").fetchall()
import time
time.sleep(1.1)
for _ in range(2):
    try:
        saver.put(config, empty_checkpoint(), {}, {})
        print("stored")
    except Exception as error:
        print(type(error).__name__, error)
"""


def outcome(path: Path, guard: str, policy: str, neighbour: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), guard, policy, neighbour],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()


def test_a_warning_is_logged_once(tmp_path: Path) -> None:
    lines = outcome(tmp_path / "x.db", "off", "warn", "yes")
    assert [line.split()[0] for line in lines] == ["WARNING", "stored", "stored"]
    assert "a second SQLite library in this process" in lines[0]


def test_a_write_is_refused_on_request(tmp_path: Path) -> None:
    lines = outcome(tmp_path / "x.db", "off", "refuse", "yes")
    assert [line.split()[0] for line in lines if not line.startswith("WARNING")] == ["ForeignSqliteError"] * 2


@pytest.mark.parametrize("policy", ["warn", "refuse"])
def test_alone_in_the_process_nothing_is_said(tmp_path: Path, policy: str) -> None:
    assert outcome(tmp_path / "x.db", "off", policy, "no") == ["stored", "stored"]


@pytest.mark.parametrize("policy", ["warn", "refuse"])
def test_the_guard_keeps_silent(tmp_path: Path, policy: str) -> None:
    assert outcome(tmp_path / "x.db", "on", policy, "yes") == ["stored", "stored"]
