"""How a verb's steps are carried out: what a call raises is raised at its `yield`, in both colours."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust._bridge import Pause, arun, run
from langgraph_checkpoint_rust._core import Meter
from langgraph_checkpoint_rust.errors import DatabaseOpenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _sync(steps: Any, meter: Meter | None = None) -> Any:
    return run(steps, meter)


def _async(steps: Any, meter: Meter | None = None) -> Any:
    return asyncio.run(arun(steps, meter))


@pytest.fixture(params=[_sync, _async], ids=["sync", "async"])
def carry_out(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def failing(tmp_path: Path) -> Any:
    """A backend whose file cannot be opened."""
    (tmp_path / "directory").write_text("in the way")
    saver = RustSqliteSaver(tmp_path / "directory" / "checkpoints.db")
    yield saver._store.native
    saver.close()


def test_steps_handle_errors_and_go_on(
    carry_out: Any, failing: Any, make_saver: Callable[..., RustSqliteSaver]
) -> None:
    backend = make_saver()._store.native

    def steps() -> Any:
        seen = []
        try:
            yield failing.setup()
        except DatabaseOpenError as error:
            seen.append(type(error).__name__)
        seen.append((yield backend.get_tuple("1", "", None)))
        with pytest.raises(DatabaseOpenError):
            yield failing.format()
        return seen

    assert carry_out(steps()) == ["DatabaseOpenError", None]


def test_what_steps_do_not_handle_is_the_callers_and_they_clean_up(carry_out: Any, failing: Any) -> None:
    cleaned = []

    def steps() -> Any:
        try:
            yield failing.setup()
        finally:
            cleaned.append(True)

    with pytest.raises(DatabaseOpenError):
        carry_out(steps())
    assert cleaned == [True]


def test_a_pause_gives_nothing_and_counts_nothing(carry_out: Any) -> None:
    meter = Meter()

    def steps() -> Any:
        return (yield Pause(0.001))

    assert carry_out(steps(), meter) is None
    assert meter.report([]) == (0, 0.0, None, [], (0, 0))


def test_a_call_counts_its_bytes_once_it_succeeded(
    carry_out: Any, failing: Any, make_saver: Callable[..., RustSqliteSaver]
) -> None:
    saver, meter = make_saver(), Meter()
    put = ("1", "", "id"), None, ("bytes", b"12345"), b"{}", None, False, None

    def steps() -> Any:
        try:
            yield failing.put(*put)
        except DatabaseOpenError:
            yield saver._store.native.put(*put)
        return (yield saver._store.native.get_tuple("1", "", None))

    row = carry_out(steps(), meter)
    assert row[:3] == ("1", "", "id")
    assert meter.report([])[4] == (7, 7)
