"""Serializers that call the saver they serve, sleep, fail, start threads or collect garbage: no deadlock."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from fault_support import LOOPS, eventually, is_at_rest, run_on
from helpers import TASK, Verbs, checkpoint_of, collected, config_of, id_of, query
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph_checkpoint_rust import RustSqliteSaver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(10)

TABLES = "SELECT (SELECT count(*) FROM checkpoints), (SELECT count(*) FROM writes)"


class Adversary(JsonPlusSerializer):
    """Runs `mischief` in each call but those that the mischief itself causes."""

    def __init__(self) -> None:
        super().__init__()
        self.mischief: Callable[[], object] = lambda: None
        self.calls = 0
        self.busy = threading.local()

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        self._misbehave()
        return super().dumps_typed(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        self._misbehave()
        return super().loads_typed(data)

    def _misbehave(self) -> None:
        if getattr(self.busy, "now", False):
            return
        self.busy.now = True
        self.calls += 1
        try:
            self.mischief()
        finally:
            self.busy.now = False


@pytest.fixture(params=["sync", *LOOPS])
def colour(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], Verbs]]:
    """Wraps a saver: its sync verbs, or its a-verbs on a loop."""
    if request.param == "sync":
        yield Verbs
        return
    loop = LOOPS[request.param]()
    yield lambda saver: Verbs(saver, loop)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.fixture
def saver(path: Path) -> Iterator[RustSqliteSaver]:
    """One reader, an adversary, and a checkpoint with writes in thread `old`."""
    with RustSqliteSaver(path, serde=Adversary(), pool_size=1, pool_timeout=5, busy_timeout=5) as saver:
        config = saver.put(config_of("old"), checkpoint_of(1, {"a": 1}), {"step": 1}, {})
        saver.put_writes(config, [("a", 1), ("b", 2)], TASK)
        yield saver


def use_all(verbs: Verbs, thread: str = "1") -> None:
    """Calls every verb and looks at what it did."""
    config = verbs.put(config_of(thread), checkpoint_of(1, {"a": 1}), {"step": 1}, {})
    config = verbs.put(config, checkpoint_of(2, {"a": 2}), {"step": 2}, {})
    verbs.put_writes(config, [("a", 1), ("b", 2)], TASK)
    assert verbs.get_tuple(config_of(thread)).pending_writes == [(TASK, "a", 1), (TASK, "b", 2)]
    assert len(verbs.list(config_of(thread), filter={"step": 2})) == 1
    assert "a" in verbs.get_delta_channel_history(config=config_of(thread), channels=["a"])
    verbs.copy_thread(thread, f"{thread}-copy")
    verbs.prune([thread])
    assert len(verbs.list(config_of(thread))) == 1
    verbs.delete_thread(f"{thread}-copy")
    verbs.delete_for_runs(["unknown"])
    assert verbs.list(config_of(f"{thread}-copy")) == []


def other_verbs(saver: RustSqliteSaver, adversary: Adversary) -> None:
    """What the serializer calls: reads and writes of the saver that called it."""
    thread = f"inner{adversary.calls}-{threading.get_ident()}"
    saver.put(config_of(thread), checkpoint_of(1, {"a": 1}), {}, {})
    saver.put_writes(config_of(thread, "", id_of(1)), [("a", 1)], TASK)
    assert saver.get_tuple(config_of(thread)) is not None
    assert len(list(saver.list(config_of("old")))) == 1
    saver.delete_thread(thread)


def in_threads(adversary: Adversary, work: Callable[[], object]) -> None:
    """Runs the work in two threads and waits for them, as a serializer with a thread pool does."""
    failures: list[BaseException] = []

    def run() -> None:
        # Else each call of these threads would start two more.
        adversary.busy.now = True
        try:
            work()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(8)
    assert failures == []
    assert not any(thread.is_alive() for thread in threads)


def in_a_loop(saver: RustSqliteSaver, adversary: Adversary) -> None:
    """The a-verbs on a loop of another thread."""

    async def main() -> None:
        await saver.aput(config_of("looped"), checkpoint_of(1), {}, {})
        assert len(await collected(saver.alist(config_of("old")))) == 1

    in_threads(adversary, lambda: asyncio.run(main()))


MISCHIEF: dict[str, Callable[[RustSqliteSaver, Adversary], object]] = {
    "the same saver": other_verbs,
    "the saver in threads": lambda saver, adversary: in_threads(
        adversary,
        lambda: (saver.get_tuple(config_of("old")), saver.put(config_of("t"), checkpoint_of(1), {}, {})),
    ),
    "the saver in loops": in_a_loop,
    "sleep": lambda _, __: time.sleep(0.01),
    "garbage": lambda _, __: gc.collect(),
    "figures": lambda saver, _: saver.stats(),
    "another saver": lambda saver, _: RustSqliteSaver(
        saver._store.path, pool_size=1, pool_timeout=5, busy_timeout=5
    ).get_tuple(config_of("old")),
}


@pytest.mark.parametrize("kind", MISCHIEF)
def test_every_verb_works_with_a_serializer_that_calls(
    saver: RustSqliteSaver, colour: Callable[[Any], Verbs], kind: str
) -> None:
    adversary: Any = saver.serde
    adversary.mischief = lambda: MISCHIEF[kind](saver, adversary)
    use_all(colour(saver))
    assert adversary.calls > 5
    assert is_at_rest(saver)


def test_many_threads_with_one_reader_and_a_serializer_that_reads_do_not_deadlock(
    saver: RustSqliteSaver,
) -> None:
    adversary: Any = saver.serde
    adversary.mischief = lambda: saver.get_tuple(config_of("old"))
    threads = [threading.Thread(target=use_all, args=(Verbs(saver), f"t{number}")) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(9)
    assert not any(thread.is_alive() for thread in threads)
    assert {found.config["configurable"]["thread_id"] for found in saver.list(None)} == {
        "old",
        *(f"t{number}" for number in range(6)),
    }


@pytest.mark.parametrize("loop_name", LOOPS)
def test_many_tasks_with_one_reader_and_a_serializer_that_reads_do_not_deadlock(
    saver: RustSqliteSaver, loop_name: str
) -> None:
    adversary: Any = saver.serde
    adversary.mischief = lambda: saver.get_tuple(config_of("old"))

    async def work(number: int) -> None:
        config = await saver.aput(config_of(number), checkpoint_of(1), {}, {})
        await saver.aput_writes(config, [("a", 1)], TASK)
        assert len(await collected(saver.alist(config_of(number)))) == 1

    async def main() -> None:
        await asyncio.gather(*(work(number) for number in range(16)))

    run_on(loop_name, main())
    assert eventually(lambda: is_at_rest(saver))


def test_a_serializer_that_closes_the_saver_leaves_a_typed_error_and_no_row(
    path: Path, colour: Callable[[Any], Verbs]
) -> None:
    adversary = Adversary()
    closing = RustSqliteSaver(path, serde=adversary)
    verbs = colour(closing)
    verbs.put(config_of("old"), checkpoint_of(1), {}, {})
    adversary.mischief = closing.close
    with pytest.raises(Exception, match="is closed; make a new one"):
        verbs.put(config_of("new"), checkpoint_of(1), {}, {})
    assert query(path, TABLES) == [(1, 0)]


class Refusal(Exception):
    """What a serializer raises."""


@pytest.mark.parametrize("row", range(5))
@pytest.mark.parametrize("error", [Refusal, TypeError, KeyboardInterrupt])
def test_put_writes_that_fails_at_a_row_stores_no_row(
    path: Path, saver: RustSqliteSaver, colour: Callable[[Any], Verbs], row: int, error: Any
) -> None:
    adversary: Any = saver.serde
    start = adversary.calls

    def fail_at_row() -> None:
        if adversary.calls == start + row + 1:
            raise error("at this row")

    adversary.mischief = fail_at_row
    config = config_of("old", "", id_of(1))
    writes = [(f"channel{index}", index) for index in range(5)]
    before = query(path, TABLES)
    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            saver.put_writes(config, writes, "failing")
    else:
        with pytest.raises(error if error is Refusal else TypeError, match="at this row"):
            colour(saver).put_writes(config, writes, "failing")
    assert adversary.calls == start + row + 1
    assert query(path, TABLES) == before
    colour(saver).put_writes(config, writes, "again")
    assert query(path, TABLES) == [(before[0][0], before[0][1] + 5)]


@pytest.mark.parametrize("call", range(4))
def test_a_serializer_that_fails_while_reading_leaks_no_reader(
    saver: RustSqliteSaver, colour: Callable[[Any], Verbs], call: int
) -> None:
    adversary: Any = saver.serde
    for number in range(2, 5):
        saver.put(config_of("old"), checkpoint_of(number), {}, {})
    start = adversary.calls

    def fail() -> None:
        if adversary.calls == start + call + 1:
            raise Refusal("in the middle")

    adversary.mischief = fail
    with pytest.raises(Refusal):
        colour(saver).list(None)
    assert is_at_rest(saver)
    assert len(colour(saver).list(None)) == 4


class Half:
    """A sequence of writes that fails at its end."""

    def __init__(self, writes: list[tuple[str, Any]]) -> None:
        self._writes = writes

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        yield from self._writes
        raise Refusal("no more")


@pytest.mark.parametrize("rows", range(4))
def test_writes_that_cannot_be_iterated_to_the_end_store_no_row(
    path: Path, saver: RustSqliteSaver, colour: Callable[[Any], Verbs], rows: int
) -> None:
    before = query(path, TABLES)
    writes = Half([("a", number) for number in range(rows)])
    with pytest.raises(Refusal):
        colour(saver).put_writes(config_of("old", "", id_of(1)), writes, "failing")
    assert query(path, TABLES) == before
