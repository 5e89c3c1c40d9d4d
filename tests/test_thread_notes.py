"""What users said of a thread goes where the thread goes: all of it to another place, its name to a copy."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aged import put_aged
from helpers import put_chain, query

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RetentionPolicy, RustSqliteSaver
from langgraph_checkpoint_rust.recovery import recover

if TYPE_CHECKING:
    from pathlib import Path

    from helpers import Verbs

HOUR = 3600.0
COLUMNS = "title, metadata, archived, pinned, ttl"
SAID = ("A title", '{"tag": "x"}', 1, 1, 60 * 60 * 1000)


def say(saver: Any, thread_id: str = "1") -> None:
    put_chain(saver, 2, thread_id)
    saver.set_thread(thread_id, title="A title", metadata={"tag": "x"})
    saver.set_ttl(thread_id, 60)
    saver.pin_thread(thread_id)
    saver.archive_thread(thread_id)


def said(path: Path, thread_id: str = "1") -> Any:
    found = query(path, f"SELECT {COLUMNS} FROM checkpoint_threads WHERE thread_id = ?", (thread_id,))
    return found[0] if found else None


def test_an_export_carries_it_and_an_import_takes_it(path: Path, tmp_path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        say(saver)
        saver.export_thread("1", tmp_path / "thread.db")
        assert said(tmp_path / "thread.db") == SAID
        saver.import_thread(tmp_path / "thread.db", thread_id="2")
        assert said(path, "2") == SAID
        # A thread of which nothing was said makes no table in the file.
        put_chain(saver, 1, "plain")
        saver.export_thread("plain", tmp_path / "plain.db")
        tables = query(tmp_path / "plain.db", "SELECT name FROM sqlite_schema WHERE type = 'table'")
        assert sorted(tables) == [("checkpoints",), ("writes",)]


def test_an_import_that_replaces_a_thread_leaves_nothing_of_the_old_one(path: Path, tmp_path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 1)
        saver.set_thread("1", title="A title")
        saver.export_thread("1", tmp_path / "thread.db")
        saver.set_thread("1", title="", metadata={"tag": "y"})
        saver.pin_thread("1")
        saver.import_thread(tmp_path / "thread.db", on_existing="replace")
        assert said(path) == ("A title", None, 0, 0, None)


@pytest.mark.parametrize("twin", ["copy_from", "acopy_from"])
def test_copy_from_a_saver_of_this_package_takes_it(path: Path, tmp_path: Path, twin: str) -> None:
    with RustSqliteSaver(path) as other, RustSqliteSaver(tmp_path / "new.db") as saver:
        say(other)
        put_chain(other, 1, "plain")
        if twin == "copy_from":
            saver.copy_from(other)
            saver.copy_from(other)
        else:
            asyncio.run(saver.acopy_from(AsyncRustSqliteSaver(path)))
        assert said(tmp_path / "new.db") == SAID
        assert said(tmp_path / "new.db", "plain") in [None, (None, None, 0, 0, None)]
        # What is said later replaces what was said before; what is not said stays.
        other.set_thread("1", title="Another")
        saver.set_thread("1", metadata={"tag": "mine"})
        other.set_thread("1", metadata={})
        saver.copy_from(other)
        assert said(tmp_path / "new.db")[:2] == ("Another", '{"tag": "mine"}')


def test_a_copy_gets_the_name_and_lives_as_any_other(saver: Verbs) -> None:
    say(saver)
    saver.copy_thread("1", "2")
    copy = saver.get_thread("2")
    assert (copy.title, copy.metadata, copy.archived, copy.pinned) == ("A title", {"tag": "x"}, False, False)
    assert [thread.thread_id for thread in saver.list_threads()] == ["2"]
    saver.unpin_thread("1")
    report = saver.apply_retention(RetentionPolicy(keep_last=1))
    assert {thread.thread_id for thread in report.threads} == {"1", "2"}


def test_a_copy_keeps_a_name_of_its_own_unless_it_is_replaced(saver: Verbs) -> None:
    say(saver)
    put_chain(saver, 1, "2")
    saver.set_thread("2", title="Mine")
    saver.copy_thread("1", "2", last=1)
    assert (saver.get_thread("2").title, saver.get_thread("2").metadata) == ("Mine", {"tag": "x"})
    saver.copy_thread("1", "2", on_existing="replace")
    assert saver.get_thread("2").title == "A title"


def test_nothing_said_adds_no_table_to_an_interop_file(tmp_path: Path) -> None:
    with RustSqliteSaver(tmp_path / "interop.db", format="interop") as saver:
        put_chain(saver, 1)
        saver.copy_thread("1", "2")
        saver.copy_from(RustSqliteSaver(":memory:"))
    tables = query(tmp_path / "interop.db", "SELECT name FROM sqlite_schema WHERE type = 'table'")
    assert sorted(tables) == [("checkpoints",), ("writes",)]


def test_recover_saves_it(path: Path, tmp_path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        say(saver)
    recover(path, tmp_path / "new.db")
    assert said(tmp_path / "new.db") == SAID


def test_the_archive_gets_all_but_the_time_to_live_that_is_over(path: Path, tmp_path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        put_aged(saver, [9 * HOUR, 8 * HOUR], "1")
        saver.set_thread("1", title="A title", metadata={"tag": "x"})
        saver.archive_thread("1")
        saver.set_ttl("1", 0.0001)
        policy = RetentionPolicy(thread_idle_for=HOUR, archive_to=tmp_path / "archive.db")
        assert len(saver.apply_retention(policy, dry_run=False).threads) == 1
    assert said(tmp_path / "archive.db") == ("A title", '{"tag": "x"}', 1, 0, None)
    with RustSqliteSaver(tmp_path / "archive.db", format="auto", ttl={"default_ttl": 24 * 60}) as archive:
        assert len(list(archive.list(None))) == 2
