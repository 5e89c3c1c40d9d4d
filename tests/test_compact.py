"""The compact format: what is stored in parts is what was put, whatever happened in between."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from helpers import TASK, checkpoint_of, config_of, id_of, ids, query, run_python, start_python
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver as UpstreamSaver
from oracle import finish
from pydantic import BaseModel

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.errors import DatabaseCorruptError, SchemaVersionError


class Note(BaseModel):
    text: str
    number: int


def element(kind: str, number: int) -> Any:
    """Element `number` of a channel; its length differs from its neighbours'."""
    text = f"{kind} {number} " * (number % 23 + 1)
    if kind == "messages":
        return (HumanMessage if number % 2 else AIMessage)(text, id=str(number))
    return Note(text=text, number=number) if kind == "models" else text


KINDS = ["items", "messages", "models", "text", "bytes", "table"]


def value_of(kind: str, numbers: list[int]) -> Any:
    """A channel's value that consists of these elements."""
    elements = [element(kind, number) for number in numbers]
    if kind == "text":
        return "".join(elements)
    if kind == "bytes":
        return "".join(elements).encode()
    return dict(zip(map(str, numbers), elements, strict=True)) if kind == "table" else elements


edits = st.tuples(
    st.sampled_from(["append", "append", "drop", "cut", "insert", "replace", "clear", "reverse"]),
    st.integers(0, 400),
    st.integers(1, 150),
)


def edited(numbers: list[int], edit: tuple[str, int, int], fresh: int) -> list[int]:
    """The elements after one edit; new ones are numbered from `fresh` on."""
    verb, at, count = edit
    at %= len(numbers) + 1
    new = list(range(fresh, fresh + count))
    return {
        "append": numbers + new,
        "drop": numbers[count:],
        "cut": numbers[:at],
        "insert": numbers[:at] + new + numbers[at:],
        "replace": numbers[:at] + new[:1] + numbers[at + 1 :],
        "clear": [],
        "reverse": numbers[::-1],
    }[verb]


