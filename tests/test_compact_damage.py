"""Compact files that are damaged, and values that are hard to divide."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from helpers import checkpoint_of, config_of, id_of, query, run_python
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from test_compact import Note, put

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.errors import DatabaseCorruptError

if TYPE_CHECKING:
    from pathlib import Path

LEAST_LEAF = 1024

CASES = 500
DAMAGE = """
import collections, json, logging, os, random, sys
from helpers import TASK, config_of
from test_compact import items, put
from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.errors import InternalError

path, seed, cases = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
logging.disable()
random_ = random.Random(seed)
with RustSqliteSaver(path, lock_guard=False) as saver:
    for number in range(1, 13):
        for thread in ("1", "two"):
            values = items(8 * number, first=number) if thread == "1" else f"short {number}"
            stored = put(saver, number, values, thread, step=number, writes={"n": number})
            saver.put_writes(stored, [("items", items(3 * number)), ("small", number)], TASK, "~path")
truth = {}

def read_all(path, check, failed):
    #Each verb by itself: an error of one must not hide what another says.
    with RustSqliteSaver(path, lock_guard=False) as saver:
        try:
            listed = list(saver.list(None))
            for item in listed:
                check(item)
            if len(listed) < len(truth):
                check(None)
        except Exception as error:
            failed(error)
        for key in list(truth):
            try:
                check(saver.get_tuple(config_of(*key)))
            except Exception as error:
                failed(error)

def key_of(item):
    configurable = item.config["configurable"]
    return configurable["thread_id"], configurable["checkpoint_ns"], configurable["checkpoint_id"]

def learn(item):
    truth[key_of(item)] = item

def fail(error):
    raise error

read_all(path, learn, fail)
assert len(truth) == 24
intact = open(path, "rb").read()
outcomes, errors = collections.Counter(), collections.Counter()
wrong = []
for case in range(cases):
    damaged = bytearray(intact)
    kind = random_.choice(["bit", "bit", "bit", "bits", "cut", "zeros"])
    at = random_.randrange(len(damaged))
    if kind == "cut":
        del damaged[at:]
    elif kind == "zeros":
        end = min(len(damaged), at + random_.choice([1, 16, 512]))
        damaged[at:end] = bytes(end - at)
    else:
        for _ in range(1 if kind == "bit" else 20):
            damaged[random_.randrange(len(damaged))] ^= 1 << random_.randrange(8)
    copy = f"{path}.{case}"
    with open(copy, "wb") as file:
        file.write(damaged)
    seen = set()

    def check(item):
        if item is None:
            seen.add("missing")
            return
        expected = truth.get(key_of(item))
        pending, item = item.pending_writes, item._replace(pending_writes=[])
        if expected is None or item != expected._replace(pending_writes=[]):
            names = item._fields if expected else []
            fields = [name for name in names if getattr(item, name) != getattr(expected, name)]
            seen.add("wrong")
            wrong.append((case, kind, [name for name in fields if name != "pending_writes"]))
        elif pending != expected.pending_writes:
            strange = [one for one in pending if one not in expected.pending_writes]
            seen.add("wrong" if strange else "missing")
            if strange:
                wrong.append((case, kind, [field for write in strange for field in map(str, write)][:3]))

    def failed(error):
        if isinstance(error, InternalError):
            raise error
        seen.add("error")
        errors[type(error).__name__] += 1

    read_all(copy, check, failed)
    for outcome in ("wrong", "error", "missing"):
        if outcome in seen:
            break
    else:
        outcome = "same"
    outcomes[outcome] += 1
    for end in ("", "-wal", "-shm"):
        if os.path.exists(copy + end):
            os.remove(copy + end)
