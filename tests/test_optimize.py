"""`optimize`: what lies about goes, what is stored stays, and no statistics are gathered."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from helpers import checkpoint_of, config_of, put_chain, query, schema

from langgraph_checkpoint_rust import RustSqliteSaver

if TYPE_CHECKING:
    from pathlib import Path

    from helpers import Verbs


def fill(saver: RustSqliteSaver, threads: int = 4) -> None:
    for number in range(threads):
        config = config_of(str(number))
        for step in range(1, 4):
            text = os.urandom(20_000).hex()
            config = saver.put(config, checkpoint_of(step, {"text": text}), {"step": step}, {})


def test_it_takes_what_nothing_needs_and_gives_the_space_back(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        fill(saver)
        kept = list(saver.list(config_of("0")))
        saver.delete_threads(["1", "2"])
        # What another tool left behind.
        query(path, "DELETE FROM checkpoints WHERE thread_id = '3'")
        (pages,), before = query(path, "PRAGMA page_count")[0], schema(path)
        seen: list[int] = []
        report = saver.optimize(progress=seen.append)
        assert list(saver.list(None)) == kept
        assert report.pages > 0
        assert (report.free_pages, report.wal_emptied) == (0, True)
        assert os.path.getsize(path) < pages * 4096
        assert os.path.getsize(f"{path}-wal") == 0
        if saver.format == "compact":
            assert report.chunks > 0
            assert seen
        assert schema(path) == before
        again = saver.optimize()
        assert (again.chunks, again.pages) == (0, 0)


def test_no_table_of_statistics_is_made(path: Path) -> None:
    # Statistics of a small file make `DELETE ... WHERE id IN` scan whole tables, and stay as it grows.
    with RustSqliteSaver(path) as saver:
        fill(saver)
        saver.optimize()
    assert query(path, "SELECT name FROM sqlite_schema WHERE name LIKE 'sqlite_stat%'") == []


def test_a_reader_in_the_way_is_told(path: Path) -> None:
    with RustSqliteSaver(path) as saver, RustSqliteSaver(path) as other:
        put_chain(saver, 3)
        listing = other.list(None)
        next(listing)
        # A paused listing holds no transaction, so nothing is in the way.
        assert saver.optimize().wal_emptied


@pytest.mark.compact
def test_what_progress_raises_ends_it(path: Path) -> None:
    def stop(_: int) -> None:
        raise InterruptedError

    with RustSqliteSaver(path) as saver:
        fill(saver)
        listed = list(saver.list(None))
        with pytest.raises(InterruptedError):
            saver.optimize(progress=stop)
        assert list(saver.list(None)) == listed
        assert saver.optimize().wal_emptied


def test_both_colours(saver: Verbs) -> None:
    put_chain(saver, 3)
    report = saver.optimize()
    assert report.chunks == 0
    assert len(saver.list(None)) == 3
