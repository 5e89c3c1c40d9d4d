"""Policies, times to live and pins: called, by a thread of the engine, and by two processes beside writers."""

from __future__ import annotations

import os
import pickle
import signal
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from aged import id_made, put_aged
from helpers import TASK, Verbs, checkpoint_of, config_of, ids, put_chain, query, rows, start_python
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

from langgraph_checkpoint_rust import RetentionPolicy, RustSqliteSaver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOUR = 3600.0
OFTEN: Any = {"sweep_interval_minutes": 0.0005}


def threads(saver: Any) -> list[str]:
    return sorted({found.config["configurable"]["thread_id"] for found in saver.list(None)})


def everything(saver: Any, thread: str) -> list[Any]:
    """All checkpoints of a thread, of all namespaces."""
    return list(saver.list({"configurable": {"thread_id": thread}}))


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_each_rule_finds_its_threads_and_a_dry_run_tells_them(saver: Verbs) -> None:
    put_aged(saver, [9 * HOUR, 8 * HOUR], "idle")
    put_aged(saver, [9 * HOUR, 8 * HOUR], "pinned")
    put_aged(saver, [9 * HOUR, 5 * HOUR], "done")
    put_aged(saver, [5 * HOUR, 3 * HOUR, 60, 30], "used")
    saver.pin_thread("pinned")
    policy = RetentionPolicy(
        keep_last=1, max_age=HOUR, thread_idle_for=timedelta(hours=7), done_after=4 * HOUR
    )
    told = saver.apply_retention(policy)
    assert [(thread.thread_id, thread.reason, thread.checkpoints) for thread in told.threads] == [
        ("done", "done", 2),
        ("idle", "idle", 2),
        ("used", "history", 2),
    ]
    assert told.dry_run
    assert len(saver.list(None)) == 10
    done = saver.apply_retention(policy, dry_run=False)
    assert done.threads == told.threads
    assert threads(saver) == ["pinned", "used"]
    assert len(saver.list(None)) == 4
    assert saver.apply_retention(policy).threads == ()
    saver.unpin_thread("pinned")
    assert [thread.thread_id for thread in saver.apply_retention(policy).threads] == ["pinned"]


def test_a_graph_that_waits_or_failed_is_not_done() -> None:
    class State(TypedDict, total=False):
        text: str

    def work(state: State) -> dict[str, Any]:
        if state["text"] == "fail":
            raise RuntimeError("no")
        return {"text": interrupt("?") if state["text"] == "ask" else "fine"}

    builder = StateGraph(State)
    builder.add_node("work", work)
    builder.add_edge(START, "work")
    with RustSqliteSaver(":memory:") as own:
        graph = builder.compile(checkpointer=own)
        stopping = builder.compile(checkpointer=own, interrupt_before=["work"])
        for text in ("answer", "ask"):
            graph.invoke({"text": text}, config_of(text))
        with pytest.raises(RuntimeError):
            graph.invoke({"text": "fail"}, config_of("fail"))
        stopping.invoke({"text": "stop"}, config_of("stop"))
        report = own.apply_retention(RetentionPolicy(done_after=0), dry_run=False)
        assert [(thread.thread_id, thread.reason) for thread in report.threads] == [("answer", "done")]
        assert threads(own) == ["ask", "fail", "stop"]


