"""`recover` of a file whose schema or first page is gone: the rows are read from their pages, without SQLite."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
from typing import TYPE_CHECKING, Any

import pytest
from helpers import TASK, checkpoint_of, config_of, put_chain, query, start_python
from langgraph.checkpoint.sqlite import SqliteSaver as UpstreamSaver

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.errors import DatabaseCorruptError
from langgraph_checkpoint_rust.recovery import arecover, recover

if TYPE_CHECKING:
    from pathlib import Path

PAGE = 4096
THREADS = 30
STEPS = 4


def fill(path: Path, **options: Any) -> dict[str, list[Any]]:
    """Threads with small, large and unknown values, one of them deleted, one with a title; what is there."""
    random_ = random.Random(0)
    with RustSqliteSaver(path, **options) as saver:
        for step in range(1, STEPS + 1):
            for number in range(THREADS):
                config = config_of(f"thread-{number:03}", "" if number % 7 else "child:1")
                text = random_.randbytes(5000 if number % 5 else 40_000).hex()
                config = saver.put(config, checkpoint_of(step, {"text": text}), {"step": step}, {})
                saver.put_writes(config, [("a", text[:500]), ("b", step)], TASK)
        saver.set_thread("thread-001", title="A title")
        saver.pin_thread("thread-001")
        saver.delete_thread("thread-002")
        return contents(saver)


def contents(saver: RustSqliteSaver) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for stored in saver.list(None):
        row = (stored.config, stored.checkpoint, stored.metadata, stored.parent_config, stored.pending_writes)
        found.setdefault(stored.config["configurable"]["thread_id"], []).append(row)
    return found


def overwrite(path: Path, places: list[int], source: random.Random | None = None) -> None:
    """Fills pages with noise, or with zeros."""
    with path.open("r+b") as file:
        for page in places:
            file.seek((page - 1) * PAGE)
            file.write(source.randbytes(PAGE) if source else bytes(PAGE))


@pytest.mark.parametrize("noise", [True, False])
def test_without_its_first_page(path: Path, tmp_path: Path, noise: bool) -> None:
    truth = fill(path)
    overwrite(path, [1], random.Random(1) if noise else None)
    damaged = path.read_bytes()
    with RustSqliteSaver(path) as saver, pytest.raises(DatabaseCorruptError):
        saver.setup()
    seen: list[tuple[int, int]] = []
    report = recover(path, tmp_path / "new.db", progress=lambda *figures: seen.append(figures))
    assert report.lost == ()
    assert (report.threads, report.gaps) == (THREADS - 1, 1)
    assert seen[-1][0] == seen[-1][1] == report.checkpoints == (THREADS - 1) * STEPS
    assert path.read_bytes() == damaged
    assert not (tmp_path / "new.db.carved").exists()
    with RustSqliteSaver(tmp_path / "new.db") as saver:
        assert contents(saver) == truth
        assert saver.verify().is_ok
        thread = saver.get_thread("thread-001")
        assert thread is not None
        assert (thread.title, thread.pinned) == ("A title", True)
        # It is a file like any other.
        put_chain(saver, 2, "more")


def test_a_schema_that_is_noise_behind_a_good_header(path: Path, tmp_path: Path) -> None:
    truth = fill(path)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(random.Random(1).randbytes(PAGE - 100))
    assert recover(path, tmp_path / "new.db").lost == ()
    with RustSqliteSaver(tmp_path / "new.db") as saver:
        assert contents(saver) == truth


def test_a_schema_that_looks_empty(path: Path, tmp_path: Path) -> None:
    truth = fill(path)
    with path.open("r+b") as file:
        file.seek(100)
        # A leaf without a cell.
        file.write(bytes([13, 0, 0, 0, 0, 16, 0, 0]))
    assert recover(path, tmp_path / "new.db").lost == ()
    with RustSqliteSaver(tmp_path / "new.db") as saver:
        assert contents(saver) == truth


def test_what_was_deleted_does_not_come_back(path: Path, tmp_path: Path) -> None:
    with RustSqliteSaver(path, auto_vacuum="NONE") as saver:
        put_chain(saver, 3, "kept")
        for number in range(40):
            config = config_of(f"gone-{number}")
            saver.put(config, checkpoint_of(1, {"text": os.urandom(9000).hex()}), {}, {})
        saver.delete_threads([f"gone-{number}" for number in range(40)])
    ((free,),) = query(path, "PRAGMA freelist_count")
    assert free > 40
    assert b"gone-7" in path.read_bytes()
    overwrite(path, [1])
    assert recover(path, tmp_path / "new.db").threads == 1


@pytest.mark.compact
def test_a_deletion_that_was_interrupted_stays_one(path: Path, tmp_path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 3, "kept")
        put_chain(saver, 3, "hidden")
        query(path, "INSERT INTO checkpoint_deletions VALUES ('hidden', NULL, 0)")
    overwrite(path, [1])
    recover(path, tmp_path / "new.db")
    with RustSqliteSaver(tmp_path / "new.db") as saver:
        assert set(contents(saver)) == {"kept"}


@pytest.mark.compact
@pytest.mark.parametrize("seed", range(3))
def test_twenty_more_damaged_pages(path: Path, tmp_path: Path, seed: int) -> None:
    truth = fill(path)
    random_ = random.Random(seed)
    pages = path.stat().st_size // PAGE
    overwrite(path, [1, *random_.sample(range(3, pages + 1), 20)], random_)
    report = recover(path, tmp_path / "new.db")
    assert report.gaps > 1
    with RustSqliteSaver(tmp_path / "new.db") as saver:
        assert saver.verify().is_ok
        saved = contents(saver)
    # What is saved is what was there, and what is not is named.
    for thread_id, rows in truth.items():
        found = {str(row[0]): row for row in saved.get(thread_id, [])}
        known = {str(row[0]): row for row in rows}
        assert all(row[1:4] == known[place][1:4] for place, row in found.items())
    whole = {thread_id for thread_id in truth if saved.get(thread_id) == truth[thread_id]}
    assert len(whole) > THREADS / 4
    print(f"seed {seed}: {len(whole)} of {len(truth)} threads whole, {len(report.lost_threads)} named")


@pytest.mark.interop
def test_a_file_of_upstreams_of_each_kind(path: Path, tmp_path: Path) -> None:
    with UpstreamSaver.from_conn_string(str(path)) as theirs:
        put_chain(theirs, 5)
        config = config_of("2")
        config = theirs.put(config, checkpoint_of(1, {"text": "x" * 30_000}), {"step": 1}, {})
        theirs.put_writes(config, [("a", "y" * 9000), ("b", 2)], TASK, "path")
        truth = [tuple(found) for found in theirs.list(None)]
    # As from before the column that upstream added last.
    old = tmp_path / "old.db"
    shutil.copy(path, old)
    query(old, "ALTER TABLE writes DROP COLUMN task_path")
    moved = tmp_path / "moved.db"
    shutil.copy(old, moved)
    query(moved, "ALTER TABLE writes ADD COLUMN task_path TEXT NOT NULL DEFAULT ''")
    with UpstreamSaver.from_conn_string(str(moved)) as theirs:
        theirs.put_writes(config, [("c", 3)], "other", "its path")
    for damaged in (path, old, moved):
        overwrite(damaged, [1])
        recover(damaged, tmp_path / f"{damaged.name}.new")
        with RustSqliteSaver(tmp_path / f"{damaged.name}.new") as saver:
            assert saver.format == "interop"
            if damaged is moved:
                found = saver.get_tuple(config)
                assert found is not None
                assert found.pending_writes is not None
                assert [write[1] for write in found.pending_writes] == ["a", "b", "c"]
            else:
                assert [tuple(found) for found in saver.list(None)] == truth


def test_commits_that_are_only_in_the_wal(path: Path, tmp_path: Path) -> None:
    process = start_python(
        """
        import sys
        from helpers import put_chain
        from langgraph_checkpoint_rust import RustSqliteSaver
        with RustSqliteSaver(sys.argv[1], wal_autocheckpoint=0) as saver:
            put_chain(saver, 40)
            print("stored", flush=True)
            sys.stdin.read()
        """,
        path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "stored\n", process.communicate()[1]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert os.path.getsize(f"{path}-wal") > PAGE
    assert recover(path, tmp_path / "whole.db").checkpoints == 40
    # SQLite reads the first page from the WAL, if it is there; the file's own does not matter then.
    overwrite(path, list(range(1, path.stat().st_size // PAGE + 1)), random.Random(2))
    assert recover(path, tmp_path / "new.db").checkpoints == 40


def sign(frames: bytearray) -> None:
    """Makes the checksums of a WAL fit what is in it."""

    def over(state: tuple[int, int], data: bytes | bytearray) -> tuple[int, int]:
        first, second = state
        for place in range(0, len(data), 8):
            first = (first + int.from_bytes(data[place : place + 4], order) + second) & 0xFFFFFFFF
            second = (second + int.from_bytes(data[place + 4 : place + 8], order) + first) & 0xFFFFFFFF
        return first, second

    order: Any = "big" if frames[3] & 1 else "little"
    state = over((0, 0), frames[:24])
    for place in range(32, len(frames), 24 + PAGE):
        state = over(over(state, frames[place : place + 8]), frames[place + 24 : place + 24 + PAGE])
        frames[place + 16 : place + 24] = b"".join(number.to_bytes(4, "big") for number in state)


def test_the_wal_counts_up_to_its_last_whole_commit(path: Path, tmp_path: Path) -> None:
    fill(path)
    with RustSqliteSaver(path, wal_autocheckpoint=0) as saver:
        put_chain(saver, 20, "late")
        for name in (path.name, f"{path.name}-wal"):
            shutil.copy(path.with_name(name), tmp_path / name.replace(path.name, "copy.db"))
    copy, wal = tmp_path / "copy.db", tmp_path / "copy.db-wal"
    overwrite(copy, [1])
    frames = bytearray(wal.read_bytes())
    for place in range(32, len(frames), 24 + PAGE):
        if frames[place : place + 4] == bytes([0, 0, 0, 1]):
            frames[place + 24 : place + 24 + PAGE] = random.Random(1).randbytes(PAGE)
    sign(frames)
    # The last commit is torn.
    wal.write_bytes(frames[:-10])
    assert recover(copy, tmp_path / "new.db").threads == THREADS
    with RustSqliteSaver(tmp_path / "new.db") as saver:
        assert len(list(saver.list(config_of("late")))) == 19


def test_a_target_that_cannot_be_made_leaves_nothing(path: Path, tmp_path: Path) -> None:
    fill(path)
    overwrite(path, [1])
    (tmp_path / "new.db.carved").write_text("mine")
    with pytest.raises(FileExistsError):
        recover(path, tmp_path / "new.db")
    assert (tmp_path / "new.db.carved").read_text() == "mine"
    (tmp_path / "new.db.carved").unlink()
    (tmp_path / "new.db").write_text("mine")
    with pytest.raises(FileExistsError):
        recover(path, tmp_path / "new.db")
    assert (tmp_path / "new.db").read_text() == "mine"
    assert sorted(found.name for found in tmp_path.iterdir() if "new.db" in found.name) == ["new.db"]


def test_what_progress_raises_ends_it(path: Path, tmp_path: Path) -> None:
    fill(path)
    overwrite(path, [1])

    def refuse(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        recover(path, tmp_path / "new.db", progress=refuse)
    assert not [found for found in tmp_path.iterdir() if "new.db" in found.name]


def test_async(path: Path, tmp_path: Path) -> None:
    fill(path)
    overwrite(path, [1])
    assert asyncio.run(arecover(path, tmp_path / "new.db")).threads == THREADS - 1


@pytest.mark.compact
def test_an_encrypted_file_is_saved_as_it_is(path: Path, tmp_path: Path) -> None:
    from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

    serde = EncryptedSerializer.from_pycryptodome_aes(key=b"k" * 16)
    truth = fill(path, serde=serde)
    overwrite(path, [1])
    recover(path, tmp_path / "new.db")
    with RustSqliteSaver(tmp_path / "new.db", serde=serde) as saver:
        assert saver.format == "compact"
        assert contents(saver) == truth
