"""`get_saver` and `close_saver`: one saver for the whole process, its threads and its children."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

import pytest
from helpers import config_of, id_of, put_chain, query, run_python, start_python
from oracle import acknowledged, finish, lost

from langgraph_checkpoint_rust import RustSqliteSaver, aclose_saver, close_saver, get_saver
from langgraph_checkpoint_rust.errors import SaverClosedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def environment(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CHECKPOINTS_DB_PATH", str(path))
    yield
    close_saver()


def test_all_callers_get_the_same_saver_of_the_file_that_the_environment_names(path: Path) -> None:
    saver = get_saver()
    assert get_saver() is saver
    put_chain(saver, 2)
    with RustSqliteSaver(path) as other:
        assert len(list(other.list(config_of()))) == 2


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGGRAPH_CHECKPOINT_POOL_SIZE", "3")
    assert get_saver().settings.pool_size == 3


def test_nothing_is_opened_before_it_is_needed(path: Path) -> None:
    get_saver()
    assert not path.exists()


def test_after_close_the_next_call_makes_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    first = get_saver()
    put_chain(first, 1)
    close_saver()
    close_saver()
    with pytest.raises(SaverClosedError, match="make a new one"):
        first.get_tuple(config_of())
    monkeypatch.setenv("LANGGRAPH_CHECKPOINT_POOL_SIZE", "5")
    second = get_saver()
    assert second is not first
    assert second.settings.pool_size == 5
    assert second.get_tuple(config_of()) is not None


def test_aclose_saver_closes_too() -> None:
    async def main() -> None:
        first = get_saver()
        await first.aget_tuple(config_of())
        await aclose_saver()
        await aclose_saver()
        assert get_saver() is not first

    asyncio.run(main())


def test_a_saver_that_its_user_closed_is_replaced() -> None:
    with get_saver() as first:
        put_chain(first, 1)
    assert get_saver().get_tuple(config_of()) is not None


def test_without_a_path_the_variable_is_named_and_a_later_call_may_succeed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHECKPOINTS_DB_PATH")
    with pytest.raises(ValueError, match="CHECKPOINTS_DB_PATH"):
        get_saver()
    monkeypatch.setenv("CHECKPOINTS_DB_PATH", str(path))
    put_chain(get_saver(), 1)


@pytest.mark.compact
def test_threads_that_race_get_one_saver(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[RustSqliteSaver] = []
    from_env = RustSqliteSaver.from_env

    def slow() -> RustSqliteSaver:
        saver = from_env()
        made.append(saver)
        threading.Event().wait(0.01)
        return saver

    monkeypatch.setattr(RustSqliteSaver, "from_env", slow)
    for _ in range(10):
        found: list[RustSqliteSaver] = []
        barrier = threading.Barrier(16)

        def race(found: list[RustSqliteSaver] = found, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            found.append(get_saver())

        threads = [threading.Thread(target=race) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [found[0]] * 16
        close_saver()
    assert len(made) == 10


@pytest.mark.compact
def test_threads_that_get_and_close_at_once_are_told_what_was_stored(path: Path) -> None:
    done = threading.Event()
    stored: set[tuple[str, str]] = set()
    refused: list[SaverClosedError] = []
    unexpected: list[BaseException] = []

    def write_one(name: str, number: int) -> None:
        try:
            put_chain(get_saver(), 1, name, start=number)
            stored.add((name, id_of(number)))
        except SaverClosedError as error:
            refused.append(error)
        except BaseException as error:
            unexpected.append(error)

    def write(name: str) -> None:
        for number in range(1, 51):
            write_one(name, number)

    def close() -> None:
        while not done.is_set():
            close_saver()

    closer = threading.Thread(target=close)
    writers = [threading.Thread(target=write, args=[f"t{number}"]) for number in range(4)]
    for thread in [closer, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    closer.join()
    assert unexpected == []
    assert len(stored) + len(refused) == 200
    assert stored
    assert set(query(path, "SELECT thread_id, checkpoint_id FROM checkpoints")) == stored


FORKED = """
import os, sys, threading
from oracle import acknowledge, put_many
from langgraph_checkpoint_rust import _process, close_saver, get_saver

saver = get_saver()
put_many(saver, "master", 20)

# A thread holds the lock while the process forks: in the child it would never let it go.
held, forked = threading.Event(), threading.Event()
def hold():
    with _process._lock:
        held.set()
        forked.wait()
holder = threading.Thread(target=hold)
holder.start()
held.wait()

def spawn(name):
    process = os.fork()
    if process == 0:
        assert get_saver() is saver
        put_many(get_saver(), name, 50)
        close_saver()
        assert get_saver() is not saver
        put_many(get_saver(), name, 50, start=51)
        os._exit(0)
    return process

workers = [spawn(f"worker-{number}") for number in range(3)]
forked.set()
holder.join()
put_many(get_saver(), "master", 20, start=21)
for worker in workers:
    assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == 0
# As gunicorn replaces a worker.
assert os.waitstatus_to_exitcode(os.waitpid(spawn("replacement"), 0)[1]) == 0
assert get_saver() is saver
put_many(get_saver(), "master", 20, start=41)
close_saver()
"""
IGNORING = "import warnings; warnings.simplefilter('ignore')\n"
"""Of Python 3.12 and later: that a process with threads forks."""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_workers_keep_the_saver_and_have_connections_of_their_own(path: Path) -> None:
    claimed = acknowledged(finish(start_python(IGNORING + FORKED), 0))
    assert len(claimed) == 60 + 4 * 100
    assert lost(path, claimed) == set()


@pytest.mark.compact
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_in_a_child_a_database_in_memory_is_a_new_one() -> None:
    code = """
    import os
    os.environ["CHECKPOINTS_DB_PATH"] = ":memory:"
    from helpers import config_of, put_chain
    from langgraph_checkpoint_rust import close_saver, get_saver

    put_chain(get_saver(), 1)
    process = os.fork()
    if process == 0:
        assert get_saver().get_tuple(config_of()) is None
        put_chain(get_saver(), 3)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    print(len(list(get_saver().list(config_of()))))
    close_saver()
    """
    assert run_python(code) == "1\n"
