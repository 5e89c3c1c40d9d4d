"""The rows of threads: listed, counted, titled, archived, and always what a recount makes of the data."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from helpers import TASK, Verbs, checkpoint_of, config_of, id_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from langgraph_checkpoint_rust import RustSqliteSaver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COUNTS = """
SELECT count(*), ifnull(sum(length(CAST(checkpoint AS BLOB)) + length(CAST(metadata AS BLOB))), 0)
FROM checkpoints WHERE thread_id = ?"""
CHUNKS = """
SELECT ifnull(sum(length(CAST(data AS BLOB))), 0) FROM checkpoint_chunks JOIN checkpoint_threads USING (thread_no)
WHERE thread_id = ?"""


@pytest.fixture(params=["compact", "interop"])
def saver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RustSqliteSaver]:
    with RustSqliteSaver(tmp_path / "threads.db", format=request.param) as saver:
        yield saver


def put(saver: Any, thread_id: str, number: int = 1, **metadata: Any) -> None:
    checkpoint = checkpoint_of(number, {"messages": ["hello"]})
    saver.put(config_of(thread_id), checkpoint, {"source": "loop", "step": number, **metadata}, {})


def ids(page: Any) -> list[str]:
    return [thread.thread_id for thread in page]


def test_a_thread_is_listed_from_its_first_checkpoint_to_its_deletion(saver: RustSqliteSaver) -> None:
    assert (saver.list_threads().threads, saver.count_threads(), saver.get_thread("1")) == ((), 0, None)
    put(saver, "1", 3, run_id="run")
    thread = saver.get_thread("1")
    assert thread is not None
    assert (thread.checkpoints, thread.step, thread.source, thread.run_id) == (1, 3, "loop", "run")
    assert (thread.status, thread.next, thread.title, thread.metadata) == ("done", (), None, {})
    assert thread.bytes > 0
    assert thread.created <= thread.updated
    assert saver.list_threads().threads == (thread,)
    saver.delete_thread("1")
    assert (saver.list_threads().threads, saver.count_threads(), saver.get_thread("1")) == ((), 0, None)


@pytest.mark.parametrize("order", ["updated", "created", "thread_id"])
def test_pages_follow_each_other_without_gap(saver: RustSqliteSaver, order: Any) -> None:
    names = ["", *[f"thread {number:02}" for number in range(23)], "\U0001f600"]
    for number, name in enumerate(names):
        put(saver, name, number)
    found, cursor = [], None
    while True:
        page = saver.list_threads(order_by=order, limit=7, cursor=cursor)
        assert len(page) <= 7
        found += ids(page)
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(found) == sorted(names)
    assert saver.count_threads() == len(names)
    if order == "thread_id":
        assert found == sorted(names)


def test_the_last_stored_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "threads.db"
    with RustSqliteSaver(path, format="compact") as saver:
        for name in ("a", "b", "c"):
            put(saver, name)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE checkpoint_threads SET updated = updated - 60000 * thread_no")
        assert ids(saver.list_threads()) == ["a", "b", "c"]
        put(saver, "c", 2)
        assert ids(saver.list_threads()) == ["c", "a", "b"]
        assert ids(saver.list_threads(order_by="created")) == ["c", "b", "a"]


def test_title_and_metadata_are_kept_and_removed(saver: RustSqliteSaver) -> None:
    put(saver, "1")
    saver.set_thread(
        "1", title="Rome", metadata={"user": "ada", "tags": ["a"], "deep": {"er": 1}, "none": None}
    )
    put(saver, "2")
    put(saver, "1", 2)
    thread = saver.get_thread("1")
    assert thread is not None
    assert (thread.title, thread.metadata["tags"], thread.checkpoints) == ("Rome", ["a"], 2)
    for filter_ in ({"user": "ada"}, {"deep.er": 1}, {"tags": ["a"]}, {"user": "ada", "none": None}):
        assert ids(saver.list_threads(filter=filter_)) == ["1"]
        assert saver.count_threads(filter=filter_) == 1
    assert saver.count_threads(filter={"user": "bob"}) == 0
    assert sorted(ids(saver.list_threads(filter={"none": None}))) == ["1", "2"]
    saver.set_thread("1", title="")
    saver.set_thread("1", metadata={})
    thread = saver.get_thread("1")
    assert thread is not None
    assert (thread.title, thread.metadata) == (None, {})


def test_a_thread_may_have_a_title_before_its_first_checkpoint(saver: RustSqliteSaver) -> None:
    saver.set_thread("new", title="New chat")
    thread = saver.get_thread("new")
    assert thread is not None
    assert (thread.checkpoints, thread.status, thread.title) == (0, None, "New chat")
    assert saver.list_threads().threads == (thread,)
    put(saver, "new")
    thread = saver.get_thread("new")
    assert thread is not None
    assert (thread.checkpoints, thread.title) == (1, "New chat")
    saver.set_thread("other", title="gone")
    saver.set_thread("other", title="")
    assert ids(saver.list_threads()) == ["new"]
    saver.delete_thread("new")
    assert saver.count_threads(archived=None) == 0


def test_an_archived_thread_is_hidden_and_readable(saver: RustSqliteSaver) -> None:
    put(saver, "1")
    put(saver, "2")
    saver.archive_thread("1")
    saver.archive_thread("unknown")
    assert ids(saver.list_threads()) == ["2"]
    assert ids(saver.list_threads(archived=True)) == ["1"]
    assert saver.count_threads(archived=None) == 2
    thread = saver.get_thread("1")
    assert thread is not None
    assert thread.archived
    assert saver.get_tuple(config_of("1")) is not None
    saver.unarchive_thread("1")
    assert sorted(ids(saver.list_threads())) == ["1", "2"]


def test_an_interop_file_gets_a_table_only_for_what_is_said(tmp_path: Path) -> None:
    path = tmp_path / "threads.db"
    with RustSqliteSaver(path, format="interop") as saver:
        put(saver, "1")
        saver.set_thread("1", title="")
        saver.archive_thread("unknown")
        assert saver.list_threads(status="done").threads[0].thread_id == "1"
        with closing(sqlite3.connect(path)) as connection:
            tables = {
                name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            }
        assert tables == {"checkpoints", "writes"}


def test_what_was_said_survives_both_conversions(saver: RustSqliteSaver) -> None:
    for number in range(5):
        put(saver, str(number))
    saver.set_thread("1", title="Rome", metadata={"user": "ada"})
    saver.archive_thread("2")
    for verb in (saver.downgrade, saver.upgrade, saver.downgrade, saver.upgrade):
        verb()
        thread = saver.get_thread("1")
        assert thread is not None
        assert (thread.title, thread.metadata, thread.checkpoints) == ("Rome", {"user": "ada"}, 1)
        assert ids(saver.list_threads(archived=True)) == ["2"]
        assert saver.count_threads(status="done") == 4
    saver.delete_thread("1")
    saver.unarchive_thread("2")
    saver.downgrade()


def test_wrong_arguments_are_named(saver: RustSqliteSaver) -> None:
    wrong: list[dict[str, Any]] = [
        {"status": "x"},
        {"order_by": "x"},
        {"limit": 0},
        {"cursor": "x"},
        {"filter": {'"': 1}},
    ]
    for arguments in wrong:
        with pytest.raises(ValueError, match=next(iter(arguments))):
            saver.list_threads(**arguments)
    with pytest.raises(TypeError, match="metadata"):
        saver.set_thread("1", metadata=[])  # type: ignore[arg-type]


def test_the_async_twins_do_the_same(saver: RustSqliteSaver, event_loop_of_test: Any) -> None:
    verbs = Verbs(saver, event_loop_of_test)
    put(saver, "1")
    verbs.set_thread("1", title="Rome")
    verbs.archive_thread("1")
    assert verbs.count_threads() == 0
    verbs.unarchive_thread("1")
    assert verbs.get_thread("1").title == "Rome"
    assert ids(verbs.list_threads()) == ["1"]
    assert [found.value for found in verbs.history("1")] == [["hello"]]


@pytest.fixture
def event_loop_of_test() -> Iterator[Any]:
    import asyncio

    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_history_reads_one_channel(saver: RustSqliteSaver) -> None:
    parent = None
    for number in range(40):
        values: dict[str, Any] = {
            "other": "x" * 30_000,
            "messages": [f"{n} " + "y" * 500 for n in range(number)],
        }
        if number % 2:
            del values["messages"]
        config = config_of("1", checkpoint_id=parent)
        parent = saver.put(config, checkpoint_of(number, values), {}, {})["configurable"]["checkpoint_id"]
    found = list(saver.history("1"))
    assert [entry.checkpoint_id for entry in found] == [id_of(number) for number in range(38, -1, -2)]
    assert [len(entry.value) for entry in found] == list(range(38, -1, -2))
    assert {entry.kind for entry in found} == {"value"}
    assert [len(entry.value) for entry in saver.history("1", limit=3)] == [38, 36, 34]
    assert len(list(saver.history("1", "other"))) == 40
    assert list(saver.history("1", "none")) == []
    assert list(saver.history("2")) == []


def test_history_does_not_touch_the_other_channels(tmp_path: Path) -> None:
    path = tmp_path / "threads.db"
    with RustSqliteSaver(path, format="compact") as saver:
        saver.put(config_of("1"), checkpoint_of(1, {"other": "x" * 30_000, "messages": ["hello"]}), {}, {})
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE checkpoint_chunks SET data = x'00'")
        assert [entry.value for entry in saver.history("1")] == [["hello"]]


def test_history_of_a_delta_channel_says_what_it_is(saver: RustSqliteSaver) -> None:
    seed = saver.put(config_of("1"), checkpoint_of(1, {"messages": _DeltaSnapshot(["a"])}), {}, {})
    saver.put_writes(seed, [("messages", "b"), ("other", 1), ("messages", "c")], TASK)
    saver.put(seed, checkpoint_of(2), {"counters_since_delta_snapshot": {"messages": (1, 1)}}, {})
    found = [(entry.kind, entry.value) for entry in saver.history("1")]
    assert found == [("writes", ["b", "c"]), ("seed", ["a"])]


VERBS = st.one_of(
    st.tuples(
        st.just("put"),
        st.sampled_from("abc"),
        st.sampled_from(["", "sub"]),
        st.integers(0, 9),
        st.sampled_from([0, 700, 20_000, 90_000]),
    ),
    st.tuples(
        st.just("writes"),
        st.sampled_from("abc"),
        st.integers(0, 9),
        st.sampled_from(["__interrupt__", "__error__", "__resume__", "messages"]),
        st.sampled_from([1, 50_000]),
    ),
    st.tuples(st.just("delete"), st.sampled_from("abc")),
    st.tuples(st.just("prune"), st.sampled_from("abc")),
    st.tuples(st.just("runs"), st.integers(0, 9)),
    st.tuples(st.just("copy"), st.sampled_from("abc"), st.sampled_from("abc")),
    st.tuples(st.just("convert")),
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(VERBS, max_size=25))
def test_a_row_is_what_a_recount_makes_of_the_data(verbs: list[Any]) -> None:
    import tempfile

    with (
        tempfile.TemporaryDirectory() as directory,
        RustSqliteSaver(f"{directory}/threads.db", format="compact") as saver,
    ):
        for verb, *arguments in verbs:
            carry_out(saver, verb, arguments)
        if saver.format == "interop":
            saver.upgrade(vacuum=False)
        with closing(sqlite3.connect(f"{directory}/threads.db")) as connection:
            listed = {thread.thread_id: thread for thread in saver.list_threads()}
            stored = {row for (row,) in connection.execute("SELECT DISTINCT thread_id FROM checkpoints")}
            assert set(listed) == stored
            for thread_id, thread in listed.items():
                rows, size = connection.execute(COUNTS, [thread_id]).fetchone()
                (chunks,) = connection.execute(CHUNKS, [thread_id]).fetchone()
                assert (thread.checkpoints, thread.bytes) == (rows, size + chunks)
        before = {thread.thread_id: (thread.status, thread.step, thread.next) for thread in listed.values()}
        saver.downgrade()
        after = {
            thread.thread_id: (thread.status, thread.step, thread.next) for thread in saver.list_threads()
        }
        assert after == before


def carry_out(saver: RustSqliteSaver, verb: str, arguments: Any) -> None:
    if verb == "put":
        thread_id, namespace, number, size = arguments
        values: dict[str, Any] = {
            "messages": [f"{n:0100}" for n in range(size // 100)],
            "branch:to:next": None,
        }
        if number % 2:
            del values["branch:to:next"]
        metadata: Any = {"step": number, "source": "loop", "run_id": str(number)}
        saver.put(config_of(thread_id, namespace), checkpoint_of(number, values), metadata, {})
    elif verb == "writes":
        thread_id, number, channel, size = arguments
        task_id = "00000000-0000-0000-0000-000000000000" if channel == "__resume__" else TASK
        saver.put_writes(config_of(thread_id, checkpoint_id=id_of(number)), [(channel, "w" * size)], task_id)
    elif verb == "delete":
        saver.delete_thread(*arguments)
    elif verb == "prune":
        saver.prune(arguments)
    elif verb == "runs":
        saver.delete_for_runs([str(arguments[0])])
    elif verb == "copy":
        saver.copy_thread(*arguments)
    elif saver.format == "compact":
        saver.downgrade()
    else:
        saver.upgrade(vacuum=False)


def test_metadata_is_stored_as_json(tmp_path: Path) -> None:
    path = tmp_path / "threads.db"
    with RustSqliteSaver(path, format="compact") as saver:
        saver.set_thread("1", metadata={"name": "é"})
        with closing(sqlite3.connect(path)) as connection:
            (text,) = connection.execute("SELECT metadata FROM checkpoint_threads").fetchone()
        assert json.loads(text) == {"name": "é"}
