"""Any sequence of calls leaves what upstream's saver would hold: in the interop format row for row, in
the compact one by every verb, and by every column that holds no value.

Upstream is the oracle for put, put_writes, get_tuple, list and delete_thread. What it lacks or leaves
to others (copy_thread, prune, delete_for_runs, the pending sends of old checkpoints) is a model here,
applied to upstream's rows.
"""

from __future__ import annotations

import json
import tempfile
import uuid
from pathlib import Path
from typing import Any

import formats
import pytest
from helpers import config_of, id_of, rows
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.checkpoint.sqlite import SqliteSaver as UpstreamSaver

from langgraph_checkpoint_rust import RustSqliteSaver

pytestmark = pytest.mark.timeout(1800)

THREADS: list[Any] = [1, "1", uuid.UUID(int=5), "ü'\"%", "2"]
NAMESPACES = ["", "child", "call:1", "call:1|inner:2"]
CHANNELS = ["a", "b", "log", "__error__", "__scheduled__", "__interrupt__", "__resume__", "__pregel_tasks"]
RUNS = ["run-1", "run-2"]

threads = st.sampled_from(THREADS)
namespaces = st.sampled_from(NAMESPACES)
numbers = st.integers(0, 7)
tasks = st.sampled_from(["00000000-0000-0000-0000-00000000000a", "task-b", "ü"])
paths = st.sampled_from(["", "~__pregel_pull, 0", "~__pregel_push, 1"])

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def chat(seed: int, first: int, count: int) -> list[str]:
    """Two of the same seed share all messages that both hold: long enough to be stored in parts."""
    return [f"{seed}/{number} " * 25 for number in range(first, first + count)]


chats = st.builds(chat, st.integers(0, 1), st.integers(0, 3), st.integers(0, 120))
state_values = (
    json_values | st.binary(max_size=40) | st.builds(HumanMessage, st.text(max_size=5)) | st.uuids() | chats
)
metadata = st.fixed_dictionaries(
    {"source": st.sampled_from(["input", "loop"]), "step": st.integers(-1, 3)},
    optional={
        "run_id": st.sampled_from([*RUNS, None]),
        "parents": st.builds(lambda number: {"": id_of(number)}, numbers),
        "counters_since_delta_snapshot": st.just({"log": [1, 1]}),
        "writes": json_values,
        "nested": json_values,
    },
)
filters = st.dictionaries(
    st.sampled_from(["source", "step", "run_id", "parents", "missing"]),
    st.sampled_from(["input", "loop", None, 0, 1, "run-1", {"": id_of(1)}, True, 1.0]),
    max_size=2,
)


@st.composite
def checkpoints(draw: st.DrawFn) -> dict[str, Any]:
    """A checkpoint of any version, with a delta channel `log` that is stored, a snapshot, or absent."""
    values: dict[str, Any] = draw(st.dictionaries(st.sampled_from(["a", "b"]), state_values))
    log = draw(st.sampled_from(["absent", "plain", "snapshot"]))
    if log != "absent":
        values["log"] = ["plain"] if log == "plain" else _DeltaSnapshot(["snapshot"])
    versions = dict.fromkeys([*values, "start"], f"{1:032}.5")
    if draw(st.booleans()):
        versions["log"] = f"{2:032}.5"
    return {
        "v": draw(st.sampled_from([1, 3, 4])),
        "id": id_of(draw(numbers)),
        "ts": "2026-01-01T00:00:00+00:00",
        "channel_values": values,
        "channel_versions": versions,
        "versions_seen": {},
    }


