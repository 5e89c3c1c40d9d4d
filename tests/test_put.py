"""`put`: upstream's semantics, and where it refuses what upstream loses or hangs on."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import enum
import math
import uuid
from collections import OrderedDict, deque
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from helpers import Verbs, checkpoint_of, config_of, id_of, put_chain, rows
from langchain_core.messages import HumanMessage

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver
from langgraph_checkpoint_rust.errors import MissingKeyError, SerializationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from langgraph.checkpoint.sqlite import SqliteSaver as UpstreamSaver


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: int


def test_the_returned_config_names_the_stored_checkpoint_and_echoes_the_thread(saver: Verbs) -> None:
    thread = uuid.UUID(int=7)
    stored = saver.put(config_of(thread, "child", id_of(1)), checkpoint_of(2), {}, {})
    assert stored == {
        "configurable": {"thread_id": thread, "checkpoint_ns": "child", "checkpoint_id": id_of(2)}
    }


def test_the_configs_checkpoint_becomes_the_parent(saver: Verbs) -> None:
    first, second = put_chain(saver, 2)
    assert saver.get_tuple(second).parent_config == first
    assert saver.get_tuple(first).parent_config is None


def test_a_checkpoint_with_the_same_id_is_replaced(saver: Verbs) -> None:
    saver.put(config_of(), checkpoint_of(1, {"a": 1}), {"step": 1}, {})
    saver.put(config_of(), checkpoint_of(1, {"b": 2}), {"step": 2}, {})
    (found,) = saver.list(config_of())
    assert found.checkpoint["channel_values"] == {"b": 2}
    assert found.metadata == {"step": 2}


def test_everything_is_stored_whatever_new_versions_says(saver: Verbs) -> None:
    checkpoint = checkpoint_of(1, {"a": 1, "b": [2]})
    for new_versions in ({}, {"a": "1"}, {"unknown": "9"}):
        saver.put(config_of(), checkpoint, {}, new_versions)
        assert saver.get_tuple(config_of()).checkpoint == checkpoint


def test_unknown_and_missing_keys_and_key_order_survive(saver: Verbs) -> None:
    checkpoint = {"zeta": 1, "id": id_of(1), "alpha": {"nested": True}, "v": 4}
    saver.put(config_of(), checkpoint, {}, {})
    found = saver.get_tuple(config_of()).checkpoint
    assert list(found.items()) == list(checkpoint.items())


def test_a_checkpoint_may_be_any_mapping_that_the_serializer_takes(saver: Verbs) -> None:
    saver.put(config_of(), OrderedDict(checkpoint_of(1, {"a": 1})), {}, {})
    assert saver.get_tuple(config_of()).checkpoint["channel_values"] == {"a": 1}


def test_a_config_without_a_namespace_means_the_root(saver: Verbs) -> None:
    stored = saver.put({"configurable": {"thread_id": "1"}}, checkpoint_of(1), {}, {})
    assert stored["configurable"]["checkpoint_ns"] == ""
    assert saver.get_tuple(config_of()).config["configurable"]["checkpoint_ns"] == ""


@pytest.mark.parametrize("thread", [7, uuid.UUID(int=9), "ü ✓ '\"", 1.5, True])
def test_a_thread_id_of_any_type_is_its_text(saver: Verbs, thread: Any) -> None:
    saver.put(config_of(thread), checkpoint_of(1), {}, {})
    (found,) = saver.list(None)
    assert found.config["configurable"]["thread_id"] == str(thread)
    assert saver.get_tuple(config_of(str(thread))) is not None


@pytest.mark.parametrize("config", [{"configurable": {}}, {"configurable": {"thread_id": None}}, {}])
def test_a_missing_thread_id_is_a_key_error_and_a_value_error(saver: Verbs, config: Any) -> None:
    with pytest.raises(KeyError) as caught:
        saver.put(config, checkpoint_of(1), {}, {})
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, MissingKeyError)
    assert "thread_id" in str(caught.value)


@pytest.mark.parametrize("checkpoint", [{}, {"v": 4, "id": None}])
def test_a_checkpoint_without_an_id_is_a_key_error(saver: Verbs, checkpoint: Any) -> None:
    with pytest.raises(MissingKeyError, match='checkpoint has no "id"'):
        saver.put(config_of(), checkpoint, {}, {})


@pytest.mark.parametrize(
    ("config", "checkpoint"), [("1", checkpoint_of(1)), (None, checkpoint_of(1)), (config_of(), "text")]
)
def test_what_is_no_mapping_is_a_type_error(saver: Verbs, config: Any, checkpoint: Any) -> None:
    with pytest.raises(TypeError, match="must be a mapping, not"):
        saver.put(config, checkpoint, {}, {})


def test_metadata_is_merged_with_the_configs_own(saver: Verbs) -> None:
    config = {**config_of(user="ada", __hidden="x", checkpoint_map={}), "metadata": {"run_id": "r", "n": 1}}
    saver.put(config, checkpoint_of(1), {"step": 3, "n": 2}, {})
    assert saver.get_tuple(config_of()).metadata == {"step": 3, "n": 2, "run_id": "r", "user": "ada"}


METADATA: list[dict[str, Any]] = [
    {},
    {"source": "loop", "step": -1, "parents": {"": "x"}, "flag": True, "none": None},
    {"text": 'ü ✓ \U0001f600 "\\ \n \t', "nul": "a\0b", "lone": "a\ud800b"},
    {"big": 2**70, "float": 1e308, "tiny": 5e-324, "minus": -0.0},
    {"nan": math.nan, "inf": math.inf, "list": [1, [2, {"k": None}]], "tuple": (1, 2)},
    {1: "int key", None: "none key", 2.5: "float key"},  # type: ignore[dict-item]
]


@pytest.mark.parametrize("metadata", METADATA)
def test_metadata_that_json_takes_is_stored_in_upstreams_bytes(
    metadata: Any,
    path: Path,
    make_saver: Any,
    make_upstream: Callable[..., UpstreamSaver],
    tested_format: str,
) -> None:
    ours, theirs = make_saver(), make_upstream(path.with_name("upstream.db"))
    config: Any = {**config_of(tenant="t"), "metadata": {"plain": "p"}}
    for target in (ours, theirs):
        target.put(config, checkpoint_of(1, {"a": 1}), metadata, {})
    found, expected = (rows(file, "checkpoints") for file in (path, path.with_name("upstream.db")))
    if tested_format == "compact":
        found, expected = ([row[:4] + row[6:] for row in each] for each in (found, expected))
    assert found == expected


def test_metadata_that_json_refuses_becomes_what_stands_for_it(saver: Verbs) -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    saver.put(
        config_of(),
        checkpoint_of(1),
        {
            "set": {1},
            "tuple": (1, 2),
            "deque": deque([3]),
            "bytes": b"\x00\xff",
            "enum": Colour.RED,
            "date": dt.date(2026, 1, 2),
            "message": HumanMessage("hi"),
            "point": Point(1, 2),
            "mapping": MappingProxyType({5: 6}),
            "uuid": uuid.UUID(int=1),
            "loop": loop,
        },
        {},
    )
    found = saver.get_tuple(config_of()).metadata
    assert found["set"] == [1]
    assert found["tuple"] == [1, 2]
    assert found["deque"] == [3]
    assert found["bytes"] == "AP8="
    assert found["enum"] == "red"
    assert found["date"] == "2026-01-02"
    assert found["message"]["content"] == "hi"
    assert found["point"] == {"x": 1, "y": 2}
    assert found["mapping"] == {"5": 6}
    assert found["uuid"] == str(uuid.UUID(int=1))
    assert "self" in found["loop"]


def test_writes_in_metadata_go_only_if_they_cannot_be_encoded(saver: Verbs) -> None:
    saver.put(config_of("kept"), checkpoint_of(1), {"writes": {"node": 1}, "other": {1}}, {})
    saver.put(config_of("gone"), checkpoint_of(1), {"writes": {"node": {1}}, "step": 1}, {})
    assert saver.get_tuple(config_of("kept")).metadata == {"writes": {"node": 1}, "other": [1]}
    assert saver.get_tuple(config_of("gone")).metadata == {"step": 1}


def test_state_that_cannot_be_serialized_stores_nothing(saver: Verbs) -> None:
    with pytest.raises(SerializationError, match="the checkpoint cannot be serialized") as caught:
        saver.put(config_of(), checkpoint_of(1, {"lock": asyncio.Lock}), {}, {})
    assert isinstance(caught.value, TypeError)
    assert saver.list(None) == []


def test_sync_verbs_work_inside_a_running_event_loop(make_saver: Any) -> None:
    async def main() -> Any:
        saver = make_saver()
        saver.put(config_of(), checkpoint_of(1, {"a": 1}), {}, {})
        return saver.get_tuple(config_of())

    assert asyncio.run(main()).checkpoint["channel_values"] == {"a": 1}


@pytest.mark.parametrize("saver_class", [RustSqliteSaver, AsyncRustSqliteSaver])
def test_one_saver_serves_event_loop_after_event_loop(path: Path, saver_class: Any) -> None:
    saver = saver_class(path)
    for number in (1, 2):
        asyncio.run(saver.aput(config_of(), checkpoint_of(number), {}, {}))
    assert len(list(saver.list(config_of()))) == 2
    saver.close()


def test_a_saver_works_on_uvloop(path: Path) -> None:
    async def main() -> int:
        async with AsyncRustSqliteSaver(path) as saver:
            puts = (saver.aput(config_of(number), checkpoint_of(1), {}, {}) for number in range(20))
            await asyncio.gather(*puts)
            return len([found async for found in saver.alist(None)])

    loop = uvloop.new_event_loop()
    assert loop.run_until_complete(main()) == 20
    loop.close()


def test_aput_serializes_before_the_first_suspension(path: Path) -> None:
    async def main() -> Any:
        async with AsyncRustSqliteSaver(path) as saver:
            values = {"items": [1]}
            put = asyncio.create_task(saver.aput(config_of(), checkpoint_of(1, values), {}, {}))
            await asyncio.sleep(0)
            values["items"].append(2)
            await put
            return await saver.aget_tuple(config_of())

    assert asyncio.run(main()).checkpoint["channel_values"] == {"items": [1]}
