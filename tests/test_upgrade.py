"""`upgrade`, `downgrade`: nothing changes but the format. `compact`: nothing changes but the size."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from helpers import checkpoint_of, config_of, query, rows, run_python, schema
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.sqlite import SqliteSaver as UpstreamSaver
from langgraph.graph import START, MessagesState, StateGraph

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.errors import DatabaseCorruptError, DiskFullError, SchemaVersionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from helpers import Verbs

TURNS = 12


def chat(saver: Any, thread_id: str, turns: int = TURNS, *, start: int = 0) -> None:
    """A conversation of long messages."""

    def answer(state: MessagesState) -> dict[str, Any]:
        count = len(state["messages"])
        return {"messages": [AIMessage(f"answer {count} " * (count % 60 + 5), id=f"a{count}")]}

    graph = StateGraph(MessagesState).add_node(answer).add_edge(START, "answer").compile(checkpointer=saver)
    for turn in range(start, start + turns):
        message = HumanMessage(f"question {turn} " * (turn % 40 + 5), id=f"q{turn}")
        graph.invoke({"messages": [message]}, config_of(thread_id))


def tables(path: Path) -> list[list[tuple[Any, ...]]]:
    return [rows(path, "checkpoints"), rows(path, "writes")]


@pytest.fixture
def upstreams(path: Path) -> Path:
    """A file that upstream wrote."""
    with UpstreamSaver.from_conn_string(str(path)) as saver:
        for thread_id in ("1", "2"):
            chat(saver, thread_id)
    return path


@pytest.mark.interop
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_there_and_back_again(upstreams: Path, compression: Any, tmp_path: Path) -> None:
    before, made = tables(upstreams), schema(upstreams)
    calls: list[tuple[int, int]] = []
    with RustSqliteSaver(upstreams, compression=compression) as saver:
        listed = list(saver.list(None))
        assert saver.format == "interop"
        saver.upgrade(backup=tmp_path / "backup.db", progress=lambda done, total: calls.append((done, total)))
        assert (saver.format, "format='compact'" in repr(saver)) == ("compact", True)
        assert calls[-1][0] == calls[-1][1] == len(before[0]) + len(before[1])
        assert list(saver.list(None)) == listed
        assert saver.verify().is_ok
        assert {row[4] for row in query(upstreams, "SELECT * FROM checkpoints")} == {"chunked"}
        chat(saver, "1", 2, start=TURNS)
        chat(saver, "3", 2)
        saver.delete_thread("3")
        continued = list(saver.list(None))
        saver.downgrade()
        assert saver.format == "interop"
        assert list(saver.list(None)) == continued
    assert tables(tmp_path / "backup.db") == before
    after = tables(upstreams)
    assert all(set(old) <= set(new) for old, new in zip(before, after, strict=True))
    # AUTOINCREMENT leaves its table behind: SQLite lets nobody drop it.
    assert [row for row in schema(upstreams) if row[0] != "table" or row[1] != "sqlite_sequence"] == made
    with UpstreamSaver.from_conn_string(str(upstreams)) as theirs:
        assert [found.checkpoint for found in theirs.list(None)] == [found.checkpoint for found in continued]
        chat(theirs, "1", 1, start=TURNS + 2)


@pytest.mark.interop
def test_an_upgrade_makes_the_file_smaller(upstreams: Path) -> None:
    before = os.path.getsize(upstreams)
    with RustSqliteSaver(upstreams) as saver:
        saver.upgrade(vacuum=False, backup=False)
        found = saver.compact()
        assert (found["can_shrink"], found["pages"]) == (False, 0)
        assert found["free_pages"] > 0
        assert saver.compact(full=True)["free_pages"] == 0
        chat(saver, "3")
        saver.delete_thread("3")
        assert saver.compact()["can_shrink"]
    assert os.path.getsize(upstreams) < before


@pytest.mark.parametrize("verb", ["upgrade", "downgrade"])
def test_both_verbs_again_change_nothing(saver: Verbs, verb: str) -> None:
    saver.put(config_of(), checkpoint_of(1, {"text": "x" * 9_000}), {"step": 1}, {})
    listed = saver.list(None)
    for _ in range(2):
        getattr(saver, verb)()
        assert saver.list(None) == listed
        assert saver.saver.format == {"upgrade": "compact", "downgrade": "interop"}[verb]


def backups(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.before-*"))


@pytest.mark.interop
def test_a_conversion_makes_a_backup_beside_the_file(upstreams: Path, tmp_path: Path) -> None:
    before = tables(upstreams)
    with RustSqliteSaver(upstreams) as saver:
        report = saver.upgrade()
        assert (report.format, report.rows) == ("compact", len(before[0]) + len(before[1]))
        assert report.backup is not None
        assert backups(upstreams) == [report.backup]
        assert ".before-upgrade-" in report.backup.name
        assert tables(report.backup) == before
        # It is compact already: there is nothing to go back to.
        assert saver.upgrade().backup is None
        assert saver.upgrade(backup=tmp_path / "mine.db").backup == tmp_path / "mine.db"
        made = saver.downgrade().backup
        assert made is not None
        assert ".before-downgrade-" in made.name
        with RustSqliteSaver(made, format="auto") as old:
            assert old.format == "compact"
        assert saver.upgrade(backup=False).backup is None
        assert backups(upstreams) == sorted([report.backup, made])


@pytest.mark.interop
def test_a_conversion_that_is_gone_on_with_makes_no_second_backup(upstreams: Path) -> None:
    with RustSqliteSaver(upstreams) as saver:
        with pytest.raises(_Stop):
            saver.upgrade(progress=_raise)
        assert saver.upgrade().backup is None
        assert len(backups(upstreams)) == 1
        if not _is_stopped(saver):
            return
        assert saver.downgrade().backup is None
        assert len(backups(upstreams)) == 2


def _is_stopped(saver: RustSqliteSaver) -> bool:
    """Whether a downgrade was stopped half-way; it may be over in its first slice."""
    with pytest.raises(_Stop):
        saver.downgrade(progress=_raise)
    return saver.format == "downgrading"


@pytest.mark.interop
def test_the_backup_counts_when_the_disk_is_looked_at(
    upstreams: Path, make_saver: Callable[..., RustSqliteSaver], monkeypatch: pytest.MonkeyPatch
) -> None:
    saver = make_saver()
    before, size = tables(upstreams), upstreams.stat().st_size
    usage = type("Usage", (), {"free": 2 * size})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(DiskFullError, match="nothing was changed"):
        saver.upgrade()
    assert backups(upstreams) == []
    assert tables(upstreams) == before
    saver.upgrade(backup=False)


class _Stop(Exception):
    pass


@pytest.mark.interop
@pytest.mark.parametrize("verb", ["upgrade", "downgrade"])
def test_a_conversion_that_stops_half_way_is_gone_on_with(
    upstreams: Path, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RustSqliteSaver(upstreams) as saver:
        if verb == "downgrade":
            saver.upgrade()
        listed = list(saver.list(None))

        def stop(done: int, total: int) -> None:
            raise _Stop

        with pytest.raises(_Stop):
            getattr(saver, verb)(progress=stop)
        assert list(saver.list(None)) == listed
        chat(saver, "3", 1)
        saver.delete_thread("3")
        getattr(saver, verb)()
        assert list(saver.list(None)) == listed


@pytest.mark.interop
def test_another_process_goes_on_while_the_file_is_upgraded(upstreams: Path) -> None:
    with RustSqliteSaver(upstreams) as old:
        chat(old, "4", 1)
        run_python(
            "import sys; from langgraph_checkpoint_rust import RustSqliteSaver as S; S(sys.argv[1]).upgrade()",
            upstreams,
        )
        chat(old, "4", 1, start=1)
        assert old.format == "compact"
        kinds = query(upstreams, "SELECT DISTINCT type FROM checkpoints")
        assert kinds == [("chunked",)]


@pytest.mark.compact
def test_a_downgraded_file_takes_no_copies_until_the_end(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        chat(saver, "1")
        with pytest.raises(_Stop):
            saver.downgrade(progress=_raise)
        if saver.format == "downgrading":
            with pytest.raises(ValueError, match=r"downgrade\(\)"):
                saver.copy_thread("1", "2")
        saver.downgrade()
        saver.copy_thread("1", "2")


def _raise(done: int, total: int) -> None:
    raise _Stop


@pytest.mark.interop
def test_a_full_disk_is_seen_before_anything_changes(
    upstreams: Path, make_saver: Callable[..., RustSqliteSaver], monkeypatch: pytest.MonkeyPatch
) -> None:
    saver = make_saver()
    before = tables(upstreams)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1_000}))
    with pytest.raises(DiskFullError, match="nothing was changed"):
        saver.upgrade()
    assert saver.format == "interop"
    assert tables(upstreams) == before


@pytest.mark.compact
def test_a_file_of_a_version_to_come_is_left_alone(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        chat(saver, "1", 1)
    query(path, "UPDATE checkpoint_meta SET value = '2' WHERE key = 'min_writer'")
    with RustSqliteSaver(path) as saver, pytest.raises(SchemaVersionError, match="version 2"):
        saver.downgrade()


@pytest.mark.compact
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_what_the_state_costs(path: Path, compression: Any) -> None:
    with RustSqliteSaver(path, compression=compression) as saver:
        for thread_id in ("1", "2"):
            chat(saver, thread_id, 20)
        whole, one = saver.stats(by="channel"), saver.stats("1")
        stored = query(path, "SELECT count(*), sum(length(data)) FROM checkpoint_chunks")[0]
        recipes = query(path, "SELECT sum(length(checkpoint)), count(*) FROM checkpoints")[0]
        assert whole["chunks"] == stored[0]
        assert whole["stored_bytes"] == stored[1] + recipes[0]
        assert whole["checkpoints"] == recipes[1] == 2 * one["checkpoints"]
        logical = [len(saver.serde.dumps_typed(found.checkpoint)[1]) for found in saver.list(None)]
        assert whole["logical_bytes"] == sum(logical)
        live = [saver.get_tuple(config_of(thread_id)) for thread_id in ("1", "2")]
        sizes = [len(saver.serde.dumps_typed(found.checkpoint)[1]) for found in live if found]
        assert whole["live_bytes"] == sum(sizes)
        assert whole["ratio"] > 3
        assert whole["channels"]["messages"]["chunks"] == whole["chunks"]
        assert one["channels"].keys() == whole["channels"].keys()


def test_what_interop_rows_cost(path: Path) -> None:
    with RustSqliteSaver(path, format="interop") as saver:
        chat(saver, "1", 3)
        costs = saver.stats(by="channel")
        stored = query(path, "SELECT sum(length(checkpoint)) FROM checkpoints")[0][0]
        assert (costs["stored_bytes"], costs["logical_bytes"], costs["ratio"]) == (stored, stored, 1.0)


@pytest.mark.compact
def test_compact_takes_what_nothing_refers_to(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        chat(saver, "1")
        chat(saver, "2")
        listed = list(saver.list(config_of("2")))
        assert saver.compact()["chunks"] == 0
        for table in ("checkpoints", "writes"):
            query(path, f"DELETE FROM {table} WHERE thread_id = '1'")
        calls: list[int] = []
        assert saver.compact(progress=calls.append)["chunks"] > 0
        assert calls
        assert list(saver.list(None)) == listed
        (threads,) = query(path, "SELECT count(DISTINCT thread_no) FROM checkpoint_chunks")
        assert threads == (1,)


@pytest.mark.compact
@pytest.mark.parametrize("column", ["metadata", "parent_checkpoint_id"])
def test_what_other_code_changed_is_damage(path: Path, column: str) -> None:
    with RustSqliteSaver(path) as saver:
        chat(saver, "1", 1)
        query(path, f"UPDATE checkpoints SET {column} = '{{}}' WHERE thread_id = '1'")
        with pytest.raises(DatabaseCorruptError, match="thread `1`"):
            saver.get_tuple(config_of("1"))