def test_the_threads_idle_longest_go_until_the_file_is_small_enough(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        for number in range(10):
            config = config_of(str(number))
            (made,) = put_aged(saver, [(20 - number) * HOUR], str(number))
            config["configurable"]["checkpoint_id"] = made
            saver.put_writes(config, [("a", os.urandom(50_000))], TASK)
        put_aged(saver, [60], "now")
        saver.pin_thread("0")
        policy = RetentionPolicy(max_bytes=300_000)
        told = saver.apply_retention(policy)
        gone = [thread.thread_id for thread in told.threads]
        assert gone == [str(number) for number in range(1, len(gone) + 1)]
        assert 4 <= len(gone) <= 8
        assert saver.apply_retention(policy, dry_run=False).threads == told.threads
        assert saver.apply_retention(policy).threads == ()
        rest = saver.apply_retention(RetentionPolicy(max_bytes=0), dry_run=False)
        assert threads(saver) == ["0", "now"]
        assert rest.checkpoints == 9 - len(gone)


@pytest.mark.parametrize("serde", [None, EncryptedSerializer.from_pycryptodome_aes(key=b"k" * 16)])
@pytest.mark.parametrize("format_", ["compact", "interop"])
def test_threads_are_in_the_archive_before_they_are_deleted(path: Path, format_: Any, serde: Any) -> None:
    archive = path.with_name("archive.db")
    with RustSqliteSaver(path, format=format_, serde=serde) as saver:
        for thread in ("a", "b"):
            put_aged(saver, [9 * HOUR, 8 * HOUR], thread)
            put_aged(saver, [9 * HOUR, 8 * HOUR], thread, "child")
        put_aged(saver, [9 * HOUR, 60], "used")
        before = {thread: everything(saver, thread) for thread in ("a", "b")}
        policy = RetentionPolicy(thread_idle_for=HOUR, archive_to=archive)
        told = saver.apply_retention(policy)
        assert not archive.exists()
        assert saver.apply_retention(policy, dry_run=False).threads == told.threads
        assert threads(saver) == ["used"]
    with RustSqliteSaver(archive, serde=serde) as saver:
        assert {thread: everything(saver, thread) for thread in ("a", "b")} == before
        assert saver.verify().is_ok


def test_the_database_is_not_its_own_archive(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        put_aged(saver, [9 * HOUR])
        other = path.with_name("other.db")
        other.symlink_to(path)
        with pytest.raises(ValueError, match="archive_to is the database itself"):
            saver.apply_retention(RetentionPolicy(thread_idle_for=1, archive_to=other), dry_run=False)
        assert threads(saver) == ["1"]


def test_an_archive_that_cannot_be_made_deletes_nothing(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        put_aged(saver, [9 * HOUR])
        policy = RetentionPolicy(thread_idle_for=1, archive_to=path.parent)
        with pytest.raises(Exception, match="open"):
            saver.apply_retention(policy, dry_run=False)
        assert threads(saver) == ["1"]


@pytest.mark.parametrize("format_", ["compact", "interop"])
def test_an_expired_thread_is_invisible_at_once_and_deleted_by_the_next_sweep(
    path: Path, format_: Any
) -> None:
    ttl: Any = {"default_ttl": 60}
    with RustSqliteSaver(path, format=format_, ttl=ttl) as saver:
        put_aged(saver, [3 * HOUR, 2 * HOUR], "old")
        put_aged(saver, [3 * HOUR, 60], "new")
        put_aged(saver, [3 * HOUR], "long")
        saver.set_ttl("long", 240)
        assert saver.get_tuple(config_of("old")) is None
        assert saver.get_tuple(config_of("new")) is not None
        assert saver.get_tuple(config_of("long")) is not None
        assert threads(saver) == ["long", "new"]
        saver.set_ttl("old", 30)
        assert threads(saver) == ["long", "new", "old"]
        saver.set_ttl("old", None)
        report = saver.apply_retention(dry_run=False)
        assert [(thread.thread_id, thread.reason) for thread in report.threads] == [("old", "expired")]
        assert {row[0] for row in rows(path, "checkpoints")} == {"new", "long"}
        saver.pin_thread("new")
        saver.set_ttl("new", 0.0001)
        time.sleep(0.02)
        assert saver.get_tuple(config_of("new")) is not None
        saver.unpin_thread("new")
        # Its newest checkpoint is a minute old.
        assert saver.get_tuple(config_of("new")) is None
        saver.set_ttl("new", 60)
        assert saver.get_tuple(config_of("new")) is not None


@pytest.mark.parametrize("format_", ["compact", "interop"])
def test_an_expired_thread_is_not_listed(path: Path, format_: Any) -> None:
    with RustSqliteSaver(path, format=format_, ttl={"default_ttl": 60}) as saver:
        put_aged(saver, [60], "used")
        put_aged(saver, [2 * HOUR], "pinned")
        saver.pin_thread("pinned")
        put_aged(saver, [2 * HOUR], "short")
        saver.set_ttl("short", 0.0001)
        time.sleep(0.02)
        if format_ == "interop":
            # Of a compact file the listing goes by the time that a checkpoint was stored.
            put_aged(saver, [2 * HOUR], "old")
            assert saver.get_thread("old") is None
        found = [thread.thread_id for thread in saver.list_threads()]
        assert sorted(found) == ["pinned", "used"]
        assert saver.count_threads() == len(found)
        assert saver.get_thread("short") is None
        assert saver.get_thread("pinned") is not None


def test_a_read_begins_the_time_to_live_anew(path: Path) -> None:
    with RustSqliteSaver(path, ttl={"default_ttl": 60, "refresh_on_read": True}) as saver:
        put_aged(saver, [3590], "read")
        put_aged(saver, [3590], "unread")
        assert saver.get_tuple(config_of("read")) is not None
        stored = dict(query(path, "SELECT thread_id, expires FROM checkpoint_threads"))
        assert stored["read"] > (time.time() + 3500) * 1000
        assert stored.get("unread") is None


@pytest.mark.parametrize("format_", ["compact", "interop"])
def test_a_run_that_begins_on_an_expired_thread_does_not_bring_it_back(path: Path, format_: Any) -> None:
    with RustSqliteSaver(path, format=format_, ttl={"default_ttl": 60}) as saver:
        for namespace in ("", "child"):
            put_aged(saver, [3 * HOUR, 2 * HOUR], "1", namespace)
        new = id_made(0)
        saver.put_writes(config_of(checkpoint_id=new), [("early", 1)], TASK)
        saver.put(config_of(), checkpoint_of(None, {"a": 1}, id=new), {}, {})
        (found,) = saver.list(None)
        assert found.checkpoint["id"] == new
        assert found.pending_writes == [(TASK, "early", 1)]


def test_a_run_that_outlives_its_thread_goes_on(path: Path) -> None:
    with RustSqliteSaver(path, ttl={"default_ttl": 60}) as saver:
        *_, last = put_aged(saver, [3 * HOUR, 2 * HOUR])
        saver.put_writes(config_of(checkpoint_id=last), [("a", 1)], TASK)
        assert list(saver.list(None)) == []
        saver.put(config_of(checkpoint_id=last), checkpoint_of(None, {"a": 1}, id=id_made(0)), {}, {})
        assert len(list(saver.list(None))) == 3


def test_an_interop_file_gets_our_table_only_for_a_pin_or_a_time_to_live(path: Path) -> None:
    with RustSqliteSaver(path, format="interop", ttl={"default_ttl": 1}) as saver:
        put_aged(saver, [9 * HOUR])
        saver.apply_retention(RetentionPolicy(keep_last=1), dry_run=False)
        saver.unpin_thread("1")
        saver.set_ttl("1", None)
        names = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
        assert query(path, names) == [("checkpoints",), ("writes",)]
        saver.pin_thread("1")
        assert ("checkpoint_threads",) in query(path, names)
        assert saver.format == "interop"


def test_the_engine_runs_the_policy_and_counts(path: Path) -> None:
    policy = RetentionPolicy(keep_last=2, thread_idle_for=HOUR)
    with RustSqliteSaver(path, retention=policy, ttl=OFTEN) as saver:
        put_aged(saver, [9 * HOUR], "idle")
        put_aged(saver, [60, 50, 40, 30], "used")
        until(lambda: len(rows(path, "checkpoints")) == 2)
        until(lambda: saver.stats()["retention"]["checkpoints"] >= 3)
        figures = saver.stats()["retention"]
        assert figures["threads"] == 1
        assert figures["failed"] == figures["skipped"] == 0
        assert threads(saver) == ["used"]


def test_without_a_policy_no_thread_runs(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        put_aged(saver, [9 * HOUR])
        assert not is_running()
        assert saver.stats()["retention"]["runs"] == 0
        with pytest.raises(ValueError, match="no retention policy"):
            saver.apply_retention()


def thread_names() -> list[str]:
    tasks = f"/proc/{os.getpid()}/task"
    if not os.path.isdir(tasks):
        pytest.skip("needs /proc")
    names = []
    for task in os.listdir(tasks):
        with open(f"{tasks}/{task}/comm", encoding="utf-8") as file:
            names.append(file.read().strip())
    return names


def is_running() -> bool:
    return "lgcheckpoint-tt" in thread_names()


def test_close_ends_the_thread_and_so_does_the_last_saver_that_goes(path: Path) -> None:
    saver = RustSqliteSaver(path, retention=RetentionPolicy(keep_last=1), ttl=OFTEN)
    assert not is_running()
    put_chain(saver, 5)
    until(is_running)
    saver.close()
    assert not is_running()
    other = RustSqliteSaver(path, retention=RetentionPolicy(keep_last=1), ttl=OFTEN)
    other.setup()
    until(is_running)
    del other
    assert not is_running()


def test_a_restore_is_not_refused_for_a_run_of_the_policy(path: Path) -> None:
    backup = path.with_name("backup.db")
    with RustSqliteSaver(path, retention=RetentionPolicy(keep_last=1), ttl=OFTEN) as saver:
        put_chain(saver, 3)
        until(lambda: saver.stats()["retention"]["runs"] > 1)
        saver.backup(backup)
        for _ in range(20):
            put_chain(saver, 3, "2")
            saver.restore(backup)
            assert threads(saver) == ["1"]
        put_chain(saver, 3, "3")
        until(lambda: len(ids(list(saver.list(config_of("3"))))) == 1)


def test_what_only_the_serializer_can_read_is_skipped_and_counted(path: Path) -> None:
    serde = EncryptedSerializer.from_pycryptodome_aes(key=b"k" * 16)
    policy = RetentionPolicy(keep_last=1)
    with RustSqliteSaver(path, serde=serde, retention=policy, ttl=OFTEN) as saver:
        put_chain(saver, 3)
        until(lambda: saver.stats()["retention"]["skipped"] > 0)
        assert len(list(saver.list(None))) == 3
        assert saver.apply_retention(dry_run=False).checkpoints == 2


def test_a_pickled_saver_keeps_its_policy(path: Path) -> None:
    policy = RetentionPolicy(keep_last=1)
    with RustSqliteSaver(path, retention=policy, ttl={"default_ttl": 60}) as saver:
        put_aged(saver, [2 * HOUR])
        with pickle.loads(pickle.dumps(saver)) as other:
            assert other.get_tuple(config_of()) is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_runs_its_own(path: Path) -> None:
    saver = RustSqliteSaver(path, retention=RetentionPolicy(keep_last=1), ttl=OFTEN)
    put_chain(saver, 3, "1")
    for number in range(5):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                put_chain(saver, 3, f"child {number}")
                until(lambda: saver.stats()["retention"]["runs"] > 1, 10)
                until(lambda: len(list(saver.list(config_of(f"child {number}")))) == 1, 10)
                saver.close()
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        assert status == 0
        put_chain(saver, 2, f"parent {number}")
    until(lambda: len(rows(path, "checkpoints")) == 11)
    saver.close()


_SWEEPER = """
import sys, time
from langgraph_checkpoint_rust import RetentionPolicy, RustSqliteSaver
policy = RetentionPolicy(keep_last=2, thread_idle_for=3600, archive_to=sys.argv[2] or None)
saver = RustSqliteSaver(sys.argv[1], retention=policy, ttl={"sweep_interval_minutes": 0.0002})
saver.setup()
print("ready", flush=True)
sys.stdin.read()
figures = saver.stats()["retention"]
saver.close()
print(figures["runs"], figures["failed"], flush=True)
"""

_UPSTREAM_WRITER = """
import sys
sys.path.insert(0, ".")
from aged import put_new
from helpers import TASK
from langgraph.checkpoint.sqlite import SqliteSaver
with SqliteSaver.from_conn_string(sys.argv[1]) as saver:
    for number in range(int(sys.argv[3])):
        configs = put_new(saver, 3, sys.argv[2], start=1 + 3 * number)
        saver.put_writes(configs[-1], [("a", number)], TASK)
"""

_OUR_WRITER = _UPSTREAM_WRITER.replace(
    "langgraph.checkpoint.sqlite import", "langgraph_checkpoint_rust import"
)


@pytest.mark.parametrize("format_", ["interop", "compact"])
def test_two_processes_at_once_beside_writers_lose_nothing_and_hinder_nobody(
    path: Path, format_: Any
) -> None:
    turns = 60
    with RustSqliteSaver(path, format=format_) as saver:
        for number in range(200):
            put_aged(saver, [9 * HOUR, 8 * HOUR], f"idle {number}")
    sweepers = [start_python(_SWEEPER, path, "") for _ in range(2)]
    for sweeper in sweepers:
        assert sweeper.stdout is not None
        assert sweeper.stdout.readline() == "ready\n"
    codes = [_UPSTREAM_WRITER if format_ == "interop" else _OUR_WRITER, _OUR_WRITER]
    writers = [start_python(code, path, f"writer {place}", turns) for place, code in enumerate(codes)]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
    until(lambda: len(rows(path, "checkpoints")) == 4)
    for sweeper in sweepers:
        output, errors = sweeper.communicate(timeout=60)
        assert sweeper.returncode == 0, errors
        runs, failed = map(int, output.split())
        assert runs > 0
        assert failed == 0
    with RustSqliteSaver(path) as saver:
        assert threads(saver) == ["writer 0", "writer 1"]
        for thread in threads(saver):
            found = list(saver.list(config_of(thread)))
            assert [item.checkpoint["channel_values"]["count"] for item in found] == [
                3 * turns,
                3 * turns - 1,
            ]
            assert found[0].pending_writes == [(TASK, "a", turns - 1)]
        assert saver.verify().is_ok


@pytest.mark.parametrize("archive", ["", "archive.db"])
def test_a_kill_inside_a_sweep_leaves_threads_whole_or_gone(path: Path, archive: str) -> None:
    target = str(path.with_name(archive)) if archive else ""
    expected = {}
    with RustSqliteSaver(path) as saver:
        for number in range(150):
            put_aged(saver, [9 * HOUR, 8 * HOUR], f"idle {number}")
            expected[f"idle {number}"] = ids(list(saver.list(config_of(f"idle {number}"))))
    for delay in (0.0, 0.01, 0.03, 0.06):
        sweeper = start_python(_SWEEPER, path, target)
        assert sweeper.stdout is not None
        assert sweeper.stdout.readline() == "ready\n"
        time.sleep(delay)
        sweeper.send_signal(signal.SIGKILL)
        sweeper.communicate(timeout=30)
        with RustSqliteSaver(path) as saver:
            assert saver.verify().is_ok
            left = threads(saver)
            for thread in left:
                assert ids(list(saver.list(config_of(thread))))[0] == expected[thread][0]
        if target and os.path.exists(target):
            with RustSqliteSaver(target) as saver:
                for thread in expected.keys() - set(left):
                    assert ids(list(saver.list(config_of(thread)))) == expected[thread]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"keep_last": 0}, ValueError),
        ({"keep_last": "1"}, TypeError),
        ({"max_age": "1"}, TypeError),
        ({"done_after": -1}, ValueError),
        ({"max_bytes": 1.5}, TypeError),
        ({"archive_to": 5}, TypeError),
    ],
)
def test_a_policy_of_wrong_values_is_refused(wrong: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        RetentionPolicy(**wrong)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"default_ttl": 0}, ValueError),
        ({"default_ttl": "1"}, TypeError),
        ({"refresh_on_read": 1}, TypeError),
        ({"sweep_interval_minutes": -1}, ValueError),
        ({"minutes": 5}, ValueError),
        (5, TypeError),
    ],
)
def test_a_time_to_live_of_wrong_values_is_refused(wrong: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        RustSqliteSaver(":memory:", ttl=wrong)
