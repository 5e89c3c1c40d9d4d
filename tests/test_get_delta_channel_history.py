"""`get_delta_channel_history` by hand-made rows; on real graphs: test_delta_channels.py."""

from __future__ import annotations

from typing import Any

import pytest
from helpers import OTHER_TASK, TASK, Verbs, checkpoint_of, config_of, id_of, put_chain
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from langgraph_checkpoint_rust.errors import MissingKeyError


def put_steps(saver: Any, *values: dict[str, Any]) -> list[Any]:
    """A chain of checkpoints, each with a write to `a` and to `b` that is numbered as it is."""
    stored = []
    config = config_of()
    for number, value in enumerate(values):
        config = saver.put(config, checkpoint_of(number, value), {}, {})
        saver.put_writes(config, [("a", number), ("b", -number)], TASK)
        stored.append(config)
    return stored


def history(saver: Any, config: Any, *channels: str) -> dict[str, tuple[Any, list[Any]]]:
    """Per channel its seed, `"none"` if it has none, and the values of its writes."""
    found = saver.get_delta_channel_history(config=config, channels=list(channels))
    return {
        channel: (entry.get("seed", "none"), [value for _, _, value in entry["writes"]])
        for channel, entry in found.items()
    }


def test_writes_run_oldest_first_from_the_seeds_own_to_the_parents(saver: Verbs) -> None:
    *_, last = put_steps(saver, {}, {"a": "seed"}, {}, {})
    assert history(saver, last, "a") == {"a": ("seed", [1, 2])}


def test_the_targets_own_value_and_writes_do_not_count(saver: Verbs) -> None:
    *_, last = put_steps(saver, {}, {"a": "own"})
    assert history(saver, last, "a") == {"a": ("none", [0])}


def test_without_an_id_the_latest_is_the_target(saver: Verbs) -> None:
    put_steps(saver, {"a": "seed"}, {}, {})
    assert history(saver, config_of(), "a") == {"a": ("seed", [0, 1])}


def test_each_channel_ends_at_its_own_seed(saver: Verbs) -> None:
    *_, last = put_steps(saver, {"b": "old"}, {"a": "middle"}, {"c": "new"}, {})
    assert history(saver, last, "c", "a", "b", "d") == {
        "c": ("new", []),
        "a": ("middle", [1, 2]),
        "b": ("old", [0, -1, -2]),
        "d": ("none", []),
    }


def test_channels_come_in_the_order_asked(saver: Verbs) -> None:
    *_, last = put_steps(saver, {}, {})
    assert list(history(saver, last, "z", "b", "a")) == ["z", "b", "a"]


@pytest.mark.parametrize("value", [None, 0, "", [], _DeltaSnapshot([1])])
def test_a_seed_may_be_any_value(saver: Verbs, value: Any) -> None:
    *_, last = put_steps(saver, {"a": value}, {})
    assert history(saver, last, "a") == {"a": (value, [0])}


def test_a_write_has_its_task_its_channel_and_the_order_of_paths(saver: Verbs) -> None:
    (first,) = put_chain(saver, 1)
    saver.put_writes(first, [("a", "late")], TASK, "~2")
    saver.put_writes(first, [("a", "early"), ("b", 0), ("a", "next")], OTHER_TASK, "~1")
    second = saver.put(first, checkpoint_of(9), {}, {})
    found = saver.get_delta_channel_history(config=second, channels=["a"])
    assert found == {
        "a": {"writes": [(OTHER_TASK, "a", "early"), (OTHER_TASK, "a", "next"), (TASK, "a", "late")]}
    }


def test_the_walk_goes_by_parent_not_by_id(saver: Verbs) -> None:
    root = saver.put(config_of(), checkpoint_of(50), {}, {})
    saver.put_writes(root, [("a", "root")], TASK)
    child = saver.put(root, checkpoint_of(20), {}, {})
    saver.put_writes(child, [("a", "child")], TASK)
    other = saver.put(root, checkpoint_of(30), {}, {})
    saver.put_writes(other, [("a", "other branch")], TASK)
    last = saver.put(child, checkpoint_of(10), {}, {})
    assert history(saver, last, "a") == {"a": ("none", ["root", "child"])}


def test_namespaces_and_threads_are_apart(saver: Verbs) -> None:
    put_steps(saver, {"a": "seed"}, {})
    assert history(saver, config_of("1", "child"), "a") == {"a": ("none", [])}
    assert history(saver, config_of("2"), "a") == {"a": ("none", [])}


def test_a_loop_of_parents_ends(saver: Verbs) -> None:
    first, _, last = put_steps(saver, {}, {}, {})
    saver.put(last, checkpoint_of(0), {}, {})
    assert history(saver, last, "a") == {"a": ("none", [0, 1])}
    assert history(saver, first, "a") == {"a": ("none", [1, 2])}


def test_a_missing_parent_ends_the_walk(saver: Verbs) -> None:
    saver.put_writes(config_of(checkpoint_id=id_of(77)), [("a", "orphan")], TASK)
    child = saver.put(config_of(checkpoint_id=id_of(77)), checkpoint_of(80), {}, {})
    last = saver.put(child, checkpoint_of(81), {}, {})
    assert history(saver, last, "a") == {"a": ("none", [])}


def test_a_target_that_is_not_there_has_no_history(saver: Verbs) -> None:
    put_steps(saver, {"a": "seed"}, {})
    assert history(saver, config_of("1", "", id_of(99)), "a") == {"a": ("none", [])}


def test_no_channels_have_no_history(saver: Verbs) -> None:
    assert saver.get_delta_channel_history(config=config_of(), channels=[]) == {}


def test_a_missing_thread_id_is_an_error(saver: Verbs) -> None:
    with pytest.raises(MissingKeyError, match="thread_id"):
        saver.get_delta_channel_history(config={"configurable": {}}, channels=["a"])


def test_seeds_of_two_channels_in_one_checkpoint_are_apart(saver: Verbs) -> None:
    *_, last = put_steps(saver, {"a": [1], "b": [2]}, {})
    found = saver.get_delta_channel_history(config=last, channels=["a", "b"])
    found["a"]["seed"].append("changed")
    assert found["b"]["seed"] == [2]
    assert history(saver, last, "a") == {"a": ([1], [0])}
