"""One file, two libraries: what either writes, the other reads, continues and lists."""

from __future__ import annotations

import operator
import runpy
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from helpers import OTHER_TASK, TASK, checkpoint_of, config_of, ids, put_chain, query, rows, schema
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.sqlite import SqliteSaver as UpstreamSaver
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.errors import ReadOnlyError

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).with_name("golden")
VERSIONS = ["2.0.11", "3.0.3", "3.1.2"]
MADE = runpy.run_path(str(GOLDEN / "make.py"))

Saver = type[RustSqliteSaver] | type[UpstreamSaver]
PAIRS = [(RustSqliteSaver, UpstreamSaver), (UpstreamSaver, RustSqliteSaver)]


@pytest.fixture(params=VERSIONS)
def golden(request: pytest.FixtureRequest, path: Path) -> Path:
    """A copy of a file that an upstream version made."""
    shutil.copy(GOLDEN / f"langgraph-checkpoint-sqlite-{request.param}.db", path)
    return path


def content(saver_class: Any, path: Path) -> list[Any]:
    """All that a saver lists, with each checkpoint as `get_tuple` reads it."""
    with saver_class.from_conn_string(str(path)) as saver:
        listed = list(saver.list(None))
        got = [saver.get_tuple(found.config) for found in listed]
        assert got == listed
        return sorted(listed, key=lambda found: sorted(found.config["configurable"].items()))


def put_all(saver: Any, put: Callable[[Any, str, str], None]) -> None:
    for thread_id in MADE["THREADS"]:
        for checkpoint_ns in MADE["NAMESPACES"]:
            put(saver, thread_id, checkpoint_ns)


def check_golden(saver: Any, thread_id: str, checkpoint_ns: str) -> None:
    found = list(saver.list(config_of(thread_id, checkpoint_ns)))
    assert len(found) == MADE["LENGTH"]
    for number, item in enumerate(reversed(found)):
        version = item.checkpoint["v"]
        assert item.checkpoint == MADE["checkpoint_of"](number, version)
        assert item.metadata == MADE["metadata_of"](number)
        parent = item.parent_config and item.parent_config["configurable"]["checkpoint_id"]
        assert parent == (MADE["id_of"](number - 1) if number else None)
        last: dict[tuple[str, str], Any] = {}
        for task_id, writes, _ in MADE["writes_of"](number):
            last.update({(task_id, channel): value for channel, value in writes})
        assert item.pending_writes == [(*key, value) for key, value in last.items()]


def continue_thread(saver: Any, thread_id: str, checkpoint_ns: str) -> None:
    head = saver.get_tuple(config_of(thread_id, checkpoint_ns))
    stored = saver.put(head.config, checkpoint_of(99, {"more": HumanMessage("x", id="m")}), {"step": 9}, {})
    saver.put_writes(stored, [("more", 1), ("__interrupt__", ["?"])], TASK, "~1")
    saver.put_writes(head.config, [("count", "late")], OTHER_TASK, "~9")


def test_a_golden_file_is_read_as_it_was_written(golden: Path) -> None:
    with RustSqliteSaver(golden) as saver:
        put_all(saver, check_golden)


def test_a_golden_file_is_read_as_upstream_reads_it(golden: Path) -> None:
    shutil.copy(golden, golden.with_name("other.db"))
    assert content(RustSqliteSaver, golden) == content(UpstreamSaver, golden.with_name("other.db"))


def test_a_golden_file_is_continued_as_upstream_continues_it(golden: Path) -> None:
    other = golden.with_name("other.db")
    shutil.copy(golden, other)
    for saver_class, path in ((RustSqliteSaver, golden), (UpstreamSaver, other)):
        with saver_class.from_conn_string(str(path)) as saver:
            put_all(saver, continue_thread)
            saver.delete_thread(MADE["THREADS"][0])
    for table in ("checkpoints", "writes"):
        assert query(golden, f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4, 5") == query(
            other, f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4, 5"
        )
    assert schema(golden) == schema(other)
    assert content(UpstreamSaver, golden) == content(RustSqliteSaver, other)


def test_a_golden_file_that_may_not_be_written_is_read_and_left_as_it_is(golden: Path) -> None:
    before = golden.read_bytes()
    with RustSqliteSaver(golden, read_only=True) as saver:
        put_all(saver, check_golden)
        config = config_of(MADE["THREADS"][0])
        history = saver.get_delta_channel_history(config=config, channels=["count", "unknown"])
        assert history["count"]["seed"] == MADE["LENGTH"] - 2
        assert history["unknown"] == {"writes": []}
        with pytest.raises(ReadOnlyError):
            saver.put(config, checkpoint_of(), {}, {})
    assert golden.read_bytes() == before


def test_golden_files_of_old_versions_lack_task_path_and_get_it(path: Path) -> None:
    for version in VERSIONS:
        shutil.copy(GOLDEN / f"langgraph-checkpoint-sqlite-{version}.db", path)
        columns = [row[1] for row in query(path, "PRAGMA table_info(writes)")]
        assert ("task_path" in columns) == (version == "3.1.2")
        with RustSqliteSaver(path) as saver:
            saver.setup()
        assert "task_path" in [row[1] for row in query(path, "PRAGMA table_info(writes)")]


def test_golden_files_are_small() -> None:
    sizes = [(GOLDEN / f"langgraph-checkpoint-sqlite-{version}.db").stat().st_size for version in VERSIONS]
    assert max(sizes) < 100_000


