"""`recover`: what can be read of a damaged file, and what was lost, by name."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from helpers import TASK, checkpoint_of, config_of, query

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.errors import DatabaseCorruptError
from langgraph_checkpoint_rust.recovery import arecover, recover

if TYPE_CHECKING:
    from pathlib import Path

THREADS = 60
STEPS = 4


def fill(path: Path) -> None:
    random_ = random.Random(0)
    with RustSqliteSaver(path) as saver:
        for step in range(1, STEPS + 1):
            for number in range(THREADS):
                config = config_of(f"thread-{number:03}")
                text = random_.randbytes(2000).hex()
                config = saver.put(config, checkpoint_of(step, {"text": text}), {"step": step}, {})
                saver.put_writes(config, [("a", text[:500]), ("b", step)], TASK)


def damage(path: Path, pages: int, seed: int, *, spare_roots: bool = False) -> None:
    """Fills pages with noise: any but the first, or none that a table or index begins with either."""
    random_ = random.Random(seed)
    spared = {1, 2}
    if spare_roots:
        spared |= {row[0] for row in query(path, "SELECT rootpage FROM sqlite_schema WHERE rootpage > 0")}
    count = path.stat().st_size // 4096
    candidates = [page for page in range(1, count + 1) if page not in spared]
    with path.open("r+b") as file:
        for page in random_.sample(candidates, pages):
            file.seek((page - 1) * 4096)
            file.write(random_.randbytes(4096))


def contents(saver: RustSqliteSaver, thread_id: str) -> list[Any]:
    return [
        (found.config, found.checkpoint, found.metadata, found.parent_config, found.pending_writes)
        for found in saver.list(config_of(thread_id))
    ]


def test_a_whole_file_is_recovered_whole(path: Path, tmp_path: Path) -> None:
    fill(path)
    seen: list[tuple[int, int]] = []
    report = recover(path, tmp_path / "new.db", progress=lambda done, all_: seen.append((done, all_)))
    assert report.lost == ()
    assert (report.threads, report.checkpoints, report.gaps) == (THREADS, THREADS * STEPS, 0)
    assert seen[-1] == (THREADS * STEPS, THREADS * STEPS)
    with RustSqliteSaver(path) as old, RustSqliteSaver(tmp_path / "new.db") as new:
        assert old.format == new.format
        for number in range(THREADS):
            assert contents(new, f"thread-{number:03}") == contents(old, f"thread-{number:03}")


@pytest.mark.compact
@pytest.mark.parametrize("seed", range(5))
def test_twenty_damaged_pages(path: Path, tmp_path: Path, seed: int) -> None:
    fill(path)
    with RustSqliteSaver(path) as saver:
        truth = {f"thread-{number:03}": contents(saver, f"thread-{number:03}") for number in range(THREADS)}
    damage(path, 20, seed, spare_roots=True)
    with RustSqliteSaver(path) as saver:
        verified = saver.verify()
    assert not verified.is_ok
    report = recover(path, tmp_path / "new.db")
    assert set(report.lost_threads) <= set(verified.damaged_threads)
    with RustSqliteSaver(tmp_path / "new.db") as new:
        assert new.verify().is_ok
        saved = {thread_id: contents(new, thread_id) for thread_id in truth}
    whole = {thread_id for thread_id, content in saved.items() if content == truth[thread_id]}
    # All others are saved, and what is lost is named.
    assert whole >= truth.keys() - set(verified.damaged_threads)
    assert whole == truth.keys() - set(report.lost_threads)
    # What is saved of the others is what was there, never a part of a checkpoint.
    for thread_id, content in saved.items():
        known = {str(stored[0]): stored for stored in truth[thread_id]}
        for stored in content:
            assert stored[1:4] == known[str(stored[0])][1:4]
    print(f"seed {seed}: {len(whole)} of {THREADS} threads whole, {report.gaps} gaps")


@pytest.mark.compact
@pytest.mark.parametrize("table", ["checkpoints", "writes", "checkpoint_chunks", "checkpoint_threads"])
def test_a_table_whose_first_page_is_damaged(path: Path, tmp_path: Path, table: str) -> None:
    fill(path)
    with RustSqliteSaver(path) as saver:
        truth = {f"thread-{number:03}": contents(saver, f"thread-{number:03}") for number in range(THREADS)}
    ((root,),) = query(path, "SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,))
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(random.Random(1).randbytes(4096))
    recover(path, tmp_path / "new.db")
    # It holds the way to the rows, and no row itself.
    with RustSqliteSaver(tmp_path / "new.db") as saver:
        assert {thread_id: contents(saver, thread_id) for thread_id in truth} == truth
        assert saver.verify().is_ok


@pytest.mark.interop
@pytest.mark.parametrize("seed", range(2))
def test_twenty_damaged_pages_of_a_file_without_checksums(path: Path, tmp_path: Path, seed: int) -> None:
    fill(path)
    damage(path, 20, seed)
    with RustSqliteSaver(path) as saver:
        damaged = saver.verify().damaged_threads
    assert damaged
    report = recover(path, tmp_path / "new.db")
    assert set(report.lost_threads) <= set(damaged)
    assert report.checkpoints > THREADS * STEPS / 2
    with RustSqliteSaver(tmp_path / "new.db") as new:
        assert new.verify().is_ok


def test_the_target_is_never_overwritten_and_goes_if_it_fails(path: Path, tmp_path: Path) -> None:
    fill(path)
    (tmp_path / "there.db").write_text("")
    with pytest.raises(FileExistsError):
        recover(path, tmp_path / "there.db")
    assert (tmp_path / "there.db").read_text() == ""

    def refuse(_: int, __: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        recover(path, tmp_path / "new.db", progress=refuse)
    assert not (tmp_path / "new.db").exists()
    with pytest.raises(FileNotFoundError):
        recover(tmp_path / "nowhere.db", tmp_path / "new.db")


def test_what_is_no_database(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(DatabaseCorruptError):
        recover(path, tmp_path / "new.db")
    assert not (tmp_path / "new.db").exists()


def test_async(path: Path, tmp_path: Path) -> None:
    fill(path)
    assert asyncio.run(arecover(path, tmp_path / "new.db")).threads == THREADS
