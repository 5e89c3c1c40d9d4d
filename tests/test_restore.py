"""`restore`: the old content or the new, in place, and only while nobody else uses the database."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import Lock, Verbs, checkpoint_of, config_of, ids, put_chain, query, start_python
from langgraph.checkpoint.sqlite import SqliteSaver as UpstreamSaver

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.errors import (
    DatabaseCorruptError,
    DatabaseInUseError,
    DatabaseOpenError,
    ReadOnlyError,
    SaverClosedError,
)


@pytest.fixture(params=["sync", "async"])
def saver(request: pytest.FixtureRequest, path: Path, loop: asyncio.AbstractEventLoop) -> Iterator[Verbs]:
    """Both colours, in a file."""
    with RustSqliteSaver(path) as opened:
        yield Verbs(opened, loop if request.param == "async" else None)


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A backup of three checkpoints."""
    target = tmp_path / "backup.db"
    with RustSqliteSaver(tmp_path / "origin.db") as saver:
        put_chain(saver, 3, "restored")
        saver.backup(target)
    return target


def test_the_content_is_the_backups_and_the_file_the_same(saver: Verbs, path: Path, backup: Path) -> None:
    put_chain(saver, 30)
    inode = path.stat().st_ino
    seen: list[tuple[int, int]] = []
    report = saver.restore(backup, progress=lambda *pages: seen.append(pages))
    assert path.stat().st_ino == inode
    assert seen[-1] == (report.pages, report.pages)
    assert saver.get_tuple(config_of("1")) is None
    assert len(saver.list(config_of("restored"))) == 3
    saver.put(config_of("after"), checkpoint_of(1), {}, {})
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert query(path, "PRAGMA journal_mode") == [("wal",)]


def test_into_a_file_that_is_not_there(path: Path, backup: Path) -> None:
    with RustSqliteSaver(path) as saver:
        saver.restore(backup)
        assert len(list(saver.list(None))) == 3


def test_a_file_of_upstream_and_of_other_pages_is_restored(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    query(other, "PRAGMA page_size = 16384")
    with UpstreamSaver.from_conn_string(str(other)) as saver:
        saver.conn.execute("PRAGMA page_size = 16384")
        put_chain(saver, 3, "theirs")
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 20)
        saver.restore(other)
        assert len(list(saver.list(None))) == 3
        put_chain(saver, 2, "more")
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("journal_mode", ["WAL", "DELETE"])
def test_another_saver_of_the_process_refuses_it(path: Path, backup: Path, journal_mode: Any) -> None:
    saver = RustSqliteSaver(path, journal_mode=journal_mode)
    other = RustSqliteSaver(path, journal_mode=journal_mode)
    put_chain(saver, 2)
    assert other.get_tuple(config_of()) is not None
    with pytest.raises(DatabaseInUseError, match="in use"):
        saver.restore(backup)
    assert len(list(saver.list(None))) == len(list(other.list(None))) == 2
    other.close()
    saver.restore(backup)
    assert len(list(saver.list(None))) == 3
    saver.close()


def test_another_process_refuses_it(path: Path, backup: Path) -> None:
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 2)
        with Lock(path, "BEGIN IMMEDIATE"):
            with pytest.raises(DatabaseInUseError):
                saver.restore(backup)
            assert len(list(saver.list(None))) == 2
        saver.restore(backup)
        assert len(list(saver.list(None))) == 3


def test_an_idle_saver_of_another_process_refuses_it(path: Path, backup: Path) -> None:
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 2)
        other = start_python(
            """
            import sys
            from helpers import config_of
            from langgraph_checkpoint_rust import RustSqliteSaver
            saver = RustSqliteSaver(sys.argv[1])
            print(saver.get_tuple(config_of()) is not None, flush=True)
            sys.stdin.readline()
            print(len(list(saver.list(None))), flush=True)
            """,
            path,
        )
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        with pytest.raises(DatabaseInUseError):
            saver.restore(backup)
        put_chain(saver, 1, "later")
        assert other.communicate("\n")[0] == "3\n"


