"""`prune` on plain threads, by `PostgresSaver`'s rules; `DeltaChannel` threads: test_delta_channels.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from helpers import OTHER_TASK, TASK, Verbs, checkpoint_of, config_of, id_of, ids, put_chain, rows

if TYPE_CHECKING:
    from pathlib import Path

STEP = {"source": "loop", "parents": {}}


def namespace_ids(saver: Verbs, checkpoint_ns: str = "", thread_id: str = "1") -> list[str]:
    return ids(saver.list(config_of(thread_id, checkpoint_ns)))


def test_the_latest_of_each_namespace_stays_with_its_writes(saver: Verbs) -> None:
    for namespace in ("", "child"):
        for config in put_chain(saver, 3, "1", namespace):
            saver.put_writes(config, [("a", 1)], TASK)
    saver.prune(["1"], strategy="keep_latest")
    for namespace in ("", "child"):
        (found,) = saver.list(config_of("1", namespace))
        assert found.checkpoint["id"] == id_of(3)
        assert found.pending_writes == [(TASK, "a", 1)]


def test_writes_of_pruned_checkpoints_go(path: Path, make_saver: Any) -> None:
    saver = make_saver()
    for config in put_chain(saver, 3):
        saver.put_writes(config, [("a", 1)], TASK)
    saver.prune(["1"])
    assert [row[2] for row in rows(path, "writes")] == [id_of(3)]


def test_a_parent_that_went_becomes_none(saver: Verbs) -> None:
    put_chain(saver, 3)
    saver.prune(["1"])
    assert saver.get_tuple(config_of()).parent_config is None


def test_a_parent_that_never_was_there_is_left_as_it_is(saver: Verbs) -> None:
    saver.put(config_of(checkpoint_id="elsewhere"), checkpoint_of(1), {}, {})
    saver.prune(["1"])
    assert saver.get_tuple(config_of()).parent_config == config_of(checkpoint_id="elsewhere")


def test_writes_of_a_checkpoint_still_to_come_stay(saver: Verbs) -> None:
    put_chain(saver, 3)
    for number in (9, 0):
        saver.put_writes(config_of(checkpoint_id=id_of(number)), [("early", number)], OTHER_TASK)
    saver.prune(["1"])
    for number in (9, 0):
        config = saver.put(config_of(), checkpoint_of(number), {}, {})
        assert saver.get_tuple(config).pending_writes == [(OTHER_TASK, "early", number)]


def test_pruning_twice_changes_nothing_more(saver: Verbs) -> None:
    put_chain(saver, 4)
    saver.prune(["1"])
    once = saver.list(None)
    saver.prune(["1"])
    assert saver.list(None) == once


def test_a_descendant_of_the_latest_stays_though_its_id_sorts_before(saver: Verbs) -> None:
    """The clock of the process that made it was behind."""
    first = saver.put(config_of(), checkpoint_of(5), STEP, {})
    latest = saver.put(first, checkpoint_of(9), STEP, {})
    child = saver.put(latest, checkpoint_of(3), STEP, {})
    saver.put(child, checkpoint_of(2), STEP, {})
    saver.prune(["1"])
    assert namespace_ids(saver) == [id_of(9), id_of(3), id_of(2)]
    assert saver.get_tuple(child).parent_config == latest


def test_a_loop_of_parents_ends(saver: Verbs) -> None:
    _, second = put_chain(saver, 2)
    saver.put(second, checkpoint_of(1), STEP, {})
    saver.prune(["1"])
    assert id_of(2) in namespace_ids(saver)


def test_the_namespace_of_a_finished_subgraph_call_goes(saver: Verbs) -> None:
    root, _ = put_chain(saver, 2)
    call = {"source": "loop", "parents": {"": root["configurable"]["checkpoint_id"]}}
    saver.put(config_of("1", "child:1"), checkpoint_of(10), call, {})
    saver.prune(["1"])
    assert namespace_ids(saver, "child:1") == []
    assert namespace_ids(saver) == [id_of(2)]


def test_the_namespace_of_a_pending_subgraph_call_stays(saver: Verbs) -> None:
    _, root = put_chain(saver, 2)
    call = {"source": "loop", "parents": {"": root["configurable"]["checkpoint_id"]}}
    for number in (10, 11):
        saver.put(config_of("1", "child:1"), checkpoint_of(number), call, {})
    saver.prune(["1"])
    assert namespace_ids(saver, "child:1") == [id_of(11)]


def test_a_call_whose_root_is_still_to_come_stays(saver: Verbs) -> None:
    put_chain(saver, 2)
    saver.put(config_of("1", "child:1"), checkpoint_of(10), {"parents": {"": id_of(50)}}, {})
    saver.prune(["1"])
    assert namespace_ids(saver, "child:1") == [id_of(10)]


def test_a_subgraph_with_a_memory_of_its_own_stays(saver: Verbs) -> None:
    root, _ = put_chain(saver, 2)
    call = {"source": "loop", "parents": {"": root["configurable"]["checkpoint_id"]}}
    for number in (10, 11):
        saver.put(config_of("1", "child"), checkpoint_of(number), call, {})
    saver.prune(["1"])
    assert namespace_ids(saver, "child") == [id_of(11)]


@pytest.mark.parametrize(("version", "left"), [(1, 2), (3, 2), (4, 1)])
def test_the_parent_with_the_sends_of_an_old_checkpoint_stays(saver: Verbs, version: int, left: int) -> None:
    root = saver.put(config_of(), checkpoint_of(1, v=version), STEP, {})
    parent = saver.put(root, checkpoint_of(2, v=version), STEP, {})
    saver.put_writes(parent, [("__pregel_tasks", "send")], TASK)
    saver.put(parent, checkpoint_of(3, v=version), STEP, {})
    before = saver.get_tuple(config_of()).checkpoint["channel_values"]
    saver.prune(["1"])
    assert saver.get_tuple(config_of()).checkpoint["channel_values"] == before
    assert len(saver.list(None)) == left


def test_a_parent_without_sends_goes_from_an_old_checkpoint_too(saver: Verbs) -> None:
    parent = saver.put(config_of(), checkpoint_of(1, v=3), STEP, {})
    saver.put_writes(parent, [("a", 1)], TASK)
    saver.put(parent, checkpoint_of(2, v=3), STEP, {})
    saver.prune(["1"])
    assert len(saver.list(None)) == 1


def test_delete_keeps_nothing_of_the_thread(path: Path, make_saver: Any) -> None:
    saver = make_saver()
    for config in put_chain(saver, 3):
        saver.put_writes(config, [("a", 1)], TASK)
    saver.put_writes(config_of(checkpoint_id="to-come"), [("a", 1)], TASK)
    saver.prune(["1"], strategy="delete")
    assert rows(path, "checkpoints") == []
    assert rows(path, "writes") == []


@pytest.mark.parametrize("strategy", ["keep_latest", "delete"])
def test_other_threads_stay(saver: Verbs, strategy: str) -> None:
    put_chain(saver, 3, "1")
    put_chain(saver, 3, "2")
    put_chain(saver, 3, 3)
    saver.prune([3, "1", "unknown"], strategy=strategy)
    assert namespace_ids(saver, thread_id="2") == [id_of(3), id_of(2), id_of(1)]
    assert len(saver.list(None)) == 3 + (2 if strategy == "keep_latest" else 0)


@pytest.mark.parametrize("wrong", ["1", b"1"])
def test_a_single_text_is_a_type_error_and_prunes_nothing(saver: Verbs, wrong: Any) -> None:
    put_chain(saver, 2)
    with pytest.raises(TypeError, match="thread_ids must be a sequence"):
        saver.prune(wrong)
    assert len(saver.list(None)) == 2


@pytest.mark.parametrize("threads", [["1"], []])
@pytest.mark.parametrize("strategy", ["", "keep-latest", "DELETE", None])
def test_an_unknown_strategy_is_a_value_error_and_prunes_nothing(
    saver: Verbs, strategy: Any, threads: list[str]
) -> None:
    put_chain(saver, 2)
    with pytest.raises(ValueError, match="Unknown prune strategy"):
        saver.prune(threads, strategy=strategy)
    assert len(saver.list(None)) == 2


def test_no_threads_are_no_error(saver: Verbs) -> None:
    saver.prune([])
    assert saver.list(None) == []


def test_pruning_many_checkpoints_leaves_one(saver: Verbs) -> None:
    put_chain(saver, 500)
    saver.prune(["1"])
    assert ids(saver.list(None)) == [id_of(500)]
