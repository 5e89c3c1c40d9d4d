"""`mirror=`: what is stored is in the mirror too, whatever fails in between."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from helpers import Lock, checkpoint_of, config_of, id_of, rows, run_python
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver

from langgraph_checkpoint_rust import (
    AsyncRustSqliteSaver,
    MirrorPolicy,
    RetentionPolicy,
    RetryPolicy,
    RustSqliteSaver,
)
from langgraph_checkpoint_rust._core import SqliteBackend
from langgraph_checkpoint_rust._mirror import CHANGING
from langgraph_checkpoint_rust.errors import CheckpointError, DatabaseBusyError
from langgraph_checkpoint_rust.metrics import MirrorMetrics, prometheus_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from langgraph_checkpoint_rust.events import Event

THREADS = ["a", "b", "c"]


@pytest.fixture
def mirror_path(tmp_path: Path) -> Path:
    return tmp_path / "mirror.db"


def content(saver: Any, threads: list[str] | None = None) -> dict[Any, Any]:
    """All that a saver tells of its threads."""
    found: dict[Any, Any] = {}
    for thread_id in threads or THREADS:
        for one in saver.list(config_of(thread_id)):
            key = one.config["configurable"]
            found[thread_id, key["checkpoint_id"]] = (
                one.checkpoint,
                one.metadata,
                (one.parent_config or {}).get("configurable", {}).get("checkpoint_id"),
                sorted(one.pending_writes or [], key=repr),
            )
    return found


def versioned(number: int, values: dict[str, Any]) -> Any:
    """A checkpoint as a graph makes it: a value that changed has another version. `InMemorySaver` needs it."""
    return checkpoint_of(number, values, channel_versions=dict.fromkeys(values, f"{number:032}.5"))


def put_chain(saver: Any, length: int, thread_id: str = "1", *, start: int = 1) -> list[Any]:
    stored = [config_of(thread_id)]
    for number in range(start, start + length):
        checkpoint = versioned(number, {"count": number})
        stored.append(saver.put(stored[-1], checkpoint, {"source": "loop", "step": number}, {}))
    return stored[1:]


def figures(saver: RustSqliteSaver | AsyncRustSqliteSaver) -> MirrorMetrics:
    found = saver.metrics().mirror
    assert found is not None
    return found


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(THREADS), st.integers(1, 6)),
        st.tuples(st.just("put_writes"), st.sampled_from(THREADS), st.integers(1, 6)),
        st.tuples(st.just("delete"), st.sampled_from(THREADS), st.just(0)),
        st.tuples(st.just("copy"), st.sampled_from(THREADS), st.integers(0, 2)),
        st.tuples(st.just("prune"), st.sampled_from(THREADS), st.integers(1, 2)),
        st.tuples(st.just("runs"), st.sampled_from(THREADS), st.integers(1, 6)),
        st.tuples(st.just("retention"), st.just(""), st.integers(1, 3)),
        st.tuples(st.just("notes"), st.sampled_from(THREADS), st.integers(1, 3)),
        st.tuples(st.just("delete all"), st.just(""), st.just(0)),
    ),
    max_size=25,
)


def carry_out(saver: RustSqliteSaver, verb: str, thread_id: str, number: int) -> None:
    config = config_of(thread_id, "", id_of(number))
    if verb == "put":
        metadata: Any = {"step": number, "run_id": f"run-{number}"}
        saver.put(config_of(thread_id), versioned(number, {"text": f"{thread_id}{number}"}), metadata, {})
    elif verb == "put_writes":
        saver.put_writes(config, [("x", number), ("y", thread_id)], f"task-{number}")
    elif verb == "delete":
        saver.delete_thread(thread_id)
    elif verb == "delete all":
        saver.delete_threads([*THREADS, "unknown"])
    elif verb == "copy" and thread_id != THREADS[number]:
        saver.copy_thread(thread_id, THREADS[number])
    elif verb == "prune":
        saver.prune([thread_id], keep_last=number)
    elif verb == "runs":
        saver.delete_for_runs([f"run-{number}"])
    elif verb == "retention":
        saver.apply_retention(RetentionPolicy(keep_last=number), dry_run=False)
    elif verb == "notes":
        saver.set_thread(thread_id, title=f"title {number}", metadata={"n": number})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=20)
@given(steps=STEPS)
def test_after_any_sequence_of_verbs_the_mirror_is_equal(
    steps: list[tuple[str, str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("mirror")
    memory = InMemorySaver()
    with (
        RustSqliteSaver(directory / "a.db", mirror=directory / "mirror.db") as saver,
        RustSqliteSaver(directory / "b.db", mirror=memory) as other,
    ):
        for step in steps:
            carry_out(saver, *step)
            carry_out(other, *step)
        assert saver.mirror_flush(30)
        assert other.mirror_flush(30)
        assert figures(saver).errors == figures(other).errors == 0
        expected = content(saver)
        with RustSqliteSaver(directory / "mirror.db") as mirror:
            assert content(mirror) == expected
            titles = {thread.thread_id: (thread.title, thread.metadata) for thread in saver.list_threads()}
            assert titles == {
                thread.thread_id: (thread.title, thread.metadata) for thread in mirror.list_threads()
            }
            assert mirror.verify().is_ok
        assert content(memory) == content(other)


NOT_MIRRORED = {
    # They store nothing.
    "apply_retention", "backup", "chunked_threads", "close", "count_rows", "count_threads", "delete_for_runs",
    "format", "garbage", "get_delta_channel_history", "get_thread", "get_tuple", "history", "integrity", "list",
    "list_threads", "pending_sends", "prune", "read_notes", "read_thread", "salvage", "scoped", "select", "setup",
    "stats", "storage", "survey", "thread_ids", "verify",
    # They change how it is stored, and what nobody sees.
    "convert", "finish_deletions", "rebuild", "repair", "scrub", "sweep", "vacuum",
    # Leases are those of one file; a restored file is mirrored when it is asked for.
    "acquire_lease", "release_lease", "restore",
}  # fmt: skip


def test_of_each_native_verb_it_is_known_whether_it_is_mirrored() -> None:
    native = {name for name in dir(SqliteBackend) if not name.startswith("_")}
    assert len(native) > 40
    assert native == CHANGING | NOT_MIRRORED
    assert not CHANGING & NOT_MIRRORED


def test_rows_are_the_same_byte_for_byte(
    path: Path, mirror_path: Path, make_saver: Callable[..., RustSqliteSaver]
) -> None:
    saver = make_saver(mirror=mirror_path, format="interop")
    stored = put_chain(saver, 5)
    saver.put_writes(stored[-1], [("a", 1), ("__error__", "no")], "task", "path")
    saver.close()
    for table in ("checkpoints", "writes"):
        assert rows(path, table) == rows(mirror_path, table)
        assert rows(path, table)


def test_async_verbs_are_mirrored(path: Path, mirror_path: Path) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path, mirror=mirror_path) as saver:
            await asyncio.gather(
                *(saver.aput(config_of(name), checkpoint_of(n), {}, {}) for name in THREADS for n in range(5))
            )
            assert await saver.amirror_flush(30)
            assert figures(saver).applied == 15
            assert await saver.amirror_resync("all") == 3

    asyncio.run(main())
    with RustSqliteSaver(mirror_path) as mirror, RustSqliteSaver(path) as source:
        assert len(content(mirror)) == 15
        assert content(mirror) == content(source)


def test_a_saver_of_this_package_is_a_mirror(
    mirror_path: Path, make_saver: Callable[..., RustSqliteSaver]
) -> None:
    mirror = make_saver(mirror_path)
    saver = make_saver(mirror=mirror)
    put_chain(saver, 3, "a")
    acme = saver.scoped("acme")
    put_chain(acme, 2, "b")
    acme.prune(["b"])
    assert saver.mirror_flush(30)
    assert content(mirror, ["a"]) == content(saver, ["a"])
    assert len(content(mirror.scoped("acme"))) == 1
    assert content(mirror.scoped("acme")) == content(acme)
    assert acme.mirror_resync("all") == 1
    assert saver.mirror_resync("all") == 2
    assert content(mirror.scoped("acme")) == content(acme)
    saver.close()
    put_chain(mirror, 1, "c")


def test_any_other_saver_sees_tenants_by_the_stored_ids(make_saver: Callable[..., RustSqliteSaver]) -> None:
    memory = InMemorySaver()
    saver = make_saver(mirror=memory)
    acme = saver.scoped("acme")
    put_chain(acme, 3, "a")
    acme.put_writes(config_of("a", "", id_of(3)), [("x", 1)], "task")
    acme.prune(["a"], keep_last=2)
    put_chain(acme, 1, "b")
    acme.delete_thread("b")
    put_chain(saver, 1, "a")
    assert saver.mirror_flush(30)
    assert figures(saver).errors == 0
    stored = [thread.thread_id for thread in saver.list_threads(order_by="thread_id")]
    assert len(stored) == 2
    assert content(memory, stored) == content(saver, stored)
    assert len(content(memory, stored)) == 3
    assert len(memory.storage) == 2


class Gate:
    """A saver in memory that stores nothing while it is shut."""

    def __init__(self) -> None:
        self.saver = InMemorySaver()
        self.error: Exception | None = None
        self.open = threading.Event()
        self.open.set()
        put, delete = self.saver.put, self.saver.delete_thread

        def gated(verb: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any) -> Any:
                assert self.open.wait(30)
                if self.error is not None:
                    raise self.error
                return verb(*arguments)

            return call

        self.saver.put = gated(put)  # type: ignore[method-assign]
        self.saver.delete_thread = gated(delete)  # type: ignore[method-assign]


def test_a_mirror_that_fails_and_recovers(
    make_saver: Callable[..., RustSqliteSaver], caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []
    gate = Gate()
    saver = make_saver(mirror=gate.saver, on_event=events.append)
    put_chain(saver, 1, "a")
    assert saver.mirror_flush(30)
    gate.error = ConnectionError("the mirror is away")
    put_chain(saver, 3, "a", start=2)
    put_chain(saver, 1, "b")
    assert saver.mirror_flush(30)
    metrics = figures(saver)
    assert (metrics.applied, metrics.errors, metrics.marked_threads) == (1, 4, 2)
    assert [event.error for event in events if event.kind == "mirror"] == ["ConnectionError"] * 4
    logged = [record for record in caplog.records if record.name == "langgraph_checkpoint_rust.mirror"]
    assert len(logged) == 2  # once for each thread
    with pytest.raises(CheckpointError, match="2 of 2 threads could not be mirrored"):
        saver.mirror_resync()
    gate.error = None
    # The next write of a thread copies all of it.
    put_chain(saver, 1, "a", start=9)
    assert saver.mirror_flush(30)
    assert content(gate.saver, ["a"]) == content(saver, ["a"])
    assert figures(saver).marked_threads == 1
    # A thread without one is copied when asked for.
    assert saver.mirror_resync() == 1
    assert content(gate.saver) == content(saver)
    assert figures(saver).marked_threads == 0
    assert saver.mirror_resync() == 0


def test_the_caller_does_not_wait_and_what_does_not_fit_is_made_up_for(
    make_saver: Callable[..., RustSqliteSaver],
) -> None:
    events: list[Event] = []
    gate = Gate()
    gate.open.clear()
    saver = make_saver(mirror=MirrorPolicy(gate.saver, most_entries=3), on_event=events.append)
    put_chain(saver, 2, "a")
    saver.delete_thread("a")
    put_chain(saver, 4, "a", start=5)
    put_chain(saver, 1, "b")
    metrics = figures(saver)
    assert (metrics.entries, metrics.dropped, metrics.marked_threads) == (3, 5, 2)
    assert metrics.lag_seconds > 0
    assert metrics.bytes > 0
    assert {event.error for event in events if event.kind == "mirror"} == {"QueueFull"}
    gate.open.set()
    assert saver.mirror_flush(30)
    # What waited was older than what was dropped: the threads are still marked.
    assert figures(saver).marked_threads == 2
    put_chain(saver, 1, "a", start=20)
    assert saver.mirror_resync() >= 1
    assert content(gate.saver) == content(saver)
    assert len(content(saver, ["a"])) == 5


def test_bytes_are_limited_but_for_a_single_write(make_saver: Callable[..., RustSqliteSaver]) -> None:
    gate = Gate()
    gate.open.clear()
    saver = make_saver(mirror=MirrorPolicy(gate.saver, most_bytes=10_000))
    saver.put(config_of("a"), checkpoint_of(1, {"text": "x" * 50_000}), {}, {})
    assert figures(saver).entries == 1
    saver.put(config_of("b"), checkpoint_of(1), {}, {})
    assert figures(saver).dropped == 1
    gate.open.set()


def test_a_write_that_was_cancelled_is_made_certain_of(path: Path, mirror_path: Path) -> None:
    async def main() -> None:
        saver = AsyncRustSqliteSaver(path, mirror=mirror_path)
        await saver.setup()
        tasks = []
        for number in range(40):
            task = asyncio.create_task(saver.aput(config_of("a"), checkpoint_of(number), {}, {}))
            tasks.append(task)
            await asyncio.sleep(0)
            if number % 2:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert any(task.cancelled() for task in tasks)
        await saver.aclose()

    asyncio.run(main())
    with RustSqliteSaver(path) as source, RustSqliteSaver(mirror_path) as mirror:
        assert len(content(source)) >= 20
        assert content(mirror) == content(source)


def test_a_write_that_failed_is_not_mirrored(
    path: Path, mirror_path: Path, make_saver: Callable[..., RustSqliteSaver]
) -> None:
    saver = make_saver(busy_timeout=0.02, mirror=mirror_path, retry=RetryPolicy(attempts=2, base=0.001))
    put_chain(saver, 1, "a")
    with Lock(path, "BEGIN IMMEDIATE"), pytest.raises(DatabaseBusyError):
        put_chain(saver, 1, "b")
    put_chain(saver, 1, "c")
    assert saver.mirror_flush(30)
    assert figures(saver).applied == 2
    with RustSqliteSaver(mirror_path, busy_timeout=0.02) as mirror:
        assert content(mirror) == content(saver)


def test_what_goes_on_in_memory_is_mirrored(
    tmp_path: Path, mirror_path: Path, make_saver: Callable[..., RustSqliteSaver]
) -> None:
    (tmp_path / "directory").write_text("in the way")
    saver = make_saver(tmp_path / "directory" / "app.db", fallback="memory", mirror=mirror_path)
    put_chain(saver, 3, "a")
    assert saver.is_degraded
    saver.close()
    with RustSqliteSaver(mirror_path) as mirror:
        assert len(content(mirror)) == 3


def test_an_old_file_gets_a_mirror(mirror_path: Path, make_saver: Callable[..., RustSqliteSaver]) -> None:
    old = make_saver()
    put_chain(old, 3, "a")
    old.set_thread("a", title="a title", metadata={"user": "ada"})
    old.pin_thread("a")
    old.archive_thread("a")
    put_chain(old, 2, "b")
    saver = make_saver(mirror=mirror_path)
    assert saver.mirror_resync(["b"]) == 1
    assert saver.mirror_resync("all") == 2
    with RustSqliteSaver(mirror_path) as mirror:
        assert content(mirror) == content(old)
        copied = mirror.get_thread("a")
        assert copied is not None
        assert (copied.title, copied.metadata) == ("a title", {"user": "ada"})
        assert copied.archived
        assert copied.pinned


def test_a_file_that_is_only_read_can_be_copied(
    path: Path, mirror_path: Path, make_saver: Callable[..., RustSqliteSaver]
) -> None:
    with RustSqliteSaver(path) as old:
        put_chain(old, 3, "a")
        expected = content(old)
    saver = make_saver(read_only=True, mirror=mirror_path)
    assert saver.mirror_resync("all") == 1
    with RustSqliteSaver(mirror_path) as mirror:
        assert content(mirror) == expected


def test_closing_waits_for_the_queue_but_not_for_ever(
    make_saver: Callable[..., RustSqliteSaver], caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    gate.open.clear()
    saver = make_saver(mirror=MirrorPolicy(gate.saver, close_timeout=0.2))
    put_chain(saver, 3, "a")
    saver.close()
    assert "writes were not mirrored before the saver was closed" in caplog.text
    assert [record.levelno for record in caplog.records if record.name.endswith(".mirror")] == [logging.ERROR]
    gate.open.set()


def test_closing_does_not_wait_for_a_mirror_that_is_locked(
    mirror_path: Path, make_saver: Callable[..., RustSqliteSaver]
) -> None:
    saver = make_saver(busy_timeout=1000, mirror=MirrorPolicy(mirror_path, close_timeout=0.1))
    put_chain(saver, 1, "a")
    assert saver.mirror_flush(30)
    worker = saver._store.mirror._worker  # type: ignore[union-attr]
    assert worker is not None
    with Lock(mirror_path, "BEGIN IMMEDIATE"):
        put_chain(saver, 3, "b")
        saver.close()
        assert worker.is_alive()
    worker.join(30)
    assert not worker.is_alive()


def test_a_verb_does_not_fail_where_no_thread_can_be_started(
    make_saver: Callable[..., RustSqliteSaver], mirror_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    saver = make_saver(mirror=mirror_path)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        put_chain(saver, 2, "a")
    assert figures(saver).entries == 2
    put_chain(saver, 1, "b")
    assert saver.mirror_flush(30)
    assert figures(saver).applied == 3


def test_a_saver_that_is_dropped_leaves_nothing_behind(path: Path, mirror_path: Path) -> None:
    saver = RustSqliteSaver(path, mirror=mirror_path)
    put_chain(saver, 3, "a")
    worker = saver._store.mirror._worker  # type: ignore[union-attr]
    assert worker is not None
    del saver
    worker.join(30)
    assert not worker.is_alive()
    with RustSqliteSaver(mirror_path) as mirror:
        assert len(content(mirror)) == 3


def test_a_process_that_ends_without_closing_has_mirrored(path: Path, mirror_path: Path) -> None:
    run_python(
        """
        import sys
        from test_mirror import put_chain
        from langgraph_checkpoint_rust import RustSqliteSaver
        saver = RustSqliteSaver(sys.argv[1], mirror=sys.argv[2])
        put_chain(saver, 50, "a")
        """,
        path,
        mirror_path,
    )
    with RustSqliteSaver(mirror_path) as mirror:
        assert len(content(mirror)) == 50


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_both_sides_of_a_fork_are_mirrored_once(path: Path, mirror_path: Path) -> None:
    run_python(
        """
        import os, sys
        from test_mirror import put_chain
        from langgraph_checkpoint_rust import RustSqliteSaver
        saver = RustSqliteSaver(sys.argv[1], mirror=sys.argv[2])
        put_chain(saver, 30, "a")
        child = os.fork()
        if child == 0:
            assert saver.metrics().mirror.entries == 0
            put_chain(saver, 5, "b")
            saver.close()
            os._exit(0)
        put_chain(saver, 5, "c")
        assert os.waitpid(child, 0)[1] == 0
        saver.close()
        """,
        path,
        mirror_path,
    )
    with RustSqliteSaver(path) as source, RustSqliteSaver(mirror_path) as mirror:
        assert len(content(mirror)) == 40
        assert content(mirror) == content(source)


def test_prometheus_is_told(make_saver: Callable[..., RustSqliteSaver], mirror_path: Path) -> None:
    assert "mirror" not in prometheus_text(make_saver())
    saver = make_saver(mirror=mirror_path)
    put_chain(saver, 2)
    saver.mirror_flush(30)
    assert "langgraph_checkpoint_mirror_writes_total 2\n" in prometheus_text(saver)


def test_misuse_is_refused(path: Path, make_saver: Callable[..., RustSqliteSaver]) -> None:
    with pytest.raises(ValueError, match="the mirror is the database itself"):
        make_saver(mirror=path)
    with pytest.raises(ValueError, match="a mirror in memory"):
        make_saver(mirror=":memory:")
    with pytest.raises(TypeError):
        make_saver(mirror=5)
    with pytest.raises(ValueError, match="most_entries must be between 1"):
        MirrorPolicy("mirror.db", most_entries=0)
    for call in (RustSqliteSaver.mirror_flush, RustSqliteSaver.mirror_resync):
        with pytest.raises(ValueError, match="this saver has no mirror"):
            call(make_saver())


def test_a_variable_names_a_mirror(path: Path, mirror_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGGRAPH_CHECKPOINT_MIRROR", str(mirror_path))
    with RustSqliteSaver.from_env(conn=path) as saver:
        put_chain(saver, 1)
    assert mirror_path.exists()