def write_everything(saver: Any) -> None:
    """Every kind of row that upstream can be asked to write."""
    for thread_id in ("1", 7, "ü'\""):
        for namespace in ("", "child:1|grandchild:2"):
            for config in put_chain(saver, 3, thread_id, namespace):
                saver.put_writes(config, [("a", 1), ("b", {"x": (1, {2})}), ("a", None)], TASK, "~1")
                saver.put_writes(config, [("__error__", ValueError("e"))], OTHER_TASK)
                saver.put_writes(config, [("__resume__", "r"), ("__interrupt__", ["i"])], OTHER_TASK)
                saver.put_writes(config, [("a", "ignored")], TASK, "~9")
    messages = [HumanMessage("ü", id="1"), AIMessage("", tool_calls=[{"name": "n", "args": {}, "id": "c"}])]
    metadata = {"source": "update", "step": 2, "writes": None, "nan": float("nan"), "text": "ü\0\ud800"}
    configurable: Any = {"run_id": "r", "user": 1, "__x": "no", "nested": {}}
    saver.put(config_of("m", **configurable), checkpoint_of(5, {"messages": messages}), metadata, {})
    saver.put_writes(config_of("orphan", checkpoint_id="z"), [("a", b"\x00")], TASK)
    put_chain(saver, 2, "gone")
    saver.delete_thread("gone")


@pytest.mark.interop
def test_rows_and_schema_equal_upstreams_for_the_same_calls(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.db", tmp_path / "theirs.db"
    for saver_class, path in ((RustSqliteSaver, ours), (UpstreamSaver, theirs)):
        with saver_class.from_conn_string(str(path)) as saver:
            write_everything(saver)
    assert rows(ours, "checkpoints") == rows(theirs, "checkpoints")
    assert rows(ours, "writes") == rows(theirs, "writes")
    kinds = "SELECT typeof(metadata), typeof(checkpoint) FROM checkpoints GROUP BY 1, 2"
    assert query(ours, kinds) == query(theirs, kinds) == [("blob", "blob")]
    assert schema(ours) == schema(theirs)


def test_all_verbs_add_nothing_to_the_schema_of_an_upstream_file(path: Path) -> None:
    with UpstreamSaver.from_conn_string(str(path)) as theirs:
        write_everything(theirs)
    before = query(path, "SELECT * FROM sqlite_schema ORDER BY name")
    with RustSqliteSaver(path) as saver:
        write_everything(saver)
        saver.copy_thread("1", "2")
        saver.prune(["1"])
        saver.delete_for_runs(["r"])
        saver.get_delta_channel_history(config=config_of("2"), channels=["a"])
        assert list(saver.list(None, filter={"step": 1}))
    assert query(path, "SELECT * FROM sqlite_schema ORDER BY name") == before


def test_the_apps_tables_and_header_fields_are_kept(path: Path, tested_format: str) -> None:
    for sql in (
        "CREATE TABLE threads (x)",
        "INSERT INTO threads VALUES ('mine')",
        "CREATE TRIGGER t AFTER INSERT ON threads BEGIN DELETE FROM threads; END",
        "PRAGMA user_version = 42",
        "PRAGMA application_id = 4711",
    ):
        query(path, sql)
    with RustSqliteSaver(path) as saver:
        write_everything(saver)
    assert query(path, "SELECT * FROM threads") == [("mine",)]
    assert query(path, "PRAGMA user_version") == [(42,)]
    assert query(path, "PRAGMA application_id") == [(4711,)]
    names = {row[1] for row in schema(path) if row[0] != "index"}
    ours = {name for name in names if name.startswith("checkpoint_")}
    assert names - ours - {"sqlite_sequence"} == {"checkpoints", "t", "threads", "writes"}
    assert bool(ours) == (tested_format == "compact")


@pytest.mark.interop
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_file_that_one_wrote_the_other_reads_continues_and_lists(
    path: Path, first: Saver, second: Saver
) -> None:
    with first.from_conn_string(str(path)) as saver:
        write_everything(saver)
    written = content(first, path)
    assert str(content(second, path)) == str(written)
    with second.from_conn_string(str(path)) as saver:
        head = saver.get_tuple(config_of("1"))
        assert head is not None
        stored = saver.put(head.config, checkpoint_of(50, {"a": 1}), {"step": 50}, {})
        saver.put_writes(stored, [("a", 2)], TASK)
    with first.from_conn_string(str(path)) as saver:
        found = saver.get_tuple(config_of("1"))
        assert found is not None
        assert found.checkpoint["channel_values"] == {"a": 1}
        assert found.parent_config == head.config
        assert found.pending_writes == [(TASK, "a", 2)]
        assert len(ids(list(saver.list(config_of("1"))))) == 4


class State(TypedDict):
    turns: Annotated[list[str], operator.add]


def conversation(savers: list[Saver], path: Path) -> Any:
    """A turn a saver; the state and the history after the last."""
    builder = StateGraph(State)
    builder.add_node("answer", lambda state: {"turns": [f"answer {len(state['turns'])}"]})
    builder.add_edge(START, "answer")
    config = config_of("chat")
    for turn, saver_class in enumerate(savers):
        with saver_class.from_conn_string(str(path)) as saver:
            graph = builder.compile(checkpointer=saver)
            graph.invoke({"turns": [f"question {turn}"]}, config)
            history = list(graph.get_state_history(config))
    return [(item.values, item.next, item.metadata) for item in history]


@pytest.mark.interop
def test_a_conversation_may_change_its_saver_every_turn(tmp_path: Path) -> None:
    alternating = conversation([RustSqliteSaver, UpstreamSaver] * 3, tmp_path / "alternating.db")
    upstreams = conversation([UpstreamSaver] * 6, tmp_path / "upstream.db")
    assert len(upstreams) == 18
    assert alternating == upstreams
