"""Files that are replaced, deleted or locked by others; journals for file systems that cannot do WAL.

Which file systems are refused is decided in `src/sqlite/filesystem.rs` and tested there, on mocked
mount tables: a network file system cannot be mounted here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from helpers import checkpoint_of, config_of, put_chain, query, rows, start_python
from oracle import expect_line

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.errors import DatabaseBusyError, DatabaseReplacedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def replace_by_copy(path: Path) -> None:
    copy = path.with_suffix(".copy")
    query(path, f"VACUUM INTO '{copy}'")
    os.replace(copy, path)


def replace_by_nothing(path: Path) -> None:
    path.unlink()
    path.touch()


REPLACEMENTS: dict[str, Callable[[Path], object]] = {
    "deleted": lambda path: path.unlink(),
    "renamed": lambda path: path.rename(path.with_suffix(".old")),
    "replaced by a copy": replace_by_copy,
    "replaced by an empty file": replace_by_nothing,
    "its directory renamed": lambda path: path.parent.rename(path.parent.with_name("elsewhere")),
}


@pytest.mark.parametrize("how", REPLACEMENTS)
def test_a_file_that_is_replaced_while_open_is_written_no_more(tmp_path: Path, how: str) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    path = directory / "checkpoints.db"
    saver = RustSqliteSaver(path)
    put_chain(saver, 3)
    saver.get_tuple(config_of())
    REPLACEMENTS[how](path)
    for _ in range(3):
        with pytest.raises(DatabaseReplacedError, match="replaced or deleted"):
            put_chain(saver, 1, "late")
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            saver.get_tuple(config_of())
        except DatabaseReplacedError:
            break
        time.sleep(0.01)
    else:
        raise AssertionError("reads go on from a file that nobody else sees")
    saver.close()
    if path.parent.exists():
        with RustSqliteSaver(path) as fresh:
            put_chain(fresh, 1, "fresh")
        assert "late" not in {row[0] for row in rows(path, "checkpoints")}


def test_a_hard_link_to_the_same_file_is_the_same_file(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 1)
        other = path.with_suffix(".link")
        other.hardlink_to(path)
        put_chain(saver, 1, "2")
    assert len(rows(path, "checkpoints")) == 2


@pytest.mark.parametrize("processes", [1, 2])
def test_delete_mode_serves_readers_and_writers_at_once(path: Path, processes: int) -> None:
    beside = """
    import sys
    from helpers import config_of, put_chain
    from langgraph_checkpoint_rust import RustSqliteSaver
    with RustSqliteSaver(sys.argv[1], journal_mode="DELETE") as saver:
        for number in range(40):
            put_chain(saver, 1, f"beside-{number}")
            assert saver.get_tuple(config_of(f"beside-{number}"))
    """
    with RustSqliteSaver(path, journal_mode="DELETE") as saver:
        saver.setup()
        others = [start_python(beside, path) for _ in range(processes - 1)]
        failures: list[BaseException] = []

        def work(name: str) -> None:
            try:
                for number in range(1, 30):
                    saver.put(config_of(name), checkpoint_of(number), {}, {})
                    assert saver.get_tuple(config_of(name))
                    assert len(list(saver.list(config_of(name)))) == number
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for other in others:
            _, errors = other.communicate(timeout=60)
            assert other.returncode == 0, errors
        assert failures == []
        assert not path.with_name(path.name + "-wal").exists()
    assert query(path, "PRAGMA journal_mode") == [("delete",)]
    assert len(rows(path, "checkpoints")) == 4 * 29 + 40 * (processes - 1)


HOLDERS = {
    "sqlite3": """
    import sqlite3, sys
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    print("holds", flush=True)
    sys.stdin.readline()
    """,
}


@pytest.mark.parametrize("journal_mode", ["WAL", "DELETE"])
def test_a_busy_database_names_the_process_that_holds_it(path: Path, journal_mode: Any) -> None:
    with RustSqliteSaver(path, journal_mode=journal_mode, busy_timeout=0.2) as saver:
        put_chain(saver, 1)
        holder = start_python(HOLDERS["sqlite3"], path)
        expect_line(holder, "holds")
        with pytest.raises(DatabaseBusyError, match=rf"process {holder.pid}\b"):
            put_chain(saver, 1, "2")
        holder.communicate("\n")
        put_chain(saver, 1, "2")


@pytest.mark.skipif(
    os.name != "posix" or not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs root"
)
def test_local_file_systems_are_not_refused(tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    lower.mkdir()
    with RustSqliteSaver(lower / "checkpoints.db") as saver:
        put_chain(saver, 2)
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", mounted], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        shutil.copy(lower / "checkpoints.db", mounted)
        with RustSqliteSaver(mounted / "checkpoints.db") as saver:
            put_chain(saver, 2, "2")
            assert len(list(saver.list(None))) == 4
        for name in ("upper", "work", "merged"):
            (mounted / name).mkdir()
        options = f"lowerdir={lower},upperdir={mounted}/upper,workdir={mounted}/work"
        merged = mounted / "merged"
        overlay = ["mount", "-t", "overlay", "-o", options, "overlay", str(merged)]
        if subprocess.run(overlay, check=False).returncode == 0:
            try:
                with RustSqliteSaver(merged / "checkpoints.db") as saver:
                    put_chain(saver, 2, "2")
                    assert len(list(saver.list(None))) == 4
            finally:
                subprocess.run(["umount", "-l", merged], check=True)
    finally:
        subprocess.run(["umount", "-l", mounted], check=True)