class Recording(JsonPlusSerializer):
    """Keeps the bytes that it is given to read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[tuple[str, bytes]] = []

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        self.read.append((data[0], bytes(data[1])))
        return super().loads_typed(data)


def versioned(number: int, values: dict[str, Any]) -> Any:
    """A checkpoint each of whose channels is new: the saver in memory keeps channels by version."""
    return checkpoint_of(number, values, channel_versions=dict.fromkeys(values, f"{number:032}.5"))


@given(st.lists(st.tuples(st.sampled_from(KINDS), edits, st.booleans()), min_size=1, max_size=25))
def test_what_is_read_is_what_upstream_would_have_stored(steps: list[Any]) -> None:
    state: dict[str, list[int]] = {"items": list(range(100)), "messages": list(range(40))}
    memory, reading, written = InMemorySaver(), Recording(), {}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "checkpoints.db"
        saver = RustSqliteSaver(path)
        for number, (kind, edit, forgets) in enumerate(steps, start=1):
            state[kind] = edited(state.get(kind, []), edit, number * 1000)
            if forgets:
                # A saver that begins knows no previous encoding.
                saver.close()
                saver = RustSqliteSaver(path)
            checkpoint = versioned(number, {name: value_of(name, state[name]) for name in state})
            for each in (saver, memory):
                stored = each.put(config_of(), checkpoint, {"step": number}, checkpoint["channel_versions"])
                each.put_writes(stored, [(kind, checkpoint["channel_values"][kind])], TASK)
            written[id_of(number)] = JsonPlusSerializer().dumps_typed(checkpoint)
            latest, expected = saver.get_tuple(config_of()), memory.get_tuple(config_of())
            assert latest is not None
            assert expected is not None
            assert latest.checkpoint == expected.checkpoint
            assert latest.pending_writes == expected.pending_writes
        saver.close()
        assert {row[0] for row in query(path, "SELECT type FROM checkpoints")} == {"chunked"}
        with RustSqliteSaver(path, serde=reading) as raw:
            for checkpoint_id, blob in written.items():
                reading.read.clear()
                raw.get_tuple(config_of(checkpoint_id=checkpoint_id))
                assert reading.read[0] == blob
            assert len(list(raw.list(None))) == len(written)


def items(count: int, first: int = 0) -> list[str]:
    """Some 200 bytes each."""
    return [f"item {number} ".ljust(200, "abcdefg hijkl"[number % 13]) for number in range(first, count)]


def put(saver: Any, number: int, values: Any, thread_id: str = "1", **metadata: Any) -> Any:
    return saver.put(config_of(thread_id), checkpoint_of(number, {"items": values}), metadata, {})


def items_of(saver: Any, thread_id: str = "1", number: int | None = None) -> Any:
    config = config_of(thread_id, checkpoint_id=None if number is None else id_of(number))
    return saver.get_tuple(config).checkpoint["channel_values"]["items"]


def chunk_count(path: Path) -> int:
    return int(query(path, "SELECT count(*) FROM checkpoint_chunks")[0][0])


def orphan_count(saver: RustSqliteSaver, thread_id: str = "1") -> int:
    return len(saver._store.backend.garbage(thread_id).wait())


def test_history_costs_what_changed(path: Path, make_saver: Any) -> None:
    saver = make_saver()
    for number in range(1, 201):
        put(saver, number, items(number * 2))
    assert [len(items_of(saver, number=number)) for number in (1, 100, 200)] == [2, 200, 400]
    saver.close()
    assert sum(path.with_name(path.name + end).stat().st_size for end in [""]) < 1_500_000


def test_an_unchanged_state_stores_no_chunk_again(path: Path, make_saver: Any) -> None:
    saver = make_saver()
    put(saver, 1, items(300))
    before = chunk_count(path)
    assert before > 5
    put(saver, 2, items(300))
    put(make_saver(), 3, items(300))
    assert chunk_count(path) == before


def test_chunks_never_cross_threads(path: Path, make_saver: Any) -> None:
    saver = make_saver()
    for thread in ("1", "2"):
        put(saver, 1, items(300), thread)
    per_thread = query(path, "SELECT count(*) FROM checkpoint_chunks GROUP BY thread_no")
    assert len(per_thread) == 2
    assert len(set(per_thread)) == 1
    saver.delete_thread("1")
    assert chunk_count(path) == per_thread[0][0]
    assert items_of(saver, "2") == items(300)


WRITER = """
import sys
from test_compact import items, put
from langgraph_checkpoint_rust import RustSqliteSaver
with RustSqliteSaver(sys.argv[1], busy_timeout=60) as saver:
    for number in range(40):
        put(saver, number * 2 + int(sys.argv[2]), items(50 + number * 5))
"""


def test_two_processes_write_the_same_thread(path: Path) -> None:
    processes = [start_python(WRITER, path, number) for number in range(2)]
    for process in processes:
        finish(process, 0)
    with RustSqliteSaver(path) as saver:
        assert len(list(saver.list(None))) == 80
        for number in range(80):
            assert items_of(saver, number=number) == items(50 + number // 2 * 5)
        assert orphan_count(saver) == 0


ELSEWHERE = """
import sys
from test_compact import items, put
from langgraph_checkpoint_rust import RustSqliteSaver
with RustSqliteSaver(sys.argv[1]) as saver:
    exec(sys.argv[2])
"""
REMOVALS = {
    "delete": "saver.delete_thread('1')",
    "delete and put": "saver.delete_thread('1'); put(saver, 2, items(90))",
    "prune": "put(saver, 2, 'small'); saver.prune(['1'])",
    "delete for runs": "saver.delete_for_runs(['r'])",
    "copy": "saver.delete_thread('1'); put(saver, 2, items(90), '2'); saver.copy_thread('2', '1')",
}


@pytest.mark.parametrize("place", ["here", "elsewhere"])
@pytest.mark.parametrize("removal", REMOVALS)
def test_a_saver_whose_chunks_were_removed_stores_them_again(
    path: Path, removal: str, place: str, make_saver: Any
) -> None:
    saver, code = make_saver(), REMOVALS[removal]
    put(saver, 1, items(1000), run_id="r")
    if place == "here":
        exec(code, {"saver": make_saver(), "put": put, "items": items})  # noqa: S102
    else:
        run_python(ELSEWHERE, path, code)
    for number in (3, 4):
        put(saver, number, items(1000 + number))
        assert items_of(saver) == items(1000 + number)
        assert items_of(make_saver()) == items(1000 + number)
    assert orphan_count(saver) == 0


BACKUP = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as source, sqlite3.connect(sys.argv[2]) as target:
    source.backup(target)
"""


