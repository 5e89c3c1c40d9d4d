"""Files of each version of the compact format are read, continued and downgraded by this one."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers import config_of, query
from langgraph.checkpoint.sqlite import SqliteSaver as UpstreamSaver

from langgraph_checkpoint_rust import RustSqliteSaver

GOLDEN = Path(__file__).with_name("golden")
MADE = runpy.run_path(str(GOLDEN / "make_compact.py"))


@pytest.fixture(params=["compact-1.db"])
def golden(request: pytest.FixtureRequest, path: Path) -> Path:
    """A copy of a golden file."""
    shutil.copy(GOLDEN / request.param, path)
    return path


def check(saver: Any) -> None:
    """What was put is there."""
    for thread_id in MADE["SIZES"]:
        found = list(saver.list(config_of(thread_id)))
        assert [tuple_.checkpoint["id"] for tuple_ in found] == [
            MADE["id_of"](number) for number in reversed(range(MADE["LENGTH"]))
        ]
        for number, tuple_ in enumerate(reversed(found)):
            assert tuple_.checkpoint == MADE["checkpoint_of"](thread_id, number)
            assert tuple_.metadata == MADE["metadata_of"](number)
            channel, value = MADE["write_of"](thread_id, number)
            assert tuple_.pending_writes == [(MADE["TASK"], channel, value)]


def test_it_holds_every_kind_of_chunk(golden: Path) -> None:
    assert query(golden, "SELECT DISTINCT kind FROM checkpoint_chunks ORDER BY 1") == [(0,), (1,), (2,)]


@pytest.mark.parametrize("read_only", [False, True])
def test_it_is_read_as_it_was_written(golden: Path, read_only: bool) -> None:
    before = golden.read_bytes()
    with RustSqliteSaver(golden, read_only=read_only, journal_mode="DELETE") as saver:
        check(saver)
        assert saver.verify().is_ok
        thread = saver.get_thread("chat")
        assert thread is not None
        assert (thread.title, thread.metadata, thread.checkpoints) == ("A title", {"customer": 7}, 8)
    assert golden.read_bytes() == before


def test_it_is_continued_pruned_and_downgraded(golden: Path) -> None:
    with RustSqliteSaver(golden) as saver:
        config: Any = config_of("large", checkpoint_id=MADE["id_of"](MADE["LENGTH"] - 1))
        saver.put(config, MADE["checkpoint_of"]("large", MADE["LENGTH"]), {}, {})
        chunks = query(golden, "SELECT count(*) FROM checkpoint_chunks")
        saver.delete_for_runs(["run-0"])
        assert len(list(saver.list(config_of("chat")))) == 4
        assert query(golden, "SELECT count(*) FROM checkpoint_chunks") < chunks
        assert saver.verify().damaged == ()
        left = [list(saver.list(config_of(thread_id))) for thread_id in MADE["SIZES"]]
        saver.downgrade()
    with UpstreamSaver.from_conn_string(str(golden)) as theirs:
        assert [list(theirs.list(config_of(thread_id))) for thread_id in MADE["SIZES"]] == left
