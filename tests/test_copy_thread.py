"""`copy_thread`: every checkpoint and write under another thread, all else unchanged."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
from helpers import OTHER_TASK, TASK, Verbs, checkpoint_of, config_of, put_chain, rows
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
            assert list(ours) == list(inspect.signature(getattr(BaseCheckpointSaver, verb)).parameters)


def test_a_copy_leaves_other_writes_of_the_target_as_they_are(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        for thread_id, task_id in (("1", TASK), ("2", OTHER_TASK)):
            config = saver.put(config_of(thread_id), checkpoint_of(1, {"a": 1}), {}, {})
            saver.put_writes(config, [("a", thread_id)], task_id)
        saver.copy_thread("1", "2")
        found = saver.get_tuple(config_of("2"))
        assert found is not None
        assert found.pending_writes == [(TASK, "a", "1"), (OTHER_TASK, "a", "2")]
