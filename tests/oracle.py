"""Who acknowledged what, and what of it a fresh process finds: the measure of every crash test.

A writer prints a line *after* a call returned. What was printed and is not in the file is lost.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from helpers import checkpoint_of, config_of, id_of, query

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable
    from pathlib import Path

WRITES = 4
"""Writes in each acknowledged `put_writes`."""


def acknowledge(*words: object) -> None:
    """Tells whoever reads our output, in one piece and at once."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def put_one(saver: Any, thread_id: str, number: int) -> None:
    """Stores checkpoint `number` of a thread, then acknowledges it."""
    saver.put(config_of(thread_id), checkpoint_of(number, {"value": f"{thread_id}/{number}"}), {}, {})
    acknowledge(thread_id, id_of(number))


def put_many(saver: Any, thread_id: str, count: int, start: int = 1) -> None:
    """Stores `count` checkpoints of a thread and acknowledges each."""
    for number in range(start, start + count):
        put_one(saver, thread_id, number)


def die() -> None:
    """kill -9: nothing is closed, nothing is flushed."""
    os.kill(os.getpid(), signal.SIGKILL)


def acknowledged(lines: Iterable[str]) -> set[tuple[str, str]]:
    """The checkpoints that a writer acknowledged: lines of two words."""
    found = [tuple(line.split()) for line in lines]
    return {(words[0], words[1]) for words in found if len(words) == 2}


def lost(path: str | Path, claimed: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """What was acknowledged and is not there; the file itself must be sound."""
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    return claimed - set(query(path, "SELECT thread_id, checkpoint_id FROM checkpoints"))


def finish(
    process: subprocess.Popen[str], returncode: int = -signal.SIGKILL, timeout: float = 60
) -> list[str]:
    """The lines of a process that ends with this code."""
    output, errors = process.communicate(timeout=timeout)
    assert process.returncode == returncode, f"exit code {process.returncode}\n{output[-500:]}\n{errors}"
    return output.splitlines()


def digest(value: object) -> str:
    """What a writer says of a value and a reader compares."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def survey(path: str | Path) -> tuple[dict[tuple[str, str], str], dict[tuple[str, str], tuple[int, str]]]:
    """Every checkpoint's digest, and the number and digest of its writes, all decoded by a saver."""
    from langgraph_checkpoint_rust import RustSqliteSaver

    checkpoints, writes = {}, {}
    with RustSqliteSaver(path) as saver:
        for found in saver.list(None):
            key = (found.config["configurable"]["thread_id"], found.checkpoint["id"])
            checkpoints[key] = digest(found.checkpoint["channel_values"])
            pending = found.pending_writes or []
            writes[key] = len(pending), digest([value for _, _, value in pending])
    return checkpoints, writes


def expect_line(process: subprocess.Popen[str], expected: str) -> None:
    """Waits until a process printed this line."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if line != expected:
        process.kill()
        raise AssertionError(f"{line!r} instead of {expected!r}\n{process.communicate()[1]}")


def tell(process: subprocess.Popen[str], line: str = "") -> None:
    """Gives a process a line to read."""
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def stand_by() -> None:
    """Says that all is prepared, and waits to be told to go on."""
    acknowledge("ready")
    sys.stdin.readline()
