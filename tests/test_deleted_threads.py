"""`on_deleted_thread`: what a run stores that goes on after its thread was deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from helpers import TASK, checkpoint_of, config_of, put_chain, query, run_python, schema
from langgraph.checkpoint.base import empty_checkpoint

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.errors import ThreadDeletedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def strict(make_saver: Callable[..., RustSqliteSaver]) -> RustSqliteSaver:
    return make_saver(on_deleted_thread="raise")


def started(saver: RustSqliteSaver) -> Any:
    """A run's first checkpoint."""
    return saver.put(config_of(), empty_checkpoint(), {}, {})


def test_a_late_put_and_late_writes_raise(strict: RustSqliteSaver) -> None:
    config = started(strict)
    strict.delete_thread("1")
    with pytest.raises(ThreadDeletedError, match="thread `1` was deleted"):
        strict.put(config, empty_checkpoint(), {}, {})
    with pytest.raises(ThreadDeletedError):
        strict.put_writes(config, [("a", 1)], TASK)
    assert list(strict.list(None)) == []
    assert strict.verify().writes == 0


def test_the_default_is_to_store_them(make_saver: Callable[..., RustSqliteSaver]) -> None:
    saver = make_saver()
    config = started(saver)
    saver.delete_thread("1")
    stored = saver.put(config, empty_checkpoint(), {}, {})
    saver.put_writes(config, [("a", 1)], TASK)
    assert saver.get_tuple(stored) is not None


def test_a_new_run_on_the_same_id_is_welcome(strict: RustSqliteSaver) -> None:
    late = started(strict)
    strict.delete_thread("1")
    fresh = empty_checkpoint()
    early = config_of("1", "", fresh["id"])
    strict.put_writes(early, [("a", 1)], TASK)
    config = strict.put(config_of(), fresh, {}, {})
    strict.put(config, empty_checkpoint(), {}, {})
    assert len(list(strict.list(None))) == 2
    with pytest.raises(ThreadDeletedError):
        strict.put(late, empty_checkpoint(), {}, {})


def test_ids_that_tell_no_time_are_welcome_once_they_are_stored(strict: RustSqliteSaver) -> None:
    put_chain(strict, 2)
    strict.delete_thread("1")
    put_chain(strict, 3)
    assert len(list(strict.list(None))) == 3


def test_import_and_copy_are_welcome(strict: RustSqliteSaver, tmp_path: Path) -> None:
    config = started(strict)
    strict.export_thread("1", tmp_path / "1.db")
    strict.copy_thread("1", "2")
    strict.delete_thread("1")
    strict.import_thread(tmp_path / "1.db")
    strict.put(config, empty_checkpoint(), {}, {})
    strict.delete_thread("1")
    strict.copy_thread("2", "1")
    strict.put(config, empty_checkpoint(), {}, {})


@pytest.mark.compact
def test_a_deletion_of_another_process_counts(strict: RustSqliteSaver, path: Path) -> None:
    config = started(strict)
    run_python(
        """
        import sys
        from langgraph_checkpoint_rust import RustSqliteSaver
        with RustSqliteSaver(sys.argv[1]) as saver:
            saver.delete_thread("1")
        """,
        path,
    )
    with pytest.raises(ThreadDeletedError):
        strict.put(config, empty_checkpoint(), {}, {})


@pytest.mark.interop
def test_an_interop_file_gets_the_table_only_where_it_is_asked_for(
    path: Path, make_saver: Callable[..., RustSqliteSaver]
) -> None:
    plain, strict = make_saver(), make_saver(on_deleted_thread="raise")
    started(plain)
    before = schema(path)
    plain.delete_thread("1")
    assert schema(path) == before
    started(strict)
    assert schema(path) == before
    strict.delete_thread("1")
    assert "checkpoint_tombstones" in {row[1] for row in schema(path)}


def test_a_tombstone_does_not_hold_the_id(strict: RustSqliteSaver, path: Path) -> None:
    strict.put(config_of("ada@example.org"), checkpoint_of(1), {}, {})
    strict.delete_thread("ada@example.org")
    ((thread, boundary),) = query(path, "SELECT thread, boundary FROM checkpoint_tombstones")
    assert len(thread) == 16
    assert boundary.count("-") == 4
