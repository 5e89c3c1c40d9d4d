"""`repair`: what nothing can need goes; what may be needed stays."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from helpers import TASK, Verbs, checkpoint_of, config_of, id_of, put_chain, query
from langgraph.checkpoint.base import empty_checkpoint

from langgraph_checkpoint_rust import RustSqliteSaver

if TYPE_CHECKING:
    from pathlib import Path

OLD = id_of(7)
"""Made in 2023, as its first digits tell."""


def test_nothing_to_do(saver: Verbs) -> None:
    put_chain(saver, 3)
    report = saver.repair()
    assert (report.chunks, report.writes, report.unread_threads) == (0, 0, ())
    assert len(saver.list(None)) == 3


def test_writes_whose_checkpoint_never_came_go(saver: Verbs) -> None:
    put_chain(saver, 2)
    saver.put_writes(config_of("1", "", OLD), [("a", 1), ("b", 2)], TASK)
    saver.put_writes(config_of("2", "ns", OLD), [("a", 1)], TASK)
    assert saver.repair().writes == 3
    assert saver.verify().writes == 0
    assert len(saver.list(None)) == 2


def test_writes_that_may_be_live_stay(saver: Verbs) -> None:
    # Of a checkpoint that is still to come.
    saver.put_writes(config_of("1", "", empty_checkpoint()["id"]), [("a", 1)], TASK)
    # Of an old one, in a thread that goes on.
    saver.put_writes(config_of("2", "", OLD), [("a", 1)], TASK)
    saver.put(config_of("2"), empty_checkpoint(), {}, {})
    # Of one whose id tells no time.
    saver.put_writes(config_of("3", "", "0001"), [("a", 1)], TASK)
    assert saver.repair().writes == 0
    assert saver.verify().writes == 3


@pytest.mark.compact
def test_rows_of_threads_are_made_anew(path: Path) -> None:
    state = {"text": "many words " * 1000}
    with RustSqliteSaver(path) as saver:
        config = saver.put(config_of("1"), checkpoint_of(1, state), {}, {})
        saver.put(config_of("2"), checkpoint_of(1, {"text": "others " * 1000}), {}, {})
        before = saver.get_thread("1")
    query(path, "DELETE FROM checkpoint_threads WHERE thread_id = '1'")
    with RustSqliteSaver(path) as saver:
        report = saver.verify()
        assert any("belong to no thread" in line for line in report.integrity)
        assert saver.repair().threads == 1
        assert saver.verify().is_ok
        after = saver.get_thread("1")
        assert before is not None
        assert after is not None
        assert (after.checkpoints, after.bytes) == (before.checkpoints, before.bytes)
        saver.put(config, checkpoint_of(2, state), {}, {})
        ((leaves,),) = query(path, "SELECT count(DISTINCT thread_no) FROM checkpoint_chunks")
        assert leaves == 2
        saver.delete_thread("1")
        assert saver.verify().orphan_chunks == ()


@pytest.mark.compact
def test_chunks_that_belong_to_nobody_go(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        saver.put(config_of("1"), checkpoint_of(1, {"text": "many words " * 1000}), {}, {})
        saver.put(config_of("2"), checkpoint_of(1, {"text": "other words " * 1000}), {}, {})
    query(path, "DELETE FROM checkpoints WHERE thread_id = '1'")
    query(path, "DELETE FROM checkpoint_threads WHERE thread_id = '1'")
    query(path, "DELETE FROM checkpoints WHERE thread_id = '2'")
    with RustSqliteSaver(path) as saver:
        report = saver.verify()
        assert [found.thread_id for found in report.orphan_chunks] == ["2"]
        assert saver.repair().chunks >= 2
        assert saver.verify().is_ok
        assert query(path, "SELECT count(*) FROM checkpoint_chunks") == [(0,)]


def test_time_of_an_old_id() -> None:
    # The 24 hours are of the id, so the constant must be old.
    ticks = int(OLD[:8] + OLD[9:13] + OLD[15:18], 16)
    assert (ticks - 0x01B21DD213814000) / 1e7 < time.time() - 86400


@pytest.mark.compact
def test_a_thread_that_cannot_be_read_keeps_all_it_has_and_is_named(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        for thread_id in ("1", "2"):
            saver.put(config_of(thread_id), checkpoint_of(1, {"text": "many words " * 1000}), {}, {})
    query(path, "UPDATE checkpoints SET checkpoint = x'00' WHERE thread_id = '1'")
    # Chunks that nothing refers to, of both.
    query(
        path,
        "INSERT INTO checkpoint_chunks (thread_no, kind, hash, checksum, data) "
        "SELECT thread_no, 0, randomblob(16), 0, x'00' FROM checkpoint_threads",
    )
    ((before,),) = query(path, "SELECT count(*) FROM checkpoint_chunks")
    with RustSqliteSaver(path) as saver:
        report = saver.repair()
        assert (report.chunks, report.unread_threads) == (1, ("1",))
        assert saver.verify().damaged_threads == ("1",)
    assert query(path, "SELECT count(*) FROM checkpoint_chunks") == [(before - 1,)]