@pytest.mark.parametrize("other", ["nobody", "another thread", "the same thread"])
def test_a_backup_that_is_restored_under_an_open_saver_loses_no_later_put(
    path: Path, other: str, make_saver: Any
) -> None:
    saver, backup = make_saver(), path.with_name("backup.db")
    put(saver, 1, items(100))
    run_python(BACKUP, path, backup)
    put(saver, 2, items(400))
    run_python(BACKUP, backup, path)
    # Gives the ids anew that the saver remembers.
    if other == "another thread":
        run_python(ELSEWHERE, path, "put(saver, 1, items(400, first=50), '2')")
    elif other == "the same thread":
        run_python(ELSEWHERE, path, "put(saver, 2, items(500, first=50))")
    put(saver, 3, items(401))
    assert items_of(saver, number=1) == items(100)
    assert items_of(make_saver(), number=3) == items(401)


FULL_DISK = """
import sys
from test_compact import items, items_of, put
from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.errors import DiskFullError

with RustSqliteSaver(sys.argv[1]) as saver:
    put(saver, 1, items(400))
    failed = 0
    for number in range(2, 12):
        try:
            put(saver, number, items(20_000 if number % 2 else 400 + number, first=number))
        except DiskFullError:
            failed += 1
            assert number % 2
        else:
            assert items_of(saver) == items(400 + number, first=number)
    assert failed == 5
with RustSqliteSaver(sys.argv[1]) as saver:
    for number in (1, *range(2, 12, 2)):
        assert items_of(saver, number=number) == items(400 + number if number > 1 else 400, first=number if number > 1 else 0)
"""


def test_chunks_of_a_put_that_failed_are_not_referred_to(small_disk: Path) -> None:
    path = small_disk / "checkpoints.db"
    run_python(FULL_DISK, path)
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_raw_delete_of_rows_leaves_orphans_and_no_harm(path: Path, make_saver: Any) -> None:
    saver = make_saver()
    for number in range(1, 6):
        stored = put(saver, number, items(200 + 10 * number, first=20 * number))
        saver.put_writes(stored, [("items", items(400, first=number))], TASK)
    query(path, "DELETE FROM checkpoints WHERE checkpoint_id IN (?, ?)", (id_of(2), id_of(5)))
    query(path, "DELETE FROM writes WHERE checkpoint_id IN (?, ?)", (id_of(2), id_of(4)))
    assert orphan_count(saver) > 0
    for number in (1, 3, 4):
        assert items_of(saver, number=number) == items(200 + 10 * number, first=20 * number)
    put(saver, 6, items(260, first=100))
    assert items_of(make_saver()) == items(260, first=100)
    pending = saver.get_tuple(config_of(checkpoint_id=id_of(3))).pending_writes
    assert pending == [(TASK, "items", items(400, first=3))]
    saver.prune(["1"])
    assert orphan_count(saver) == 0
    assert items_of(make_saver()) == items(260, first=100)


def test_a_raw_delete_of_chunks_is_noticed(path: Path, make_saver: Any) -> None:
    saver = make_saver()
    put(saver, 1, items(300), "whole")
    stored = put(saver, 1, items(300), "broken-thread")
    saver.put_writes(stored, [("items", items(400))], TASK)
    query(path, "DELETE FROM checkpoint_chunks WHERE id = (SELECT max(id) - 20 FROM checkpoint_chunks)")
    for reading in (saver, make_saver()):
        with pytest.raises(DatabaseCorruptError, match="broken-thread"):
            reading.get_tuple(config_of("broken-thread"))
        with pytest.raises(DatabaseCorruptError, match="broken-thread"):
            list(reading.list(None))
        assert items_of(reading, "whole") == items(300)
    saver.delete_thread("broken-thread")
    assert ids(list(saver.list(None))) == [id_of(1)]


