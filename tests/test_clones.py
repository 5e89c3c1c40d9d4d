"""Copies of a saver share its database and may outlive it; pickles go by path."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import gc
import pickle
from typing import TYPE_CHECKING, Any

import aiosqlite
import pytest
from helpers import checkpoint_of, config_of, put_chain
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver
from langgraph_checkpoint_rust.errors import SaverClosedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclasses.dataclass
class Stranger:
    """A class that no allow-list names by itself."""

    x: int = 1


CLONES = [copy.copy, copy.deepcopy, lambda saver: saver.with_allowlist([("module", "Class")])]


@pytest.mark.parametrize("place", ["file", "memory"])
@pytest.mark.parametrize("clone_of", CLONES, ids=["copy", "deepcopy", "with_allowlist"])
@pytest.mark.parametrize("saver_class", [RustSqliteSaver, AsyncRustSqliteSaver])
def test_a_clone_shares_the_database_also_if_made_before_it_was_open(
    path: Path, saver_class: Any, clone_of: Callable[[Any], Any], place: str
) -> None:
    saver = saver_class(path if place == "file" else ":memory:")
    early = clone_of(saver)
    put_chain(saver, 2)
    late = clone_of(saver)
    assert type(early) is saver_class
    assert list(early.list(None)) == list(late.list(None)) == list(saver.list(None))
    assert early.is_setup
    saver.close()


@pytest.mark.parametrize("clone_of", CLONES, ids=["copy", "deepcopy", "with_allowlist"])
def test_a_clone_outlives_the_original_and_the_original_its_clones(clone_of: Callable[[Any], Any]) -> None:
    saver = RustSqliteSaver(":memory:")
    put_chain(saver, 1)
    for _ in range(50):
        assert len(list(clone_of(saver).list(None))) == 1
    clone = clone_of(saver)
    del saver
    gc.collect()
    assert len(list(clone.list(None))) == 1
    clone.close()


def test_closing_one_closes_all() -> None:
    saver = RustSqliteSaver(":memory:")
    clone = copy.copy(saver)
    clone.close()
    with pytest.raises(SaverClosedError):
        saver.get_tuple(config_of())


def test_the_serializer_of_a_clone_is_its_own_and_may_be_replaced(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        clone: Any = copy.copy(saver)
        clone.serde = EncryptedSerializer.from_pycryptodome_aes(key=b"k" * 16)
        clone.put(config_of("secret"), checkpoint_of(1, {"a": 1}), {}, {})
        saver.put(config_of("plain"), checkpoint_of(1, {"a": 1}), {}, {})
        assert isinstance(saver.serde, JsonPlusSerializer)
        for thread in ("secret", "plain"):
            assert clone.get_tuple(config_of(thread)).checkpoint["channel_values"] == {"a": 1}


@pytest.mark.parametrize("saver_class", [RustSqliteSaver, AsyncRustSqliteSaver])
def test_a_pickle_goes_by_path_and_keeps_settings_and_serializer(path: Path, saver_class: Any) -> None:
    serde = JsonPlusSerializer(pickle_fallback=True, allowed_msgpack_modules=[("helpers", "Verbs")])
    saver = saver_class(path, synchronous="FULL", serde=serde)
    put_chain(saver, 1)
    restored = pickle.loads(pickle.dumps(saver))
    assert type(restored) is saver_class
    assert restored.settings == saver.settings
    assert restored.serde.pickle_fallback
    assert restored.serde._allowed_msgpack_modules == {("helpers", "Verbs")}
    saver.close()
    assert len(list(restored.list(None))) == 1
    restored.close()


def test_a_restored_serializer_keeps_the_allow_list(path: Path) -> None:
    with RustSqliteSaver(path, serde=JsonPlusSerializer(allowed_msgpack_modules=None)) as saver:
        config = saver.put(config_of(), checkpoint_of(1, {"verbs": Stranger()}), {}, {})
        with pickle.loads(pickle.dumps(saver)) as restored:
            assert not isinstance(restored.get_tuple(config).checkpoint["channel_values"]["verbs"], Stranger)
            restored.serde = restored.serde.with_msgpack_allowlist([Stranger])
            assert restored.get_tuple(config).checkpoint["channel_values"]["verbs"] == Stranger()


@pytest.mark.parametrize("memory", [":memory:", "sqlite://"])
def test_a_saver_in_memory_cannot_be_pickled(memory: str) -> None:
    with RustSqliteSaver(memory) as saver, pytest.raises(pickle.PicklingError, match="use a file"):
        pickle.dumps(saver)


def test_a_saver_of_an_aiosqlite_connection_can_be_pickled_once_it_knows_its_file(path: Path) -> None:
    async def main() -> bytes:
        async with aiosqlite.connect(path) as connection:
            saver = AsyncRustSqliteSaver(connection)
            with pytest.raises(RuntimeError, match="learns its file"):
                pickle.dumps(saver)
            await saver.setup()
            pickled = pickle.dumps(saver)
            await saver.aclose()
            return pickled

    with pickle.loads(asyncio.run(main())) as restored:
        put_chain(restored, 1)
        assert len(list(restored.list(None))) == 1
