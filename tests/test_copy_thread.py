"""`copy_thread`: every checkpoint and write under another thread, all else unchanged."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
from helpers import OTHER_TASK, TASK, Verbs, checkpoint_of, config_of, id_of, put_chain, rows
from langgraph.checkpoint.base import BaseCheckpointSaver

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver

if TYPE_CHECKING:
    from pathlib import Path


def fill(saver: Any, thread_id: str = "source") -> None:
    for namespace in ("", "child:1"):
        for config in put_chain(saver, 3, thread_id, namespace):
            saver.put_writes(config, [("a", 1), ("__error__", "e")], TASK, "~1")
    saver.put_writes(config_of(thread_id, checkpoint_id="still-to-come"), [("late", 1)], OTHER_TASK)


def without_thread(found: list[tuple[Any, ...]], thread_id: str) -> list[tuple[Any, ...]]:
    return [row[1:] for row in found if row[0] == thread_id]


@pytest.mark.interop
def test_the_copy_equals_the_source_row_by_row(path: Path, make_saver: Any) -> None:
    saver = make_saver()
    fill(saver)
    before = [rows(path, table) for table in ("checkpoints", "writes")]
    saver.copy_thread("source", "target")
    for table, rows_before in zip(("checkpoints", "writes"), before, strict=True):
        after = rows(path, table)
        assert without_thread(after, "source") == without_thread(rows_before, "source")
        assert without_thread(after, "target") == without_thread(rows_before, "source")


def test_the_copy_keeps_ids_parents_namespaces_and_writes(saver: Verbs) -> None:
    fill(saver)
    saver.copy_thread("source", "target")
    for source, target in zip(
        saver.list({"configurable": {"thread_id": "source"}}),
        saver.list({"configurable": {"thread_id": "target"}}),
        strict=True,
    ):
        expected = {"configurable": {**source.config["configurable"], "thread_id": "target"}}
        assert target.config == expected
        assert target[1:3] == source[1:3]
        assert target.pending_writes == source.pending_writes


def test_the_copy_lives_on_its_own(saver: Verbs) -> None:
    fill(saver)
    saver.copy_thread("source", "target")
    saver.put(config_of("target"), checkpoint_of(99), {}, {})
    saver.delete_thread("source")
    assert len(saver.list(config_of("target"))) == 4


def test_the_same_ids_in_the_target_are_replaced_and_others_stay(saver: Verbs) -> None:
    put_chain(saver, 1, "source")
    put_chain(saver, 5, "target")
    saver.put(config_of("source"), checkpoint_of(1, {"new": True}), {}, {})
    saver.copy_thread("source", "target")
    found = saver.list(config_of("target"))
    assert len(found) == 5
    assert found[-1].checkpoint["channel_values"] == {"new": True}


def test_a_thread_copied_onto_itself_is_unchanged(saver: Verbs) -> None:
    fill(saver)
    before = saver.list(None)
    saver.copy_thread("source", "source")
    assert saver.list(None) == before


def test_an_unknown_source_is_no_error(saver: Verbs) -> None:
    saver.copy_thread("unknown", "target")
    assert saver.list(None) == []


def test_thread_ids_of_any_type(saver: Verbs) -> None:
    put_chain(saver, 1, 7)
    saver.copy_thread(7, 8)
    assert len(saver.list(config_of(8))) == 1


def test_parameter_names_are_the_base_classs() -> None:
    for saver_class in (RustSqliteSaver, AsyncRustSqliteSaver):
        for verb in ("copy_thread", "acopy_thread"):
            ours = inspect.signature(getattr(saver_class, verb)).parameters
            theirs = inspect.signature(getattr(BaseCheckpointSaver, verb)).parameters
            assert [name for name, given in ours.items() if given.kind is not given.KEYWORD_ONLY] == list(
                theirs
            )


def parents_of(saver: Verbs, thread_id: str) -> dict[str, str | None]:
    """By checkpoint its parent."""
    return {
        found.checkpoint["id"]: (found.parent_config or {"configurable": {}})["configurable"].get(
            "checkpoint_id"
        )
        for found in saver.list(config_of(thread_id, ""))
    }


def test_up_to_a_checkpoint(saver: Verbs) -> None:
    configs = put_chain(saver, 5, "source")
    saver.put(configs[1], checkpoint_of(9), {}, {})
    for config in configs:
        saver.put_writes(config, [("a", 1)], TASK)
    saver.copy_thread("source", "target", up_to=id_of(3))
    assert parents_of(saver, "target") == {id_of(3): id_of(2), id_of(2): id_of(1), id_of(1): None}
    assert all(found.pending_writes for found in saver.list(config_of("target")))


def test_the_last_ones(saver: Verbs) -> None:
    put_chain(saver, 5, "source")
    saver.copy_thread("source", "target", last=2)
    assert parents_of(saver, "target") == {id_of(5): id_of(4), id_of(4): None}
    saver.copy_thread("source", "other", up_to=id_of(4), last=1)
    assert parents_of(saver, "other") == {id_of(4): None}
    assert saver.verify().missing_parents == ()


def test_subgraphs_go_with_what_they_were_started_from(saver: Verbs) -> None:
    put_chain(saver, 3, "source")
    for number in (1, 3):
        config = config_of("source", f"child:{number}")
        saver.put(config, checkpoint_of(10 + number), {"parents": {"": id_of(number)}}, {})
    saver.copy_thread("source", "target", up_to=id_of(2))
    namespaces = {found.config["configurable"]["checkpoint_ns"] for found in saver.list(config_of("target"))}
    # A config with a namespace selects it; this one has "", so look at all.
    everything = saver.list({"configurable": {"thread_id": "target"}})
    namespaces |= {found.config["configurable"]["checkpoint_ns"] for found in everything}
    assert namespaces == {"", "child:1"}


def test_a_part_that_is_not_there(saver: Verbs) -> None:
    put_chain(saver, 1, "source")
    with pytest.raises(ValueError, match="is not stored"):
        saver.copy_thread("source", "target", up_to="unknown")
    with pytest.raises(ValueError, match="at least 1"):
        saver.copy_thread("source", "target", last=0)
    assert saver.list(config_of("target")) == []


def test_a_target_that_exists(saver: Verbs) -> None:
    put_chain(saver, 2, "source")
    put_chain(saver, 3, "target", start=2)
    with pytest.raises(ValueError, match="thread `target` exists"):
        saver.copy_thread("source", "target", on_existing="refuse")
    with pytest.raises(ValueError, match="unknown on_existing"):
        saver.copy_thread("source", "target", on_existing="ask")
    assert len(saver.list(config_of("target"))) == 3
    saver.copy_thread("source", "merged", on_existing="refuse")
    saver.copy_thread("source", "target")
    assert len(saver.list(config_of("target"))) == 4
    saver.copy_thread("source", "target", on_existing="replace")
    assert parents_of(saver, "target") == {id_of(2): id_of(1), id_of(1): None}
    assert saver.verify().is_ok


def test_a_copy_leaves_other_writes_of_the_target_as_they_are(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        for thread_id, task_id in (("1", TASK), ("2", OTHER_TASK)):
            config = saver.put(config_of(thread_id), checkpoint_of(1, {"a": 1}), {}, {})
            saver.put_writes(config, [("a", thread_id)], task_id)
        saver.copy_thread("1", "2")
        found = saver.get_tuple(config_of("2"))
        assert found is not None
        assert found.pending_writes == [(TASK, "a", "1"), (OTHER_TASK, "a", "2")]
