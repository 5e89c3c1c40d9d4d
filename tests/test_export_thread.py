"""`export_thread` and `import_thread`: a thread in a file of its own, byte for byte, and back."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from helpers import OTHER_TASK, TASK, Verbs, checkpoint_of, config_of, id_of, put_chain, query, rows
from langgraph.checkpoint.sqlite import SqliteSaver as UpstreamSaver

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.errors import DatabaseCorruptError, DatabaseOpenError
from langgraph_checkpoint_rust.reports import TransferReport


def fill(saver: Any, thread_id: str = "1") -> None:
    """Two namespaces, writes with paths and special channels, and writes whose checkpoint is to come."""
    configs = put_chain(saver, 6, thread_id) + put_chain(saver, 3, thread_id, "sub:x")
    for config in configs:
        saver.put_writes(config, [("b", {"x": 1}), ("a", None), ("__interrupt__", ["?"])], OTHER_TASK, "~a")
        saver.put_writes(config, [("a", b"bytes")], TASK, "~b")
    saver.put_writes(config_of(thread_id, "", id_of(99)), [("early", 1)], TASK)


FILLED = TransferReport(threads=1, checkpoints=9, writes=37)


def test_a_thread_survives_the_way_there_and_back(saver: Verbs, tmp_path: Path) -> None:
    fill(saver)
    put_chain(saver, 2, "other")
    target = tmp_path / "sub" / "thread.db"
    assert saver.export_thread("1", target) == FILLED
    assert os.listdir(target.parent) == ["thread.db"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert saver.import_thread(target, thread_id="2") == FILLED
    for checkpoint_ns in ("", "sub:x"):
        pairs = zip(
            saver.list(config_of("1", checkpoint_ns)), saver.list(config_of("2", checkpoint_ns)), strict=True
        )
        for one, two in pairs:
            assert one.checkpoint == two.checkpoint
            assert one.metadata == two.metadata
            assert one.pending_writes == two.pending_writes
    assert len(saver.list(config_of("other"))) == 2


@pytest.mark.interop
def test_rows_are_the_same_byte_for_byte(path: Path, tmp_path: Path) -> None:
    """Those of upstream too, whatever their type tags."""
    with UpstreamSaver.from_conn_string(str(path)) as theirs:
        fill(theirs)
    query(path, "UPDATE checkpoints SET type = 'unheard-of' WHERE rowid = 1")
    target = tmp_path / "thread.db"
    with RustSqliteSaver(path) as saver:
        assert saver.export_thread("1", target) == FILLED
    for table in ("checkpoints", "writes"):
        assert rows(target, table) == rows(path, table)
    with RustSqliteSaver(tmp_path / "new.db") as saver:
        assert saver.import_thread(target) == FILLED
    for table in ("checkpoints", "writes"):
        assert rows(tmp_path / "new.db", table) == rows(path, table)


def test_a_long_thread_goes_page_by_page(path: Path, tmp_path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        for number in range(700):
            saver.put(config_of(), checkpoint_of(number, {"text": "x" * 30_000}), {}, {})
        assert saver.export_thread("1", tmp_path / "thread.db").checkpoints == 700
        assert saver.import_thread(tmp_path / "thread.db", thread_id="2").checkpoints == 700
        assert len(list(saver.list(config_of("2")))) == 700


def test_an_unknown_thread_or_an_existing_file_is_refused(saver: Verbs, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        saver.export_thread("nobody", tmp_path / "thread.db")
    assert not (tmp_path / "thread.db").exists()
    fill(saver)
    (tmp_path / "thread.db").write_text("precious")
    with pytest.raises(FileExistsError):
        saver.export_thread("1", tmp_path / "thread.db")
    assert (tmp_path / "thread.db").read_text() == "precious"


def test_an_existing_thread_is_refused_or_replaced(saver: Verbs, tmp_path: Path) -> None:
    fill(saver)
    saver.export_thread("1", tmp_path / "thread.db")
    before = saver.list(None)
    with pytest.raises(ValueError, match="exists"):
        saver.import_thread(tmp_path / "thread.db")
    put_chain(saver, 20, "1", start=50)
    with pytest.raises(ValueError, match="on_existing"):
        saver.import_thread(tmp_path / "thread.db", on_existing="merge")
    assert saver.import_thread(tmp_path / "thread.db", on_existing="replace") == FILLED
    assert saver.list(None) == before


def test_a_file_that_cannot_be_imported(saver: Verbs, tmp_path: Path) -> None:
    put_chain(saver, 2)
    (tmp_path / "text.db").write_text("no database " * 500)
    RustSqliteSaver(tmp_path / "empty.db").setup()
    with RustSqliteSaver(tmp_path / "two.db") as two:
        put_chain(two, 1, "1")
        put_chain(two, 1, "2")
    for name, error in [
        ("text.db", DatabaseCorruptError),
        ("missing.db", DatabaseOpenError),
        ("empty.db", ValueError),
        ("two.db", ValueError),
    ]:
        with pytest.raises(error):
            saver.import_thread(tmp_path / name, thread_id="3")
    assert not (tmp_path / "missing.db").exists()
    assert len(saver.list(None)) == 2


def test_a_file_that_is_damaged_leaves_nothing_and_replaces_nothing(saver: Verbs, tmp_path: Path) -> None:
    target = tmp_path / "thread.db"
    with RustSqliteSaver(":memory:") as source:
        for number in range(600):
            source.put(config_of(), checkpoint_of(number, {"text": "x" * 500}), {}, {})
        source.export_thread("1", target)
    query(target, f"UPDATE checkpoints SET checkpoint = 5 WHERE checkpoint_id = '{id_of(550)}'")
    put_chain(saver, 3)
    before = saver.list(None)
    with pytest.raises(DatabaseCorruptError):
        saver.import_thread(target, thread_id="2")
    assert saver.list(None) == before
    with pytest.raises(DatabaseCorruptError):
        saver.import_thread(target, on_existing="replace")
    assert saver.list(None) == before


def test_an_export_is_verified_and_read_only(saver: Verbs, tmp_path: Path) -> None:
    fill(saver)
    target = tmp_path / "thread.db"
    saver.export_thread("1", target)
    target.chmod(0o400)
    content = target.read_bytes()
    saver.import_thread(target, thread_id="2")
    with RustSqliteSaver(target, read_only=True) as exported:
        assert exported.verify().is_ok
    assert target.read_bytes() == content


def test_any_database_with_one_thread_is_imported(saver: Verbs, tmp_path: Path) -> None:
    """Also while its own saver has it open."""
    with UpstreamSaver.from_conn_string(str(tmp_path / "theirs.db")) as theirs:
        fill(theirs)
    with RustSqliteSaver(tmp_path / "ours.db") as ours:
        fill(ours)
        assert saver.import_thread(tmp_path / "ours.db", thread_id="ours") == FILLED
    assert saver.import_thread(tmp_path / "theirs.db", thread_id="theirs") == FILLED
    assert saver.verify().is_ok
