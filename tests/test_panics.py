"""A defect below the border is an `InternalError`, and the next call works.

These need a build with the feature `faults`, which `make torture` makes.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from helpers import TASK, Verbs, checkpoint_of, config_of, put_chain, rows, start_python
from oracle import acknowledged, finish, lost

from langgraph_checkpoint_rust import RustSqliteSaver, _core
from langgraph_checkpoint_rust.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

plant_fault: Any = getattr(_core, "plant_fault", None)

pytestmark = pytest.mark.skipif(plant_fault is None, reason="needs the feature `faults`")

READS = ["get_tuple", "list", "get_delta_channel_history"]
WRITES = ["put", "put_writes", "delete_thread", "copy_thread"]
SEEN = {
    "PanicAtEntry": [*READS, *WRITES, "prune", "delete_for_runs"],
    "PanicInTransaction": WRITES,
    "PanicAfterCommit": WRITES,
    "PanicInLeader": WRITES,
    "PanicInRead": READS,
}
ARGUMENTS: dict[str, Any] = {
    "put": lambda: (config_of("1"), checkpoint_of(9), {}, {}),
    "put_writes": lambda: (config_of("1", "", "x"), [("a", 1), ("b", 2)], TASK),
    "get_tuple": lambda: (config_of("1"),),
    "list": lambda: (None,),
    "delete_thread": lambda: ("other",),
    "copy_thread": lambda: ("1", "2"),
    "delete_for_runs": lambda: (["run"],),
    "prune": lambda: (["1"],),
}


@pytest.fixture(autouse=True)
def no_fault_stays() -> Iterator[None]:
    yield
    plant_fault("")


@pytest.mark.parametrize(
    ("fault", "verb"), [(fault, verb) for fault, verbs in SEEN.items() for verb in verbs]
)
def test_a_panic_is_an_internal_error_and_the_next_call_works(fault: str, verb: str, saver: Verbs) -> None:
    put_chain(saver, 3)

    def call() -> object:
        if verb == "get_delta_channel_history":
            return saver.get_delta_channel_history(config=config_of("1"), channels=["a"])
        return getattr(saver, verb)(*ARGUMENTS[verb]())

    plant_fault(fault)
    with pytest.raises(InternalError, match="report it") as raised:
        call()
    assert isinstance(raised.value, Exception)
    call()
    stats = saver.saver.stats()
    assert stats["writer"]["queued"] == 0
    assert stats["readers"]["open"] == stats["readers"]["idle"]
    assert saver.get_tuple(config_of("1")) is not None


def test_a_panic_inside_a_transaction_stores_nothing(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 1)
        plant_fault("PanicInTransaction")
        with pytest.raises(InternalError):
            saver.put_writes(config_of("1", "", "x"), [("a", 1), ("b", 2)], TASK)
        assert rows(path, "writes") == []


def test_a_panic_after_the_commit_does_not_say_that_nothing_was_stored(saver: Verbs) -> None:
    (config,) = put_chain(saver, 1)
    plant_fault("PanicAfterCommit")
    with pytest.raises(InternalError, match="may have been stored, read back") as raised:
        saver.put_writes(config, [("a", 1), ("b", 2)], TASK)
    assert "nothing" not in str(raised.value)
    assert len(saver.get_tuple(config).pending_writes) == 2


@pytest.mark.parametrize("fault", ["PanicInTransaction", "PanicAfterCommit", "PanicInLeader", "PanicAtEntry"])
def test_a_panic_in_one_call_leaves_those_beside_it_alone(path: Path, fault: str) -> None:
    with RustSqliteSaver(path) as saver:
        saver.setup()
        failures: list[BaseException] = []

        def put(name: str) -> None:
            for number in range(1, 30):
                try:
                    saver.put(config_of(name), checkpoint_of(number), {}, {})
                except InternalError as error:
                    failures.append(error)
                if name == "t0" and number % 10 == 0:
                    plant_fault(fault)

        threads = [threading.Thread(target=put, args=(f"t{number}",)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        # A leader that cannot begin fails all that are queued; any other panic is one call's own.
        assert failures
        if fault != "PanicInLeader":
            assert len(failures) <= 3
        plant_fault("")
        put_chain(saver, 1, "after")


ACKNOWLEDGED_EARLY = """
import sys
from oracle import die, put_many
from langgraph_checkpoint_rust import RustSqliteSaver, _core
_core.plant_fault(sys.argv[2])
put_many(RustSqliteSaver(sys.argv[1]), "t", 20)
die()
"""


@pytest.mark.parametrize(("fault", "missing"), [("", 0), ("AcknowledgeEarly", 1)])
def test_a_commit_that_follows_its_acknowledgement_would_be_seen(
    path: Path, fault: str, missing: int
) -> None:
    claimed = acknowledged(finish(start_python(ACKNOWLEDGED_EARLY, path, fault)))
    assert len(lost(path, claimed)) == missing