def test_what_was_stored_last_is_read_without_its_chunks(path: Path, make_saver: Any) -> None:
    saver = make_saver()
    put(saver, 1, items(300))
    put(saver, 2, items(310))
    query(path, "DELETE FROM checkpoint_chunks")
    # This process holds the bytes, and the row's seal says that they are its content.
    assert items_of(saver) == items(310) == items_of(saver, number=2)
    with pytest.raises(DatabaseCorruptError):
        items_of(saver, number=1)
    saver.close()
    with pytest.raises(DatabaseCorruptError):
        items_of(make_saver())


@pytest.mark.parametrize(
    "change",
    ["metadata = '{\"step\": 8}'", "metadata = NULL", "parent_checkpoint_id = 'other'", "checkpoint = x'00'"],
)
def test_a_changed_row_is_not_what_was_stored_last(path: Path, make_saver: Any, change: str) -> None:
    saver = make_saver()
    put(saver, 1, items(300), step=7)
    assert items_of(saver) == items(300)
    query(path, f"UPDATE checkpoints SET {change}")
    with pytest.raises(DatabaseCorruptError):
        saver.get_tuple(config_of())


OTHER_PUT = """
import sys
from test_compact import items, put
from langgraph_checkpoint_rust import RustSqliteSaver
with RustSqliteSaver(sys.argv[1]) as saver:
    put(saver, int(sys.argv[2]), items(int(sys.argv[3])))
"""


def test_what_another_process_stored_is_read_in_place_of_what_was_stored_last(
    path: Path, make_saver: Any
) -> None:
    saver = make_saver()
    put(saver, 1, items(300))
    run_python(OTHER_PUT, path, 2, 320)
    assert items_of(saver) == items(320)
    assert items_of(saver, number=1) == items(300)
    run_python(OTHER_PUT, path, 1, 310)
    assert items_of(saver, number=1) == items(310)
    query(path, "DELETE FROM checkpoints")
    assert saver.get_tuple(config_of()) is None


def test_a_late_put_after_a_delete_is_whole(path: Path, make_saver: Any) -> None:
    saver, other = make_saver(), make_saver()
    stored = put(saver, 1, items(300))
    other.delete_thread("1")
    assert chunk_count(path) == 0
    saver.put_writes(stored, [("items", items(400))], TASK)
    saver.put(stored, checkpoint_of(2, {"items": items(301)}), {}, {})
    assert items_of(other) == items(301)


def test_a_copy_outlives_its_source(path: Path, make_saver: Any) -> None:
    saver = make_saver()
    for number in range(1, 4):
        stored = put(saver, number, items(1000 * number))
        saver.put_writes(stored, [("items", items(500))], TASK)
    before = [item._replace(config={}, parent_config={}) for item in saver.list(config_of("1"))]
    saver.copy_thread("1", "2")
    saver.delete_thread("1")
    copied = [item._replace(config={}, parent_config={}) for item in make_saver().list(config_of("2"))]
    assert copied == before
    assert orphan_count(saver, "2") == 0
    assert query(path, "SELECT count(DISTINCT thread_no) FROM checkpoint_chunks") == [(1,)]
    put(saver, 9, items(3001), "2")
    assert items_of(saver, "2") == items(3001)


