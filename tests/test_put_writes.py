"""`put_writes`: upstream's semantics, and all rows of a call or none."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from helpers import OTHER_TASK, TASK, Verbs, checkpoint_of, config_of, id_of, put_chain, rows
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph_checkpoint_rust.errors import DatabaseError, MissingKeyError, SerializationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from langgraph.checkpoint.sqlite import SqliteSaver as UpstreamSaver

SPECIAL = ["__error__", "__scheduled__", "__interrupt__", "__resume__"]


def writes_of(saver: Verbs, thread_id: str = "1") -> Any:
    return saver.get_tuple(config_of(thread_id)).pending_writes


def test_writes_come_back_in_order_with_their_task(saver: Verbs) -> None:
    (config,) = put_chain(saver, 1)
    saver.put_writes(config, [("a", 1), ("b", {"x": [2]}), ("a", None)], TASK)
    assert writes_of(saver) == [(TASK, "a", 1), (TASK, "b", {"x": [2]}), (TASK, "a", None)]


def test_writes_are_ordered_by_task_path_then_task_then_index(saver: Verbs) -> None:
    (config,) = put_chain(saver, 1)
    saver.put_writes(config, [("c", 3)], "task-a", "~2")
    saver.put_writes(config, [("c", 1), ("c", 2)], "task-z", "~1")
    saver.put_writes(config, [("c", 0)], "task-b", "~1")
    assert [value for _, _, value in writes_of(saver)] == [0, 1, 2, 3]


def test_a_repeated_task_keeps_its_first_writes(saver: Verbs) -> None:
    (config,) = put_chain(saver, 1)
    saver.put_writes(config, [("a", "first")], TASK)
    saver.put_writes(config, [("a", "second"), ("b", "added")], TASK)
    assert writes_of(saver) == [(TASK, "a", "first"), (TASK, "b", "added")]


@pytest.mark.parametrize("channel", SPECIAL)
def test_the_last_write_to_a_special_channel_wins(saver: Verbs, channel: str) -> None:
    (config,) = put_chain(saver, 1)
    for value in ("first", "second"):
        saver.put_writes(config, [(channel, value)], TASK)
    assert writes_of(saver) == [(TASK, channel, "second")]


def test_a_special_write_beside_a_plain_one_keeps_the_first(saver: Verbs) -> None:
    (config,) = put_chain(saver, 1)
    saver.put_writes(config, [("__error__", "first")], TASK)
    saver.put_writes(config, [("__error__", "second"), ("a", 1)], TASK)
    assert writes_of(saver) == [(TASK, "__error__", "first"), (TASK, "a", 1)]


def test_no_writes_are_no_error(saver: Verbs) -> None:
    (config,) = put_chain(saver, 1)
    saver.put_writes(config, [], TASK)
    assert writes_of(saver) == []


def test_writes_may_come_before_their_checkpoint(saver: Verbs) -> None:
    saver.put_writes(config_of(checkpoint_id=id_of(1)), [("a", 1)], TASK)
    assert saver.get_tuple(config_of()) is None
    saver.put(config_of(), checkpoint_of(1), {}, {})
    assert writes_of(saver) == [(TASK, "a", 1)]


def test_replacing_a_checkpoint_keeps_its_writes(saver: Verbs) -> None:
    (config,) = put_chain(saver, 1)
    saver.put_writes(config, [("a", 1)], TASK)
    put_chain(saver, 1)
    assert writes_of(saver) == [(TASK, "a", 1)]


@pytest.mark.parametrize(
    "config",
    [{"configurable": {"checkpoint_id": "x"}}, {"configurable": {"thread_id": "1"}}, config_of(None)],
)
def test_a_missing_thread_or_checkpoint_is_a_key_error_and_a_value_error(saver: Verbs, config: Any) -> None:
    with pytest.raises(KeyError) as caught:
        saver.put_writes(config, [("a", 1)], TASK)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, MissingKeyError)


@pytest.mark.parametrize("bad", range(4))
@pytest.mark.parametrize("channel", ["a", "__error__"])
def test_a_value_that_cannot_be_serialized_stores_no_row_of_the_call(
    saver: Verbs, bad: int, channel: str
) -> None:
    (config,) = put_chain(saver, 1)
    saver.put_writes(config, [("before", 0)], OTHER_TASK)
    values = [threading.Lock() if number == bad else number for number in range(4)]
    with pytest.raises(SerializationError, match=f"the write to channel `{channel}`"):
        saver.put_writes(config, [(channel, value) for value in values], TASK)
    assert writes_of(saver) == [(OTHER_TASK, "before", 0)]


class OversizeSerializer(JsonPlusSerializer):
    """Makes a value of `"oversize"` longer than SQLite's limit for one column."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        return ("bytes", bytes(1_000_000_001)) if obj == "oversize" else super().dumps_typed(obj)


@pytest.mark.parametrize("bad", range(4))
def test_a_row_that_sqlite_refuses_stores_no_row_of_the_call(make_saver: Any, bad: int) -> None:
    saver = Verbs(make_saver(serde=OversizeSerializer()))
    (config,) = put_chain(saver, 1)
    saver.put_writes(config, [("before", 0)], OTHER_TASK)
    values = ["oversize" if number == bad else number for number in range(4)]
    with pytest.raises(DatabaseError, match="too big"):
        saver.put_writes(config, [("a", value) for value in values], TASK)
    assert writes_of(saver) == [(OTHER_TASK, "before", 0)]
    saver.put_writes(config, [("a", 1)], TASK)
    assert writes_of(saver) == [(TASK, "a", 1), (OTHER_TASK, "before", 0)]


@pytest.mark.interop
def test_rows_equal_upstreams_byte_for_byte(
    path: Path, make_saver: Any, make_upstream: Callable[..., UpstreamSaver]
) -> None:
    ours, theirs = make_saver(), make_upstream(path.with_name("upstream.db"))
    for saver in (ours, theirs):
        config = config_of(7, checkpoint_id=id_of(1))
        saver.put_writes(config, [("a", {"x": (1, 2)}), ("__interrupt__", None), ("b", b"bytes")], TASK, "~p")
        saver.put_writes(config, [("__resume__", "go"), ("__error__", ValueError("e"))], OTHER_TASK)
        saver.put_writes(config, [("a", "ignored")], TASK, "~other")
    assert rows(path, "writes") == rows(path.with_name("upstream.db"), "writes")
