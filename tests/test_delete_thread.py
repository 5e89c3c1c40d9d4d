"""`delete_thread`: all of a thread and nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from helpers import TASK, Verbs, checkpoint_of, config_of, id_of, put_chain, query, rows, run_python

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver

if TYPE_CHECKING:
    from pathlib import Path


def test_all_namespaces_and_all_writes_go(saver: Verbs) -> None:
    for namespace in ("", "child:1"):
        for config in put_chain(saver, 2, "1", namespace):
            saver.put_writes(config, [("a", 1)], TASK)
    saver.delete_thread("1")
    assert saver.list({"configurable": {"thread_id": "1"}}) == []
    put_chain(saver, 2)
    assert saver.get_tuple(config_of()).pending_writes == []


def test_writes_without_a_checkpoint_go_too(path: Path, saver: Verbs) -> None:
    saver.put_writes(config_of(checkpoint_id="not-there-yet"), [("a", 1)], TASK)
    saver.delete_thread("1")
    saver.put(config_of(), {"id": "not-there-yet"}, {}, {})
    assert saver.get_tuple(config_of()).pending_writes == []


def test_other_threads_stay(saver: Verbs) -> None:
    put_chain(saver, 2, "1")
    (kept,) = put_chain(saver, 1, "10")
    saver.put_writes(kept, [("a", 1)], TASK)
    before = saver.list(config_of("10"))
    saver.delete_thread("1")
    assert saver.list(None) == before


def test_the_thread_id_may_be_of_any_type(saver: Verbs) -> None:
    put_chain(saver, 1, 7)
    saver.delete_thread(7)
    assert saver.list(None) == []


def test_an_unknown_thread_is_no_error(saver: Verbs) -> None:
    saver.delete_thread("unknown")
    saver.delete_thread("unknown")
    assert saver.list(None) == []


def test_adelete_thread_works_on_a_fresh_file(path: Path) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            await saver.adelete_thread("1")

    asyncio.run(main())
    assert rows(path, "checkpoints") == []


LARGE = 60_000
"""Checkpoints that no transaction of 250 ms deletes."""


def make_large(path: Path, thread_id: str = "1") -> None:
    """Fills a thread by SQL: to put so much would take a minute."""
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 2, thread_id)
        saver.put_writes(config_of(thread_id, "", id_of(1)), [("a", "x" * 5000)], TASK)
        put_chain(saver, 2, "other")
    query(path, "DROP TRIGGER IF EXISTS checkpoint_format_checkpoints")
    query(
        path,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        "INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, type, checkpoint, metadata) "
        "SELECT ?, '', printf('0000%06d', i), 'msgpack', x'80', '{}' FROM n",
        (LARGE, thread_id),
    )


def counted(path: Path, thread_id: str = "1") -> int:
    """What the file still holds of a thread."""
    count = "SELECT (SELECT count(*) FROM checkpoints WHERE thread_id = ?1) + "
    count += "(SELECT count(*) FROM writes WHERE thread_id = ?1)"
    ((found,),) = query(path, count, (thread_id,))
    return int(found)


@pytest.mark.compact
def test_a_large_thread_is_gone_at_once_for_every_reader(path: Path) -> None:
    make_large(path)
    with RustSqliteSaver(path) as saver:
        rest, counts, hidden = saver._store.backend.delete_threads(["1", "other"], False).wait()
        assert (rest, hidden) == ("marked", 1)
        assert 0 < counts[0] < LARGE
        assert counted(path) > 0
        assert saver.get_tuple(config_of("1")) is None
        assert saver.get_tuple(config_of("1", "", id_of(2))) is None
        assert list(saver.list(config_of("1"))) == []
        assert [found.config["configurable"]["thread_id"] for found in saver.list(None)] == ["other"] * 2
        assert saver.verify().checkpoints == 2
        seen = run_python(
            """
            import sys
            from langgraph_checkpoint_rust import RustSqliteSaver
            with RustSqliteSaver(sys.argv[1]) as saver:
                print(len(list(saver.list(None))))
            """,
            path,
        )
        assert seen == "2\n"


@pytest.mark.compact
@pytest.mark.parametrize("goes_on", ["delete_thread", "compact", "put", "upgrade", "downgrade", "repair"])
def test_a_deletion_that_was_interrupted_is_carried_on(path: Path, goes_on: str) -> None:
    make_large(path)
    if goes_on == "downgrade":
        query(
            path,
            "CREATE TRIGGER checkpoint_format_checkpoints BEFORE INSERT ON checkpoints BEGIN SELECT 1; END",
        )
    with RustSqliteSaver(path) as saver:
        assert saver._store.backend.delete_threads(["1"], False).wait()[0] == "marked"
    with RustSqliteSaver(path) as saver:
        if goes_on == "put":
            saver.put_writes(config_of("1", "", id_of(7)), [("a", 1)], TASK)
            saver.put(config_of("1"), checkpoint_of(7), {}, {})
            (found,) = saver.list(config_of("1"))
            assert found.pending_writes == [(TASK, "a", 1)]
            assert counted(path) == 2
            saver.delete_thread("1")
        elif goes_on == "delete_thread":
            saver.delete_thread("unknown")
        else:
            getattr(saver, goes_on)()
        assert counted(path) == 0
        assert saver.verify().is_ok
        assert len(list(saver.list(None))) == 2


@pytest.mark.compact
def test_copies_and_imports_into_a_thread_that_is_being_deleted(path: Path, tmp_path: Path) -> None:
    make_large(path)
    with RustSqliteSaver(path) as saver:
        saver.export_thread("other", tmp_path / "other.db")
        for bring in (
            lambda: saver.copy_thread("other", "1"),
            lambda: saver.import_thread(tmp_path / "other.db", thread_id="1"),
        ):
            saver._store.backend.delete_threads(["1"], False).wait()
            bring()
            assert len(list(saver.list(config_of("1")))) == 2
            assert counted(path) == 2
            saver.delete_thread("1")


def test_delete_threads_tells_its_progress(saver: Verbs) -> None:
    for thread_id in "abc":
        put_chain(saver, 2, thread_id)
    seen: list[tuple[int, int]] = []
    saver.delete_threads(["a", "unknown", "b"], progress=lambda done, total: seen.append((done, total)))
    # Small threads share a transaction.
    assert seen == [(3, 3)]
    assert {found.config["configurable"]["thread_id"] for found in saver.list(None)} == {"c"}
    saver.delete_threads([], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(3, 3)]
    with pytest.raises(TypeError, match="sequence of IDs"):
        saver.delete_threads("c")


def test_delete_threads_in_batches_stops_where_progress_raises(saver: Verbs) -> None:
    names = [f"{number:03}" for number in range(600)]
    for name in ("000", "255", "256", "599"):
        put_chain(saver, 1, name)
    done = 0

    def stop(count: int, _: int) -> None:
        nonlocal done
        done = count
        if count >= 256:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        saver.delete_threads(names, progress=stop)
    left = {found.config["configurable"]["thread_id"] for found in saver.list(None)}
    assert left == {name for name in ("000", "255", "256", "599") if name >= names[done]}
    saver.delete_threads(names)
    assert saver.list(None) == []


@pytest.mark.compact
def test_a_large_thread_among_small_ones(path: Path) -> None:
    make_large(path)
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 2, "first")
        put_chain(saver, 2, "last")
        seen: list[int] = []
        saver.delete_threads(["first", "1", "last"], progress=lambda done, total: seen.append(done))
        assert seen[-1] == 3
        assert counted(path) == 0
        assert {found.config["configurable"]["thread_id"] for found in saver.list(None)} == {"other"}