class Model:
    """Upstream's saver, and what it lacks, applied to its rows."""

    def __init__(self) -> None:
        self._manager = UpstreamSaver.from_conn_string(":memory:")
        self.saver = self._manager.__enter__()
        self.saver.setup()

    def close(self) -> None:
        self._manager.__exit__(None, None, None)

    def sql(self, statement: str, *parameters: Any) -> list[Any]:
        found = self.saver.conn.execute(statement, parameters).fetchall()
        self.saver.conn.commit()
        return found

    def rows(self, table: str) -> list[Any]:
        key = "1, 2, 3, 4, 6" if table == "writes" else "1, 2, 3"
        columns = {
            "writes": "thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value",
            "checkpoints": "thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata",
        }
        return self.sql(f"SELECT {columns[table]} FROM {table} ORDER BY {key}")

    def with_sends(self, found: Any) -> Any:
        """A tuple as `PostgresSaver` returns it: an old checkpoint with its parent's pending sends."""
        if found is None or found.parent_config is None or found.checkpoint["v"] >= 4:
            return found
        writes = self.sql(
            "SELECT task_path, task_id, idx, type, value FROM writes WHERE thread_id = ? AND checkpoint_ns = ?"
            " AND checkpoint_id = ? AND channel = '__pregel_tasks'",
            *map(str, found.parent_config["configurable"].values()),
        )
        sends = [self.saver.serde.loads_typed(row[3:]) for row in sorted(writes, key=lambda row: row[:3])]
        if sends:
            found.checkpoint["channel_values"]["__pregel_tasks"] = sends
            versions = found.checkpoint["channel_versions"]
            versions["__pregel_tasks"] = max(versions.values())
        return found

    def copy_thread(self, source: str, target: str) -> None:
        for table in ("checkpoints", "writes"):
            for row in self.rows(table):
                if row[0] == source:
                    marks = ", ".join("?" * len(row))
                    self.sql(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", target, *row[1:])

    def delete_checkpoint(self, *key: str) -> None:
        for table in ("checkpoints", "writes"):
            self.sql(
                f"DELETE FROM {table} WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?", *key
            )

    def delete_for_runs(self, run_ids: list[str]) -> None:
        for row in self.rows("checkpoints"):
            if json.loads(row[6]).get("run_id") in run_ids:
                self.delete_checkpoint(*row[:3])

    def prune(self, thread: str) -> None:
        namespaces: dict[str, dict[str, Any]] = {}
        for row in self.rows("checkpoints"):
            if row[0] == thread:
                namespaces.setdefault(row[1], {})[row[2]] = row
        kept = {namespace: self.kept(found) for namespace, found in namespaces.items()}
        for namespace, found in namespaces.items():
            call = json.loads(found[max(found)][6]).get("parents", {}).get("")
            if ":" in namespace and call in namespaces.get("", {}) and call not in kept[""]:
                for table in ("checkpoints", "writes"):
                    self.sql(
                        f"DELETE FROM {table} WHERE thread_id = ? AND checkpoint_ns = ?", thread, namespace
                    )
                continue
            for checkpoint_id in found.keys() - kept[namespace]:
                self.delete_checkpoint(thread, namespace, checkpoint_id)
                self.sql(
                    "UPDATE checkpoints SET parent_checkpoint_id = NULL WHERE thread_id = ?"
                    " AND checkpoint_ns = ? AND parent_checkpoint_id = ?",
                    thread,
                    namespace,
                    checkpoint_id,
                )

    def kept(self, found: dict[str, Any]) -> set[str]:
        """What stays of one namespace."""
        heads = {max(found)}
        while more := {key for key, row in found.items() if row[3] in heads} - heads:
            heads |= more
        kept = set(heads)
        for head in heads:
            row = found[head]
            checkpoint = self.saver.serde.loads_typed(row[4:6])
            if checkpoint["v"] < 4 and self.sends_from(row):
                kept.add(row[3])
            counters = json.loads(row[6]).get("counters_since_delta_snapshot", {})
            for channel in checkpoint["channel_versions"].keys() - checkpoint["channel_values"].keys():
                chain, seed = self.chain(found, head, channel)
                if channel in counters or isinstance(seed, _DeltaSnapshot):
                    kept |= set(chain)
        return kept & found.keys()

    def sends_from(self, row: Any) -> bool:
        return bool(
            self.sql(
                "SELECT 1 FROM writes WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?"
                " AND channel = '__pregel_tasks'",
                row[0],
                row[1],
                row[3],
            )
        )

    def chain(self, found: dict[str, Any], head: str, channel: str) -> tuple[list[str], Any]:
        """The ancestors back to the first that stores a channel, and its value there."""
        chain: list[str] = []
        current = found[head][3]
        while current in found and current not in chain:
            chain.append(current)
            values = self.saver.serde.loads_typed(found[current][4:6])["channel_values"]
            if channel in values:
                return chain, values[channel]
            current = found[current][3]
        return chain, None


class Savers(RuleBasedStateMachine):
    """Each rule is one verb on both."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "checkpoints.db"
        self.ours = RustSqliteSaver(self.path)
        self.model = Model()

    def teardown(self) -> None:
        self.ours.close()
        if self.path.exists():
            for table, value in (("checkpoints", 4), ("writes", 7)):
                found, expected = rows(self.path, table), self.model.rows(table)
                if formats.tested() == "compact":
                    assert {row[value] for row in found} <= {"chunked"}
                    found = [row[:value] + row[value + 2 :] for row in found]
                    expected = [row[:value] + row[value + 2 :] for row in expected]
                assert found == expected
            self.check_verbs()
        self.model.close()
        self.directory.cleanup()

    def check_verbs(self) -> None:
        """What a fresh saver reads."""
        with RustSqliteSaver(self.path) as ours:
            for found in ours.list(None):
                expected = self.model.with_sends(self.model.saver.get_tuple(found.config))
                assert found == expected
                assert ours.get_tuple(found.config) == expected
            for thread, namespace, number in {row[:3] for row in self.model.rows("writes")}:
                # Makes writes visible that have no checkpoint.
                config: Any = config_of(thread, namespace)
                checkpoint: Any = {"v": 4, "id": number, "channel_values": {}, "channel_versions": {}}
                pending = []
                for saver in (ours, self.model.saver):
                    stored = saver.get_tuple(saver.put(config, checkpoint, {}, {}))
                    assert stored is not None
                    pending.append(stored.pending_writes)
                assert pending[0] == pending[1]

    @rule(
        thread=threads,
        namespace=namespaces,
        parent=st.none() | numbers,
        checkpoint=checkpoints(),
        data=metadata,
    )
    def put(self, thread: Any, namespace: str, parent: int | None, checkpoint: Any, data: Any) -> None:
        config: Any = config_of(thread, namespace, None if parent is None else id_of(parent), user="ada")
        stored = [saver.put(config, checkpoint, data, {}) for saver in (self.ours, self.model.saver)]
        assert stored[0] == stored[1]

    @rule(
        thread=threads,
        namespace=namespaces,
        number=numbers,
        writes=st.lists(st.tuples(st.sampled_from(CHANNELS), state_values), max_size=4),
        task=st.tuples(tasks, paths),
    )
    def put_writes(self, thread: Any, namespace: str, number: int, writes: Any, task: Any) -> None:
        for saver in (self.ours, self.model.saver):
            saver.put_writes(config_of(thread, namespace, id_of(number)), writes, *task)

    @rule(thread=threads, namespace=namespaces, number=st.none() | numbers)
    def get_tuple(self, thread: Any, namespace: str, number: int | None) -> None:
        config = config_of(thread, namespace, None if number is None else id_of(number))
        assert self.ours.get_tuple(config) == self.model.with_sends(self.model.saver.get_tuple(config))

    @rule(
        thread=st.none() | threads,
        namespace=st.none() | namespaces,
        filter_=st.none() | filters,
        before=st.none() | numbers,
        limit=st.none() | st.integers(0, 5),
    )
    def list(
        self, thread: Any, namespace: str | None, filter_: Any, before: int | None, limit: int | None
    ) -> None:
        config: Any = None
        if thread is not None:
            # Upstream's list binds the thread as it is.
            config = {"configurable": {"thread_id": str(thread)}}
            if namespace is not None:
                config["configurable"]["checkpoint_ns"] = namespace
        options: Any = {
            "filter": filter_,
            "before": None if before is None else config_of("", "", id_of(before)),
        }
        found = list(self.ours.list(config, limit=limit, **options))
        everything = list(self.model.saver.list(config, **options))
        # Upstream leaves the order of equal ids open.
        everything.sort(key=lambda item: tuple(item.config["configurable"].values())[:2])
        everything.sort(key=lambda item: item.checkpoint["id"], reverse=True)
        assert found == [self.model.with_sends(item) for item in everything[:limit]]

    @rule(thread=threads)
    def delete_thread(self, thread: Any) -> None:
        self.ours.delete_thread(thread)
        self.model.saver.delete_thread(thread)

    @rule(source=threads, copy=threads)
    def copy_thread(self, source: Any, copy: Any) -> None:
        self.ours.copy_thread(source, copy)
        self.model.copy_thread(str(source), str(copy))

    @rule(run_ids=st.lists(st.sampled_from([*RUNS, "unknown"]), max_size=2))
    def delete_for_runs(self, run_ids: Any) -> None:
        self.ours.delete_for_runs(run_ids)
        self.model.delete_for_runs(run_ids)

    @rule(pruned=st.lists(threads, max_size=2, unique_by=str))
    def prune(self, pruned: Any) -> None:
        self.ours.prune(pruned)
        for thread in pruned:
            self.model.prune(str(thread))

    @rule(thread=threads)
    def prune_all(self, thread: Any) -> None:
        self.ours.prune([thread], strategy="delete")
        self.model.saver.delete_thread(thread)

    @rule()
    def reopen(self) -> None:
        self.ours.close()
        self.ours = RustSqliteSaver(self.path)

    @invariant()
    def both_hold_the_same_checkpoints(self) -> None:
        found = [tuple(item.config["configurable"].values()) for item in self.ours.list(None)]
        assert sorted(found) == [row[:3] for row in self.model.rows("checkpoints")]


def test_any_sequence_of_calls() -> None:
    run_state_machine_as_test(Savers)