def test_the_saver_itself_is_out_of_reach_meanwhile(path: Path, tmp_path: Path) -> None:
    with RustSqliteSaver(tmp_path / "big.db") as big:
        for number in range(60):
            big.put(config_of("big"), checkpoint_of(number, {"text": os.urandom(1_000_000)}), {}, {})
        big.backup(tmp_path / "big-backup.db")
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 2)
        refused = []

        def use(done: int, total: int) -> None:
            if done < total:
                with pytest.raises(DatabaseInUseError):
                    saver.get_tuple(config_of())
                refused.append(done)
                if len(refused) > 1:
                    raise InterruptedError

        with pytest.raises(InterruptedError):
            saver.restore(tmp_path / "big-backup.db", progress=use)
        assert len(list(saver.list(None))) == 2
        assert saver.restore(tmp_path / "big-backup.db").pages > 14_000
        assert len(list(saver.list(config_of("big"), limit=3))) == 3
        assert saver.get_tuple(config_of()) is None


def test_what_is_no_backup_is_refused_and_nothing_changed(path: Path, tmp_path: Path, backup: Path) -> None:
    text, empty, other, torn = (tmp_path / name for name in ("text", "empty", "other", "torn"))
    text.write_text("no database " * 500)
    empty.touch()
    query(other, "CREATE TABLE notes (text)")
    shutil.copy(backup, torn)
    with torn.open("r+b") as file:
        file.seek(4096)
        file.write(random.Random(1).randbytes(8192))
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 2)
        for source, error in [
            (text, DatabaseCorruptError),
            (torn, DatabaseCorruptError),
            (tmp_path / "missing.db", DatabaseOpenError),
            (empty, ValueError),
            (other, ValueError),
            (path, ValueError),
        ]:
            with pytest.raises(error):
                saver.restore(source)
            assert len(list(saver.list(None))) == 2
        assert not (tmp_path / "missing.db").exists()


def test_savers_that_cannot_be_restored(path: Path, backup: Path) -> None:
    with pytest.raises(ValueError, match="copy_from"):
        RustSqliteSaver(":memory:").restore(backup)
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 1)
    with RustSqliteSaver(path, read_only=True) as saver, pytest.raises(ReadOnlyError):
        saver.restore(backup)
    saver = RustSqliteSaver(path)
    saver.close()
    with pytest.raises(SaverClosedError):
        saver.restore(backup)


def test_killed_half_way_it_is_the_old_content_or_the_new(path: Path, tmp_path: Path) -> None:
    """SIGKILL at any moment of a restore of some 15 MB over 15 MB."""
    for name, thread_id, start in [("old", "old", 1), ("new", "new", 1000)]:
        with RustSqliteSaver(tmp_path / f"{name}.db") as saver:
            for number in range(start, start + 150):
                saver.put(config_of(thread_id), checkpoint_of(number, {"text": os.urandom(100_000)}), {}, {})
            saver.backup(tmp_path / f"{name}-backup.db")
    with RustSqliteSaver(path) as saver:
        saver.restore(tmp_path / "old-backup.db")
    outcomes: list[str] = []
    contents = {"old": "new", "new": "old"}
    content = "old"
    whole = 0.0
    for number in range(14):
        process = start_python(
            """
            import sys
            from langgraph_checkpoint_rust import RustSqliteSaver
            saver = RustSqliteSaver(sys.argv[1])
            saver.setup()
            print("begun", flush=True)
            saver.restore(sys.argv[2])
            print("done", flush=True)
            """,
            path,
            tmp_path / f"{contents[content]}-backup.db",
        )
        assert process.stdout is not None
        process.stdout.readline()
        begun = time.monotonic()
        if not number:
            assert process.stdout.readline() == "done\n"
            whole = time.monotonic() - begun
            process.communicate()
        time.sleep(whole * number / 12 if number else 0)
        process.kill()
        finished = not number or "done" in process.communicate()[0]
        with RustSqliteSaver(path) as saver:
            threads = {found.config["configurable"]["thread_id"] for found in saver.list(None)}
            assert len(threads) == 1, "between the old and the new"
            (found,) = threads
            assert len(ids(list(saver.list(config_of(found))))) == 150
            assert saver.verify().is_ok
            assert found in {content, contents[content]}
            assert found != content or not finished
            outcomes.append("old" if found == content else "new")
            content = found
    print(outcomes)
    assert {"old", "new"} <= set(outcomes)
