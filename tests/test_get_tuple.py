"""`get_tuple`: upstream's semantics, in places where upstream hangs too."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from helpers import TASK, Verbs, checkpoint_of, config_of, id_of, put_chain, query

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver
from langgraph_checkpoint_rust.errors import DatabaseCorruptError, MissingKeyError

if TYPE_CHECKING:
    from pathlib import Path


def test_the_latest_checkpoint_has_the_greatest_id_not_the_last_put(saver: Verbs) -> None:
    for number in (2, 3, 1):
        saver.put(config_of(), checkpoint_of(number), {}, {})
    assert saver.get_tuple(config_of()).checkpoint["id"] == id_of(3)


def test_by_id_the_config_is_the_callers_own(saver: Verbs) -> None:
    (stored,) = put_chain(saver, 1)
    config = {**stored, "tags": ["mine"], "metadata": {"x": 1}}
    assert saver.get_tuple(config).config is config


def test_without_an_id_the_config_names_the_checkpoint_and_nothing_else(saver: Verbs) -> None:
    put_chain(saver, 2, thread_id=7)
    found = saver.get_tuple({**config_of(7, user="ada"), "tags": ["mine"]})
    assert found.config == config_of("7", "", id_of(2))
    assert found.parent_config == config_of("7", "", id_of(1))


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_checkpoint_id_means_the_latest(saver: Verbs, empty: Any) -> None:
    put_chain(saver, 2)
    config = {"configurable": {"thread_id": "1", "checkpoint_ns": "", "checkpoint_id": empty}}
    assert saver.get_tuple(config).checkpoint["id"] == id_of(2)


def test_a_config_without_a_namespace_means_the_root(saver: Verbs) -> None:
    put_chain(saver, 1)
    put_chain(saver, 2, checkpoint_ns="child")
    assert saver.get_tuple({"configurable": {"thread_id": "1"}}).checkpoint["id"] == id_of(1)
    assert saver.get_tuple(config_of("1", "child")).checkpoint["id"] == id_of(2)


@pytest.mark.parametrize(
    "config",
    [
        config_of("2"),
        config_of("1", "other"),
        config_of("1", "", id_of(9)),
        config_of("1", "other", id_of(1)),
    ],
)
def test_what_is_not_there_is_none(saver: Verbs, config: Any) -> None:
    put_chain(saver, 1)
    assert saver.get_tuple(config) is None


@pytest.mark.parametrize("config", [{"configurable": {}}, {"configurable": {"thread_id": None}}, {}])
def test_a_missing_thread_id_is_a_key_error_and_a_value_error(saver: Verbs, config: Any) -> None:
    with pytest.raises(KeyError) as caught:
        saver.get_tuple(config)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, MissingKeyError)


def test_get_returns_the_checkpoint_alone(saver: Verbs) -> None:
    put_chain(saver, 1)
    assert saver.get(config_of())["id"] == id_of(1)
    assert saver.get(config_of("2")) is None


@pytest.mark.interop
def test_metadata_is_empty_where_the_column_is_null(path: Path, make_saver: Any) -> None:
    saver = make_saver()
    put_chain(saver, 1)
    query(path, "UPDATE checkpoints SET metadata = NULL")
    assert saver.get_tuple(config_of()).metadata == {}


def test_a_checkpoint_stored_as_text_is_read(path: Path, make_saver: Any) -> None:
    saver = make_saver()
    put_chain(saver, 1)
    query(path, "UPDATE checkpoints SET type = 'json', checkpoint = '{\"id\": \"text\"}'")
    assert saver.get_tuple(config_of()).checkpoint == {"id": "text"}


def test_a_number_where_data_belongs_names_the_thread(path: Path, make_saver: Any) -> None:
    saver = make_saver()
    put_chain(saver, 1, "the-thread")
    query(path, "UPDATE checkpoints SET checkpoint = 7")
    with pytest.raises(DatabaseCorruptError, match="the-thread"):
        saver.get_tuple(config_of("the-thread"))


def test_get_tuple_works_inside_a_list_loop(saver: Verbs) -> None:
    put_chain(saver, 40)
    for found in saver.saver.list(config_of()):
        assert saver.get_tuple(found.config).checkpoint == found.checkpoint


def test_aget_tuple_works_inside_an_alist_loop(path: Path) -> None:
    async def main() -> int:
        async with AsyncRustSqliteSaver(path) as saver:
            put_chain(saver, 40)
            seen = 0
            async for found in saver.alist(config_of()):
                assert await saver.aget_tuple(found.config) is not None
                seen += 1
            return seen

    assert asyncio.run(main()) == 40


def test_reads_of_many_threads_and_tasks_at_once_agree(path: Path) -> None:
    with RustSqliteSaver(path, pool_size=2) as saver:
        put_chain(saver, 3)
        expected = saver.get_tuple(config_of())
        found: list[Any] = []
        readers = [
            threading.Thread(target=lambda: found.append(saver.get_tuple(config_of()))) for _ in range(16)
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()

        async def main() -> list[Any]:
            return list(await asyncio.gather(*(saver.aget_tuple(config_of()) for _ in range(16))))

        assert found + asyncio.run(main()) == [expected] * 32


def old(number: int, version: int = 3, **more: Any) -> Any:
    """A checkpoint from before version 4, whose pending sends are writes of its parent."""
    return checkpoint_of(number, {"a": 1}, v=version, pending_sends=[], **more)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_pending_sends_of_an_old_checkpoint_come_from_its_parents_writes(saver: Verbs, version: int) -> None:
    parent = saver.put(config_of(), old(1, version), {}, {})
    saver.put_writes(parent, [("__pregel_tasks", "second"), ("a", 0)], "task-b", "~2")
    saver.put_writes(parent, [("__pregel_tasks", "first")], "task-c", "~1")
    saver.put(parent, old(2, version), {}, {})
    for found in (saver.get_tuple(config_of()), saver.list(config_of())[0]):
        assert found.checkpoint["channel_values"] == {"a": 1, "__pregel_tasks": ["first", "second"]}
        assert found.checkpoint["channel_versions"]["__pregel_tasks"] == max(
            found.checkpoint["channel_versions"].values()
        )
    assert "__pregel_tasks" not in saver.get_tuple(parent).checkpoint["channel_values"]


def test_a_checkpoint_of_version_4_carries_its_own_sends(saver: Verbs) -> None:
    parent = saver.put(config_of(), checkpoint_of(1), {}, {})
    saver.put_writes(parent, [("__pregel_tasks", "send")], TASK)
    saver.put(parent, checkpoint_of(2), {}, {})
    assert saver.get_tuple(config_of()).checkpoint["channel_values"] == {}


def test_sends_get_a_first_version_where_the_checkpoint_has_none(saver: Verbs) -> None:
    parent = saver.put(config_of(), old(1), {}, {})
    saver.put_writes(parent, [("__pregel_tasks", "send")], TASK)
    saver.put(parent, old(2, channel_versions={}), {}, {})
    (version,) = saver.get_tuple(config_of()).checkpoint["channel_versions"].values()
    assert version.partition(".")[0] == f"{1:032}"