print(json.dumps({"outcomes": outcomes, "errors": errors, "wrong": wrong, "size": len(intact)}))
"""


def test_damage_is_an_error_or_harmless(path: Path) -> None:
    """Never wrong data, never a crash. What SQLite itself no longer finds, a seal cannot miss."""
    report = json.loads(run_python(DAMAGE, path, 20261121, CASES, timeout=110))
    print(report)
    assert report["wrong"] == []
    outcomes = report["outcomes"]
    assert outcomes["error"] > CASES // 5
    assert outcomes.get("missing", 0) < CASES // 10
    assert outcomes["error"] + outcomes["same"] + outcomes.get("missing", 0) == CASES


def test_an_index_that_leads_to_another_row_is_noticed(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        for number in (1, 2, 3):
            put(saver, number, "short", "thread")
    # An entry of the index: the columns of the key, then the row's number.
    entry = b"thread" + id_of(2).encode()
    found = path.read_bytes()
    assert found.count(entry + b"\x02") == 1
    path.write_bytes(found.replace(entry + b"\x02", entry + b"\x03"))
    with RustSqliteSaver(path) as saver, pytest.raises(DatabaseCorruptError, match="thread `thread`"):
        saver.get_tuple(config_of("thread", checkpoint_id=id_of(2)))


EDITS = [
    "UPDATE checkpoints SET metadata = '{\"step\": 2}' WHERE checkpoint_id = ?",
    "UPDATE checkpoints SET metadata = NULL WHERE checkpoint_id = ?",
    "UPDATE checkpoints SET parent_checkpoint_id = 'x' WHERE checkpoint_id = ?",
    "UPDATE checkpoints SET thread_id = 'u' WHERE checkpoint_id = ?",
    "UPDATE checkpoints SET checkpoint_ns = 'n' WHERE checkpoint_id = ?",
    "UPDATE checkpoints SET checkpoint = (SELECT value FROM writes LIMIT 1) WHERE checkpoint_id = ?",
    "UPDATE checkpoints SET checkpoint_id = 'x' WHERE checkpoint_id = ?",
    "UPDATE writes SET task_id = 'x' WHERE checkpoint_id = ?",
    "UPDATE writes SET task_path = 'x' WHERE checkpoint_id = ?",
    "UPDATE writes SET channel = 'x' WHERE checkpoint_id = ?",
    "UPDATE writes SET idx = 7 WHERE checkpoint_id = ? AND idx = 0",
    "UPDATE writes SET value = (SELECT checkpoint FROM checkpoints LIMIT 1) WHERE checkpoint_id = ?",
    "UPDATE checkpoint_chunks SET thread_no = 9 WHERE id = 3 AND ? <> ''",
    "UPDATE checkpoint_chunks SET kind = 1 - kind WHERE id = 3 AND ? <> ''",
    "UPDATE checkpoint_chunks SET data = zeroblob(5) WHERE id = 3 AND ? <> ''",
    "UPDATE checkpoint_chunks SET hash = zeroblob(16) WHERE id = 3 AND ? <> ''",
]


@pytest.mark.parametrize("edit", EDITS)
def test_a_column_that_was_edited_is_noticed(path: Path, edit: str) -> None:
    with RustSqliteSaver(path) as saver:
        stored = put(saver, 1, [f"{number} " * 50 for number in range(200)], "thread", step=1)
        saver.put_writes(stored, [("items", "short"), ("items", ["x" * 9000])], "task", "path")
    query(path, edit, [id_of(1)])
    with RustSqliteSaver(path) as saver, pytest.raises(DatabaseCorruptError):
        list(saver.list(None))


MASK = 2**64 - 1


def gear() -> list[int]:
    """The table of the rolling hash: `splitmix64`."""
    table, state = [], 0
    for _ in range(256):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
        table.append(mixed ^ (mixed >> 31))
    return table


def always_cut(length: int) -> bytes:
    """Bytes in which the hash picks a place as soon as it may."""
    table, random_ = gear(), random.Random(5)
    while True:
        picked = random_.randbytes(64)
        rolled = 0
        for byte in picked:
            rolled = ((rolled << 1) + table[byte]) & MASK
        if rolled < MASK // 2816:
            break
    return b"".join(random_.randbytes(LEAST_LEAF - 64) + picked for _ in range(length // LEAST_LEAF))


HARD: dict[str, Any] = {
    "a million numbers": lambda: list(range(1_000_000)),
    "equal elements": lambda: ["the same"] * 300_000,
    "an element of 10 MB": lambda: ["before", random.Random(1).randbytes(10_000_000), "after"],
    "a text of 10 MB": lambda: random.Random(2).randbytes(5_000_000).hex(),
    "models": lambda: [Note(text=f"note {number} " * 20, number=number) for number in range(3000)],
    "one model": lambda: Note(text="x" * 100_000, number=1),
    "nested": lambda: {"a": [{"b": [str(number)] * 10} for number in range(20_000)]},
    "never cut": lambda: b"\xc0" * 3_000_000,
    "never cut, in elements": lambda: [None] * 3_000_000,
    "always cut": lambda: always_cut(2_000_000),
    "messages": lambda: [HumanMessage(f"{number} " * 50, id=str(number)) for number in range(3000)],
}


@pytest.mark.parametrize("case", HARD)
def test_what_is_hard_to_divide_is_stored_within_bounds(path: Path, case: str) -> None:
    value = HARD[case]()
    blob = len(JsonPlusSerializer().dumps_typed(checkpoint_of(1, {"items": value}))[1])
    with RustSqliteSaver(path) as saver:
        put(saver, 1, value)
        put(saver, 2, value)
        for number in (1, 2):
            found = saver.get_tuple(config_of(checkpoint_id=id_of(number)))
            assert found is not None
            assert found.checkpoint["channel_values"]["items"] == value
    leaves, nodes, stored = query(
        path, "SELECT sum(kind = 0), sum(kind = 1), sum(length(data)) FROM checkpoint_chunks"
    )[0]
    assert leaves <= blob / LEAST_LEAF + 1
    assert nodes <= leaves / 16 + 1
    assert stored <= blob * 1.05 + 1000
    recipes = [row[0] for row in query(path, "SELECT length(checkpoint) FROM checkpoints")]
    assert max(recipes) < 4000 + blob / 500
    # Pages are 4 KiB: a leaf of some 1.4 KiB leaves most room unused, one of 16 KiB least.
    assert path.stat().st_size < blob * 2 + 200_000
    if case == "always cut":
        assert leaves > blob / (LEAST_LEAF + 70)


def test_a_list_that_is_reversed_is_stored_once_more_at_most(path: Path) -> None:
    forward = [f"{number} " * 20 for number in range(20_000)]
    with RustSqliteSaver(path) as saver:
        put(saver, 1, forward)
        (once,) = query(path, "SELECT sum(length(data)) FROM checkpoint_chunks")[0]
        put(saver, 2, forward[::-1])
        put(saver, 3, forward)
        (twice,) = query(path, "SELECT sum(length(data)) FROM checkpoint_chunks")[0]
        assert twice < once * 2.1
        found = [item.checkpoint["channel_values"]["items"] for item in saver.list(config_of())]
    assert found == [forward, forward[::-1], forward]
