"""kill -9 at any moment: what was acknowledged is there, and no call is there in part."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from helpers import query
from oracle import WRITES, survey

if TYPE_CHECKING:
    from pathlib import Path

KILLS = int(os.environ.get("TORTURE_KILLS", "10000"))
BATCH = 500
"""Kills per file: the files stay small enough to be read back."""


def killed_writers(path: Path, kills: int, writers: int, seed: int, **arguments: Any) -> dict[str, Any]:
    """Kills writers of a file; what they acknowledged, compared with what a fresh process finds."""
    asked = {"path": str(path), "kills": kills, "writers": writers, "seed": seed, "early": False} | arguments
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kill_loop.py")
    answer = subprocess.run(
        [sys.executable, script, json.dumps({"synchronous": None} | asked)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60 + kills,
    )
    assert answer.returncode == 0, answer.stderr
    report: dict[str, Any] = json.loads(answer.stdout)
    # An exception in a writer would be a bad kill.
    assert report["failed"] == 0, answer.stderr
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    checkpoints, writes = survey(path)
    report["acknowledged"] = len(report["lines"])
    report["lost"], report["torn"] = [], []
    for kind, *key, claimed in report["lines"]:
        found = checkpoints.get((key[0], key[1]))
        if kind == "writes":
            count, found = writes.get((key[0], key[1]), (0, ""))
            found = found if count == WRITES else None
        if found != claimed:
            report["lost"].append((kind, *key))
    report["torn"] = [key for key, (count, _) in writes.items() if count not in {0, WRITES}]
    # Stored and not acknowledged: what was in flight, at most one call a thread or task.
    stored = len(checkpoints) + sum(count == WRITES for count, _ in writes.values())
    report["extra"] = stored - report["acknowledged"] + len(report["lost"])
    return report


@pytest.mark.parametrize(("synchronous", "writers"), [("NORMAL", 2), ("FULL", 2), (None, 4)], ids=str)
def test_killed_writers_lose_nothing_that_they_acknowledged(
    path: Path, synchronous: str | None, writers: int
) -> None:
    seed = random.getrandbits(32)
    report = killed_writers(path, 60, writers, seed, synchronous=synchronous)
    print(
        f"seed {seed}: {report['kills']} kills, {report['acknowledged']} acknowledged, {report['extra']} in flight"
    )
    assert report["kills"] == 60
    assert report["acknowledged"] > report["kills"]
    assert report["lost"] == []
    assert report["torn"] == []
    assert report["extra"] <= 4 * report["started"]


def test_the_kill_loop_sees_a_writer_that_acknowledges_before_the_commit(path: Path) -> None:
    report = killed_writers(path, 60, 3, seed=1, early=True)
    assert len(report["lost"]) > 5


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_ten_thousand_kills(tmp_path: Path) -> None:
    seed = int(os.environ.get("TORTURE_SEED", random.getrandbits(32)))
    total = {"kills": 0, "acknowledged": 0, "lost": 0, "torn": 0, "extra": 0}
    for batch in range(-(-KILLS // BATCH)):
        kills = min(BATCH, KILLS - batch * BATCH)
        path = tmp_path / f"{batch}.db"
        report = killed_writers(path, kills, 2 + batch % 3, seed + batch)
        for name in total:
            total[name] += report[name] if isinstance(report[name], int) else len(report[name])
        assert not report["lost"], f"seed {seed + batch}: {report['lost'][:10]}"
        assert not report["torn"], f"seed {seed + batch}: {report['torn'][:10]}"
        for suffix in ("", "-wal", "-shm"):
            (tmp_path / f"{batch}.db{suffix}").unlink(missing_ok=True)
        print(f"seed {seed}: {total}", flush=True)
    assert total["kills"] == KILLS