def test_upstream_is_refused_by_name_and_changes_nothing(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        stored = put(saver, 1, items(100))
    before = query(path, "SELECT * FROM checkpoints")
    with UpstreamSaver.from_conn_string(str(path)) as theirs:
        for write in (
            lambda: theirs.put(config_of(), checkpoint_of(2), {}, {}),
            lambda: theirs.put(config_of(), checkpoint_of(1), {}, {}),
            lambda: theirs.put_writes(stored, [("items", 1)], TASK),
            lambda: theirs.put_writes(stored, [("__error__", "e")], TASK),
        ):
            with pytest.raises(Exception, match="compact format of langgraph-checkpoint-rust") as caught:
                write()
            assert type(caught.value).__module__ == "sqlite3"
    assert query(path, "SELECT * FROM checkpoints") == before
    assert query(path, "SELECT * FROM writes") == []


def test_a_format_that_the_file_does_not_have_is_refused_with_the_way_out(tmp_path: Path) -> None:
    cases: Any = (("compact", "interop", "downgrade"), ("interop", "compact", "upgrade"))
    for found, asked, way_out in cases:
        path: Any = tmp_path / found
        with RustSqliteSaver(path, format=found) as saver:
            put(saver, 1, items(100))
        with RustSqliteSaver(path, format=asked) as refused:
            for call in (refused.setup, lambda: put(refused, 2, "x"), lambda: items_of(refused)):
                with pytest.raises(ValueError, match=rf'format="{asked}".*{found} format.*{way_out}\(\)'):
                    call()
        with RustSqliteSaver(path) as saver:
            assert items_of(saver) == items(100)
            assert f"format='{found}'" in repr(saver)


LATER_VERSION = """
import sys
import pytest
from test_compact import items_of
from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.errors import SchemaVersionError
for read in (items_of, lambda saver: list(saver.list(None)), RustSqliteSaver.setup):
    with RustSqliteSaver(sys.argv[1]) as saver:
        if sys.argv[2] == "min_writer":
            read(saver)
        else:
            with pytest.raises(SchemaVersionError):
                read(saver)
"""


@pytest.mark.parametrize("key", ["min_reader", "min_writer"])
def test_a_file_of_a_later_version_is_left_alone(path: Path, key: str, make_saver: Any) -> None:
    saver = make_saver()
    put(saver, 1, items(100))
    query(path, "UPDATE checkpoint_meta SET value = '2' WHERE key = ?", [key])
    before = query(path, "SELECT * FROM checkpoints")
    writes: Any = (
        lambda: put(saver, 2, items(101)),
        lambda: saver.put_writes(config_of(checkpoint_id=id_of(1)), [("items", 1)], TASK),
        lambda: saver.delete_thread("1"),
        lambda: saver.copy_thread("1", "2"),
        lambda: saver.prune(["1"]),
    )
    for write in writes:
        with pytest.raises(SchemaVersionError):
            write()
    run_python(LATER_VERSION, path, key)
    assert query(path, "SELECT * FROM checkpoints") == before
    query(path, "UPDATE checkpoint_meta SET value = '1' WHERE key = ?", [key])
    put(saver, 2, items(101))
    assert items_of(make_saver()) == items(101)


class Named(SerializerProtocol):
    """A serializer of somebody else's; what it stores is not to be looked into."""

    def __init__(self, tag: str) -> None:
        self.tag, self.inner = tag, JsonPlusSerializer()

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        return self.tag, self.inner.dumps_typed(obj)[1][::-1]

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        assert data[0] == self.tag
        return self.inner.loads_typed(("msgpack", data[1][::-1]))


def test_rows_of_other_serializers_are_stored_whole(path: Path, make_saver: Any) -> None:
    saver = make_saver(serde=Named("backwards"))
    stored = put(saver, 1, items(300))
    saver.put_writes(stored, [("items", items(100))], TASK)
    assert query(path, "SELECT type FROM checkpoints UNION ALL SELECT type FROM writes") == [
        ("backwards",),
        ("backwards",),
    ]
    assert chunk_count(path) == 0
    assert items_of(saver) == items(300)
    with pytest.raises(ValueError, match="`chunked`"):
        put(make_saver(serde=Named("chunked")), 2, items(1))


def test_a_file_of_both_kinds_of_rows_is_read(path: Path, make_saver: Any, tmp_path: Path) -> None:
    saver = make_saver()
    put(saver, 1, items(100))
    with UpstreamSaver.from_conn_string(str(tmp_path / "theirs.db")) as theirs:
        put(theirs, 2, items(101))
    query(path, "DROP TRIGGER checkpoint_format_checkpoints")
    (row,) = query(tmp_path / "theirs.db", "SELECT * FROM checkpoints")
    query(path, "INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    put(saver, 3, items(102))
    for number in (1, 2, 3):
        assert items_of(saver, number=number) == items(99 + number)
    saver.copy_thread("1", "2")
    assert [len(item.checkpoint["channel_values"]["items"]) for item in saver.list(config_of("2"))] == [
        102,
        101,
        100,
    ]
